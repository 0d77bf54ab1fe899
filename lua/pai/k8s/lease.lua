-- A lock in a cluster: one Lease object (coordination.k8s.io/v1) that names its holder and is
-- renewed while he lives. Every change carries the resourceVersion that was read, so that of two
-- who come at once the API server lets one through. Whether a Lease has expired is told by the API
-- server's clock (the Date of its answers), which both sides have in common.
local err = require("pai.err")
local json = require("pai.json")
local task = require("pai.task")
local times = require("pai.k8s.times")

local M = {}

---Where the Lease is: beside those by which the cluster's own parts elect their leaders.
M.NAMESPACE = "kube-system"
M.NAME = "pai"
---How long it holds without being renewed.
M.SECONDS = 60

local LIST <const> = "/apis/coordination.k8s.io/v1/namespaces/" .. M.NAMESPACE .. "/leases"
local PATH <const> = LIST .. "/" .. M.NAME
---What the holder says of himself, for those who are refused.
local NOTE <const> = "pai/holder"
local TRIES <const> = 4
local TIMEOUT <const> = "8s"

---@class pai.k8s.Lease
---@field client pai.k8s.Client
---@field me string
---@field note table
---@field seconds integer
---@field object table as the server has it
---@field behind integer seconds that this clock is behind the server's
local Lease = {}
Lease.__index = Lease

local MONTHS <const> = {
  Jan = 1,
  Feb = 2,
  Mar = 3,
  Apr = 4,
  May = 5,
  Jun = 6,
  Jul = 7,
  Aug = 8,
  Sep = 9,
  Oct = 10,
  Nov = 11,
  Dec = 12,
}

-- "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, IMF-fixdate) as seconds since 1970.
local function date_of(res)
  local text = res and res.headers and res.headers.date
  local d, mon, y, clock = tostring(text):match("^%a+, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d:%d%d:%d%d)")
  local month = MONTHS[mon]
  return month and times.parse(("%s-%02d-%sT%sZ"):format(y, month, d, clock)) or nil
end

local function call(self, method, path, body)
  local value, e, res = self.client.transport:call(method, path, {
    body = body and json.encode(body),
    timeout = TIMEOUT,
  })
  local now = date_of(res or e)
  if now then
    self.behind = now - os.time()
  end
  return value, e
end

local function stamp(self)
  return os.date("!%Y-%m-%dT%H:%M:%S.000000Z", os.time() + self.behind)
end

local function note_of(object)
  local marks = object.metadata and object.metadata.annotations
  local note = type(marks) == "table" and marks[NOTE]
  note = type(note) == "string" and json.decode(note) or nil
  return type(note) == "table" and note or {}
end

-- What is to be written over what is there.
local function mine(self, before)
  local spec = before and before.spec or {}
  local held = spec.holderIdentity == self.me
  return {
    apiVersion = "coordination.k8s.io/v1",
    kind = "Lease",
    metadata = {
      name = M.NAME,
      namespace = M.NAMESPACE,
      resourceVersion = before and before.metadata.resourceVersion or nil,
      labels = { ["app.kubernetes.io/managed-by"] = "pai" },
      annotations = { [NOTE] = json.encode(self.note) },
    },
    spec = {
      holderIdentity = self.me,
      leaseDurationSeconds = self.seconds,
      acquireTime = held and spec.acquireTime or stamp(self),
      renewTime = stamp(self),
      leaseTransitions = (spec.leaseTransitions or 0) + (before and not held and 1 or 0),
    },
  }
end

-- Seconds until somebody else's Lease may be taken over; 0 or less when it may now.
local function left(self, object)
  local spec = object.spec or {}
  local renewed = times.parse(spec.renewTime)
  if not renewed then
    return 0
  end
  return renewed + (spec.leaseDurationSeconds or 0) - (os.time() + self.behind)
end

local function refusal(self, object)
  local note, spec = note_of(object), object.spec
  local who = spec.holderIdentity
  if note.run then
    who = ("%s (%s), pid %s on %s"):format(
      tostring(note.run),
      tostring(note.recipe),
      tostring(note.pid),
      tostring(note.host)
    )
  end
  local message = "the cluster of %s is held by %s, since %s"
  return err.fail(
    "ELEASE",
    message:format(self.client.context, who, note.since or spec.acquireTime or "?"),
    {
      owner = note,
      hint = ("wait until it has ended; if it is gone, its Lease %s/%s ends in %d s"):format(
        M.NAMESPACE,
        M.NAME,
        math.max(1, left(self, object))
      ),
    }
  )
end

---Takes the Lease of a cluster, or says who holds it.
---@param client pai.k8s.Client
---@param me string who this is, unlike anybody else
---@param note table plain data about this holder: run, recipe, pid, host, since
---@param opts { seconds: integer?, is_gone: (fun(note: table): boolean)? }? is_gone: the holder of
---a note is known to be no more, so that it is not waited for
---@return pai.k8s.Lease?
---@return pai.Error? err ELEASE when somebody else holds it; else the server's
function M.take(client, me, note, opts)
  opts = opts or {}
  local self = setmetatable({
    client = client,
    me = me,
    note = note,
    seconds = opts.seconds or M.SECONDS,
    behind = 0,
  }, Lease)
  local failure
  for _ = 1, TRIES do
    local before, e = call(self, "GET", PATH)
    if not before and e.http ~= 404 then
      return nil, e
    end
    local holder = before and before.spec and before.spec.holderIdentity
    if holder and holder ~= me and left(self, before) > 0 then
      if not (opts.is_gone and opts.is_gone(note_of(before))) then
        return refusal(self, before)
      end
    end
    local method, path = "POST", LIST
    if before then
      method, path = "PUT", PATH
    end
    local made
    made, failure = call(self, method, path, mine(self, before))
    if made then
      self.object = made
      return self
    elseif failure.http ~= 409 then
      return nil, failure
    end
  end
  return nil, failure
end

---Renews it.
---@return boolean? held
---@return pai.Error? err ELEASE when somebody else holds it now
function Lease:renew()
  local made, e = call(self, "PUT", PATH, mine(self, self.object))
  if not made and (e.http == 409 or e.http == 404) then
    -- Somebody has changed it, or taken it away.
    local again, failure = M.take(self.client, self.me, self.note, { seconds = self.seconds })
    if not again then
      return nil, failure
    end
    made, self.behind = again.object, again.behind
  end
  if not made then
    return nil, e
  end
  self.object = made
  return true
end

---Gives it up: it is deleted, or where that is forbidden left without a holder.
---@return boolean? gone
---@return pai.Error? err
function Lease:release()
  local meta = self.object.metadata
  local gone, e = call(self, "DELETE", PATH, {
    apiVersion = "v1",
    kind = "DeleteOptions",
    preconditions = { uid = meta.uid, resourceVersion = meta.resourceVersion },
  })
  if not gone and e.http == 403 then
    local empty = mine(self, self.object)
    empty.spec.holderIdentity, empty.spec.acquireTime = nil, nil
    empty.metadata.annotations = nil
    gone, e = call(self, "PUT", PATH, empty)
  end
  return gone ~= nil or nil, e
end

---Keeps it renewed until its task is cancelled. A server that does not answer is asked again.
---@param on_lost fun(e: pai.Error) once, when somebody else holds it
---@return pai.task.Task
function Lease:keep(on_lost)
  return task.spawn(function()
    while true do
      task.sleep(self.seconds * 1000 // 3)
      local held, e = self:renew()
      if not held and e.code == "ELEASE" then
        on_lost(e)
        return
      end
    end
  end)
end

return M
