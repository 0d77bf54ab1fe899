-- Small text helpers: nearest name, padding by display width, wrapping, clean UTF-8.
local M = {}

-- Edit distance with transpositions, given up on as soon as it must exceed limit.
local function distance(a, b, limit)
  if math.abs(#a - #b) > limit then
    return limit + 1
  end
  local before, prev = {}, {}
  for j = 0, #b do
    prev[j] = j
  end
  for i = 1, #a do
    local row, best = { [0] = i }, i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      local d = math.min(prev[j] + 1, row[j - 1] + 1, prev[j - 1] + cost)
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        d = math.min(d, before[j - 2] + 1)
      end
      row[j] = d
      best = math.min(best, d)
    end
    if best > limit then
      return limit + 1
    end
    before, prev = prev, row
  end
  return prev[#b]
end

---Finds the candidate that the user most likely meant.
---@param name string
---@param candidates string[]
---@return string? nearest nil when nothing is close
function M.nearest(name, candidates)
  local best, best_distance
  local limit = math.max(1, math.min(3, #name // 2))
  local lower = name:lower()
  for _, candidate in ipairs(candidates) do
    local c = candidate:lower()
    local d = distance(lower, c, limit)
    if d > limit and #lower >= 3 and (c:find(lower, 1, true) or lower:find(c, 1, true)) then
      d = limit -- a part of the name is a hint too, but a weaker one
    end
    if d <= limit and (not best_distance or d < best_distance) then
      best, best_distance = candidate, d
    end
  end
  return best
end

---" (did you mean 'X'?)", or "" when nothing is close.
---@param name string
---@param candidates string[]
---@return string
function M.did_you_mean(name, candidates)
  local near = M.nearest(name, candidates)
  return near and (" (did you mean '%s'?)"):format(near) or ""
end

---Sorted string keys of a table.
---@param t table
---@return string[]
function M.keys(t)
  local names = {}
  for k in pairs(t) do
    if type(k) == "string" then
      names[#names + 1] = k
    end
  end
  table.sort(names)
  return names
end

---Makes valid UTF-8 of any bytes, so that a foreign program's output can be journalled.
---@param s string
---@return string
function M.utf8(s)
  if utf8.len(s) then
    return s
  end
  local parts, from = {}, 1
  while from <= #s do
    local ok, bad = utf8.len(s, from)
    if ok then
      parts[#parts + 1] = s:sub(from)
      break
    end
    parts[#parts + 1] = s:sub(from, bad - 1)
    parts[#parts + 1] = "\u{FFFD}"
    from = bad + 1
  end
  return table.concat(parts)
end

---Columns that a text takes on a terminal.
---@param s string
---@return integer
function M.width(s)
  if not s:find("[^ -~]") then
    return #s
  end
  return require("pai.term").width(s)
end

---Pads with spaces to a display width.
---@param s string
---@param columns integer
---@return string
function M.pad(s, columns)
  local missing = columns - M.width(s)
  return missing > 0 and s .. (" "):rep(missing) or s
end

---Cuts a text to a display width; a cut one ends with "…". It is masked before: half a secret is
---not known as one.
---@param s string
---@param columns integer
---@return string
function M.cut(s, columns)
  if columns <= 0 then
    return ""
  end
  if M.width(s) <= columns then
    return s
  end
  s = M.utf8(require("pai.mask").text(s))
  local used, last = 0, 0
  for pos, code in utf8.codes(s) do
    local w = M.width(utf8.char(code))
    if used + w > columns - 1 then
      break
    end
    used = used + w
    last = pos + #utf8.char(code) - 1
  end
  return s:sub(1, last) .. "…"
end

local function copy_masked(value)
  if type(value) == "string" then
    return require("pai.mask").text(value)
  elseif type(value) ~= "table" then
    return value
  end
  local json = require("pai.json")
  local copy = json.is_array(value) and json.array({}) or {}
  for k, v in next, value do
    copy[copy_masked(k)] = copy_masked(v)
  end
  return copy
end

local function gather(value, list, n)
  for k, v in next, value do
    if type(k) == "string" then
      n = n + 1
      list[n] = k
    end
    if type(v) == "string" then
      n = n + 1
      list[n] = v
    elseif type(v) == "table" then
      n = gather(v, list, n)
    end
  end
  return n
end

---Plain data with its texts masked, to be encoded or cut: afterwards a secret may no longer be
---whole, or be escaped once too often to be known. Metatables are not asked.
---@param value any
---@return any masked a copy, or the value itself when there is nothing to mask
function M.masked(value)
  if type(value) ~= "table" then
    return copy_masked(value)
  end
  -- All texts at once, since that is how the masker is fast; what it finds across their ends only
  -- leads to the copy.
  local list = {}
  gather(value, list, 0)
  local all = table.concat(list, "\n")
  return require("pai.mask").text(all) == all and value or copy_masked(value)
end

---One line of a text: control characters gone, white space folded. It is masked before: a secret
---with a line's end in it would not be known afterwards.
---@param s string
---@return string
function M.one_line(s)
  -- Terminal sequences first, so that no half of one is left.
  s = require("pai.mask").text(s)
  s = s:gsub("\27%[[0-?]*[ -/]*[@-~]", ""):gsub("\27%][^\7\27]*[\7]?", "")
  return (s:gsub("[%c%s]+", " "):gsub("^ ", ""):gsub(" $", ""))
end

---Wraps words to a width.
---@param s string
---@param columns integer
---@param indent string? put before every line
---@return string
function M.wrap(s, columns, indent)
  indent = indent or ""
  local out = {}
  for paragraph in (s .. "\n"):gmatch("(.-)\n") do
    local line = ""
    for word in paragraph:gmatch("%S+") do
      if line ~= "" and M.width(indent) + M.width(line) + 1 + M.width(word) > columns then
        out[#out + 1] = indent .. line
        line = word
      else
        line = line == "" and word or line .. " " .. word
      end
    end
    out[#out + 1] = line ~= "" and indent .. line or ""
  end
  while out[#out] == "" do
    out[#out] = nil
  end
  return table.concat(out, "\n")
end

-- The rows as if every byte were one column wide, with one call of string.format a row, which knows
-- widths of two digits; nil when that is not so.
local function plain_columns(rows)
  local widths, formats, lines = {}, {}, {}
  for i = 1, #rows do
    local row = rows[i]
    for c = 1, #row do
      local w = #row[c]
      if w > (widths[c] or 0) then
        widths[c] = w
      end
    end
  end
  for i = 1, #rows do
    local row = rows[i]
    local n = #row
    if not formats[n] then
      local parts = {}
      for c = 1, n do
        local w = widths[c] or 0
        parts[c] = c < n and w > 0 and ("%%-%ds"):format(w) or "%s"
        if c < n and w > 99 then
          return nil
        end
      end
      formats[n] = table.concat(parts, "  ")
    end
    lines[i] = formats[n]:format(table.unpack(row))
  end
  if table.concat(lines):find("[^ -~]") then
    return nil
  end
  local out = table.concat(lines, "\n") .. (#lines > 0 and "\n" or "")
  return out:find(" \n", 1, true) and out:gsub(" +\n", "\n") or out
end

---Lays rows out in columns, two spaces apart; the last column is not padded.
---@param rows string[][]
---@return string lines each ended by a newline
function M.columns(rows)
  local plain = plain_columns(rows)
  if plain then
    return plain
  end
  local widths = {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do
      widths[i] = math.max(widths[i] or 0, M.width(cell))
    end
  end
  local out = {}
  for _, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do
      cells[i] = i < #row and M.pad(cell, widths[i]) or cell
    end
    out[#out + 1] = (table.concat(cells, "  "):gsub(" +$", "")) .. "\n"
  end
  return table.concat(out)
end

return M
