-- Python's regular expressions, for the `regex` of inputs and outputs and for log queries. The tree
-- becomes closures that try and go back; a bound on the steps ends what would take for ever.
local class = require("pai.osmo.regex_class")
local err = require("pai.err")
local parse = require("pai.osmo.regex_parse")

local M = {}

-- Steps of one match; a second or so.
local MAX_STEPS <const> = 2000000

local EMIT = {}

-- A matcher is fn(m, i) -> index after the match, or nil; m holds subject, captures and steps.
local function emit(node, next_fn)
  return EMIT[node.t](node, next_fn)
end

local function step(m)
  m.steps = m.steps + 1
  if m.steps > MAX_STEPS then
    err.raise("ELIMIT", "the regular expression takes too long on this text")
  end
end

local function fold(code)
  return code >= 65 and code <= 90 and code + 32 or code
end

-- Nodes of one character: a test of a code point.
local SINGLE = {}

function SINGLE.char(node)
  local code = node.code
  if node.fold then
    code = fold(code)
    return function(c)
      return fold(c) == code
    end
  end
  return function(c)
    return c == code
  end
end

function SINGLE.any(node)
  return function(c)
    return node.all or c ~= 10
  end
end

function SINGLE.set(node)
  local test, negated = node.test, node.negated == true
  return function(c)
    local found = test(c)
    if node.fold and not found then
      local low = fold(c)
      found = test(low) or (low >= 97 and low <= 122 and test(low - 32))
    end
    return found ~= negated
  end
end

for kind, make in pairs(SINGLE) do
  EMIT[kind] = function(node, next_fn)
    local test = make(node)
    return function(m, i)
      local c = m.subject[i]
      return c and test(c) and next_fn(m, i + 1) or nil
    end
  end
end

function EMIT.seq(node, next_fn)
  for i = #node, 1, -1 do
    next_fn = emit(node[i], next_fn)
  end
  return next_fn
end

function EMIT.alt(node, next_fn)
  local branches = {}
  for i, branch in ipairs(node) do
    branches[i] = emit(branch, next_fn)
  end
  return function(m, i)
    step(m)
    for _, branch in ipairs(branches) do
      local last = branch(m, i)
      if last then
        return last
      end
    end
  end
end

function EMIT.group(node, next_fn)
  local number = node.group
  local function close(m, i)
    local before = m.caps[number]
    m.caps[number] = { m.opened[number], i }
    local last = next_fn(m, i)
    if not last then
      m.caps[number] = before
    end
    return last
  end
  local inner = emit(node[1], close)
  return function(m, i)
    local before = m.opened[number]
    m.opened[number] = i
    local last = inner(m, i)
    m.opened[number] = before
    return last
  end
end

function EMIT.ref(node, next_fn)
  local function same(a, b)
    return a == b or (node.fold and a and b and fold(a) == fold(b))
  end
  return function(m, i)
    local cap = m.caps[node.group]
    if not cap then
      return nil
    end
    for k = cap[1], cap[2] - 1 do
      if not same(m.subject[k], m.subject[i + k - cap[1]]) then
        return nil
      end
    end
    return next_fn(m, i + cap[2] - cap[1])
  end
end

