-- Waiting for one object: until it is as wished, until it cannot become so any more, or until the
-- deadline, whose message says what was last seen. It watches; nothing is polled.
local async = require("pai.async")
local conditions = require("pai.k8s.conditions")
local duration = require("pai.duration")
local err = require("pai.err")

local M = {}

local TIMEOUT <const> = "10m"

---@class pai.k8s.WaitOptions
---@field for string see pai.k8s.conditions.wish
---@field namespace string?
---@field timeout string|integer? default 10m
---@field uid string? this very object; another of the same name counts as its end
---@field appear boolean? it need not be there yet
---@field on_change fun(seen: string, object: table?)? what can be seen of it has changed
---@field met fun(object: table): boolean? a wish of the caller's own, in place of `for`

local function wish_of(opts)
  if opts.met then
    return {
      text = opts["for"] or "what was asked",
      met = opts.met,
      failed = function() end,
    }
  end
  return conditions.wish(opts["for"])
end

---@class pai.k8s.Waiter
local function waiter(r, name, opts, wish)
  local w = { seen = "it was not there" }
  local what = ("%s %s"):format(r.kind, name)
  function w.look(seen, object)
    if seen ~= w.seen then
      w.seen = seen
      if opts.on_change then
        opts.on_change(seen, object)
      end
    end
  end
  function w.event(kind, object)
    local mine = not opts.uid or object.metadata.uid == opts.uid
    if kind == "DELETED" or not mine then
      w.object = nil
      w.look("it is gone")
      if wish.gone then
        w.result = object
        return false
      elseif not opts.appear then
        w.failure = err.new("EFAILED", what .. " was deleted while it was waited for")
        return false
      end
      return
    end
    w.object = object
    local stuck = object.metadata.deletionTimestamp and object.metadata.finalizers
    w.look(
      stuck and #stuck > 0 and "it ends when its finalizers do: " .. table.concat(stuck, ", ")
        or conditions.seen(object),
      object
    )
    if wish.gone then
      return
    elseif wish.met(object) then
      w.result = object
      return false
    end
    w.failure = wish.failed(object)
    if w.failure then
      return false
    end
  end
  function w.sync(items)
    if #items > 0 then
      return
    elseif wish.gone then
      w.result = {}
    elseif not opts.appear then
      w.failure = err.new("EHTTP", what .. " does not exist", { http = 404, reason = "NotFound" })
    end
  end
  return w
end

local function watch(self, r, name, opts, w)
  return self:watch(r, {
    namespace = opts.namespace,
    fields = "metadata.name=" .. name,
    on_event = function(kind, object)
      return w.event(kind, object)
    end,
    on_sync = function(items)
      w.sync(items)
      if w.result or w.failure then
        error({ settled = true }, 0)
      end
    end,
    on_trouble = function(e)
      w.trouble = e
    end,
  })
end

---Waits for an object.
---@param self pai.k8s.Client
---@param what string|table resource
---@param name string
---@param opts pai.k8s.WaitOptions
---@return table? object as it was then
---@return pai.Error? err EFAILED: it cannot become so; ETIMEDOUT with `seen`; reason "NotFound"
function M.wait(self, what, name, opts)
  local wish, e = wish_of(opts)
  if not wish then
    return nil, e
  end
  local r
  r, e = self:resource(what)
  if not r then
    return nil, e
  end
  local limit = opts.timeout or TIMEOUT
  local ms = duration.parse(limit)
  if not ms then
    return err.fail("EUSAGE", ("'%s' is no duration"):format(tostring(limit)))
  end
  local w = waiter(r, name, opts, wish)
  local ok, done, why = pcall(async.deadline, ms, watch, self, r, name, opts, w)
  if w.result then
    return w.result
  elseif w.failure then
    return nil, w.failure
  elseif not ok and err.is(done, "ETIMEDOUT") then
    local trouble = w.trouble and ("; the last connection failed: " .. w.trouble.message) or ""
    return err.fail(
      "ETIMEDOUT",
      ("%s %s: waited %s for %s; last seen: %s%s"):format(
        r.kind,
        name,
        duration.format(ms),
        wish.text,
        w.seen,
        trouble
      ),
      { seen = w.seen, retryable = true }
    )
  elseif not ok then
    error(done, 0)
  end
  return nil, why
end

return M
