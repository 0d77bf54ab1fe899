-- Capitals and small letters of texts, as Python has them, for the alphabets of today's languages:
-- Latin, Greek, Cyrillic and Armenian, also full-width. Other scripts with case (Cherokee, old
-- Greek) stay as they are, and a sigma at a word's end becomes an ordinary one.
local M = {}

-- Capitals from one code point to another, the distance to their small letters, and the step: in
-- steps of two, capital and small letter take turns.
local RANGES <const> = {
  { 0xC0, 0xD6, 32, 1 },
  { 0xD8, 0xDE, 32, 1 },
  { 0x100, 0x12E, 1, 2 },
  { 0x132, 0x136, 1, 2 },
  { 0x139, 0x147, 1, 2 },
  { 0x14A, 0x176, 1, 2 },
  { 0x178, 0x178, -121, 1 },
  { 0x179, 0x17D, 1, 2 },
  { 0x1CD, 0x1DB, 1, 2 },
  { 0x1DE, 0x1EE, 1, 2 },
  { 0x1F8, 0x21E, 1, 2 },
  { 0x222, 0x232, 1, 2 },
  { 0x386, 0x386, 38, 1 },
  { 0x388, 0x38A, 37, 1 },
  { 0x38C, 0x38C, 64, 1 },
  { 0x38E, 0x38F, 63, 1 },
  { 0x391, 0x3A1, 32, 1 },
  { 0x3A3, 0x3AB, 32, 1 },
  { 0x400, 0x40F, 80, 1 },
  { 0x410, 0x42F, 32, 1 },
  { 0x460, 0x480, 1, 2 },
  { 0x48A, 0x4BE, 1, 2 },
  { 0x4C0, 0x4C0, 15, 1 },
  { 0x4C1, 0x4CD, 1, 2 },
  { 0x4D0, 0x52E, 1, 2 },
  { 0x531, 0x556, 48, 1 },
  { 0x1E00, 0x1E94, 1, 2 },
  { 0x1EA0, 0x1EFE, 1, 2 },
  { 0xFF21, 0xFF3A, 32, 1 },
}

-- Small letters that have no capital.
local SMALL <const> = { ["ª"] = true, ["º"] = true, ["ĸ"] = true, ["ẟ"] = true }

-- Letters by letter, made when the first text asks that is not ASCII.
local to_upper, to_lower

local function load()
  to_upper =
    { ["ß"] = "SS", ["ı"] = "I", ["ſ"] = "S", ["µ"] = "Μ", ["ς"] = "Σ", ["ŉ"] = "ʼN" }
  to_lower = { ["İ"] = "i̇", ["ẞ"] = "ß" }
  for _, r in ipairs(RANGES) do
    for code = r[1], r[2], r[4] do
      local capital, small = utf8.char(code), utf8.char(code + r[3])
      to_lower[capital], to_upper[small] = small, capital
    end
  end
  for code = 65, 90 do
    local capital, small = string.char(code), string.char(code + 32)
    to_lower[capital], to_upper[small] = small, capital
  end
end

local function mapped(s, ascii, map)
  if not s:find("[\128-\255]") then
    return ascii(s)
  elseif not to_upper then
    load()
  end
  return (s:gsub(utf8.charpattern, map == "upper" and to_upper or to_lower))
end

---str.upper()
---@param s string
---@return string
function M.upper(s)
  return mapped(s, string.upper, "upper")
end

---str.lower()
---@param s string
---@return string
function M.lower(s)
  return mapped(s, string.lower, "lower")
end

-- The capital that begins a word: of ß it is Ss, of ŉ ʼN.
local function initial(c)
  local begun = false
  return (
    M.upper(c):gsub(utf8.charpattern, function(one)
      local small = M.lower(one)
      local out = begun and small or one
      begun = begun or small ~= one
      return out
    end)
  )
end

---str.capitalize()
---@param s string
---@return string
function M.capitalize(s)
  local first = s:match("^" .. utf8.charpattern) or ""
  return initial(first) .. M.lower(s:sub(#first + 1))
end

-- Whether a letter has case: 1 a capital, -1 a small one, nil none.
local function case_of(c)
  if not to_upper then
    load()
  end
  return to_lower[c] and 1 or (to_upper[c] or SMALL[c]) and -1 or nil
end

---str.title(): a letter after one without case begins a word.
---@param s string
---@return string
function M.title(s)
  local inside = false
  return (
    s:gsub(utf8.charpattern, function(c)
      local was, case = inside, case_of(c)
      inside = case ~= nil
      return case and (was and M.lower(c) or initial(c)) or c
    end)
  )
end

---str.swapcase()
---@param s string
---@return string
function M.swapcase(s)
  return (
    s:gsub(utf8.charpattern, function(c)
      local case = case_of(c)
      return case and (case > 0 and M.lower(c) or M.upper(c)) or c
    end)
  )
end

-- Whether there are letters with case, all of them of this one.
local function all_of(s, wanted)
  local found = false
  for c in s:gmatch(utf8.charpattern) do
    local case = case_of(c)
    if case and case ~= wanted then
      return false
    end
    found = found or case ~= nil
  end
  return found
end

---str.islower()
---@param s string
---@return boolean
function M.is_lower(s)
  return all_of(s, -1)
end

---str.isupper()
---@param s string
---@return boolean
function M.is_upper(s)
  return all_of(s, 1)
end

return M
