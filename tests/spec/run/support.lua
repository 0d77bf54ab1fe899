-- A bench for specs of recipes and runs: a temp folder with recipes in it, a state folder of its
-- own, and pai started as a user would.
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")

local M = {}

---@class tests.Bench
---@field dir string working directory
---@field state string
local Bench = {}
Bench.__index = Bench

---Makes a bench.
---@return tests.Bench
function M.new()
  local root = fs.tempdir({ prefix = "pai-bench-" })
  local self = setmetatable({ root = root, dir = root .. "/work", state = root .. "/state" }, Bench)
  assert(fs.mkdir(self.dir))
  return self
end

---Removes the bench.
function Bench:remove()
  -- Folders that a test made unwritable.
  exec.run({ "chmod", "-R", "u+rwx", self.root })
  assert(fs.remove(self.root, { recursive = true }))
end

---Writes a file below the working directory.
---@param name string
---@param text string
---@return string path
function Bench:write(name, text)
  local path = self.dir .. "/" .. name
  assert(fs.mkdir(fs.dirname(path), { parents = true }))
  assert(fs.write(path, text))
  return path
end

---Writes a recipe with the obligatory head; body is the rest of the table.
---@param name string
---@param body string
---@param before string? code before the table
---@return string path
function Bench:recipe(name, body, before)
  local head = '%s\nreturn { api = 1, name = "%s", title = "T", summary = "S.",\n%s\n}\n'
  if not body:find("safety%s*=") then
    body = 'safety = "observes",\n' .. body
  end
  return self:write(name .. ".lua", head:format(before or "", name, body))
end

---Starts pai with arguments and waits.
---@param argv string[]
---@param opts { env: table?, stdin: any, timeout: string?, cwd: string? }?
---@return { code: integer, signal: string?, stdout: string, stderr: string } result
function Bench:pai(argv, opts)
  opts = opts or {}
  local command = { pai.exe }
  table.move(argv, 1, #argv, 2, command)
  local env = {
    PAI_STATE = self.state,
    LC_ALL = "C.UTF-8",
    XDG_CONFIG_HOME = self.root .. "/config", -- not the settings of whoever runs the tests
  }
  for k, v in pairs(opts.env or {}) do
    env[k] = v
  end
  local r, e = exec.run(command, {
    cwd = opts.cwd or self.dir,
    env = env,
    stdin = opts.stdin,
    accept = "any",
    timeout = opts.timeout or "60s",
  })
  if not r then
    assert(e.code == "EEXIT", tostring(e))
    r = { code = e.exit or -1, signal = e.signal, stdout = e.stdout, stderr = e.stderr }
  end
  return r
end

---Starts pai and leaves it running.
---@param argv string[]
---@param env table?
---@param stdin any?
---@return table proc
function Bench:start(argv, env, stdin)
  local command = { pai.exe }
  table.move(argv, 1, #argv, 2, command)
  local all = {
    PAI_STATE = self.state,
    LC_ALL = "C.UTF-8",
    XDG_CONFIG_HOME = self.root .. "/config",
  }
  for k, v in pairs(env or {}) do
    all[k] = v
  end
  return assert(exec.start(command, { cwd = self.dir, env = all, stdin = stdin, accept = "any" }))
end

---The events that a command printed with --json; every line must be one.
---@param text string
---@return table[] events
function M.events(text)
  local events = {}
  for line in text:gmatch("[^\n]+") do
    local event, e = json.decode(line)
    assert(event, ("not JSON: %s (%s)"):format(line, tostring(e)))
    events[#events + 1] = event
  end
  return events
end

---Events of one kind, of one step if one is named.
---@param events table[]
---@param event string
---@param step string?
---@return table[]
function M.pick(events, event, step)
  local list = {}
  for _, e in ipairs(events) do
    if e.event == event and (step == nil or e.step == step) then
      list[#list + 1] = e
    end
  end
  return list
end

---Position of the first event of a kind and step.
---@param events table[]
---@param event string
---@param step string?
---@return integer?
function M.position(events, event, step)
  for i, e in ipairs(events) do
    if e.event == event and (step == nil or e.step == step) then
      return i
    end
  end
end

---Runs a recipe with --json; its events and the result.
---@param argv string[] after `run`
---@param opts table?
---@return table[] events
---@return table result
function Bench:run(argv, opts)
  local command = { "run", "--json" }
  table.move(argv, 1, #argv, 3, command)
  local r = self:pai(command, opts)
  return M.events(r.stdout), r
end

---Resumes a run with --json.
---@param id string
---@param argv string[]?
---@param opts table?
---@return table[] events
---@return table result
function Bench:resume(id, argv, opts)
  local command = { "resume", "--json", id }
  table.move(argv or {}, 1, #(argv or {}), 4, command)
  local r = self:pai(command, opts)
  return M.events(r.stdout), r
end

---Lines of a file below the working directory; none when there is no file.
---@param name string
---@return string[]
function Bench:lines(name)
  local list = {}
  for line in (fs.read(self.dir .. "/" .. name) or ""):gmatch("[^\n]+") do
    list[#list + 1] = line
  end
  return list
end

---The journal of a run as events.
---@param id string
---@return table[]
function Bench:journal(id)
  return (assert(require("pai.run.journal").read(self.state .. "/runs/" .. id .. "/journal.jsonl")))
end

---A picture of a folder: every path with size, time and digest.
---@param dir string
---@return string
function M.picture(dir)
  local rows = {}
  for _, path in ipairs(fs.walk(dir) or {}) do
    local st = fs.stat(dir .. "/" .. path)
    local digest = require("pai.crypto").file_sha256(dir .. "/" .. path)
    rows[#rows + 1] = ("%s %d %d %s"):format(path, st.size, st.mtime_ms, digest)
  end
  return table.concat(rows, "\n")
end

---Waits until something holds; fails after ten seconds.
---@param fn fun(): any
---@param what string
---@return any
function M.eventually(fn, what)
  local task = require("pai.task")
  local deadline = task.now() + 10000
  while true do
    local value = fn()
    if value then
      return value
    end
    assert(task.now() < deadline, "did not come about: " .. what)
    task.sleep("20ms")
  end
end

return M
