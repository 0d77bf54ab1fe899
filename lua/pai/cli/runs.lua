-- pai runs: what runs there were and are.
local args = require("pai.cli.args")
local columns = require("pai.cli.columns")
local duration = require("pai.duration")
local err = require("pai.err")
local fs = require("pai.fs")
local json = require("pai.json")
local lease = require("pai.run.lease")
local lines = require("pai.cli.lines")
local out = require("pai.out")
local resume = require("pai.run.resume")
local state = require("pai.state")
local summary = require("pai.run.summary")
local text = require("pai.text")

local M = {
  name = "runs",
  summary = "list, show, watch, cancel and prune runs",
  usage = "[show|watch|logs|cancel|report|prune] ...",
  doc = "Without a word of its own it lists the runs, newest first. A run may be named by the "
    .. "beginning of its id, or `last`.",
  options = {
    { name = "limit", arg = "N", doc = "how many are listed (20)" },
  },
  examples = {
    { "pai runs", "the last 20 runs" },
    { "pai runs show last", "the steps and gates of the last one" },
    { "pai runs cancel run-1a2b3c4d", "stop it and end its remote work" },
  },
}

---Finds a run or raises.
---@param words string[]
---@return string id
local function find(words)
  args.count(words, 1, 1, "RUN")
  local id, e = resume.find(words[1])
  if not id then
    error(e, 0)
  end
  return id
