-- The statement half of the template parser: tags and the text between them become a list of nodes.
local calls = require("pai.osmo.template_call")
local lexer = require("pai.osmo.template_lexer")

local M = {}
local Parser = calls.Parser

local STATEMENTS = {}

-- What the tags of well-known extensions are told, as those are not switched on.
local EXTENSIONS =
  { ["do"] = true, ["break"] = true, ["continue"] = true, trans = true, debug = true }

function Parser:statement()
  local token = self.cur
  if token.type ~= "name" then
    self:fail("tag name expected", token.line)
  end
  local parse = STATEMENTS[token.value]
  if not parse then
    local hint = ""
    local open = self.open[#self.open]
    if open then
      hint = (" The innermost block that needs to be closed is '%s'."):format(open)
    elseif EXTENSIONS[token.value] then
      hint = " It belongs to an extension that is not switched on."
    end
    self:fail(("Encountered unknown tag '%s'.%s"):format(token.value, hint), token.line)
  end
  self.open[#self.open + 1] = token.value
  self:enter()
  local node = parse(self, token.line)
  self:leave()
  self.open[#self.open] = nil
  return node
end

-- The body of a statement up to one of the words in ends; the word stays the current token.
function Parser:body(ends, drop)
  self:skip_if(":")
  self:expect("block_end")
  local nodes = self:nodes(ends)
  if self.cur.type == "eof" then
    local names = table.concat(ends, "' or '")
    local message = "Unexpected end of template. Looking for '%s', as '%s' is not closed."
    self:fail(message:format(names, self.open[#self.open] or "?"))
  end
  if drop then
    self:next()
  end
  return nodes
end

local function among(word, list)
  for _, item in ipairs(list or {}) do
    if item == word then
      return true
    end
  end
  return false
end

function Parser:nodes(ends)
  local nodes = {}
  while self.cur.type ~= "eof" do
    local token = self:next()
    if token.type == "data" then
      nodes[#nodes + 1] = { t = "Data", line = token.line, text = token.value }
    elseif token.type == "variable_begin" then
      nodes[#nodes + 1] = { t = "Print", line = token.line, value = self:tuple({}) }
      self:expect("variable_end")
    else
      if ends and self.cur.type == "name" and among(self.cur.value, ends) then
        return nodes
      end
      nodes[#nodes + 1] = self:statement()
      self:expect("block_end")
    end
  end
  return nodes
end

local function assignable(self, node)
  if node.t == "Tuple" then
    for _, item in ipairs(node.items) do
      assignable(self, item)
    end
  elseif node.t ~= "Name" then
    self:fail(("can't assign to '%s'"):format(node.t:lower()), node.line)
  end
  return node
end

-- opts: namespace (ns.name is allowed), name_only, stop.
function Parser:target(opts)
  if opts.namespace and self:look().type == "." then
    local token = self:expect("name")
    self:next()
    return { t = "NSRef", line = token.line, name = token.value, attr = self:expect("name").value }
  elseif opts.name_only then
    local token = self:expect("name")
    if token.value:lower() == "none" or token.value:lower() == "true" then
      self:fail("can't assign to 'const'", token.line)
    end
    return { t = "Name", line = token.line, name = token.value }
  end
  return assignable(self, self:tuple({ simple = true, stop = opts.stop }))
end

function STATEMENTS.set(self, line)
  self:next()
  local target = self:target({ namespace = true })
  if self:skip_if("=") then
    return { t = "Set", line = line, target = target, value = self:tuple({}) }
  end
  local filter = self:filter(nil)
  local body = self:body({ "endset" }, true)
  return { t = "SetBlock", line = line, target = target, filter = filter, body = body }
end

STATEMENTS["for"] = function(self, line)
  self:next()
  local node = { t = "For", line = line, target = self:target({ stop = "in" }) }
  self:expect("name", "in")
  node.iter = self:tuple({ no_condition = true, stop = "recursive" })
  if self:skip_if("name", "if") then
    node.test = self:expression()
  end
  node.recursive = self:skip_if("name", "recursive")
  node.body = self:body({ "endfor", "else" })
  if self:next().value == "else" then
    node.other = self:body({ "endfor" }, true)
  end
  return node
end

STATEMENTS["if"] = function(self, line)
  local node = { t = "If", line = line, branches = {} }
  repeat
    self:next()
    local test = self:tuple({ no_condition = true })
    local body = self:body({ "elif", "else", "endif" })
    node.branches[#node.branches + 1] = { test = test, body = body }
  until not self:test("name", "elif")
  if self:next().value == "else" then
    node.other = self:body({ "endif" }, true)
  end
  return node
end

function STATEMENTS.with(self, line)
  self:next()
  local node = { t = "With", line = line, targets = {}, values = {} }
  while not self:test("block_end") do
    if #node.targets > 0 then
      self:expect(",")
    end
    node.targets[#node.targets + 1] = self:target({})
    self:expect("=")
    node.values[#node.values + 1] = self:expression()
  end
  node.body = self:body({ "endwith" }, true)
  return node
end

function STATEMENTS.block(self, line)
  self:next()
  local name = self:expect("name").value
  self:skip_if("name", "scoped")
  local required = self:skip_if("name", "required")
  if self:test("-") then
    self:fail("block names must be identifiers: use an underscore in place of the hyphen")
  elseif self.blocks[name] then
    self:fail(("block '%s' defined twice"):format(name), line)
  end
  self.blocks[name] = true
  local body = self:body({ "endblock" }, true)
  self:skip_if("name", name)
  return { t = "Block", line = line, name = name, required = required, body = body }
end

function Parser:signature()
  local params = {}
  self:expect("(")
  local defaults = false
  while not self:test(")") do
    if #params > 0 then
      self:expect(",")
    end
    local param = { name = self:target({ name_only = true }).name }
    if self:skip_if("=") then
      param.default = self:expression()
      defaults = true
    elseif defaults then
      self:fail("non-default argument follows default argument")
    end
    params[#params + 1] = param
  end
  self:expect(")")
  return params
end

function STATEMENTS.macro(self, line)
  self:next()
  local name = self:target({ name_only = true }).name
  local params = self:signature()
  local body = self:body({ "endmacro" }, true)
  return { t = "Macro", line = line, name = name, params = params, body = body }
end

function STATEMENTS.call(self, line)
  self:next()
  local params = self:test("(") and self:signature() or {}
  local call = self:expression()
  if call.t ~= "Call" then
    self:fail("expected call", line)
  end
  local body = self:body({ "endcall" }, true)
  return { t = "CallBlock", line = line, params = params, call = call, body = body }
end

function STATEMENTS.filter(self, line)
  self:next()
  local filter = self:filter(nil, true)
  local body = self:body({ "endfilter" }, true)
  return { t = "FilterBlock", line = line, filter = filter, body = body }
end

function STATEMENTS.print(self, line)
  self:next()
  local nodes = {}
  while not self:test("block_end") do
    if #nodes > 0 then
      self:expect(",")
    end
    nodes[#nodes + 1] = { t = "Print", line = line, value = self:expression() }
  end
  return { t = "Scope", line = line, body = nodes }
end

-- These read other templates, of which there are none. Upstream finds out when it renders.
for word, form in pairs({ extends = "", include = "", import = "as", from = "import" }) do
  STATEMENTS[word] = function(self, line)
    self:next()
    self:expression()
    if form ~= "" then
      self:expect("name", form)
    end
    while not self:test("block_end") do
      if self:next().type == "eof" then
        self:fail("unexpected end of template")
      end
    end
    return { t = "Loader", line = line, name = word }
  end
end

function STATEMENTS.autoescape(self, line)
  self:next()
  self:expression()
  local body = self:body({ "endautoescape" }, true)
  return { t = "Unsupported", line = line, name = "autoescape", body = body }
end

---Parses a template into a list of nodes; raises { pykind, message, line }.
---@param text string
---@return table[] nodes
function M.parse(text)
  local tokens = lexer.tokens(text)
  local parser = { tokens = tokens, at = 1, cur = tokens[1], depth = 0, open = {}, blocks = {} }
  return setmetatable(parser, Parser):nodes(nil)
end

return M
