-- The smoke test: OSMO answers, its pool is there, and it runs a task. Every terminal state ends
-- the wait; a failure comes with events and the last lines of the log.
local err = require("pai.err")
local lock = require("pai.osmo_deploy.lock")

local M = {}

local HELLO <const> = [[
version: 2
workflow:
  name: verify-hello
  resources:
    default: {cpu: 1, memory: 1Gi, storage: 1Gi}
  timeout: {exec_timeout: 5m, queue_timeout: 5m}
  tasks:
  - name: hello
    image: %s
    command: [sh]
    args: [-c, "echo Hello from OSMO"]
]]

local GPU <const> = [[
version: 2
workflow:
  name: verify-gpu
  resources:
    default: {cpu: 2, memory: 4Gi, storage: 5Gi, gpu: 1}
  timeout: {exec_timeout: 10m, queue_timeout: 10m}
  tasks:
  - name: gpu
    image: %s
    command: [nvidia-smi]
]]

local function connect(url)
  local client, e = require("pai.osmo.client").connect({ target = url, user = "admin" })
  if not client then
    error(e, 0)
  end
  return client
end

local function checked(value, e)
  if value == nil then
    error(e, 0)
  end
  return value
end

---Checks that look only: the service's version, its pool and whether that is online.
---@param url string
---@return table[] checks
function M.checks(url)
  return {
    {
      name = "OSMO service",
      expected = "answers",
      hint = "is the port-forward up? pai verify osmo-k8s; the pods of osmo-minimal",
      run = function()
        local version, why = require("pai.osmo_deploy.forward").health(url)
        if not version then
          return { state = "red", measured = ("%s: %s"):format(url, why) }
        end
        return {
          state = "ok",
          measured = ("%s.%s.%s"):format(version.major, version.minor, version.revision),
        }
      end,
    },
    {
      name = "pool default",
      expected = "ONLINE",
      hint = "look at the backend operator's pods: they register the pool",
      run = function()
        local pools = checked(connect(url):pools())
        local pool = pools.default
        local status = pool and tostring(pool.status) or "there is none"
        return { state = status == "ONLINE" and "ok" or "red", measured = status }
      end,
    },
  }
end

---The credentials that workflows can name.
---@param url string
---@return table check
function M.credentials(url)
  return {
    name = "credentials",
    expected = "those that workflows name",
    hint = "pai osmo credential set NAME --type REGISTRY|DATA|GENERIC",
    run = function()
      local names = {}
      for i, one in ipairs(checked(connect(url):credentials())) do
        names[i] = one.cred_name
      end
      table.sort(names)
      return { state = "ok", measured = #names > 0 and table.concat(names, ", ") or "none" }
    end,
  }
end

---A workflow of that kind that completed after a time; nil also when OSMO does not answer.
---@param url string
---@param which "hello"|"gpu"
---@param since string "2026-08-21T10:00:00", UTC
---@return { workflow: string, status: string }?
function M.completed(url, which, since)
  if not require("pai.osmo_deploy.forward").health(url) then
    return nil
  end
  local found = checked(connect(url):list({
    name = "verify-" .. which,
    statuses = { "COMPLETED" },
    submitted_after = since,
    limit = 1,
  }))
  return found[1] and { workflow = found[1].name, status = found[1].status } or nil
end

local function last_lines(client, name)
  local lines = {}
  pcall(function()
    client:logs(name, {
      last = 20,
      on_line = function(line)
        lines[#lines + 1] = line
      end,
    })
  end)
  return table.concat(lines, "\n", math.max(1, #lines - 19))
end

---Runs a workflow to its end.
---@param ctx pai.ctx
---@param url string
---@param which "hello"|"gpu"
---@return { workflow: string, status: string }
function M.run(ctx, url, which)
  local client = connect(url)
  local text = which == "gpu" and GPU:format(lock.images.cuda) or HELLO:format(lock.images.hello)
  local limit = which == "gpu" and "25m" or "10m"
  local answer = checked(client:submit({ spec = text, pool = "default" }))
  local q = checked(client:wait(answer.name, {
    every = "10s",
    timeout = limit,
    on_update = function(seen)
      ctx.heartbeat({ state = "waiting", observation = answer.name .. " is " .. seen.status })
    end,
  }))
  if q.status ~= "COMPLETED" then
    ctx.log(last_lines(client, answer.name))
    err.raise("EFAILED", ("workflow %s ended as %s"):format(answer.name, q.status), {
      hint = ("pai osmo events %s; pai osmo logs %s"):format(answer.name, answer.name),
    })
  end
  return { workflow = answer.name, status = q.status }
end

return M
