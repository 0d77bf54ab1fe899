-- Rows in columns for a reader: on a terminal the last column is wrapped to the width, under
-- itself, or below its row where there is no room beside it. Elsewhere a row is one line, for grep.
local term = require("pai.term")
local text = require("pai.text")

local M = {}

-- A last column with less room than this is put below its row.
local LEAST <const> = 24

-- Where it begins then.
local BELOW <const> = 6

---Lays rows out; the cells before the last are padded, two spaces apart.
---@param rows string[][]
---@param width integer? columns of the terminal; nil: rows are not wrapped
---@return string lines each ended by a newline
function M.fit(rows, width)
  if not width then
    return text.columns(rows)
  end
  local widths = {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do
      widths[i] = math.max(widths[i] or 0, text.width(cell))
    end
  end
  local left = 0
  for i = 1, #widths - 1 do
    left = left + widths[i] + 2
  end
  local beside = #widths < 2 or left + math.min(LEAST, widths[#widths]) <= width
  local indent = (" "):rep(beside and left or BELOW)
  local out = {}
  for _, row in ipairs(rows) do
    local cells = {}
    for i = 1, math.min(#row, #widths - 1) do
      cells[i] = text.pad(row[i], beside and widths[i] or 0)
    end
    local head = table.concat(cells, "  ")
    local cell = #row == #widths and row[#row] or ""
    local last = text.wrap(cell, width, indent .. cell:match("^ *"))
    if last == "" then
      out[#out + 1] = head:gsub(" +$", "") .. "\n"
    elseif beside then
      out[#out + 1] = text.pad(head, left) .. last:sub(#indent + 1) .. "\n"
    else
      out[#out + 1] = head:gsub(" +$", "") .. (head == "" and "" or "\n") .. last .. "\n"
    end
  end
  return table.concat(out)
end

---Lays rows out for the stream that they go to.
---@param rows string[][]
---@param fd integer? 1 or 2
---@return string
function M.of(rows, fd)
  return M.fit(rows, term.isatty(fd or 1) and (term.size()) or nil)
end

return M