-- One character, repeated: no recursion, so that long texts are no matter.
local function repeat_single(node, next_fn)
  local test = SINGLE[node[1].t](node[1])
  local least, most, lazy = node.min, node.max, node.lazy
  return function(m, i)
    local limit, count = math.min(most, #m.subject - i + 1), 0
    local stop = lazy and math.min(least, limit) or limit
    while count < stop and test(m.subject[i + count]) do
      count = count + 1
    end
    if count < least then
      return nil
    end
    while true do
      step(m)
      local last = next_fn(m, i + count)
      if last then
        return last
      elseif lazy then
        if count >= limit or not test(m.subject[i + count]) then
          return nil
        end
        count = count + 1
      else
        count = count - 1
        if count < least then
          return nil
        end
      end
    end
  end
end

EMIT["repeat"] = function(node, next_fn)
  if SINGLE[node[1].t] then
    return repeat_single(node, next_fn)
  end
  local least, most = node.min, node.max
  local try
  local inner = emit(node[1], function(m, i)
    local frame = m.loops[node]
    -- a turn that took nothing would go on for ever
    if i == frame.from and frame.count >= least then
      return nil
    end
    return try(m, i, frame.count + 1)
  end)
  local function turn(m, i, count)
    if count >= most then
      return nil
    end
    local before = m.loops[node]
    m.loops[node] = { count = count, from = i }
    local last = inner(m, i)
    m.loops[node] = before
    return last
  end
  local function leave(m, i)
    local before = m.loops[node]
    m.loops[node] = nil
    local last = next_fn(m, i)
    m.loops[node] = before
    return last
  end
  try = function(m, i, count)
    step(m)
    if count < least then
      return turn(m, i, count)
    elseif node.lazy then
      return leave(m, i) or turn(m, i, count)
    end
    return turn(m, i, count) or leave(m, i)
  end
  return function(m, i)
    return try(m, i, 0)
  end
end

local function accept(_, i)
  return i
end

function EMIT.atomic(node, next_fn)
  local inner = emit(node[1], accept)
  return function(m, i)
    local last = inner(m, i)
    return last and next_fn(m, last)
  end
end

function EMIT.look(node, next_fn)
  local inner = emit(node[1], accept)
  return function(m, i)
    step(m)
    local from = node.behind and i - node[1].low or i
    local found = from >= 1 and inner(m, from) ~= nil
    if found == node.negated then
      return nil
    end
    return next_fn(m, i)
  end
end

function EMIT.cond(node, next_fn)
  local yes, no = emit(node[1], next_fn), emit(node[2], next_fn)
  return function(m, i)
    return (m.caps[node.group] and yes or no)(m, i)
  end
end

local function is_word(m, i)
  local c = m.subject[i]
  return c ~= nil and class.is_word(c)
end

local ANCHORS = {
  start = function(_, i)
    return i == 1
  end,
  finish = function(m, i)
    return i == #m.subject + 1
  end,
  eof = function(m, i)
    return i == #m.subject + 1 or (i == #m.subject and m.subject[i] == 10)
  end,
  bol = function(m, i)
    return i == 1 or m.subject[i - 1] == 10
  end,
  eol = function(m, i)
    return i == #m.subject + 1 or m.subject[i] == 10
  end,
  word = function(m, i)
    return is_word(m, i - 1) ~= is_word(m, i)
  end,
  -- Python says no to \B on an empty text
  notword = function(m, i)
    return #m.subject > 0 and is_word(m, i - 1) == is_word(m, i)
  end,
}
for kind, holds in pairs(ANCHORS) do
  EMIT[kind] = function(_, next_fn)
    return function(m, i)
      return holds(m, i) and next_fn(m, i) or nil
    end
  end
end

-- Code points of a text; bytes where it is not UTF-8. Second: whether the two are the same.
local function subject_of(text)
  if not text:find("[\128-\255]") or not utf8.len(text) then
    local bytes = {}
    for from = 1, #text, 4096 do
      local chunk = { text:byte(from, math.min(#text, from + 4095)) }
      table.move(chunk, 1, #chunk, from, bytes)
    end
    return bytes, true
  end
  local codes = {}
  for _, code in utf8.codes(text) do
    codes[#codes + 1] = code
  end
  return codes, false
end

---@class pai.osmo.Regex
---@field text string
local Regex = {}
Regex.__index = Regex

local function run(self, text, from, to)
  local subject, bytes = subject_of(text)
  local m = { subject = subject, steps = 0 }
  for i = from, to or #subject + 1 do
    m.caps, m.opened, m.loops = {}, {}, {}
    local last = self.matcher(m, i)
    if last then
      if bytes then
        return i, last - 1
      end
      return utf8.offset(text, i), utf8.offset(text, last) - 1
    end
  end
  return nil
end

---Matches at the start of a text, as `re.match` does.
---@param text string
---@return integer? last byte that matched (0 for nothing)
function Regex:match(text)
  local _, last = run(self, text, 1, 1)
  return last
end

---Finds the first match anywhere, as `re.search` does.
---@param text string
---@return integer? first byte
---@return integer? last
function Regex:search(text)
  return run(self, text, 1)
end

---Compiles a regular expression.
---@param text string
---@return pai.osmo.Regex? regex
---@return pai.Error? err
function M.compile(text)
  if not utf8.len(text) then
    return err.fail("EPARSE", "a regular expression must be UTF-8")
  end
  local tree, reason = parse.parse(text)
  if not tree then
    return err.fail("EPARSE", ("'%s' is no regular expression: %s"):format(text, reason))
  end
  return setmetatable({ text = text, matcher = emit(tree, accept) }, Regex)
end

return M
