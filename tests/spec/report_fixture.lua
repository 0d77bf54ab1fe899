-- A run's folder as the runner leaves it, for the tests of the report: a journal with a resumed
-- step, a red verdict that turned green, text that must be escaped, and a torn last line.
local json = require("pai.json")

local M = {}

local START = 45296 -- 12:34:56 on the first day of the fixture, in seconds

local function stamp(seconds)
  local ms = math.floor(seconds * 1000 + 0.5)
  local s = START + ms // 1000
  return string.format(
    "2026-01-02T%02d:%02d:%02d.%03dZ",
    s // 3600,
    s // 60 % 60,
    s % 60,
    ms % 1000
  )
end

local STEPS = { "preflight", "stage", "submit", "wait", "collect", "evidence" }

local function check(name, state, measured, expected, hint)
  return {
    name = name,
    state = state,
    measured = measured,
    expected = expected,
    hint = hint,
    ms = 12,
  }
end

local function add_step(add, name, from, to, result)
  add(from, "step.start", { step = name, attempt = 1 })
  add(to, "step.done", {
    step = name,
    result = result,
    ms = math.floor((to - from) * 1000),
    how = "ran",
  })
end

local function graph()
  local steps = {}
  for i, name in ipairs(STEPS) do
    steps[i] = { name = name, after = i > 1 and { STEPS[i - 1] } or {}, title = "Step " .. i }
  end
  return { steps = steps }
end

local function ffmpeg_checks(state)
  local red = state == "red"
  return {
    check(
      "ffmpeg",
      red and "red" or "ok",
      red and "not found" or "5.1.9",
      "5.1 or newer",
      red and "apt-get install ffmpeg" or nil
    ),
    check("disk space", "ok", "12.4 GB", "at least 1 GB"),
    check("gpu", "skipped", nil, nil, "not needed by the local profile"),
  }
end

local function first_part(add, options)
  add(0, "run.start", {
    recipe = "vda",
    title = "Video data augmentation",
    path = "recipes/vda.lua",
    inputs = { flow = "augmentation_and_al", seconds = 20, video = "/data/<clip>.mp4" },
    target = "local",
    files = { { path = "recipes/vda.lua", sha256 = ("ab12"):rep(16) } },
    pid = 100,
    start_time = 1,
    boot = "b",
    host = "box",
    version = "0.1.0",
    cwd = "/data",
  })
  add(0.01, "run.graph", graph())
  add(0.02, "estimate", { phases = { { name = "all", min_s = 30, max_s = 90 } } })
  add(0.05, "gate", {
    step = "preflight",
    kind = "checks",
    verdict = options.red and "red" or "green",
    checks = ffmpeg_checks(options.red and "red" or "ok"),
  })
end

local function second_part(add, media)
  add_step(add, "preflight", 0.1, 0.4, { ok = true })
  add_step(add, "stage", 0.5, 4.2, { frames = 200 })
  add(
    4.3,
    "log",
    { step = "submit", text = "\27[32msubmitted\27[0m <b>bold</b> & co", level = "info" }
  )
  add_step(add, "submit", 4.3, 5.1, { workflow = "vda-1" })
  add(5.2, "step.start", { step = "wait", attempt = 1 })
  add(15, "heartbeat", { step = "wait", state = "running", elapsed_ms = 9800 })
  add(3600, "run.resume", { pid = 200, start_time = 2, accepted_changes = {} })
  add(3600.1, "step.start", { step = "wait", attempt = 2 })
  add(
    3621,
    "step.done",
    { step = "wait", result = { status = "COMPLETED" }, ms = 20900, how = "ran" }
  )
  add(3621.1, "gate", {
    step = "wait",
    kind = "verify",
    verdict = "green",
    checks = {
      check("recall <IoU 0.5>", "ok", 0.93, "at least 0.85"),
      check("frames", "ok", 200, 200),
    },
  })
  add(3622, "step.done", { step = "collect", result = { files = 12 }, ms = 40, how = "already" })
  add(3623, "step.skip", { step = "evidence", reason = "nothing to show" })
  for _, path in ipairs(media or {}) do
    add(3623, "media", { step = "evidence", path = path })
  end
end

---Writes DIR/journal.jsonl.
---@param dir string
---@param options? { red: boolean?, media: string[]?, ended: boolean?, torn: boolean? }
function M.write(dir, options)
  options = options or {}
  local lines = {}
  local function add(at, event, fields)
    local line = { t = stamp(at), seq = #lines + 1, run = "run-0a1b2c3d", event = event }
    for key, value in pairs(fields) do
      line[key] = value
    end
    lines[#lines + 1] = json.encode(line) .. "\n"
  end
  first_part(add, options)
  if options.red then
    local failure = { code = "EGATE", message = "preflight: ffmpeg is red" }
    add(0.2, "step.fail", { step = "preflight", error = failure, ms = 100 })
  else
    second_part(add, options.media)
  end
  if options.ended then
    add(3624, "run.end", { status = "green", code = 0, ms = 3624000 })
  end
  lines[#lines + 1] = options.torn and '{"t":"2026-01-02T12:3' or nil
  pai.fs.write(dir .. "/journal.jsonl", table.concat(lines))
end

return M
