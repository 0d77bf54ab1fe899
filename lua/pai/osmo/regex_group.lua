-- Groups of a regular expression: captures, flags, look-around, conditions. The rest of the parser
-- extends the same object. A node is { t = kind, ... }; its width (least and most characters) is
-- kept for look-behind.
local M = {}

---@class pai.osmo.RegexParser
local Parser = {}
Parser.__index = Parser

function Parser:fail(message)
  error({ regex = message, at = self.at }, 0)
end

function Parser:peek(text)
  for i = 1, #text do
    if self.src[self.at + i - 1] ~= text:sub(i, i) then
      return false
    end
  end
  return true
end

function Parser:take(text)
  if self:peek(text) then
    self.at = self.at + #text
    return true
  end
  return false
end

function Parser:digits()
  local from = self.at
  while (self.src[self.at] or ""):find("^%d$") do
    self.at = self.at + 1
  end
  return table.concat(self.src, "", from, self.at - 1)
end

local function node(t, low, high, fields)
  fields = fields or {}
  fields.t, fields.low, fields.high = t, low, high
  return fields
end

local FLAGS = "[aiLmsux]"

-- Letters of (?letters) or (?letters-letters:...), after "(?".
function Parser:flag_letters()
  local on, off, negative = {}, {}, false
  while true do
    local c = self.src[self.at]
    if c == nil then
      self:fail("missing -, : or )")
    elseif c == "-" and not negative then
      negative = true
    elseif c:find(FLAGS) then
      if c == "L" then
        self:fail("bad inline flags: cannot use 'L' flag with a str pattern")
      elseif (c == "a" or c == "u") and (negative or on[c == "a" and "u" or "a"]) then
        self:fail("bad inline flags: flags 'a' and 'u' are incompatible or cannot be turned off")
      end
      local into = negative and off or on
      into[c] = true
    elseif c == ":" or (c == ")" and not negative) then
      break
    else
      self:fail("unknown flag")
    end
    self.at = self.at + 1
  end
  if negative and not next(off) then
    self:fail("missing flag")
  end
  for letter in pairs(off) do
    if on[letter] then
      self:fail("bad inline flags: flag turned on and off")
    end
  end
  return on, off
end

local function merged(flags, on, off)
  local out = {}
  for letter in pairs(flags) do
    out[letter] = not off[letter] or nil
  end
  for letter in pairs(on) do
    out[letter] = true
  end
  return out
end

function Parser:flag_group()
  local on, off = self:flag_letters()
  if self:take(")") then
    if self.depth > 1 or self.started then
      self:fail("global flags not at the start of the expression")
    end
    self.flags = merged(self.flags, on, {})
    return nil
  end
  self.at = self.at + 1
  local before = self.flags
  self.flags = merged(before, on, off)
  local inner = self:alternatives()
  self.flags = before
  self:close()
  return node("seq", inner.low, inner.high, { inner })
end

function Parser:close()
  if not self:take(")") then
    self:fail("missing ), unterminated subpattern")
  end
end

function Parser:name(stop)
  local from = self.at
  while self.src[self.at] and self.src[self.at] ~= stop do
    self.at = self.at + 1
  end
  local name = table.concat(self.src, "", from, self.at - 1)
  if not self:take(stop) then
    self:fail("missing " .. stop .. ", unterminated name")
  elseif name == "" then
    self:fail("missing group name")
  end
  return name
end

local function is_identifier(name)
  return name:find("^[%a_\128-\255][%w_\128-\255]*$") ~= nil
end

function Parser:capture(name)
  self.count = self.count + 1
  local number = self.count
  if name then
    if not is_identifier(name) then
      self:fail("bad character in group name '" .. name .. "'")
    elseif self.names[name] then
      self:fail("redefinition of group name '" .. name .. "'")
    end
    self.names[name] = number
  end
  self.groups[number] = { open = true }
  local inner = self:alternatives()
  self:close()
  self.groups[number] = { node = inner }
  return node("group", inner.low, inner.high, { inner, group = number })
end

function Parser:look(behind, negated)
  if behind and self.behind == 0 then
    self.behind_from = self.count
  end
  self.behind = self.behind + (behind and 1 or 0)
  local inner = self:alternatives()
  self.behind = self.behind - (behind and 1 or 0)
  self:close()
  if behind and inner.low ~= inner.high then
    self:fail("look-behind requires fixed-width pattern")
  end
  return node("look", 0, 0, { inner, behind = behind, negated = negated })
end

function Parser:conditional()
  local name = self:name(")")
  local number = self.names[name]
  if not number then
    number = name:find("^%d+$") and math.tointeger(tonumber(name))
    if not number and not is_identifier(name) then
      self:fail("bad character in group name '" .. name .. "'")
    elseif not number then
      self:fail("unknown group name '" .. name .. "'")
    elseif number == 0 then
      self:fail("bad group number")
    end
  end
  self.wanted[#self.wanted + 1] = number
  local yes = self:sequence()
  local no = node("seq", 0, 0)
  if self:take("|") then
    no = self:sequence()
    if self:peek("|") then
      self:fail("conditional backref with more than two branches")
    end
  end
  self:close()
  local low, high = math.min(yes.low, no.low), math.max(yes.high, no.high)
  return node("cond", low, high, { yes, no, group = number })
end

function Parser:group()
  if not self:take("?") then
    return self:capture()
  elseif self:take("P<") then
    return self:capture(self:name(">"))
  elseif self:take("P=") then
    local name = self:name(")")
    if not self.names[name] then
      self:fail("unknown group name '" .. name .. "'")
    end
    return self:reference(self.names[name])
  elseif self:take(":") or self:peek(">") then
    local atomic = self:take(">")
    local inner = self:alternatives()
    self:close()
    return node(atomic and "atomic" or "seq", inner.low, inner.high, { inner })
  elseif self:take("#") then
    repeat
      if self.src[self.at] == nil then
        self:fail("missing ), unterminated comment")
      end
      self.at = self.at + 1
    until self.src[self.at - 1] == ")"
    return nil
  elseif self:take("=") then
    return self:look(false, false)
  elseif self:take("!") then
    return self:look(false, true)
  elseif self:take("<=") then
    return self:look(true, false)
  elseif self:take("<!") then
    return self:look(true, true)
  elseif self:take("(") then
    return self:conditional()
  elseif (self.src[self.at] or ""):find("^[aiLmsux-]$") then
    return self:flag_group()
  end
  return self:fail("unknown extension ?" .. (self.src[self.at] or ""))
end

M.Parser, M.node = Parser, node

return M
