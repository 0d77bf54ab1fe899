-- Watches: a list, then its changes, for as long as wanted. A connection that ends is taken up at
-- the last version seen (bookmarks count), one that is silent for too long is given up, and after
-- 410 Gone the list is read anew; what it shows beside what was known is told as changes, so that
-- whoever listens ends up with what is there. Rules: reference pages "Efficient detection of
-- changes" and client-go's reflector.
local err = require("pai.err")
local json = require("pai.json")
local list = require("pai.k8s.list")
local status = require("pai.k8s.status")
local task = require("pai.task")

local M = {}

-- The server ends a watch after this time; some spread, so that many do not come back together.
local SERVER_S <const> = { 240, 420 }
-- Bookmarks come about once a minute.
local SILENCE_MS <const> = 150000
local BACKOFF_MS <const> = { 250, 30000 }
local LINE_MAX <const> = 64 * 1024 * 1024

---@class pai.k8s.WatchOptions: pai.k8s.ListOptions
---@field on_event fun(type: string, object: table): boolean? ADDED, MODIFIED or DELETED; false ends
---the watch
---@field on_sync fun(items: table[])? after each list, when its changes have been told
---@field on_trouble fun(e: pai.Error)? a connection failed; it is tried again
---@field silence string|integer? a connection without a byte for so long is given up (150s)
---@field backoff integer[]? least and most milliseconds between attempts
---@field give_up integer? attempts in a row without any answer after which it fails; default: never

---@class pai.k8s.Watch
---@field version string? that the next request starts from
---@field known table<string, { version: string, object: table }>
local Watch = {}
Watch.__index = Watch

local STOP <const> = {}

local function key_of(object)
  local meta = object.metadata
  return (meta.namespace or "") .. "/" .. meta.name
end

local function emit(self, kind, object)
  if self.opts.on_event(kind, object) == false then
    error(STOP, 0)
  end
end

-- Tells a list as changes to what is known.
local function sync(self, items)
  local seen = {}
  for _, object in ipairs(items) do
    local key = key_of(object)
    local before = self.known[key]
    seen[key] = true
    if before and before.object.metadata.uid ~= object.metadata.uid then
      self.known[key] = nil
      emit(self, "DELETED", before.object)
      before = nil
    end
    self.known[key] = { object = object }
    local version = object.metadata.resourceVersion
    if not before or before.object.metadata.resourceVersion ~= version then
      emit(self, before and "MODIFIED" or "ADDED", object)
    end
  end
  for key, before in pairs(self.known) do
    if not seen[key] then
      self.known[key] = nil
      emit(self, "DELETED", before.object)
    end
  end
  self.version = items.version
  if self.opts.on_sync then
    self.opts.on_sync(items)
  end
end

-- One line of a watch. Returns an error that ends the connection.
local function take(self, line)
  local event, e = json.decode(line)
  if type(event) ~= "table" or type(event.object) ~= "table" then
    local why = e and e.message or "it is no event"
    return err.new("EPROTO", "the watch sent a line that cannot be read: " .. why)
  end
  local object = event.object
  if event.type == "ERROR" then
    return status.error(object, math.tointeger(object.code))
  end
  local meta = object.metadata
  if type(meta) ~= "table" then
    return err.new("EPROTO", "the watch sent an event without an object")
  end
  self.version = meta.resourceVersion
  self.answered = true
  if event.type == "BOOKMARK" then
    return nil
  end
  if object.kind == "PartialObjectMetadata" then
    object.kind, object.apiVersion = self.resource.kind, self.api_version
  end
  self.client:clean(self.resource, object)
  local key = key_of(object)
  if event.type == "DELETED" then
    self.known[key] = nil
  else
    self.known[key] = { object = object }
  end
  emit(self, event.type, object)
end

