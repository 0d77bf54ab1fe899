-- Lists of runs. A service gives at most 1,000 a page; longer lists are read page by page, the next
-- ones being asked for while one is looked at.
local async = require("pai.async")

---@class pai.osmo.Client
local M = {}

local PAGE <const> = 1000

-- Pages that are on their way at once.
local AHEAD <const> = 3

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

local function page(self, query, limit, offset, pick)
  local own = {}
  for name, v in pairs(query) do
    own[name] = v
  end
  own.limit, own.offset = limit, offset
  local answer, e = self.transport:call("GET", "/api/workflow", {
    query = own,
    pick = pick,
  })
  if not answer then
    return nil, e
  end
  return answer.workflows or {}, answer.more_entries == true
end

-- Reads so many pages; those behind the last one are left out. A run that is submitted meanwhile
-- moves others to the next page, where they are not taken again.
local function pages(self, query, limit, offset, pick)
  local found, more = {}, {}
  local calls, last = {}, nil
  for i = 1, (limit + PAGE - 1) // PAGE do
    calls[i] = function()
      local from = (i - 1) * PAGE
      if last and i > last then
        return
      end
      local got, rest = page(self, query, math.min(PAGE, limit - from), (offset or 0) + from, pick)
      if not got then
        error(rest, 0)
      end
      found[i], more[i] = got, rest
      if not rest then
        last = math.min(last or i, i)
      end
    end
  end
  local ok, e = pcall(async.all, calls, { limit = AHEAD })
  if not ok and require("pai.err").is(e) and e.code ~= "ECANCELED" then
    return nil, e
  elseif not ok then
    error(e, 0)
  end
  last = last or #calls
  local all, seen = {}, {}
  for i = 1, last do
    for _, w in ipairs(found[i]) do
      if not seen[w.name] then
        seen[w.name] = true
        all[#all + 1] = w
      end
    end
  end
  return all, more[last]
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
  return page(self, query, opts.limit, opts.offset, pick)
end

return M
