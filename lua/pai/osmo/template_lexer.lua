-- Cuts a template into tokens. Data between the tags, whitespace control, raw blocks and comments
-- are settled here, so that the parser sees expressions and statements only.
local value = require("pai.osmo.template_value")

local M = {}

---@class pai.osmo.TemplateToken
---@field type string "data", "variable_begin", "variable_end", "block_begin", "block_end", "name",
---  "string", "integer", "float", "eof" or the operator itself
---@field value any
---@field line integer

local function fail(line, message, ...)
  error({ pykind = "TemplateSyntaxError", message = message:format(...), line = line }, 0)
end

-- Longest first, so that "**" is not read as two tokens.
local OPERATORS = { "**", "//", "==", "!=", ">=", "<=" }
local SINGLE = "^[-+*/%%~%[%](){}<>=.:|,;]"
local CLOSING = { ["("] = ")", ["["] = "]", ["{"] = "}" }

local ESCAPES = {
  ["\n"] = "",
  ["\\"] = "\\",
  ["'"] = "'",
  ['"'] = '"',
  a = "\a",
  b = "\b",
  f = "\f",
  n = "\n",
  r = "\r",
  t = "\t",
  v = "\v",
}

local function unescape(text, line)
  if not text:find("\\", 1, true) then
    return text
  end
  local parts, pos = {}, 1
  while true do
    local at = text:find("\\", pos, true)
    if not at then
      parts[#parts + 1] = text:sub(pos)
      return table.concat(parts)
    end
    parts[#parts + 1] = text:sub(pos, at - 1)
    local c = text:sub(at + 1, at + 1)
    local width = ({ x = 2, u = 4, U = 8 })[c]
    if ESCAPES[c] then
      parts[#parts + 1] = ESCAPES[c]
      pos = at + 2
    elseif width then
      local hex = text:match("^%x+", at + 2) or ""
      if #hex < width then
        fail(line, "truncated \\%s escape in a string", c)
      end
      local code = tonumber(hex:sub(1, width), 16)
      if code > 0x10FFFF then
        fail(line, "illegal Unicode character in a string")
      end
      parts[#parts + 1] = utf8.char(code)
      pos = at + 2 + width
    elseif c:find("[0-7]") then
      local octal = text:match("^[0-7][0-7]?[0-7]?", at + 1)
      parts[#parts + 1] = utf8.char(tonumber(octal, 8))
      pos = at + 1 + #octal
    elseif c == "N" then
      fail(line, "named characters (\\N) are not supported in a string")
    else
      parts[#parts + 1] = "\\" .. c
      pos = at + 2
    end
  end
end

-- The longest run of digits with single underscores between them; nil if there is none.
local function digits_at(src, pos, class)
  local run = src:match("^" .. class .. "[" .. class:sub(2, -2) .. "_]*", pos)
  run = run and run:gsub("__.*$", ""):gsub("_$", "")
  return run ~= "" and run or nil
end

local function number_at(src, pos)
  local whole = digits_at(src, pos, "[%d]")
  if not whole then
    return nil
  end
  if src:sub(pos - 1, pos - 1) ~= "." then
    local at = pos + #whole
    local fraction = src:sub(at, at) == "." and digits_at(src, at + 1, "[%d]")
    local after = fraction and at + 1 + #fraction or at
    local e = src:match("^[eE][+-]?", after)
    local power = e and digits_at(src, after + #e, "[%d]")
    if fraction or power then
      local last = power and after + #e + #power - 1 or after - 1
      return "float", src:sub(pos, last), tonumber((src:sub(pos, last):gsub("_", ""))) + 0.0
    end
  end
  local prefix, class = src:match("^0[xX]_?", pos), "[%x]"
  if not prefix then
    prefix, class = src:match("^0[oO]_?", pos), "[0-7]"
  end
  if not prefix then
    prefix, class = src:match("^0[bB]_?", pos), "[01]"
  end
  local digits = prefix and digits_at(src, pos + #prefix, class)
  if digits then
    local base = ({ x = 16, o = 8, b = 2 })[prefix:sub(2, 2):lower()]
    return "integer", prefix .. digits, tonumber((digits:gsub("_", "")), base)
  end
  if whole:sub(1, 1) == "0" then
    whole = digits_at(src, pos, "[0]") -- 007 is 00 and then 7, as it is no number
  end
  local text = whole:gsub("_", "")
  local n = #text < 20 and math.tointeger(tonumber(text))
  return "integer", whole, n or value.bigint(text)
end

---@class pai.osmo.TemplateLexer
local Lexer = {}
Lexer.__index = Lexer

function Lexer:line_at(pos)
  while true do
    local at = self.src:find("\n", self.counted, true)
    if not at or at >= pos then
      return self.line
    end
    self.line, self.counted = self.line + 1, at + 1
  end
end

function Lexer:add(kind, item, pos)
  local tokens = self.tokens
  tokens[#tokens + 1] = { type = kind, value = item, line = self:line_at(pos) }
end

function Lexer:add_string(pos)
  local quote = self.src:sub(pos, pos)
  local at = pos + 1
  while true do
    local found = self.src:find("[\\" .. quote .. "]", at)
    if not found then
      return nil
    end
    if self.src:sub(found, found) == quote then
      local line = self:line_at(pos)
      self:add("string", unescape(self.src:sub(pos + 1, found - 1), line), pos)
      return found + 1
    end
    at = found + 2
  end
end

-- One token inside a tag; returns the position after it.
function Lexer:tag_token(pos, stack)
  local src = self.src
  local kind, text, n = number_at(src, pos)
  if kind then
    self:add(kind, n, pos)
    return pos + #text
  end
  local name = src:match("^[%w_\128-\255]+", pos)
  if name then
    self:add("name", name, pos)
    return pos + #name
  end
  local after = src:find("^['\"]", pos) and self:add_string(pos)
  if after then
    return after
  end
  local op
  for _, candidate in ipairs(OPERATORS) do
    if src:sub(pos, pos + 1) == candidate then
      op = candidate
    end
  end
  op = op or src:match(SINGLE, pos)
  if not op then
    local char = src:match("^[%z\1-\127\194-\253][\128-\191]*", pos) or src:sub(pos, pos)
    fail(self:line_at(pos), "unexpected char '%s'", char)
  end
  if CLOSING[op] then
    stack[#stack + 1] = CLOSING[op]
  elseif op == ")" or op == "]" or op == "}" then
    local expected = table.remove(stack)
    if not expected then
      fail(self:line_at(pos), "unexpected '%s'", op)
    elseif expected ~= op then
      fail(self:line_at(pos), "unexpected '%s', expected '%s'", op, expected)
    end
  end
  self:add(op, op, pos)
  return pos + #op
end

-- The tokens of one tag, up to and with its end; returns the position after it.
function Lexer:tag(pos, kind, close)
  local src, stack = self.src, {}
  local signs = kind == "block" and "^[-+]?" or "^-?"
  while pos <= #src do
    pos = src:match("^%s*()", pos)
    if #stack == 0 then
      local sign = src:match(signs, pos)
      if src:sub(pos + #sign, pos + #sign + 1) == close then
        self:add(kind .. "_end", close, pos)
        pos = pos + #sign + 2
        return sign == "-" and src:match("^%s*()", pos) or pos
      end
    end
    if pos <= #src then
      pos = self:tag_token(pos, stack)
    end
  end
  return pos
end

function Lexer:raw(pos, begin)
  local src, from = self.src, pos
  while true do
    local at = src:find("{%", from, true)
    if pos > #src then
      return pos -- Jinja lets one that the template ends with pass
    elseif not at then
      fail(self:line_at(begin), "Missing end of raw directive")
    end
    local sign, last, after = src:match("^{%%([-+]?)%s*endraw%s*([-+]?)%%}()", at)
    if sign then
      local text = src:sub(pos, at - 1)
      self:add("data", sign == "-" and text:gsub("%s+$", "") or text, pos)
      return last == "-" and src:match("^%s*()", after) or after
    end
    from = at + 2
  end
end

function Lexer:comment(pos, begin)
  local close = self.src:find("#}", pos, true)
  if pos > #self.src then
    return pos
  elseif not close then
    fail(self:line_at(begin), "Missing end of comment tag: '{#' opens a comment, in ${#name} too")
  end
  local after = close + 2
  if close > pos and self.src:sub(close - 1, close - 1) == "-" then
    after = self.src:match("^%s*()", after)
  end
  return after
end

function Lexer:run()
  local src, pos = self.src, 1
  while pos <= #src do
    local at = src:find("{[%%{#]", pos)
    local sign = at and src:match("^[-+]?", at + 2)
    local text = src:sub(pos, at and at - 1)
    if sign == "-" then
      text = text:gsub("%s+$", "")
    end
    if text ~= "" then
      self:add("data", text, pos)
    end
    if not at then
      break
    end
    local kind, body = src:sub(at + 1, at + 1), at + 2 + #sign
    local dash, raw_body = src:match("^%s*raw%s*(-?)%%}()", body)
    if kind == "%" and dash then
      pos = self:raw(dash == "-" and src:match("^%s*()", raw_body) or raw_body, at)
    elseif kind == "#" then
      pos = self:comment(body, at)
    elseif kind == "%" then
      self:add("block_begin", "{%", at)
      pos = self:tag(body, "block", "%}")
    else
      self:add("variable_begin", "{{", at)
      pos = self:tag(body, "variable", "}}")
    end
  end
  self:add("eof", "", #src + 1)
  return self.tokens
end

---Cuts a template into tokens. Newlines are normalised and one at the end is dropped.
---@param text string
---@return pai.osmo.TemplateToken[]
function M.tokens(text)
  local src = text:gsub("\r\n?", "\n"):gsub("\n$", "")
  local lexer = setmetatable({ src = src, tokens = {}, line = 1, counted = 1 }, Lexer)
  return lexer:run()
end

return M
