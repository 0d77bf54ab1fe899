-- The run's steps as bars over time. Time in which no process worked on the run (between a kill
-- and its resume) is drawn as a narrow gap, so that an hour's pause does not hide the work.
local duration = require("pai.duration")
local html = require("pai.report.html")

local el = html.element

local M = {}

local GAP = 0.03 -- of the whole width, each

local NICE = {
  100,
  200,
  500,
  1000,
  2000,
  5000,
  10000,
  15000,
  30000,
  60000,
  120000,
  300000,
  600000,
  900000,
  1800000,
  3600000,
  7200000,
  21600000,
  43200000,
  86400000,
}

-- A function from a moment to its place (0 to 1), over the sessions laid end to end.
local function scale(sessions)
  local worked = 0
  for _, s in ipairs(sessions) do
    worked = worked + (s.to - s.from)
  end
  local room = 1 - GAP * (#sessions - 1)
  local function place(t)
    local x = 0
    for i, s in ipairs(sessions) do
      if t <= s.to or i == #sessions then
        local into = math.min(math.max(t - s.from, 0), s.to - s.from)
        return worked > 0 and x + into / worked * room or x
      end
      x = x + (worked > 0 and (s.to - s.from) / worked * room or 0) + GAP
    end
    return 0
  end
  return place, worked
end

local function percent(x)
  return string.format("%.3f%%", x * 100)
end

local function clock(ms)
  local s = ms // 1000
  return string.format("%02d:%02d:%02d", s // 3600 % 24, s // 60 % 60, s % 60)
end

-- Tick marks are whole numbers of a unit.
local function mark(ms)
  if ms == 0 then
    return "0"
  elseif ms < 1000 then
    return ms .. " ms"
  elseif ms % 60000 ~= 0 then
    return string.format("%g s", ms / 1000)
  elseif ms % 3600000 ~= 0 then
    return ms // 60000 .. " min"
  end
  return ms // 3600000 .. " h"
end

local function ticks(sessions, place, worked)
  local step = NICE[#NICE]
  for _, candidate in ipairs(NICE) do
    if worked / candidate <= 8 then
      step = candidate
      break
    end
  end
  local out, before = {}, 0
  for _, s in ipairs(sessions) do
    local first = (before + step - 1) // step * step
    for t = first, before + (s.to - s.from), step do
      local x = place(s.from + t - before)
      local last = out[#out]
      if x < 0.97 and (not last or x - last.x > 0.06) then
        out[#out + 1] = { x = x, text = mark(t) }
      end
    end
    before = before + (s.to - s.from)
  end
  return out
end

local function axis(sessions, place, worked)
  local marks = {}
  for i, tick in ipairs(ticks(sessions, place, worked)) do
    local x = percent(tick.x)
    local class = i % 4 == 1 and "label" or "label minor"
    marks[#marks + 1] = el("line", { x1 = x, x2 = x, y1 = "70%", y2 = "100%", class = "tick" })
    marks[#marks + 1] = el("text", { x = x, y = "55%", class = class }, tick.text)
  end
  return el("svg", { ["aria-hidden"] = "true" }, marks)
end

local function lane(step, sessions, place)
  local shapes =
    { el("rect", { x = "0", y = "30%", width = "100%", height = "40%", class = "track" }) }
  for i = 2, #sessions do
    local x = place(sessions[i].from) - GAP
    shapes[#shapes + 1] = el(
      "rect",
      { x = percent(x), y = "0", width = percent(GAP), height = "100%", class = "gap" },
      el("title", {}, "stopped for " .. duration.format(sessions[i].from - sessions[i - 1].to))
    )
  end
  local told = {}
  for _, bar in ipairs(step.bars) do
    local from, to = place(bar.from), place(bar.to)
    local about = string.format(
      "%s, %s to %s UTC, %s",
      bar.state,
      clock(bar.from),
      clock(bar.to),
      duration.format(bar.to - bar.from)
    )
    told[#told + 1] = about
    shapes[#shapes + 1] = el("rect", {
      x = percent(math.min(from, 0.996)),
      y = "12%",
      rx = "3",
      width = percent(math.max(to - from, 0.004)),
      height = "76%",
      class = bar.state,
    }, el("title", {}, about))
  end
  local label = #told > 0 and table.concat(told, "; ") or step.state
  return el("svg", { role = "img", ["aria-label"] = step.name .. ": " .. label }, shapes)
end

local LEGEND = {
  { "done", "done" },
  { "already", "was already so" },
  { "red", "gate red" },
  { "failed", "failed" },
  { "interrupted", "interrupted" },
  { "gap", "stopped" },
}

local function legend(run)
  local used = { gap = #run.sessions > 1 }
  for _, step in ipairs(run.steps) do
    for _, bar in ipairs(step.bars) do
      used[bar.state] = true
    end
  end
  local items = {}
  for _, entry in ipairs(LEGEND) do
    if used[entry[1]] then
      local swatch = el("rect", { width = "100%", height = "100%", rx = "2", class = entry[1] })
      items[#items + 1] = el("li", {}, el("svg", { ["aria-hidden"] = "true" }, swatch), entry[2])
    end
  end
  return el("ul", { class = "legend" }, items)
end

---The table of steps with their bars.
---@param run pai.report.Run
---@return pai.report.Node
function M.render(run)
  local place, worked = scale(run.sessions)
  local rows = {
    el(
      "tr",
      {},
      el("th", { scope = "col" }, "Step"),
      el("th", { scope = "col", class = "from" }, "Started (UTC)"),
      el("th", { class = "lane" }, axis(run.sessions, place, worked)),
      el("th", { scope = "col", class = "num" }, "Took")
    ),
  }
  for _, step in ipairs(run.steps) do
    local first = step.bars[1]
    rows[#rows + 1] = el(
      "tr",
      {},
      el("td", {}, step.name),
      el("td", { class = "from nowrap soft" }, first and clock(first.from) or step.state),
      el("td", { class = "lane" }, lane(step, run.sessions, place)),
      el("td", { class = "num" }, step.ms and duration.format(step.ms) or "")
    )
  end
  return el("div", { class = "card" }, el("table", { class = "time" }, rows), legend(run))
end

return M
