-- A YAML document as Python would hold it: ordered maps whose keys keep their type, dates as such,
-- and the line of every entry, for messages. Maps and lists are those of template_value.
local err = require("pai.err")
local json = require("pai.json")
local strict = require("pai.osmo.yaml_strict")
local value = require("pai.osmo.template_value")
local yaml = require("pai.yaml")

local M = {}

local OPTIONS = { schema = "1.1", keys = "python", timestamps = "table", positions = true }

-- The reader gives a date as { timestamp = text } with a metatable; maps have none.
local function timestamp(v)
  if type(v) == "table" and getmetatable(v) and not json.is_array(v) then
    return v.timestamp
  end
  return nil
end

-- What a key means that stands there without quotes; the reader gives all keys as text.
local function resolve(key)
  if key == "None" then
    return value.None
  end
  local plain = yaml.decode(key, { schema = "1.1", timestamps = "table" })
  if timestamp(plain) then
    return value.date(timestamp(plain))
  end
  return (type(plain) == "number" or type(plain) == "boolean") and plain or key
end

-- Where in a line a key stands, and whether in quotes.
local function find_key(line, key)
  for _, quote in ipairs({ '"', "'", "" }) do
    local from, form = 1, quote .. key .. quote
    while true do
      local at, to = line:find(form, from, true)
      if not at then
        break
      elseif line:find("^%s*:", to + 1) and (quote ~= "" or not line:find("^[%w_.-]", at - 1)) then
        return at, quote ~= ""
      end
      from = at + 1
    end
  end
  return math.huge, false
end

local WORDS = { ["True"] = true, ["False"] = true, ["None"] = true }

local function make_date(text)
  local y, m, d, rest = text:match("^(%d%d%d%d)-(%d%d?)-(%d%d?)(.*)$")
  local date = value.date(text)
  if rest == "" then
    date.repr = ("datetime.date(%d, %d, %d)"):format(y, m, d)
  end
  return date
end

---@class pai.osmo.Reader
local Reader = {}
Reader.__index = Reader

-- The keys of a map in the order in which they were written, with their true values.
function Reader:keys(raw, path)
  local entries = {}
  for key in pairs(raw) do
    local number = self.lines[path .. key] or 0
    local text = self.source[number] or ""
    local at, quoted = find_key(text, key)
    local real = key
    -- the spelling of a boolean is not that of Python, so it is not found in the line
    if not quoted and (not WORDS[key] or at == math.huge) then
      real = resolve(key)
    end
    entries[#entries + 1] = { raw = key, key = real, line = number, at = at }
  end
  table.sort(entries, function(a, b)
    if a.line ~= b.line then
      return a.line < b.line
    elseif a.at ~= b.at then
      return a.at < b.at
    end
    return a.raw < b.raw
  end)
  return entries
end

-- The reader makes floats of whole numbers beyond 64 bits; the line still has their digits.
function Reader:big(raw, path)
  for sign, digits, after in (self.source[self.lines[path]] or ""):gmatch("([-+]?)(%d[%d_]+)()") do
    local plain = sign:gsub("+", "") .. digits:gsub("_", "")
    local rest = self.source[self.lines[path]]:sub(after, after)
    if not rest:find("^[.eE%w]") and tonumber(plain .. ".0") == raw then
      return value.bigint(plain)
    end
  end
  return nil
end

function Reader:convert(raw, path)
  if raw == json.null then
    return value.None
  elseif type(raw) ~= "table" then
    return math.type(raw) == "float" and math.abs(raw) >= 0x1p63 and self:big(raw, path) or raw
  elseif self.seen[raw] then
    return self.seen[raw]
  elseif timestamp(raw) then
    return make_date(timestamp(raw))
  end
  local prefix = path == "" and "" or path .. "."
  local out
  if json.is_array(raw) then
    out = value.list({})
    self.seen[raw] = out
    out.lines = {}
    for i, item in ipairs(raw) do
      out[i] = self:convert(item, prefix .. i)
      out.lines[i] = self.lines[prefix .. i]
    end
    return out
  end
  out = value.dict()
  self.seen[raw] = out
  out.lines = {}
  for _, entry in ipairs(self:keys(raw, prefix)) do
    value.dict_set(out, entry.key, self:convert(raw[entry.raw], prefix .. entry.raw))
    out.lines[value.str(entry.key)] = entry.line
  end
  return out
end

local function split_lines(text)
  local lines = {}
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do
    lines[#lines + 1] = line
  end
  return lines
end

---Reads one YAML document.
---@param text string
---@return any? tree nil on failure; value.None for an empty text
---@return table? err pai.Error with line and column
function M.load(text)
  local raw, lines = yaml.decode(text, OPTIONS)
  local mended = raw == nil and text
  while raw == nil do
    -- each turn mends one block scalar, so this ends
    mended = strict.mend(mended, lines)
    if not mended then
      return nil, lines
    end
    raw, lines = yaml.decode(mended, OPTIONS)
  end
  local line, refused = strict.find(text)
  if line then
    return err.fail("EPARSE", ("line %d: %s"):format(line, refused), { line = line })
  end
  local reader = { lines = lines, source = split_lines(text), seen = {} }
  return setmetatable(reader, Reader):convert(raw, "")
end

---The path of the innermost entry that begins at or before a line.
---@param tree any
---@param line integer
---@return (string|integer)[]
function M.path_at(tree, line)
  local path = {}
  while type(tree) == "table" and tree.lines do
    local best, best_key
    for key, at in pairs(tree.lines) do
      if at <= line and (not best or at > best) then
        best, best_key = at, key
      end
    end
    if not best then
      break
    end
    local is_list = value.type(tree) == "list"
    path[#path + 1] = is_list and best_key - 1 or best_key
    tree = is_list and tree[best_key] or tree.values[best_key]
  end
  return path
end

---The line of the entry that a path names, or of the nearest entry above it.
---@param tree any
---@param path (string|integer)[] keys, and indexes from 0
---@return integer?
function M.line(tree, path)
  local line
  for _, key in ipairs(path) do
    local t = value.type(tree)
    local here
    if t == "list" and math.type(key) == "integer" then
      here, tree = tree.lines and tree.lines[key + 1], tree[key + 1]
    elseif t == "dict" then
      here, tree = tree.lines and tree.lines[value.str(key)], value.dict_get(tree, key)
    else
      return line
    end
    line = here or line
    if tree == nil then
      return line
    end
  end
  return line
end

return M
