-- What libyaml takes and PyYAML, which upstream uses, refuses: tabs between tokens, and a "?"
-- inside an unquoted text in brackets. In quotes, comments and block scalars both are text. The
-- scan follows text that libyaml has accepted, so it need not check anything else.
local M = {}

---@class pai.osmo.StrictScan
---@field quote string? the quote that is open
---@field block integer? indentation of the parent of an open block scalar
---@field plain integer? the same for an unquoted text that may go on in the next line
---@field flow integer depth of brackets
---@field colon boolean a key has been seen on this line
---@field bad string? what was found

-- Column of what a block scalar on this line belongs to: past the indentation and any "- ".
local function parent_indent(line)
  local at = #line:match("^ *")
  while true do
    local dash = line:match("^[-?] +", at + 1)
    if not dash or line:find("^[|>]", at + #dash + 1) then
      return at
    end
    at = at + #dash
  end
end

-- The position after the closing quote, or nil when it is on a later line.
local function close_quote(scan, line, pos)
  while true do
    local at = line:find(scan.quote == '"' and '[\\"]' or "'", pos)
    if not at then
      return nil
    end
    local char, after = line:sub(at, at), line:sub(at + 1, at + 1)
    if char == "\\" or (char == "'" and after == "'") then
      pos = at + 2
    else
      scan.quote = nil
      return at + 1
    end
  end
end

-- The end of an unquoted text: at ": ", " #", a tab, and in brackets at more. nil: end of the line.
local function close_plain(scan, line, pos)
  while pos <= #line do
    local at = line:find(scan.flow > 0 and "[:#\t,?%[%]{}]" or "[:#\t]", pos)
    local char = at and line:sub(at, at)
    if not at then
      return nil
    elseif char == "\t" or char:find("[,%[%]{}]") then
      return at
    elseif char == "?" then
      scan.bad = "a '?' in an unquoted text in brackets: put the text in quotes"
      return at
    elseif char == ":" and (at == #line or line:find("^[ \t]", at + 1)) then
      return at
    elseif char == ":" and scan.flow > 0 and line:find("^[,%[%]{}]", at + 1) then
      return at
    elseif char == "#" and line:find("^ ", at - 1) then
      return nil
    end
    pos = at + 1
  end
  return nil
end

-- One token that begins at pos; returns the position after it, nil at the end of the line.
local function token(scan, line, pos)
  local char = line:sub(pos, pos)
  if char == '"' or char == "'" then
    scan.quote = char
    return close_quote(scan, line, pos + 1)
  elseif char == "#" and (pos == 1 or line:find("^%s", pos - 1)) then
    return nil
  elseif (char == "|" or char == ">") and scan.flow == 0 then
    scan.block = parent_indent(line)
    return line:match("^[|>][-+%d]* *()\t", pos)
  elseif char:find("[%[{]") then
    scan.flow = scan.flow + 1
    return pos + 1
  elseif char:find("[%]}]") then
    scan.flow = math.max(0, scan.flow - 1)
    return pos + 1
  elseif char == "," or (char == ":" and scan.flow > 0) then
    return pos + 1
  elseif char:find("[-?:]") and not line:find("^[^ \t]", pos + 1) then
    scan.colon = scan.colon or char == ":"
    return pos + 1
  elseif char:find("[!&*]") then
    return line:match("^[^ \t,%]}]+()", pos)
  end
  local after = close_plain(scan, line, pos + 1)
  if not after and scan.flow == 0 then
    local last_dash = #(line:match("^[ -]*%- ") or "") - 2
    scan.plain = scan.colon and parent_indent(line) or math.max(last_dash, scan.plain or -1)
  end
  return after
end

local function scan_line(scan, line)
  local indent = #line:match("^ *")
  local blank = not line:find("[^ ]")
  if blank then
    return
  elseif scan.block and indent <= scan.block then
    scan.block = nil
  elseif scan.plain and (indent <= scan.plain or scan.flow > 0) then
    scan.plain = nil
  end
  local pos = 1
  scan.colon = false
  if scan.block then
    return
  elseif scan.quote then
    pos = close_quote(scan, line, 1)
  elseif scan.plain then
    pos = close_plain(scan, line, indent + 1)
  end
  while pos and not scan.bad and pos <= #line and (not scan.block or line:find("^\t", pos)) do
    pos = line:match("^ *()", pos)
    if line:sub(pos, pos) == "\t" then
      scan.bad = "a tab between words or before them: YAML wants spaces"
    elseif pos <= #line then
      pos = token(scan, line, pos)
    end
  end
end

---Finds the first thing that PyYAML would refuse.
---@param text string YAML that libyaml has accepted
---@return integer? line
---@return string? message
function M.find(text)
  if not text:find("[\t?]") then
    return nil
  end
  local scan, number = { flow = 0 }, 0
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do
    number = number + 1
    scan_line(scan, line)
    if scan.bad then
      return number, scan.bad
    end
  end
  return nil
end

---Makes the indentation of a block scalar explicit whose first line begins with a tab: PyYAML takes
---that, libyaml wants to be told.
---@param text string
---@param e pai.Error what libyaml said
---@return string? text nil when this is not what is wrong
function M.mend(text, e)
  local header = e.message:match("found a tab character.*block scalar, line (%d+)")
  local lines, number = {}, math.tointeger(tonumber(header))
  for line in (text .. "\n"):gmatch("(.-)\n") do
    lines[#lines + 1] = line
  end
  if not number or not lines[e.line] then
    return nil
  end
  local by = #lines[e.line]:match("^ *") - parent_indent(lines[number])
  local before, sign, after = lines[number]:match("^(.*[|>])([-+]?)([ \r]*)$")
  if not before or by < 1 or by > 9 then
    return nil
  end
  lines[number] = before .. by .. sign .. after
  return table.concat(lines, "\n")
end

return M