end

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  args.count(words, 0, 0, "")
  local limit = math.tointeger(tonumber(opts.limit or 20))
  if not limit or limit < 1 then
    err.raise("EUSAGE", "--limit must be a count of at least 1")
  end
  local list = summary.all()
  list = table.move(list, 1, math.min(#list, limit), 1, {})
  if opts.json then
    out.stdout(json.encode({ runs = json.array(list) }) .. "\n")
    return 0
  end
  local rows = {}
  for i, run in ipairs(list) do
    local time = run.ms and duration.format(run.ms) or ""
    local began = run.t:sub(1, 19):gsub("T", " ")
    rows[i] =
      { run.run, run.recipe or "", run.status, began, time, text.one_line(run.reason or "") }
  end
  out.stdout(#rows > 0 and columns.of(rows) or "no runs\n")
  return 0
end

local function show(words, opts)
  local id = find(words)
  local brief, known = summary.of(id)
  if not known then
    err.raise("EJOURNAL", brief.reason)
  end
  if opts.json then
    brief.steps = known.units
    brief.graph, brief.inputs = known.graph, known.start.inputs
    out.stdout(json.encode(brief) .. "\n")
    return 0
  end
  local color = require("pai.term").color(1)
  out.stdout(
    ("%s %s: %s\n%s%s\n"):format(
      id,
      brief.recipe,
      brief.title,
      brief.status,
      brief.reason and ": " .. text.one_line(brief.reason) or ""
    )
  )
  for _, name in ipairs(known.order) do
    local unit = known.units[name]
    local word = require("pai.run.replay").word(unit)
    local time = unit.ms and " " .. duration.format(unit.ms) or ""
    out.stdout(("  %s %s%s\n"):format(text.pad(word, 8), name, time))
    for _, check in ipairs(unit.gate and unit.gate.checks or {}) do
      out.stdout("  " .. lines.check(check, color) .. "\n")
    end
    if unit.error and word ~= "stopped" then
      out.stdout("           " .. text.one_line(unit.error.message) .. "\n")
      if unit.error.hint then
        out.stdout("           hint: " .. text.one_line(unit.error.hint) .. "\n")
      end
    end
  end
  for _, path in ipairs(known.media) do
    out.stdout("MEDIA:" .. path .. "\n")
  end
  if known.report then
    out.stdout("report " .. known.report .. "\n")
  end
  if brief.status ~= "green" and brief.status ~= "running" then
    out.stdout(("to go on: pai resume %s\n"):format(id))
  end
  return 0
end

-- Prints an event of a journal.
local function print_event(e, opts, color)
  if opts.json then
    out.stdout(json.encode(e) .. "\n")
    return
  end
  for _, line in ipairs(lines.of(e, color)) do
    out.stdout(line .. "\n")
  end
end

local function watch(words, opts)
  local id = find(words)
  local color = require("pai.term").color(1)
  local path = state.run_dir(id) .. "/" .. require("pai.run.journal").FILE
  local read = require("pai.run.journal").read
  local shown = 0
  while true do
    local held = lease.is_held(state.run_dir(id) .. "/lease")
    local events, e = read(path)
    if not events then
      error(e, 0)
    end
    local last
    for i = shown + 1, #events do
      print_event(events[i], opts, color)
      last = events[i].event == "run.end" and events[i] or last
    end
    shown = #events
    if not held then
      last = last or require("pai.run.replay").of(events).ended
      if last then
        return last.code
      end
      out.stderr(("pai: %s was killed; to go on: pai resume %s\n"):format(id, id))
      return 1
    end
    require("pai.task").sleep("200ms")
  end
end

-- The steps that a run has, by its graph and by what came of it.
local function step_names(events)
  local known = require("pai.run.replay").of(events)
  local names, seen = {}, {}
  local function add(name)
    if not seen[name] then
      seen[name] = true
      names[#names + 1] = name
    end
  end
  for _, node in ipairs(known.graph or {}) do
    add(node.name)
  end
  for _, name in ipairs(known.order) do
    add(name)
  end
  return names, seen
end

local function logs(words, opts)
  local id = find(words)
  local dir = state.run_dir(id)
  local events, e = require("pai.run.journal").read(dir .. "/" .. require("pai.run.journal").FILE)
  if not events then
    error(e, 0)
  end
  local names, is_step = step_names(events)
  if opts.step and not is_step[opts.step] then
    local near = text.did_you_mean(opts.step, names)
    err.raise("EUSAGE", ("%s has no step '%s'%s"):format(id, opts.step, near), {
      hint = #names > 0 and "it has " .. table.concat(names, ", ") or nil,
    })
  end
  -- A step of several stands for its items and for the steps of what it uses.
  local function wanted(name)
    return not opts.step
      or name == opts.step
      or name and name:sub(1, #opts.step) == opts.step and name:find("^[%[/]", #opts.step + 1)
  end
  for _, event in ipairs(events) do
    if event.event == "log" and wanted(event.step) then
      print_event(event, opts, false)
    end
  end
  local wanted_file = {}
  for _, name in ipairs(names) do
    wanted_file[name:gsub("[^%w_.-]", "_")] = wanted(name)
  end
  for _, file in ipairs(fs.list(dir .. "/output") or {}) do
    local name = file:gsub("%.log$", "")
    if not opts.step or wanted_file[name] then
      for line in (fs.read(dir .. "/output/" .. file) or ""):gmatch("[^\n]+") do
        if opts.json then
          local event = { event = "output", run = id, step = name, text = text.utf8(line) }
          out.stdout(json.encode(event) .. "\n")
        else
          out.stdout(("%s | %s\n"):format(name, text.utf8(line)))
        end
      end
    end
  end
  return 0
end

local function report(words, opts)
  local id = find(words)
  local path = require("pai.run.recorded").report(id)
  out.stdout(opts.json and json.encode({ run = id, path = path }) .. "\n" or path .. "\n")
  return 0
end

local function cancel(words, opts)
  return require("pai.run.cancel").run(find(words), opts)
end

local function prune(words, opts)
  args.count(words, 0, 0, "")
  return require("pai.run.prune").run(summary.all(), opts)
end

M.commands = {
  {
    name = "show",
    summary = "the steps and gates of a run",
    usage = "RUN",
    examples = { { "pai runs show last", "of the last run" } },
    run = show,
  },
  {
    name = "watch",
    summary = "follow a run that goes on elsewhere; ends with its exit code",
    usage = "RUN",
    examples = { { "pai runs watch run-1a2b3c4d --json", "its events as they come" } },
    run = watch,
  },
  {
    name = "logs",
    summary = "what a run logged, and the output of its programs",
    usage = "RUN",
    options = { { name = "step", arg = "NAME", doc = "of one step only" } },
    examples = { { "pai runs logs last --step encode", "of one step" } },
    run = logs,
  },
  {
    name = "cancel",
    summary = "stop a run and end its remote work",
    usage = "RUN",
    doc = "Interrupts the process, waits for it, and calls the `cancel` of every step that was "
      .. "started, last first. The run can still be resumed.",
    examples = { { "pai runs cancel run-1a2b3c4d", "by its id" } },
    run = cancel,
  },
  {
    name = "report",
    summary = "draw the report of a run again",
    usage = "RUN",
    examples = { { "pai runs report last", "prints the path of the page" } },
    run = report,
  },
  {
    name = "prune",
    summary = "remove old runs",
    usage = "",
    doc = "Removes the folders of runs that nobody works on: those older than 30 days, but never "
      .. "the newest 20.",
    options = {
      { name = "older", arg = "DURATION", doc = "instead of 30d" },
      { name = "keep", arg = "N", doc = "instead of 20" },
      { name = "dry-run", doc = "only say which" },
    },
    examples = { { "pai runs prune --older 7d --keep 5 --dry-run", "what would go" } },
    run = prune,
  },
}

return M