-- Splits what arrives into lines. Half a line at the end of a connection is dropped: the same event
-- comes again from the last version that was whole.
local function reader(self)
  local pieces, size = {}, 0
  return function(chunk)
    self.last = task.now()
    local from = 1
    while true do
      local eol = chunk:find("\n", from, true)
      if not eol then
        break
      end
      pieces[#pieces + 1] = chunk:sub(from, eol - 1)
      local line = table.concat(pieces)
      pieces, size, from = {}, 0, eol + 1
      local e = line:find("%S") and take(self, line)
      if e then
        self.failure = e
        return false
      end
    end
    if from <= #chunk then
      pieces[#pieces + 1] = chunk:sub(from)
      size = size + #chunk - from + 1
      if size > LINE_MAX then
        self.failure = err.new("ELIMIT", "the watch sent an event of over 64 MiB")
        return false
      end
    end
  end
end

local function query_of(self)
  return {
    watch = "true",
    allowWatchBookmarks = "true",
    resourceVersion = self.version,
    timeoutSeconds = math.random(SERVER_S[1], SERVER_S[2]),
    labelSelector = self.opts.labels,
    fieldSelector = self.opts.fields,
  }
end

-- One connection, from the last version seen to its end. Returns an error, or nil for a usual end.
local function connection(self)
  self.failure, self.last = nil, task.now()
  local finished = task.event()
  local result
  local function work()
    result = table.pack(pcall(self.client.transport.send, self.client.transport, "GET", self.path, {
      query = query_of(self),
      accept = self.accept,
      timeout = 0,
      on_data = reader(self),
    }))
    finished:set()
  end
  local t = task.spawn(work)
  local _ <close> = setmetatable({}, {
    __close = function()
      task.shield(function()
        t:cancel()
        pcall(t.wait, t)
      end)
    end,
  })
  while not finished:wait(math.max(1, self.last + self.silence - task.now())) do
    if task.now() - self.last >= self.silence then
      return err.new("ETIMEDOUT", "the watch was silent for too long", { retryable = true })
    end
  end
  if not result[1] then
    error(result[2], 0)
  end
  return self.failure or result[3]
end

-- Waits before the next attempt: longer each time, and never all clients at the same moment.
local function back_off(self, attempt, e)
  local least, most = table.unpack(self.opts.backoff or BACKOFF_MS)
  local wait = math.min(most, least << math.min(attempt - 1, 16))
  wait = wait // 2 + math.random(0, wait - wait // 2)
  if e and e.retry_after_s then
    wait = math.max(wait, e.retry_after_s * 1000)
  end
  task.sleep(wait)
end

local FINAL <const> = { [400] = true, [401] = true, [403] = true, [404] = true, [405] = true }
-- A server that starts may refuse for a moment what it will allow: its roles are not read yet.
local FINAL_AFTER <const> = 8

local function is_final(self, e, attempt)
  if not self.synced then
    return true
  elseif e.code == "EHTTP" then
    return FINAL[e.http] == true and attempt >= FINAL_AFTER
  end
  return not e.retryable and e.code ~= "ENETWORK" and e.code ~= "EPROTO"
end

local function again(self, e, attempt)
  if is_final(self, e, attempt) or (self.opts.give_up and attempt >= self.opts.give_up) then
    error(e, 0)
  end
  if self.opts.on_trouble then
    self.opts.on_trouble(e)
  end
  back_off(self, attempt, e)
end

-- A connection this short that brought nothing is not a usual end: no busy loop.
local BRIEF_MS <const> = 1000

local function run(self)
  local attempt = 0
  while true do
    local e
    if not self.version then
      local items
      items, e = list.list(self.client, self.resource, self.opts)
      if items then
        sync(self, items)
        self.synced = true
      end
    end
    self.answered = false
    local began = task.now()
    if not e then
      e = connection(self)
      if status.is_gone(e) then
        self.version = nil
      end
    end
    local brief = not self.answered and task.now() - began < BRIEF_MS
    if not e and not brief then
      attempt = 0
    else
      attempt = self.answered and 1 or attempt + 1
      e = e or err.new("ENETWORK", "the watch ends at once", { retryable = true })
      again(self, e, attempt)
    end
  end
end

---Watches objects until on_event returns false. What raises in a callback comes out here.
---@param self pai.k8s.Client
---@param what string|table resource
---@param opts pai.k8s.WatchOptions without `pick`, `page` and `on_page`
---@return true?
---@return pai.Error? err of a request that is no use to repeat: forbidden, not found
function M.watch(self, what, opts)
  local r, e = self:resource(what)
  if not r then
    return nil, e
  end
  local duration = require("pai.duration")
  local watch = setmetatable({
    client = self,
    resource = r,
    api_version = r.group == "" and r.version or r.group .. "/" .. r.version,
    path = self:path(r, nil, opts),
    accept = self:accept(r),
    opts = opts,
    known = {},
    silence = opts.silence and duration.parse(opts.silence) or SILENCE_MS,
  }, Watch)
  local ok, problem = pcall(run, watch)
  if ok or problem == STOP then
    return true
  elseif
    err.is(problem, "EHTTP")
    or err.is(problem, "ENETWORK")
    or err.is(problem, "ETIMEDOUT")
  then
    return nil, problem
  end
  error(problem, 0)
end

return M
