-- The sections that a recipe reports itself: tables, media, texts, bars.
local html = require("pai.report.html")
local media = require("pai.report.media")
local parts = require("pai.report.parts")

local el = html.element

local M = {}

local GIVEN = {}

-- Which columns hold numbers, and nothing else but marks for none.
local function numeric_columns(rows, count)
  local numeric = {}
  for i = 1, count do
    local seen, others = false, false
    for _, row in ipairs(rows) do
      local none = row[i] == nil or row[i] == "" or row[i] == "-"
      seen = seen or type(row[i]) == "number"
      others = others or not none and type(row[i]) ~= "number"
    end
    numeric[i] = seen and not others
  end
  return numeric
end

function GIVEN.table(part)
  local columns, rows, count = part.columns or {}, {}, 0
  for _, row in ipairs(part.rows or {}) do
    count = math.max(count, #row, #columns)
  end
  local numeric = numeric_columns(part.rows or {}, count)
  for r, row in ipairs(part.rows or {}) do
    local cells = {}
    for i = 1, math.max(#row, #columns) do
      cells[i] = el("td", { class = numeric[i] and "num" or false }, parts.value_text(row[i]))
    end
    rows[r] = el("tr", {}, cells)
  end
  return parts.table_card(part.title or "table", parts.head_row(columns, numeric), rows)
end

function GIVEN.media(part, shelf)
  local figures = {}
  for i, item in ipairs(part.items or {}) do
    figures[i] = media.figure(shelf, item)
  end
  return el("div", { class = "media" }, figures)
end

function GIVEN.text(part)
  return el("div", { class = "card" }, el("pre", {}, part.text or ""))
end

function GIVEN.bars(part)
  local top = 0
  for _, item in ipairs(part.items or {}) do
    top = math.max(top, tonumber(item.value) or 0)
  end
  local rows = {}
  for i, item in ipairs(part.items or {}) do
    local share = top > 0 and math.max(tonumber(item.value) or 0, 0) / top or 0
    local width = ("%.2f%%"):format(share * 100)
    rows[i] = el(
      "tr",
      {},
      el("td", {}, item.label),
      el(
        "td",
        { class = "lane" },
        el(
          "svg",
          { ["aria-hidden"] = "true" },
          el("rect", { width = "100%", height = "100%", rx = "3", class = "track" }),
          el("rect", { width = width, height = "100%", rx = "3", class = "value" })
        )
      ),
      el("td", { class = "num" }, parts.value_text(item.value))
    )
  end
  return el("div", { class = "card" }, el("table", { class = "bars" }, rows))
end

---What the recipe itself reports.
---@param sections table[] of the kinds table, media, text, bars
---@param shelf pai.report.Shelf
---@return pai.report.Node[] nodes
---@return {id: string, title: string}[] links
function M.render(sections, shelf)
  local nodes, links = {}, {}
  for i, part in ipairs(sections) do
    local draw = GIVEN[part.kind]
    if not draw then
      error(
        ("report section %d: unknown kind %q (known: bars, media, table, text)"):format(
          i,
          tostring(part.kind)
        ),
        0
      )
    end
    local id = "part-" .. i
    nodes[i] = parts.section(id, part.title or part.kind, draw(part, shelf))
    links[i] = { id = id, title = part.title or part.kind }
  end
  return nodes, links
end

return M
