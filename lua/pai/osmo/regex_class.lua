-- Character classes and escapes of Python's regular expressions. A class is a function of a code
-- point.
local M = {}

-- Categories know ASCII; letters beyond it count as word characters, as nearly all of them are.
local CATEGORY = {
  d = function(c)
    return c >= 48 and c <= 57
  end,
  s = function(c)
    return c == 32 or (c >= 9 and c <= 13) or (c >= 28 and c <= 31) or c == 0x85 or c == 0xA0
  end,
  w = function(c)
    return (c >= 48 and c <= 57)
      or (c >= 65 and c <= 90)
      or c == 95
      or (c >= 97 and c <= 122)
      or (c > 0xBF and c ~= 0xD7 and c ~= 0xF7)
  end,
}

local function inverse(fn)
  return function(c)
    return not fn(c)
  end
end
for _, letter in ipairs({ "d", "s", "w" }) do
  CATEGORY[letter:upper()] = inverse(CATEGORY[letter])
end
M.is_word = CATEGORY.w

local SIMPLE = { a = 7, b = 8, f = 12, n = 10, r = 13, t = 9, v = 11, ["\\"] = 92 }
local HEX_WIDTH = { x = 2, u = 4, U = 8 }

---Reads an escape whose meaning is one character or a category, after its backslash.
---@param p table parser with src (characters), at, fail()
---@param in_class boolean
---@return integer? char
---@return (fun(c: integer): boolean)? category
function M.escape(p, in_class)
  local c = p.src[p.at]
  if c == nil then
    p:fail("bad escape (end of pattern)")
  end
  p.at = p.at + 1
  if CATEGORY[c] then
    return nil, CATEGORY[c]
  elseif SIMPLE[c] and (in_class or c ~= "b") then
    return SIMPLE[c]
  elseif HEX_WIDTH[c] then
    local hex = table.concat(p.src, "", p.at, math.min(#p.src, p.at + HEX_WIDTH[c] - 1))
    if not hex:find("^%x+$") or #hex < HEX_WIDTH[c] then
      p:fail("incomplete escape \\" .. c .. hex)
    elseif tonumber(hex, 16) > 0x10FFFF then
      p:fail("bad escape \\" .. c .. hex)
    end
    p.at = p.at + #hex
    return tonumber(hex, 16)
  elseif c:find("^[0-7]$") and (in_class or c == "0") then
    local digits = c
    while #digits < 3 and (p.src[p.at] or ""):find("^[0-7]$") do
      digits = digits .. p.src[p.at]
      p.at = p.at + 1
    end
    if tonumber(digits, 8) > 255 then
      p:fail("octal escape value \\" .. digits .. " outside of range 0-0o377")
    end
    return tonumber(digits, 8)
  elseif c:find("^[%a%d]$") then
    p:fail("bad escape \\" .. c)
  end
  return utf8.codepoint(c)
end

local function one(p)
  local c = p.src[p.at]
  p.at = p.at + 1
  if c == "\\" then
    return M.escape(p, true)
  end
  return utf8.codepoint(c)
end

---Reads a class after its "[".
---@param p table
---@return fun(c: integer): boolean test
---@return boolean negated
function M.class(p)
  local start = p.at
  local negated = p.src[p.at] == "^"
  p.at = p.at + (negated and 1 or 0)
  local first, ranges, categories = true, {}, {}
  while true do
    if p.src[p.at] == nil then
      p.at = start
      p:fail("unterminated character set")
    elseif p.src[p.at] == "]" and not first then
      p.at = p.at + 1
      break
    end
    first = false
    local low, category = one(p)
    local dash = p.src[p.at] == "-" and p.src[p.at + 1] ~= nil
    if dash and p.src[p.at + 1] ~= "]" then
      p.at = p.at + 1
      local high, other = one(p)
      if category or other or high < low then
        p:fail("bad character range")
      end
      ranges[#ranges + 1] = { low, high }
    elseif category then
      categories[#categories + 1] = category
    else
      ranges[#ranges + 1] = { low, low }
    end
  end
  local function matches(c)
    for _, range in ipairs(ranges) do
      if c >= range[1] and c <= range[2] then
        return true
      end
    end
    for _, category in ipairs(categories) do
      if category(c) then
        return true
      end
    end
    return false
  end
  return matches, negated
end

return M
