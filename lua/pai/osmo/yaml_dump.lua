-- Writes YAML as upstream's client and service do, with PyYAML's default style: block collections,
-- sorted keys, 80 columns, ASCII only, and for each text the quotes that PyYAML would choose. It
-- matters since the text goes through the template engine once more, quotes, folds and all.
local pynum = require("pai.osmo.pynum")
local seq = require("pai.osmo.template_seq")
local value = require("pai.osmo.template_value")
local yaml = require("pai.yaml")

local M = {}

local WIDTH, INDENT, LONGEST_KEY = 80, 2, 128

local BREAKS = { ["\n"] = true, ["\u{85}"] = true, ["\u{2028}"] = true, ["\u{2029}"] = true }
local WHITE = { [" "] = true, ["\t"] = true, ["\r"] = true, ["\0"] = true }
for c in pairs(BREAKS) do
  WHITE[c] = true
end

local function set(chars)
  local out = {}
  for c in chars:gmatch(".") do
    out[c] = true
  end
  return out
end

local FIRST = set("#,[]{}&*!|>'\"%@`")

-- Which styles a text may be written in.
local function analyse(chars)
  local a = { plain = true, single = true, multiline = false }
  local first_three = table.concat(chars, "", 1, math.min(3, #chars))
  if first_three == "---" or first_three == "..." then
    a.plain = false
  end
  local before, was_space, was_break = true, false, false
  for i, c in ipairs(chars) do
    local after = i == #chars or WHITE[chars[i + 1]] == true
    if i == 1 and (FIRST[c] or (after and (c == "?" or c == ":" or c == "-"))) then
      a.plain = false
    elseif i > 1 and ((c == ":" and after) or (c == "#" and before)) then
      a.plain = false
    end
    if BREAKS[c] then
      a.multiline = true
    end
    if c ~= "\n" and not c:find("^[ -~]$") then
      a.plain, a.single = false, false
    end
    local edge = i == 1 or i == #chars
    if c == " " then
      a.plain = a.plain and not edge
      if was_break then
        a.plain, a.single = false, false
      end
    elseif BREAKS[c] then
      a.plain = false
      if was_space then
        a.single = false
      end
    end
    was_space, was_break = c == " ", BREAKS[c] == true
    before = WHITE[c] == true
  end
  return a
end

local ESCAPES = {
  ["\0"] = "0",
  ["\a"] = "a",
  ["\b"] = "b",
  ["\t"] = "t",
  ["\n"] = "n",
  ["\v"] = "v",
  ["\f"] = "f",
  ["\r"] = "r",
  ["\27"] = "e",
  ['"'] = '"',
  ["\\"] = "\\",
  ["\u{85}"] = "N",
  ["\u{A0}"] = "_",
  ["\u{2028}"] = "L",
  ["\u{2029}"] = "P",
}

local function escape(c)
  if ESCAPES[c] then
    return "\\" .. ESCAPES[c]
  end
  local code = utf8.codepoint(c)
  return (code <= 0xFF and "\\x%02X" or code <= 0xFFFF and "\\u%04X" or "\\U%08X"):format(code)
end

---@class pai.osmo.YamlWriter
---@field column integer
---@field blank boolean the last character was white space
---@field indention boolean only indentation stands on this line so far
---@field indent integer?
local Writer = {}
Writer.__index = Writer

function Writer:put(text)
  self.parts[#self.parts + 1] = text
  self.column = self.column + #text
end

function Writer:line_break()
  self.parts[#self.parts + 1] = "\n"
  self.column, self.blank, self.indention = 0, true, true
end

function Writer:write_indent()
  local indent = self.indent or 0
  if not self.indention or self.column > indent or (self.column == indent and not self.blank) then
    self:line_break()
  end
  if self.column < indent then
    self.blank = true
    self:put((" "):rep(indent - self.column))
  end
end

function Writer:indicator(text, needs_space, blank, indention)
  local spaced = (self.blank or not needs_space) and text or " " .. text
  self.blank = blank == true
  self.indention = self.indention and indention == true
  self:put(spaced)
end

-- Runs of spaces and of other characters, as { text, is_space }.
local function runs(text)
  local out = {}
  for space, word in text:gmatch("( *)([^ ]*)") do
    if space ~= "" then
      out[#out + 1] = { space, true }
    end
    if word ~= "" then
      out[#out + 1] = { word, false }
    end
  end
  return out
end

function Writer:plain(text, split)
  if text == "" then
    return
  elseif not self.blank then
    self:put(" ")
  end
  self.blank, self.indention = false, false
  for _, run in ipairs(runs(text)) do
    if run[2] and #run[1] == 1 and self.column > WIDTH and split then
      self:write_indent()
      self.blank, self.indention = false, false
    else
      self:put(run[1])
    end
  end
end

function Writer:single(text, split)
  self:indicator("'", true)
  local pos = 1
  while pos <= #text do
    local newlines = text:match("^\n+", pos)
    local spaces = text:match("^ +", pos)
    local word = text:match("^[^ \n]+", pos)
    if newlines then
      -- one break more, as a single one would be folded into a space
      for _ = 1, #newlines + 1 do
        self:line_break()
      end
      self:write_indent()
    elseif spaces then
      local inside = pos > 1 and pos + #spaces <= #text
      if #spaces == 1 and self.column > WIDTH and split and inside then
        self:write_indent()
      else
        self:put(spaces)
      end
    else
      self:put((word:gsub("'", "''")))
    end
    pos = pos + #(newlines or spaces or word)
  end
  self:indicator("'", false)
end

function Writer:double(chars, split)
  self:indicator('"', true)
  local pending = {}
  local function flush(extra)
    self:put(table.concat(pending) .. (extra or ""))
    pending = {}
  end
  for i, c in ipairs(chars) do
    local special = c == '"' or c == "\\" or not c:find("^[ -~]$")
    if special then
      flush()
      self:put(escape(c))
    end
    -- a fold comes before a space, or on either side of an escape
    local may_fold = split and i > 1 and i < #chars and (c == " " or special or #pending == 0)
    if may_fold and self.column + (special and -1 or #pending) > WIDTH then
      flush("\\")
      self:write_indent()
      self.blank, self.indention = false, false
      local next_char = special and chars[i + 1] or c
      if next_char == " " then
        self:put("\\")
      end
    end
    if not special then
      pending[#pending + 1] = c
    end
  end
  flush()
  self:indicator('"', false)
end

local function resolves_to_text(text)
  if text == "" or text == "=" or text == "<<" then
    return false
  end
  return type(yaml.decode(text, { schema = "1.1", timestamps = "table" })) == "string"
end

-- The text and the style of a scalar: nil for what is plain in any case.
local function represent(v)
  local t = value.type(v)
  if t == "str" then
    local chars = value.items(v)
    local a = analyse(chars)
    if a.plain and not a.multiline and resolves_to_text(v) then
      return v, "plain", a
    end
    return v, a.single and "single" or "double", a, chars
  elseif t == "bool" then
    return v and "true" or "false", "plain"
  elseif t == "NoneType" then
    return "null", "plain"
  elseif t == "float" then
    local text = pynum.repr(v)
    if text == "nan" or text:find("inf", 1, true) then
      return text:gsub("^(-?)", "%1."), "plain"
    end
    -- a float in YAML has a point, also before an exponent
    return text:find(".", 1, true) and text or (text:gsub("e", ".0e")), "plain"
  end
  return value.str(v), "plain"
end

local function is_collection(v)
  local t = value.type(v)
  return t == "dict" or t == "list"
end

function Writer:scalar(v, as_key)
  local text, style, a, chars = represent(v)
  if as_key and a and a.multiline and style == "single" then
    style, chars = "double", chars or value.items(text)
  end
  local before = self.indent
  self.indent = before and before + INDENT or INDENT
  if style == "plain" then
    self:plain(text, not as_key)
  elseif style == "single" then
    self:single(text, not as_key)
  else
    self:double(chars, not as_key)
  end
  self.indent = before
end

local function sorted_keys(dict)
  local ok, keys = pcall(seq.sorted, dict.keys)
  return ok and keys or dict.keys -- of mixed types: as they came
end

function Writer:node(v, in_mapping)
  if not is_collection(v) then
    return self:scalar(v)
  end
  local is_list = value.type(v) == "list"
  if value.length(v) == 0 then
    return self:indicator(is_list and "[]" or "{}", true)
  end
  local before = self.indent
  -- a list that is the value of a key stands as far left as the key
  if not (is_list and in_mapping and not self.indention) then
    self.indent = before and before + INDENT or 0
  end
  if is_list then
    for _, item in ipairs(v) do
      self:write_indent()
      self:indicator("-", true, false, true)
      self:node(item)
    end
  else
    for _, key in ipairs(sorted_keys(v)) do
      self:write_indent()
      self:entry(key, value.dict_get(v, key))
    end
  end
  self.indent = before
end

function Writer:entry(key, item)
  local text, _, a = represent(key)
  if (utf8.len(text) or #text) < LONGEST_KEY and text ~= "" and not (a and a.multiline) then
    self:scalar(key, true)
    self:indicator(":", false)
  else
    self:indicator("?", true, false, true)
    self:scalar(key)
    self:write_indent()
    self:indicator(":", true, false, true)
  end
  self:node(item, true)
end

---Writes a tree of template_value's maps, lists and scalars.
---@param tree any
---@return string
function M.dump(tree)
  local writer = setmetatable({ parts = {}, column = 0, blank = true, indention = true }, Writer)
  writer:node(tree)
  return table.concat(writer.parts) .. "\n"
end

return M
