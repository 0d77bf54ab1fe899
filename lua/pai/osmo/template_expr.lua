-- The expression half of the template parser: precedence climbing over the lexer's tokens. A node
-- is { t = kind, line = n, ... }. The statement half extends the same parser object.
local M = {}

-- Nesting of brackets and operators; deeper text is refused rather than left to the Lua stack.
local MAX_DEPTH = 150

---@class pai.osmo.TemplateParser
local Parser = {}
Parser.__index = Parser
M.Parser = Parser

function Parser:fail(message, line)
  error({ pykind = "TemplateSyntaxError", message = message, line = line or self.cur.line }, 0)
end

local DESCRIBE = {
  block_begin = "begin of statement block",
  block_end = "end of statement block",
  variable_begin = "begin of print statement",
  variable_end = "end of print statement",
  eof = "end of template",
  data = "template data / text",
}

function Parser.describe(token)
  return token.type == "name" and token.value or DESCRIBE[token.type] or token.type
end

function Parser:next()
  local token = self.cur
  if token.type ~= "eof" then
    self.at = self.at + 1
    self.cur = self.tokens[self.at]
  end
  return token
end

function Parser:look()
  return self.tokens[self.at + 1] or self.cur
end

-- kind is a token type; with name, the current token must be that very word.
function Parser:test(kind, name)
  return self.cur.type == kind and (name == nil or self.cur.value == name)
end

function Parser:skip_if(kind, name)
  if self:test(kind, name) then
    self:next()
    return true
  end
  return false
end

function Parser:expect(kind, name)
  if not self:test(kind, name) then
    local wanted = name or DESCRIBE[kind] or kind
    if self.cur.type == "eof" then
      self:fail(("unexpected end of template, expected '%s'"):format(wanted))
    end
    self:fail(("expected token '%s', got '%s'"):format(wanted, self.describe(self.cur)))
  end
  return self:next()
end

function Parser:enter()
  self.depth = self.depth + 1
  if self.depth > MAX_DEPTH then
    self:fail("expressions or blocks are nested too deep")
  end
end

function Parser:leave()
  self.depth = self.depth - 1
end

function Parser:expression(no_condition)
  self:enter()
  local node = no_condition and self:or_() or self:condition()
  self:leave()
  return node
end

function Parser:condition()
  local line = self.cur.line
  local node = self:or_()
  while self:skip_if("name", "if") do
    local test = self:or_()
    local other
    if self:skip_if("name", "else") then
      self:enter()
      other = self:condition()
      self:leave()
    end
    node = { t = "Cond", line = line, test = test, yes = node, no = other }
    line = self.cur.line
  end
  return node
end

function Parser:or_()
  local node = self:and_()
  while self:test("name", "or") do
    local line = self:next().line
    node = { t = "Or", line = line, left = node, right = self:and_() }
  end
  return node
end

function Parser:and_()
  local node = self:not_()
  while self:test("name", "and") do
    local line = self:next().line
    node = { t = "And", line = line, left = node, right = self:not_() }
  end
  return node
end

function Parser:not_()
  if not self:test("name", "not") then
    return self:compare()
  end
  local line = self:next().line
  self:enter()
  local node = { t = "Not", line = line, value = self:not_() }
  self:leave()
  return node
end

local COMPARE = { ["=="] = 1, ["!="] = 1, ["<"] = 1, ["<="] = 1, [">"] = 1, [">="] = 1 }

