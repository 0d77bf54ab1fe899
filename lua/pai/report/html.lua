-- HTML as nested nodes. Strings are text: they pass the process's masker and are escaped here, in
-- this one place, so nothing that a recipe, a tool or a file said can become markup or show a
-- secret. Finished markup is a node (a table with `html`), which only this module makes.
local mask = require("pai.mask")

local M = {}

local VOID = { meta = true, img = true }
local ENTITIES =
  { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

---A finished piece of markup.
---@class pai.report.Node
---@field html string

local function escape(text)
  return (text:gsub("[&<>\"']", ENTITIES))
end

-- Terminal colours go; other control characters, which HTML forbids, become a visible mark.
local function clean(text)
  return (
    text
      :gsub("\27%[[%d;?]*[%a]", "")
      :gsub("\r\n", "\n")
      :gsub("[\0-\8\11\12\14-\31\127]", "\u{FFFD}")
  )
end

---Text as it may stand between tags or in an attribute: masked, cleaned, escaped.
---@param value any
---@return string
function M.text(value)
  return escape(clean(mask.text(tostring(value))))
end

local function attributes(attrs)
  local names = {}
  for name in pairs(attrs) do
    if type(name) == "string" then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  local out = {}
  for _, name in ipairs(names) do
    local value = attrs[name]
    if value == true then
      out[#out + 1] = " " .. name
    elseif type(value) == "table" then
      out[#out + 1] = string.format(' %s="%s"', name, value.html)
    elseif value then
      out[#out + 1] = string.format(' %s="%s"', name, M.text(value))
    end
  end
  return table.concat(out)
end

local function add(out, child)
  if type(child) == "table" then
    if child.html then
      out[#out + 1] = child.html
    else
      for i = 1, #child do
        add(out, child[i])
      end
    end
  elseif child ~= nil and child ~= false then
    out[#out + 1] = M.text(child)
  end
end

---One element. A list among the children stands for its items; nil and false for nothing.
---@param tag string
---@param attrs table<string, any> true: a bare attribute; a node: a value that is safe already
---@param ... any children
---@return pai.report.Node
function M.element(tag, attrs, ...)
  local open = "<" .. tag .. attributes(attrs) .. ">"
  if VOID[tag] and select("#", ...) == 0 then
    return { html = open }
  end
  local out = { open }
  for i = 1, select("#", ...) do
    add(out, (select(i, ...)))
  end
  out[#out + 1] = "</" .. tag .. ">"
  return { html = table.concat(out) }
end

---Markup of our own, taken as it stands. Never for anything that comes from outside.
---@param markup string
---@return pai.report.Node
function M.raw(markup)
  return { html = markup }
end

return M
