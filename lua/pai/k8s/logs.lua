-- Logs of a container. A follow that loses its connection goes on where it was: every line comes
-- with its time, the next request asks from the last second seen, and what was already given is
-- left out. It ends when the container has ended, and says so when it could not go on.
local err = require("pai.err")
local task = require("pai.task")

local M = {}

local BACKOFF_MS <const> = { 250, 10000 }
local GIVE_UP <const> = 10

---@class pai.k8s.LogOptions
---@field namespace string?
---@field container string?
---@field follow boolean?
---@field previous boolean? of the container before the last restart
---@field tail integer? only so many last lines
---@field since string? RFC 3339
---@field since_s integer?
---@field on_line fun(line: string, time: string?) the line without its time
---@field on_trouble fun(e: pai.Error)?
---@field backoff integer[]?

local function query_of(opts, self)
  return {
    container = opts.container,
    follow = opts.follow and "true" or nil,
    previous = opts.previous and "true" or nil,
    tailLines = not self.time and opts.tail or nil,
    sinceSeconds = not self.time and opts.since_s or nil,
    sinceTime = self.time and self.time:sub(1, 19) .. "Z" or opts.since,
    timestamps = "true",
  }
end

-- Times sort as text once their fractions have the same length.
local function sortable(time)
  local head, fraction = time:match("^(.-)%.?(%d*)Z$")
  return head and head .. "." .. fraction .. ("0"):rep(9 - #fraction) or time
end

-- Gives a line, unless the connection before gave it already: those up to its last time, and of
-- that very time as many equal lines as came.
local function give(self, line, opts)
  local time, text = line:match("^(%d%d%d%d%-%d%d%-%d%dT%S+Z) ?(.*)$")
  if not time then
    opts.on_line(line)
    return
  end
  local at = sortable(time)
  if self.resumed and self.at and at < self.resumed_at then
    return
  elseif self.resumed and at == self.resumed_at and self.had[line] and self.had[line] > 0 then
    self.had[line] = self.had[line] - 1
    return
  end
  if at ~= self.at then
    self.at, self.time, self.same = at, time, {}
  end
  self.same[line] = (self.same[line] or 0) + 1
  opts.on_line(text, time)
end

local function stream(client, path, self, opts)
  local rest = {}
  self.resumed, self.resumed_at = self.at ~= nil, self.at
  self.had = {}
  for line, n in pairs(self.same or {}) do
    self.had[line] = n
  end
  local began
  local res, e = client.transport:send("GET", path, {
    query = query_of(opts, self),
    accept = "*/*",
    timeout = opts.follow and 0 or "10m",
    on_data = function(chunk)
      began = true
      local from = 1
      while true do
        local eol = chunk:find("\n", from, true)
        if not eol then
          rest[#rest + 1] = chunk:sub(from)
          return
        end
        rest[#rest + 1] = chunk:sub(from, eol - 1)
        local line = table.concat(rest)
        rest, from = {}, eol + 1
        give(self, line, opts)
      end
    end,
  })
  local last = table.concat(rest)
  if res and last ~= "" then
    give(self, last, opts)
  end
  return res, e, began
end

-- Whether a container will write no more; true also when the pod is gone.
local function is_over(client, pod, opts)
  local object, e = client:get("pods", pod, { namespace = opts.namespace })
  if not object then
    return e.http == 404, e
  end
  local st = object.status or {}
  if st.phase == "Succeeded" or st.phase == "Failed" then
    return true
  end
  for _, list in ipairs({ st.containerStatuses or {}, st.initContainerStatuses or {} }) do
    for _, c in ipairs(list) do
      if c.name == opts.container or (not opts.container and #list == 1) then
        return c.state ~= nil and c.state.terminated ~= nil
      end
    end
  end
  return false
end

---Gives a log line by line.
---@param self pai.k8s.Client
---@param pod string
---@param opts pai.k8s.LogOptions
---@return true?
---@return pai.Error? err
function M.logs(self, pod, opts)
  local path = self:path(require("pai.k8s.resources").known("pods"), pod, {
    namespace = opts.namespace,
    subresource = "log",
  })
  local state, attempt = {}, 0
  while true do
    local res, e, began = stream(self, path, state, opts)
    if not opts.follow or (not res and not began and not state.time and attempt == 0) then
      return res and true or nil, e
    end
    local over, why = is_over(self, pod, opts)
    if res and over then
      return true
    end
    attempt = began and 1 or attempt + 1
    local trouble = e or why or err.new("ENETWORK", "the log's connection ended")
    if attempt > GIVE_UP or (trouble.code == "EHTTP" and trouble.http == 403) then
      return nil, trouble
    elseif over and not res then
      return nil, trouble
    end
    if opts.on_trouble then
      opts.on_trouble(trouble)
    end
    local least, most = table.unpack(opts.backoff or BACKOFF_MS)
    local wait = math.min(most, least << (attempt - 1))
    task.sleep(wait // 2 + math.random(0, wait - wait // 2))
  end
end

return M
