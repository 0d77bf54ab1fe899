-- Finds the line of a key in a recipe's source text, so that a schema error can name it. It reads
-- the table constructor that the chunk returns and skips over everything that is not one; what it
-- can't follow (a table built by code) it leaves out.
local M = {}

local OPENS <const> = { ["function"] = true, ["if"] = true, ["do"] = true, ["repeat"] = true }
local CLOSES <const> = { ["end"] = true, ["until"] = true }

local function skip_string(text, pos, quote)
  local i = pos + 1
  while i <= #text do
    local c = text:sub(i, i)
    if c == "\\" then
      i = i + 1
    elseif c == quote or c == "\n" then
      return i + 1
    end
    i = i + 1
  end
  return i
end

-- Past a long bracket that opens at pos, or nil when none does.
local function skip_long(text, pos)
  local eq = text:match("^%[(=*)%[", pos)
  if not eq then
    return nil
  end
  local _, stop = text:find("]" .. eq .. "]", pos, true)
  return (stop or #text) + 1
end

-- The text as a list of { text, line, string = true? }.
local function tokens(text)
  local list, pos, line = {}, 1, 1
  local function add(stop, kind)
    local s = text:sub(pos, stop - 1)
    list[#list + 1] = { text = s, line = line, kind = kind }
    local _, newlines = s:gsub("\n", "")
    line, pos = line + newlines, stop
  end
  while pos <= #text do
    local space = text:match("^%s+", pos)
    if space then
      local _, newlines = space:gsub("\n", "")
      line, pos = line + newlines, pos + #space
    elseif text:find("^%-%-", pos) then
      local stop = skip_long(text, pos + 2) or (text:find("\n", pos, true) or #text + 1)
      add(stop)
      list[#list] = nil
    elseif text:find("^[%a_]", pos) then
      add(pos + #text:match("^[%w_]+", pos), "name")
    elseif text:find("^[\"']", pos) then
      add(skip_string(text, pos, text:sub(pos, pos)), "string")
    elseif skip_long(text, pos) then
      add(skip_long(text, pos), "string")
    elseif text:find("^==", pos) then
      add(pos + 2)
    else
      add(pos + 1)
    end
  end
  return list
end

---@class pai.locate.Reader
---@field list table[]
---@field at integer
---@field lines table<string, integer>
local Reader = {}
Reader.__index = Reader

function Reader:text(offset)
  local token = self.list[self.at + (offset or 0)]
  return token and token.text
end

-- Skips one expression: up to a separator or the closing brace on its own level.
function Reader:skip_expression()
  local depth = 0
  while self.list[self.at] do
    local token = self.list[self.at]
    local s = token.text
    if token.kind ~= "string" then
      if depth == 0 and (s == "," or s == ";" or s == "}") then
        return
      end
      if s == "(" or s == "{" or s == "[" or OPENS[s] then
        depth = depth + 1
      elseif s == ")" or s == "}" or s == "]" or CLOSES[s] then
        depth = depth - 1
      end
    end
    self.at = self.at + 1
  end
end

-- The key that stands here: its text and how many tokens it takes with its "=".
function Reader:key()
  local token, after = self.list[self.at], self.list[self.at + 1]
  if token.kind == "name" and after and after.text == "=" then
    return token.text, 2
  end
  local third, fourth = self.list[self.at + 2], self.list[self.at + 3]
  if token.text == "[" and after and after.kind == "string" and third and third.text == "]" then
    if fourth and fourth.text == "=" then
      return after.text:sub(2, -2), 4
    end
  end
end

function Reader:table(path)
  self.at = self.at + 1
  local index = 0
  while self.list[self.at] and self:text() ~= "}" do
    local line = self.list[self.at].line
    local key, length = self:key()
    if key then
      self.at = self.at + length
    else
      index = index + 1
      key = tostring(index)
    end
    local full = path == "" and key or path .. "." .. key
    self.lines[full] = self.lines[full] or line
    if self:text() == "{" then
      self:table(full)
    end
    self:skip_expression()
    if self:text() == "," or self:text() == ";" then
      self.at = self.at + 1
    end
  end
  self.at = self.at + 1
end

-- Index of the token that opens the table which the chunk returns.
local function returned_table(list)
  local depth, last = 0, nil
  for i, token in ipairs(list) do
    if token.kind == "name" then
      if OPENS[token.text] then
        depth = depth + 1
      elseif CLOSES[token.text] then
        depth = depth - 1
      elseif token.text == "return" and depth == 0 then
        last = i + 1
      end
    end
  end
  local value = last and list[last]
  if not value or value.text == "{" then
    return value and last
  end
  for i = 1, #list - 3 do
    local is_local = list[i].text == "local" and list[i + 1].text == value.text
    local at = i + 2
    -- `local r <const> = {`
    if is_local and list[at].text == "<" then
      at = at + 3
    end
    if is_local and list[at] and list[at].text == "=" and list[at + 1].text == "{" then
      return at + 1
    end
  end
end

---Lines of the keys of the table that a chunk returns.
---@param text string source text
---@return table<string, integer> lines "inputs.video.type" → 12; list items by position
function M.lines(text)
  local list = tokens(text)
  local reader = setmetatable({ list = list, lines = {} }, Reader)
  reader.at = returned_table(list)
  if reader.at then
    reader.lines[""] = list[reader.at].line
    reader:table("")
  end
  return reader.lines
end

---The line of a key, or of the nearest table around it that is in the text.
---@param lines table<string, integer>
---@param path string
---@return integer line at least 1
function M.line(lines, path)
  while path ~= "" do
    if lines[path] then
      return lines[path]
    end
    path = path:match("^(.*)%.[^.]*$") or ""
  end
  return lines[""] or 1
end

return M
