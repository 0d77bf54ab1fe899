-- The parts of the report's page: one function a part, each gives a node or nil for nothing to say.
local duration = require("pai.duration")
local html = require("pai.report.html")
local parts = require("pai.report.parts")
local timeline = require("pai.report.timeline")

local el = html.element

local M = {}

local MAX_LOG_LINES = 2000

---What a reader must know before the rest.
---@param notices string[]
---@return pai.report.Node?
function M.notices(notices)
  if #notices == 0 then
    return nil
  end
  local items = {}
  for i, text in ipairs(notices) do
    items[i] = el("li", {}, text)
  end
  local title = el("strong", {}, "Please note")
  return el("div", { class = "notice", role = "note" }, title, el("ul", {}, items))
end

-- The check that blocks: the first red one, else the first that could not be told.
local function blocking(gate)
  for _, state in ipairs({ "red", "unknown" }) do
    for _, check in ipairs(gate.checks) do
      if check.state == state then
        return check
      end
    end
  end
end

-- What a red gate says of its step; the step's own error would only repeat it.
local function gate_reason(gate)
  local check = blocking(gate)
  if not check then
    return { el("p", {}, el("strong", {}, gate.step), ": the gate is red") }
  end
  local expected = check.expected ~= nil and ", expected " .. parts.value_text(check.expected) or ""
  local name = el("strong", {}, gate.step, " · ", check.name)
  return {
    el("p", {}, name, ": measured ", parts.value_text(check.measured), expected, "."),
    check.hint and el("p", {}, check.hint),
  }
end

