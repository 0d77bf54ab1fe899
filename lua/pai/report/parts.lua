-- What the sections of the report are made of: coloured words, values, headings, tables.
local html = require("pai.report.html")
local json = require("pai.json")
local mask = require("pai.mask")
local words = require("pai.text")

local el = html.element

local M = {}

local MAX_VALUE = 8192 -- characters of one value

-- A state's colour and, where the state's own name will not do, its words.
local STATES = {
  green = { "green" },
  red = { "red" },
  failed = { "red" },
  interrupted = { "amber" },
  input_required = { "amber", "input required" },
  unfinished = { "amber" },
  ok = { "green" },
  warn = { "amber" },
  unknown = { "red" },
  done = { "green" },
  already = { "green", "already so" },
}

---A coloured word; the word says it, the colour only helps.
---@param state string
---@param size? string
---@return pai.report.Node
function M.pill(state, size)
  local known = STATES[state] or { "" }
  local class = ("pill %s %s"):format(size or "", known[1])
  return el("span", { class = class }, known[2] or state)
end

---A value as a reader wants it: text as it is, the rest as JSON.
---@param value any
---@return string
function M.value_text(value)
  local text
  if value == nil then
    return ""
  elseif type(value) == "table" then
    text = json.encode(words.masked(value), { pretty = true, sort = true })
  else
    text = mask.text(tostring(value))
  end
  if #text > MAX_VALUE then
    text = text:sub(1, (utf8.offset(text, 0, MAX_VALUE) or MAX_VALUE) - 1) .. " …"
  end
  return text
end

---The same as a node; a table in a box of its own.
---@param value any
---@return pai.report.Node|string
function M.value_node(value)
  if type(value) == "table" and next(value) ~= nil then
    return el("pre", {}, M.value_text(value))
  end
  return M.value_text(value)
end

---A part of the page with a heading that links lead to.
---@param id string
---@param title string
---@param ... any children
---@return pai.report.Node
function M.section(id, title, ...)
  return el(
    "section",
    { id = id, ["aria-labelledby"] = id .. "-title" },
    el("h2", { id = id .. "-title" }, title),
    ...
  )
end

---A table in a card. A wide one scrolls on its own; the region takes the focus so that keys can
---scroll it.
---@param label string
---@param ... any rows
---@return pai.report.Node
function M.table_card(label, ...)
  local region = { class = "scroll", tabindex = "0", role = "region", ["aria-label"] = label }
  return el("div", { class = "card" }, el("div", region, el("table", {}, ...)))
end

---A table's first row.
---@param columns string[]
---@param numeric? table<integer, boolean> which columns hold numbers
---@return pai.report.Node
function M.head_row(columns, numeric)
  local cells = {}
  for i, column in ipairs(columns) do
    cells[i] =
      el("th", { scope = "col", class = numeric and numeric[i] and "num" or false }, column)
  end
  return el("tr", {}, cells)
end

return M
