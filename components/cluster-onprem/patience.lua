-- Waiting with a diagnosis. Trouble of a lower layer in the namespace (image, credential, claim,
-- taint, memory) does not go away by itself: once it has lasted, it ends the wait and is named.
local M = {}

local EVERY <const> = "5s"

-- What a workload's own start looks like, too.
local OWN <const> = { workload = true, job = true }

---The lowest trouble in a namespace, in words.
---@param k pai.ctx.k8s
---@param namespace string
---@param own boolean? a workload's own trouble counts
---@return string? said
function M.trouble(k, namespace, own)
  local ok, checks = pcall(k.checks, k, { namespace = namespace })
  if not ok then
    if type(checks) == "table" and checks.code == "ECANCELED" then
      error(checks, 0)
    end
    return nil
  end
  for _, check in ipairs(checks) do
    local layer = tostring(check.measured):match("^(%a+):")
    if check.state == "red" and (own or not OWN[layer]) then
      local next_thing = check.hint or "look at its events"
      return ("%s: %s; next: %s"):format(check.name, check.measured, next_thing)
    end
  end
end

---Waits until `look` gives true; it gives what it sees otherwise.
---@param ctx pai.ctx
---@param k pai.ctx.k8s
---@param opts { what: string, namespace: string, timeout: string, patience: integer, look: fun():
---boolean, string }
function M.wait(ctx, k, opts)
  local known, since, seen
  local ok, e = pcall(ctx.wait, function()
    local met, said = opts.look()
    if met then
      return true
    end
    seen = said
    local trouble = M.trouble(k, opts.namespace)
    ctx.heartbeat({ state = "waiting", observation = trouble or said, next = opts.what })
    if not trouble or trouble ~= known then
      known, since = trouble, os.time()
    elseif os.time() - since >= opts.patience then
      error(("%s: stopped for %d s by %s"):format(opts.what, os.time() - since, trouble), 0)
    end
    return false
  end, { every = EVERY, timeout = opts.timeout, what = opts.what })
  if ok then
    return
  elseif type(e) == "table" and e.code == "ETIMEDOUT" then
    local trouble = M.trouble(k, opts.namespace, true)
    local parts = { e.message, "last seen: " .. tostring(seen), trouble }
    error(table.concat(parts, "; "), 0)
  end
  error(e, 0)
end

return M
