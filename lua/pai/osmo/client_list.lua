-- Lists of runs. A service gives at most 1,000 a page; longer lists are read page by page, and the
-- next one is asked for while one is read. Not several at once: a run that is submitted meanwhile
-- moves others to the next page, where they come again; asked for out of order they could be
-- missed.
local http = require("pai.osmo.client_http")
local task = require("pai.task")

---@class pai.osmo.Client
local M = {}

local PAGE <const> = 1000
local PATH <const> = "/api/workflow"

local SHAPE <const> = { workflows = { list = { name = "string" } } }

local FILTERS <const> = {
  "users",
  "name",
  "statuses",
  "pools",
  "submitted_before",
  "submitted_after",
  "tags",
  "app",
  "priority",
  "no_label",
}

local function query_of(opts)
  local query = { order = opts.order or "DESC" }
  for _, name in ipairs(FILTERS) do
    query[name] = opts[name]
  end
  local labels = opts.label or opts.labels
  if type(labels) == "table" and next(labels) ~= nil and #labels == 0 then
    query.label = {}
    for key, value in pairs(labels) do
      table.insert(query.label, key .. "=" .. value)
    end
    table.sort(query.label)
  else
    query.label = labels
  end
  query.all_users = opts.all_users and "True" or nil
  if opts.all_pools or not opts.pools then
    query.all_pools = "True"
  end
  return query
end

-- Which members of the answer are read: all, or those that are wanted.
local function picked(fields)
  if not fields then
    return nil
  end
  local pick = { "more_entries", "workflows[].name" }
  for i, name in ipairs(fields) do
    pick[i + 2] = "workflows[]." .. name
  end
  return pick
end

-- Asks for a page; the answer is not read yet.
local function ask(self, query, limit, offset)
  local own = { limit = limit, offset = offset }
  for name, v in pairs(query) do
    own[name] = v
  end
  return self.transport:send("GET", PATH, { query = own })
end

local function read(res, pick)
  local answer, e = http.value(res, "GET " .. PATH, pick, SHAPE)
  if not answer then
    return nil, e
  end
  return answer.workflows or {}, answer.more_entries == true
end

-- Puts a page behind the runs that there are, less those that have come before: at its beginning,
-- up to the last one that there is.
local function append(all, page)
  local last, from = all[#all] and all[#all].name, 1
  for i, w in ipairs(page) do
    if w.name == last then
      from = i + 1
      break
    end
  end
  table.move(page, from, #page, #all + 1, all)
end

-- Reads so many runs, as many pages as that takes.
local function pages(self, query, limit, offset, pick)
  local all, at = {}, offset or 0
  local stop = at + limit
  local res, e = ask(self, query, math.min(PAGE, limit), offset)
  while res do
    at = at + PAGE
    local next_page
    if at < stop and res.body:find('"more_entries"%s*:%s*true', -100) then -- where services have it
      next_page = task.spawn(ask, self, query, math.min(PAGE, stop - at), at)
      task.sleep(0) -- so that it is on its way
    end
    local page, more = read(res, pick)
    if not page then
      if next_page then
        next_page:cancel()
        pcall(next_page.wait, next_page)
      end
      return nil, more
    end
    append(all, page)
    if next_page then
      res, e = next_page:wait()
    elseif more and at < stop then
      res, e = ask(self, query, math.min(PAGE, stop - at), at)
    else
      return all, more
    end
  end
  return nil, e
end

---@class pai.osmo.ListOptions
---@field users string[]? default: the caller's
---@field all_users boolean?
---@field pools string[]? default: all
---@field all_pools boolean?
---@field name string? part of the id
---@field statuses string[]?
---@field label string[]|table<string, string>|nil selectors, or a map
---@field no_label string[]?
---@field tags string[]?
---@field priority string[]?
---@field app string? "name" or "name:version"
---@field submitted_after string? UTC, without a zone
---@field submitted_before string?
---@field order "ASC"|"DESC"|nil default DESC, newest first; pages of ASC begin at the oldest
---@field limit integer? default 20
---@field offset integer?
---@field fields string[]? only these members of each run, and its name: the rest is not read

---Lists runs.
---@param opts pai.osmo.ListOptions?
---@return table[]? workflows
---@return pai.Error|boolean? err or whether there are more
function M:list(opts)
  opts = opts or {}
  local query, pick = query_of(opts), picked(opts.fields)
  if opts.limit and opts.limit > PAGE then
    return pages(self, query, opts.limit, opts.offset, pick)
  end
  local res, e = ask(self, query, opts.limit, opts.offset)
  if not res then
    return nil, e
  end
  return read(res, pick)
end

return M