function Parser:compare()
  local line = self.cur.line
  local first = self:sum()
  local ops = {}
  while true do
    local op
    if COMPARE[self.cur.type] then
      op = self:next().type
    elseif self:skip_if("name", "in") then
      op = "in"
    elseif
      self:test("name", "not")
      and self:look().type == "name"
      and self:look().value == "in"
    then
      self:next()
      self:next()
      op = "not in"
    else
      break
    end
    ops[#ops + 1] = { op = op, value = self:sum() }
  end
  return #ops == 0 and first or { t = "Compare", line = line, value = first, ops = ops }
end

-- A left-associative level: operands come from `operand`, operators are the keys of `ops`.
local function binary(ops, operand)
  return function(self)
    local node = self[operand](self)
    while ops[self.cur.type] do
      local op = self:next()
      node = { t = "Bin", line = op.line, op = op.type, left = node, right = self[operand](self) }
    end
    return node
  end
end

Parser.sum = binary({ ["+"] = true, ["-"] = true }, "concat")
Parser.product = binary({ ["*"] = true, ["/"] = true, ["//"] = true, ["%"] = true }, "power")
Parser.power = binary({ ["**"] = true }, "unary")

function Parser:concat()
  local first = self:product()
  if not self:test("~") then
    return first
  end
  local node = { t = "Concat", line = self.cur.line, first }
  while self:skip_if("~") do
    node[#node + 1] = self:product()
  end
  return node
end

function Parser:unary(no_filter)
  local node
  if self:test("-") or self:test("+") then
    local op = self:next()
    self:enter()
    node = { t = "Unary", line = op.line, op = op.type, value = self:unary(true) }
    self:leave()
  else
    node = self:primary()
  end
  node = self:postfix(node)
  return no_filter and node or self:filters(node)
end

local CONSTANTS = {
  ["true"] = true,
  ["True"] = true,
  ["false"] = false,
  ["False"] = false,
}

function Parser:primary()
  local token = self.cur
  if token.type == "name" then
    self:next()
    if CONSTANTS[token.value] ~= nil then
      return { t = "Const", line = token.line, value = CONSTANTS[token.value] }
    elseif token.value == "none" or token.value == "None" then
      return { t = "Const", line = token.line, none = true }
    end
    return { t = "Name", line = token.line, name = token.value }
  elseif token.type == "string" then
    local parts = {}
    while self:test("string") do
      parts[#parts + 1] = self:next().value
    end
    return { t = "Const", line = token.line, value = table.concat(parts) }
  elseif token.type == "integer" or token.type == "float" then
    self:next()
    return { t = "Const", line = token.line, value = token.value }
  elseif token.type == "(" then
    self:next()
    local node = self:tuple({ explicit = true })
    self:expect(")")
    return node
  elseif token.type == "[" then
    return self:list()
  elseif token.type == "{" then
    return self:dict()
  end
  return self:fail(("unexpected '%s'"):format(self.describe(token)), token.line)
end

function Parser:tuple_ends(stop)
  local kind = self.cur.type
  return kind == "variable_end"
    or kind == "block_end"
    or kind == ")"
    or (stop ~= nil and self:test("name", stop))
end

-- One expression, or several with commas between them. opts: explicit (inside brackets), simple
-- (names only), no_condition, stop (a word that ends it).
function Parser:tuple(opts)
  local line = self.cur.line
  local items, is_tuple = {}, false
  self:enter()
  while true do
    if #items > 0 then
      self:expect(",")
    end
    if self:tuple_ends(opts.stop) then
      break
    end
    items[#items + 1] = opts.simple and self:primary() or self:expression(opts.no_condition)
    if not self:test(",") then
      break
    end
    is_tuple = true
  end
  self:leave()
  if not is_tuple then
    if items[1] then
      return items[1]
    elseif not opts.explicit then
      self:fail(("Expected an expression, got '%s'"):format(self.describe(self.cur)))
    end
  end
  return { t = "Tuple", line = line, items = items }
end

function Parser:list()
  local node = { t = "List", line = self:expect("[").line, items = {} }
  while not self:test("]") do
    if #node.items > 0 then
      self:expect(",")
      if self:test("]") then
        break
      end
    end
    node.items[#node.items + 1] = self:expression()
  end
  self:expect("]")
  return node
end

function Parser:dict()
  local node = { t = "Dict", line = self:expect("{").line, pairs = {} }
  while not self:test("}") do
    if #node.pairs > 0 then
      self:expect(",")
      if self:test("}") then
        break
      end
    end
    local key = self:expression()
    self:expect(":")
    node.pairs[#node.pairs + 1] = { key, self:expression() }
  end
  self:expect("}")
  return node
end

function Parser:postfix(node)
  while true do
    if self:test(".") or self:test("[") then
      node = self:subscript(node)
    elseif self:test("(") then
      node = self:call(node)
    else
      return node
    end
  end
end

function Parser:filters(node)
  while true do
    if self:test("|") then
      node = self:filter(node)
    elseif self:test("name", "is") then
      node = self:is(node)
    elseif self:test("(") then
      node = self:call(node)
    else
      return node
    end
  end
end

function Parser:subscript(node)
  local token = self:next()
  if token.type == "." then
    local attr = self:next()
    if attr.type == "name" then
      return { t = "Attr", line = token.line, value = node, name = attr.value }
    elseif attr.type ~= "integer" then
      self:fail("expected name or number", attr.line)
    end
    local index = { t = "Const", line = attr.line, value = attr.value }
    return { t = "Item", line = token.line, value = node, index = index }
  end
  local items = {}
  while not self:test("]") do
    if #items > 0 then
      self:expect(",")
    end
    items[#items + 1] = self:subscribed()
  end
  self:expect("]")
  local index = #items == 1 and items[1] or { t = "Tuple", line = token.line, items = items }
  return { t = "Item", line = token.line, value = node, index = index }
end

function Parser:subscribed()
  local line = self.cur.line
  local from
  if not self:test(":") then
    from = self:expression()
    if not self:test(":") then
      return from
    end
  end
  self:next()
  local node = { t = "Slice", line = line, from = from }
  if not (self:test(":") or self:test("]") or self:test(",")) then
    node.to = self:expression()
  end
  if self:skip_if(":") and not (self:test("]") or self:test(",")) then
    node.step = self:expression()
  end
  return node
end

return M
