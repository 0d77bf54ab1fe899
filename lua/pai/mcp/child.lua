-- Runs of pai in child processes: the server never calls a function of a recipe itself. Inputs go
-- through standard input (or a file that only the user can read), never as arguments.
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local state = require("pai.state")
local task = require("pai.task")
local text = require("pai.text")

local M = {}

-- Time for a run to end its steps when its call was cancelled.
local GRACE <const> = "15s"

-- Time for a detached run to begin.
local BEGIN_MS <const> = 60000

local function command(argv)
  local full = { require("pai").exe }
  table.move(argv, 1, #argv, 2, full)
  full[#full + 1] = "--json"
  full[#full + 1] = "--state"
  full[#full + 1] = state.dir()
  return full
end

---Runs a command that answers with one JSON object.
---@param argv string[]
---@param opts { input: table?, timeout: string? }?
---@return table? answer
---@return integer|pai.Error code
function M.ask(argv, opts)
  opts = opts or {}
  local r, e = exec.run(command(argv), {
    inherit_env = true,
    stdin = opts.input and json.encode(opts.input) or nil,
    accept = "any",
    timeout = opts.timeout or "10m",
    grace = GRACE,
  })
  if not r then
    return nil, e
  end
  local answer = json.decode(r.stdout)
  if type(answer) ~= "table" then
    answer = { error = { code = "EFAULT", message = text.one_line(r.stderr) } }
  end
  return answer, r.code or 1
end

---Runs a command that answers with events or other lines, and gives each to a function.
---@param argv string[]
---@param opts { input: table?, on_event: fun(e: table), until_ms: integer? }
---@return boolean ended false when its time was over
---@return string stderr
function M.follow(argv, opts)
  local proc <close> = assert(exec.start(command(argv), {
    inherit_env = true,
    stdin = opts.input and json.encode(opts.input) or nil,
    accept = "any",
    grace = opts.until_ms and "0s" or GRACE,
  }))
  local said = {}
  while true do
    local rest = opts.until_ms and math.max(1, opts.until_ms - task.now()) or nil
    local line, stream = proc:read_line(rest)
    if not line then
      local over = type(stream) == "table" and stream.code == "ETIMEDOUT"
      return not over, table.concat(said, "\n")
    elseif stream == "stderr" then
      said[#said + 1] = line
    else
      local event = json.decode(line)
      if type(event) == "table" then
        opts.on_event(event)
      end
    end
  end
end

local function events_of(path)
  local list = {}
  for line in (fs.read(path) or ""):gmatch("[^\n]+") do
    local event = json.decode(line)
    if type(event) == "table" then
      list[#list + 1] = event
    end
  end
  return list
end

---Starts a run that outlives this process, and waits until it has begun or failed to.
---@param argv string[]
---@param opts { input: table?, id: string, on_event: fun(e: table) }
---@return boolean begun
---@return string stderr
function M.detach(argv, opts)
  local base = state.create(state.dir() .. "/mcp") .. "/" .. opts.id .. "-" .. task.now()
  local files = { input = base .. ".in", output = base .. ".out", errors = base .. ".err" }
  local _ <close> = setmetatable({}, {
    __close = function()
      for _, path in pairs(files) do
        fs.remove(path)
      end
    end,
  })
  assert(fs.write(files.input, json.encode(opts.input or {}), { mode = "0600", sync = false }))
  local pid = assert(exec.detach(command(argv), {
    inherit_env = true,
    stdin = { file = files.input },
    stdout = { file = files.output },
    stderr = { file = files.errors },
  }))
  local deadline, seen = task.now() + BEGIN_MS, 0
  while task.now() < deadline do
    local gone = not fs.process(pid)
    local events = events_of(files.output)
    for i = seen + 1, #events do
      opts.on_event(events[i])
      if events[i].event == "run.start" or events[i].event == "run.resume" then
        return true, ""
      end
    end
    seen = #events
    if gone then
      return false, fs.read(files.errors) or ""
    end
    task.sleep("10ms")
  end
  return true, ""
end

return M
