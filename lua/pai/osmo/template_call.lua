-- Calls, filters and tests of the template parser: what follows a value and takes arguments.
local expr = require("pai.osmo.template_expr")

local M = {}
local Parser = expr.Parser

-- Arguments after "(": { args, kwargs = { {name, node} }, star, star_star }.
function Parser:arguments()
  local line = self:expect("(").line
  local a = { args = {}, kwargs = {} }
  local function ensure(ok)
    if not ok then
      self:fail("invalid syntax for function call expression", line)
    end
  end
  local first = true
  while not self:test(")") do
    if not first then
      self:expect(",")
      if self:test(")") then
        break
      end
    end
    first = false
    if self:skip_if("*") then
      ensure(not a.star and not a.star_star)
      a.star = self:expression()
    elseif self:skip_if("**") then
      ensure(not a.star_star)
      a.star_star = self:expression()
    elseif self:test("name") and self:look().type == "=" then
      ensure(not a.star_star)
      local name = self:next().value
      self:next()
      a.kwargs[#a.kwargs + 1] = { name, self:expression() }
    else
      ensure(not a.star and not a.star_star and #a.kwargs == 0)
      a.args[#a.args + 1] = self:expression()
    end
  end
  self:expect(")")
  return a
end

function Parser:call(node)
  local line = self.cur.line
  return { t = "Call", line = line, value = node, a = self:arguments() }
end

function Parser:dotted_name()
  local name = self:expect("name").value
  while self:skip_if(".") do
    name = name .. "." .. self:expect("name").value
  end
  return name
end

-- One filter or a chain of them. node nil: the filter of a block, whose input comes later.
function Parser:filter(node, inline)
  while self:test("|") or inline do
    if not inline then
      self:next()
    end
    inline = false
    local line = self.cur.line
    local name = self:dotted_name()
    local a = self:test("(") and self:arguments() or { args = {}, kwargs = {} }
    node = { t = "Filter", line = line, name = name, value = node, a = a }
  end
  return node
end

local ARGUMENT = { string = true, integer = true, float = true, ["("] = true, ["["] = true }
ARGUMENT["{"] = true

function Parser:is(node)
  local line = self:next().line
  local negated = self:skip_if("name", "not")
  local name = self:dotted_name()
  local a = { args = {}, kwargs = {} }
  if self:test("(") then
    a = self:arguments()
  elseif ARGUMENT[self.cur.type] or self:test("name") then
    local word = self:test("name") and self.cur.value
    if word == "is" then
      self:fail("You cannot chain multiple tests with is")
    elseif word ~= "else" and word ~= "or" and word ~= "and" then
      a.args[1] = self:postfix(self:primary())
    end
  end
  local result = { t = "Test", line = line, name = name, value = node, a = a }
  return negated and { t = "Not", line = line, value = result } or result
end

M.Parser = Parser

return M
