-- What the specs of the whole VDA flow share: a small video, the engine of a bench, its end.
local bench_support = dofile("tests/spec/run/support.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local task = require("pai.task")

local M = {
  pick = bench_support.pick,
  picture = bench_support.picture,
  events = bench_support.events,
}

---Waits until something holds; fails after a minute.
---@param fn fun(): any
---@param what string
---@return any
function M.eventually(fn, what)
  local deadline = task.now() + 60000
  while true do
    local value = fn()
    if value then
      return value
    end
    assert(task.now() < deadline, "did not come about: " .. what)
    task.sleep("20ms")
  end
end

---A bench whose engine ends with it. Downloads are kept in the user's own cache.
---@return tests.Bench
function M.new()
  return bench_support.new()
end

---Stops the engine of a bench and removes the bench.
---@param bench tests.Bench
function M.remove(bench)
  bench:pai({ "engine", "stop" })
  bench:remove()
end

---Makes a small synthetic video: a moving test picture.
---@param path string
---@param more string[]? ffmpeg arguments before the output
---@return string path
function M.video(path, more)
  local argv = { "ffmpeg", "-v", "error", "-y", "-f", "lavfi" }
  for _, word in ipairs({ "-i", "testsrc2=size=192x144:rate=10:duration=1.5" }) do
    argv[#argv + 1] = word
  end
  for _, word in ipairs(more or { "-c:v", "mpeg4", "-q:v", "4" }) do
    argv[#argv + 1] = word
  end
  argv[#argv + 1] = path
  assert(exec.run(argv, { timeout = "60s" }))
  return path
end

---What ffprobe says of the first video stream, frames counted.
---@param path string
---@return table stream
function M.probe(path)
  local r = assert(exec.run({
    "ffprobe",
    "-v",
    "error",
    "-count_frames",
    "-select_streams",
    "v:0",
    "-show_entries",
    "stream=codec_name,pix_fmt,width,height,nb_read_frames,r_frame_rate",
    "-of",
    "json",
    path,
  }, { timeout = "60s" }))
  return json.decode(r.stdout).streams[1]
end

---The workflows that the engine of a bench knows.
---@param bench tests.Bench
---@return table[]
function M.workflows(bench)
  local r = bench:pai({ "osmo", "list", "--json", "--all-users" })
  assert(r.code == 0, r.stderr)
  return json.decode(r.stdout).workflows
end

---Names of the steps of a run, in the order of the graph.
---@param events table[]
---@return string[]
function M.steps(events)
  local names = {}
  for i, s in ipairs(M.pick(events, "run.graph")[1].steps) do
    names[i] = s.name
  end
  return names
end

---Fails when a child that a journal names is still there.
---@param events table[]
function M.no_child_left(events)
  for _, child in ipairs(M.pick(events, "child")) do
    M.eventually(function()
      local p = fs.process(child.pid)
      return not p or p.start_time ~= child.start_time or p.state == "Z"
    end, ("the end of child %d (%s)"):format(child.pid, child.argv0))
  end
end

---Starts a run and kills pai with SIGKILL once ready(journal) holds. The run's id is given.
---@param bench tests.Bench
---@param argv string[]
---@param id string
---@param ready fun(events: table[]): any
function M.run_and_kill(bench, argv, id, ready)
  local command = { "run", "--allow-dirty", "--json", "--run-id", id }
  table.move(argv, 1, #argv, #command + 1, command)
  local proc = bench:start(command)
  local path = bench.state .. "/runs/" .. id .. "/journal.jsonl"
  local deadline = task.now() + 60000
  repeat
    task.sleep("5ms")
    assert(task.now() < deadline, "the moment to kill never came")
  until fs.exists(path) and ready(bench:journal(id))
  proc:kill("SIGKILL")
  proc:wait()
end

return M
