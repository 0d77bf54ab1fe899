-- Waiting for an object while looking at what may stop it. Trouble of a lower layer (image,
-- credential, taint, claim, GPU, memory) does not go away by waiting, so that it ends the wait once
-- it has lasted; each trouble is told as soon as it shows.
local catalog = require("inference-nim-operator.catalog")

local M = {}

local LOOK_S <const> = 15

-- Trouble that is nobody's but the object's own shows in the wait itself.
local OWN <const> = { workload = true, job = true }

-- The lowest trouble that concerns this NIM; checks come lowest first.
local function trouble(k, opts)
  local ok, checks = pcall(function()
    return k:checks({ namespace = catalog.NAMESPACE, labels = opts.labels })
  end)
  if not ok then
    if type(checks) == "table" and checks.code == "ECANCELED" then
      error(checks, 0)
    end
    return nil
  end
  for _, check in ipairs(checks) do
    local kind, name = check.name:match("^(%S+) (.+)$")
    local layer = tostring(check.measured):match("^(%a+):")
    local other = kind == "PersistentVolumeClaim" and name:sub(1, #opts.nim) ~= opts.nim
    if check.state == "red" and not other and not OWN[layer] then
      return {
        key = check.name .. " " .. tostring(layer),
        said = ("%s: %s; next: %s"):format(check.name, check.measured, check.hint or "?"),
      }
    end
  end
end

local function watch(ctx, k, opts, state)
  while not state.finished do
    local now = trouble(k, opts)
    if now and now.key == state.key then
      local lasted = os.time() - state.since
      if lasted >= opts.patience then
        error(("%s: stopped for %d s by %s"):format(opts.name, lasted, now.said), 0)
      end
    elseif now then
      state.key, state.since = now.key, os.time()
      ctx.heartbeat({ state = "stopped", observation = now.said })
    else
      state.key = nil
    end
    local from = os.time()
    local look = math.min(LOOK_S, opts.patience)
    repeat
      ctx.wait("200ms")
    until state.finished or os.time() - from >= look
  end
end

---Waits.
---@param ctx pai.ctx
---@param k pai.ctx.k8s
---@param opts table what, name, nim, for, timeout, labels, patience
function M.wait(ctx, k, opts)
  local state = {}
  ctx.all({
    object = function()
      local ok, e = pcall(function()
        k:wait(opts.what, opts.name, {
          ["for"] = opts["for"],
          namespace = catalog.NAMESPACE,
          timeout = opts.timeout,
        })
      end)
      state.finished = true
      if ok then
        return
      elseif type(e) == "table" and e.code == "ECANCELED" then
        error(e, 0)
      end
      local found = trouble(k, opts)
      local said = type(e) == "table" and e.message or tostring(e)
      error(found and ("%s; %s"):format(said, found.said) or said, 0)
    end,
    trouble = function()
      watch(ctx, k, opts, state)
    end,
  })
end

return M