---Why the run is not green.
---@param run pai.report.Run
---@return pai.report.Node?
function M.verdict(run)
  local lines, told = {}, {}
  for _, gate in ipairs(run.gates) do
    if gate.verdict == "red" then
      told[gate.step] = true
      lines[#lines + 1] = gate_reason(gate)
    end
  end
  for _, step in ipairs(run.steps) do
    if step.error and not told[step.name] then
      local what = step.error.message or step.error.code
      lines[#lines + 1] = el("p", {}, el("strong", {}, step.name), ": ", what)
      lines[#lines + 1] = step.error.hint and el("p", {}, step.error.hint) or nil
    end
  end
  for _, input in ipairs(run.missing or {}) do
    local why = ": " .. (input.doc or "is needed")
    lines[#lines + 1] = el("p", {}, el("strong", {}, input.name), why)
  end
  if #lines == 0 then
    return nil
  end
  return el("section", { class = "verdict" }, el("h2", {}, "Why this run is not green"), lines)
end

local function tile(name, value, class)
  return el("div", { class = "tile" }, el("dt", {}, name), el("dd", { class = class }, value))
end

---The run in a few figures.
---@param run pai.report.Run
---@return pai.report.Node
function M.tiles(run)
  local worked, count, done, green = 0, 0, 0, 0
  for _, s in ipairs(run.sessions) do
    worked = worked + (s.to - s.from)
  end
  for _, step in ipairs(run.steps) do
    local counts = not step.item and step.state ~= "skipped"
    count = count + (counts and 1 or 0)
    done = done + (counts and (step.state == "done" or step.state == "already") and 1 or 0)
  end
  for _, gate in ipairs(run.gates) do
    green = green + (gate.verdict == "green" and 1 or 0)
  end
  local low, high = 0, 0
  for _, phase in ipairs(run.estimate and run.estimate.phases or {}) do
    low, high = low + (phase.min_s or 0), high + (phase.max_s or 0)
  end
  return el(
    "dl",
    { class = "tiles" },
    tile("Took", duration.format(worked)),
    high > 0
      and tile(
        "Estimated",
        ("%s to %s"):format(duration.format(low * 1000), duration.format(high * 1000)),
        "text"
      ),
    tile("Steps done", ("%d of %d"):format(done, count)),
    tile("Gates green", ("%d of %d"):format(green, #run.gates)),
    run.start.target and tile("Target", run.start.target, "text"),
    #run.sessions > 1 and tile("Resumed", #run.sessions - 1)
  )
end

local function given_by(checks, key)
  for _, check in ipairs(checks) do
    if check[key] ~= nil then
      return true
    end
  end
end

-- A hint is for who has something to mend: a check that is ok shows none.
local function shown_checks(gate)
  local checks = {}
  for i, check in ipairs(gate.checks) do
    checks[i] = {
      state = tostring(check.state),
      name = check.name,
      measured = check.measured,
      expected = check.expected,
      hint = check.state ~= "ok" and check.hint or nil,
      ms = check.ms,
    }
  end
  return checks
end

local function check_row(check, has)
  return el(
    "tr",
    {},
    el("td", { class = "nowrap state" }, parts.pill(check.state)),
    el("td", { class = "key" }, check.name),
    el("td", {}, parts.value_node(check.measured)),
    has.expected and el("td", {}, parts.value_node(check.expected)),
    has.hint and el("td", { class = check.state == "skipped" and "soft" or "hint" }, check.hint),
    has.ms and el("td", { class = "num soft" }, check.ms and duration.format(check.ms) or "")
  )
end

local function gate_table(gate, label)
  local checks = shown_checks(gate)
  local has, columns = {}, { "State", "Check", "Measured" }
  for _, column in ipairs({ { "expected", "Expected" }, { "hint", "Hint" }, { "ms", "Took" } }) do
    has[column[1]] = given_by(checks, column[1])
    columns[#columns + 1] = has[column[1]] and column[2] or nil
  end
  local rows = { parts.head_row(columns, { [#columns] = has.ms }) }
  for i, check in ipairs(checks) do
    rows[i + 1] = check_row(check, has)
  end
  return parts.table_card(label, rows)
end

---Every gate: what was measured, what was expected.
---@param run pai.report.Run
---@return pai.report.Node?
function M.gates(run)
  local cards = {}
  for i, gate in ipairs(run.gates) do
    local label = gate.step .. (gate.kind == "verify" and ": gate after the step" or ": checks")
    local again = ("  (verdict number %d in this run)"):format(gate.earlier + 1)
    local summary = el(
      "summary",
      {},
      parts.pill(gate.verdict),
      " ",
      el("strong", {}, label),
      gate.earlier > 0 and el("span", { class = "soft" }, again)
    )
    cards[i] = el("details", { open = true }, summary, gate_table(gate, label))
  end
  return #cards > 0 and parts.section("gates", "Gates", cards) or nil
end

---@param run pai.report.Run
---@return pai.report.Node?
function M.timeline(run)
  return #run.steps > 0 and parts.section("timeline", "Timeline", timeline.render(run)) or nil
end

---What each step gave on.
---@param run pai.report.Run
---@return pai.report.Node?
function M.steps(run)
  local items = {}
  for i, step in ipairs(run.steps) do
    items[i] = el(
      "details",
      {},
      el(
        "summary",
        {},
        parts.pill(step.state),
        " ",
        el("strong", {}, step.name),
        step.title and " · " .. step.title or "",
        step.reason and el("span", { class = "soft" }, " · ", step.reason)
      ),
      el(
        "pre",
        {},
        step.error and parts.value_text(step.error)
          or step.result ~= nil and parts.value_text(step.result)
          or "no result"
      )
    )
  end
  return #items > 0 and parts.section("steps", "Step results", el("div", { class = "card" }, items))
    or nil
end

---@param run pai.report.Run
---@return pai.report.Node?
function M.inputs(run)
  local names, rows = {}, {}
  for name in pairs(run.start.inputs or {}) do
    names[#names + 1] = name
  end
  table.sort(names)
  for i, name in ipairs(names) do
    rows[i] = el(
      "tr",
      {},
      el("th", { scope = "row", class = "key" }, name),
      el("td", {}, parts.value_node(run.start.inputs[name]))
    )
  end
  return #rows > 0 and parts.section("inputs", "Inputs", parts.table_card("inputs", rows)) or nil
end

---The files that the run loaded, by digest: what exactly ran.
---@param run pai.report.Run
---@return pai.report.Node?
function M.files(run)
  local rows = { parts.head_row({ "File", "SHA-256" }) }
  local here = tostring(run.start.cwd or "") .. "/"
  for _, file in ipairs(run.start.files or {}) do
    local path = tostring(file.path)
    path = path:sub(1, #here) == here and path:sub(#here + 1) or path
    local digest = el("td", { class = "mono soft" }, file.sha256)
    rows[#rows + 1] = el("tr", {}, el("td", {}, path), digest)
  end
  if #rows == 1 then
    return nil
  end
  local count = #rows - 1
  local summary = el("summary", {}, count, count == 1 and " file" or " files")
  local list = el("details", {}, summary, parts.table_card("files that ran", rows))
  return parts.section("files", "Files that ran", list)
end

---@param run pai.report.Run
---@return pai.report.Node?
function M.log(run)
  if #run.logs == 0 then
    return nil
  end
  local from = math.max(1, #run.logs - MAX_LOG_LINES + 1)
  local lines = {}
  for i = from, #run.logs do
    local line = run.logs[i]
    local time = tostring(line.t):match("T(%d+:%d+:%d+)") or ""
    lines[#lines + 1] = {
      el("time", { datetime = line.t }, time),
      line.step and tostring(line.step) .. "  " or "",
      line.text,
      "\n",
    }
  end
  local cut = from > 1 and ("The first %d lines are in the journal only."):format(from - 1)
  return parts.section(
    "log",
    "Log",
    el(
      "details",
      {},
      el("summary", {}, #lines, #lines == 1 and " line" or " lines"),
      cut and el("p", { class = "soft" }, cut),
      el("pre", { class = "log" }, lines)
    )
  )
end

return M
