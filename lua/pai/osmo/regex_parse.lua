-- Python's regular expressions as a tree; what `re.compile` refuses is refused here.
local base = require("pai.osmo.regex_group")
local class = require("pai.osmo.regex_class")

local M = {}
local HUGE = math.huge

local Parser, node = base.Parser, base.node

function Parser:char(code)
  return node("char", 1, 1, { code = code, fold = self.flags.i })
end

function Parser:reference(number)
  local group = self.groups[number]
  if not group then
    self:fail(("invalid group reference %s"):format(number))
  elseif group.open then
    self:fail("cannot refer to an open group")
  elseif self.behind > 0 and number > self.behind_from then
    self:fail("cannot refer to group defined in the same lookbehind subpattern")
  end
  return node("ref", group.node.low, group.node.high, { group = number, fold = self.flags.i })
end

local ANCHORS = { A = "start", Z = "finish", b = "word", B = "notword" }

function Parser:escape()
  local c = self.src[self.at]
  if ANCHORS[c] then
    self.at = self.at + 1
    return node(ANCHORS[c], 0, 0)
  elseif c and c:find("^[1-9]$") then
    local three = table.concat(self.src, "", self.at, math.min(#self.src, self.at + 2))
    if three:find("^[0-7][0-7][0-7]$") then
      self.at = self.at + 3
      if tonumber(three, 8) > 255 then
        self:fail("octal escape value \\" .. three .. " outside of range 0-0o377")
      end
      return self:char(tonumber(three, 8))
    end
    local number = three:match("^%d%d?")
    self.at = self.at + #number
    return self:reference(math.tointeger(tonumber(number)))
  end
  local code, category = class.escape(self, false)
  if category then
    return node("set", 1, 1, { test = category })
  end
  return self:char(code)
end

-- The bounds of a quantifier at this place; nil when there is none.
function Parser:bounds()
  if self:take("*") then
    return 0, HUGE
  elseif self:take("+") then
    return 1, HUGE
  elseif self:take("?") then
    return 0, 1
  elseif not self:peek("{") or self:peek("{}") then
    return nil
  end
  local here = self.at
  self.at = here + 1
  local low = self:digits()
  local high = low
  if self:take(",") then
    high = self:digits()
  end
  if not self:take("}") then
    self.at = here
    return nil
  end
  local least, most = tonumber(low) or 0, tonumber(high) or HUGE
  if least >= 0xFFFFFFFF or (most ~= HUGE and most >= 0xFFFFFFFF) then
    self:fail("the repetition number is too large")
  elseif most < least then
    self:fail("min repeat greater than max repeat")
  end
  return least, most
end

local NO_REPEAT = {}
for _, kind in ipairs({ "start", "finish", "word", "notword", "bol", "eol", "eof" }) do
  NO_REPEAT[kind] = true
end

-- The item with the quantifier that stands here.
function Parser:quantified(item)
  local here = self.at
  local low, high = self:bounds()
  if not item or NO_REPEAT[item.t] or item.quantified then
    self.at = here
    self:fail(item and item.quantified and "multiple repeat" or "nothing to repeat")
  end
  local lazy = self:take("?")
  local possessive = not lazy and self:take("+")
  local most = (high == HUGE and item.high == 0) and 0 or item.high * high
  local result = node("repeat", item.low * low, most, { item, min = low, max = high, lazy = lazy })
  if possessive then
    result = node("atomic", result.low, result.high, { result })
  end
  result.quantified = true
  return result
end

function Parser:skip_verbose()
  while self.flags.x do
    local c = self.src[self.at]
    if c == "#" then
      while self.src[self.at] and self.src[self.at] ~= "\n" do
        self.at = self.at + 1
      end
    elseif c and c:find("^%s$") then
      self.at = self.at + 1
    else
      return
    end
  end
end

function Parser:item()
  local c = self.src[self.at]
  self.at = self.at + 1
  if c == "(" then
    self.depth = self.depth + 1
    if self.depth > 100 then
      self:fail("groups are nested too deep")
    end
    local group = self:group()
    self.depth = self.depth - 1
    return group
  elseif c == "[" then
    local test, negated = class.class(self)
    return node("set", 1, 1, { test = test, negated = negated, fold = self.flags.i })
  elseif c == "." then
    return node("any", 1, 1, { all = self.flags.s })
  elseif c == "^" then
    return node(self.flags.m and "bol" or "start", 0, 0)
  elseif c == "$" then
    return node(self.flags.m and "eol" or "eof", 0, 0)
  elseif c == "\\" then
    return self:escape()
  end
  return self:char(utf8.codepoint(c))
end

function Parser:sequence()
  local out = node("seq", 0, 0)
  while true do
    self:skip_verbose()
    local c = self.src[self.at]
    if c == nil or c == "|" or c == ")" then
      break
    elseif self:bounds_follow() then
      local item = self:quantified(out[#out])
      out[#out] = item
    else
      out[#out + 1] = self:item() -- nothing for a comment or for flags
      self.started = self.started or (self.depth == 0 and #out > 0)
    end
  end
  for _, item in ipairs(out) do
    out.low, out.high = out.low + item.low, out.high + item.high
  end
  return out
end

function Parser:bounds_follow()
  local here = self.at
  local low = self:bounds()
  self.at = here
  return low ~= nil
end

function Parser:alternatives()
  local first = self:sequence()
  if not self:peek("|") then
    return first
  end
  local out = node("alt", first.low, first.high, { first })
  while self:take("|") do
    self.started = self.started or self.depth == 0
    local branch = self:sequence()
    out[#out + 1] = branch
    out.low, out.high = math.min(out.low, branch.low), math.max(out.high, branch.high)
  end
  return out
end

---Parses a regular expression.
---@param text string
---@return table? tree
---@return string|integer messageOrGroups how many groups there are
function M.parse(text)
  local src = {}
  for _, code in utf8.codes(text) do
    src[#src + 1] = utf8.char(code)
  end
  local parser = setmetatable({
    src = src,
    at = 1,
    count = 0,
    depth = 0,
    behind = 0,
    behind_from = 0,
    groups = {},
    names = {},
    wanted = {},
    flags = {},
  }, Parser)
  local ok, tree = pcall(function()
    local tree = parser:alternatives()
    if parser.at <= #src then
      parser:fail("unbalanced parenthesis")
    end
    for _, number in ipairs(parser.wanted) do
      if number > parser.count then
        parser:fail(("invalid group reference %d"):format(number))
      end
    end
    return tree
  end)
  if ok then
    return tree, parser.count
  elseif type(tree) == "table" and tree.regex then
    return nil, ("%s at position %d"):format(tree.regex, tree.at - 1)
  end
  error(tree, 0)
end

return M
