-- The types of inputs: reads a value of each from text (key=value) or from JSON/YAML data.
local duration = require("pai.duration")
local fs = require("pai.fs")
local text = require("pai.text")

local M = {}

---Names of the input types.
M.TYPES = {
  "string",
  "integer",
  "number",
  "boolean",
  "enum",
  "path",
  "duration",
  "list",
  "secret",
}

local WORDS <const> = {
  ["true"] = true,
  yes = true,
  on = true,
  ["1"] = true,
  ["false"] = false,
  no = false,
  off = false,
  ["0"] = false,
}

local function in_range(decl, n)
  if decl.min and n < decl.min then
    return nil, ("must be at least %s, not %s"):format(decl.min, n)
  end
  if decl.max and n > decl.max then
    return nil, ("must be at most %s, not %s"):format(decl.max, n)
  end
  return n
end

local readers = {}

function readers.string(decl, value)
  if type(value) ~= "string" then
    return nil, "must be a string, not " .. type(value)
  end
  if decl.pattern and not value:find("^" .. decl.pattern .. "$") then
    return nil, ("must match %s, not '%s'"):format(decl.pattern, value)
  end
  return value
end

function readers.integer(decl, value, opts)
  local n = value
  if type(value) == "string" and opts.from_text then
    n = value:find("^[+-]?%d+$") and math.tointeger(tonumber(value)) or nil
  end
  n = type(n) == "number" and math.tointeger(n) or nil
  if not n then
    return nil, ("must be a whole number, not '%s'"):format(tostring(value))
  end
  return in_range(decl, n)
end

function readers.number(decl, value, opts)
  local n = value
  if type(value) == "string" and opts.from_text then
    n = not value:find("[xXnN]") and tonumber(value) or nil
  end
  if type(n) ~= "number" or n ~= n or math.abs(n) == math.huge then
    return nil, ("must be a number, not '%s'"):format(tostring(value))
  end
  return in_range(decl, n)
end

function readers.boolean(_, value, opts)
  if type(value) == "boolean" then
    return value
  end
  local word = type(value) == "string" and opts.from_text and WORDS[value:lower()]
  if type(word) ~= "boolean" then
    return nil, ("must be true or false, not '%s'"):format(tostring(value))
  end
  return word
end

function readers.enum(decl, value)
  for _, known in ipairs(decl.values) do
    if known == value then
      return value
    end
  end
  local hint = type(value) == "string" and text.did_you_mean(value, decl.values) or ""
  local list = table.concat(decl.values, ", ")
  return nil, ("must be one of %s; not '%s'%s"):format(list, tostring(value), hint)
end

function readers.path(_, value, opts)
  if type(value) ~= "string" or value == "" or value:find("\0", 1, true) then
    return nil, "must be a path"
  end
  local home = os.getenv("HOME")
  if home and (value == "~" or value:sub(1, 2) == "~/") then
    value = home .. value:sub(2)
  end
  if value:sub(1, 1) ~= "/" then
    value = (opts.cwd or fs.cwd()) .. "/" .. value
  end
  return fs.abspath(value)
end

function readers.duration(_, value)
  if not duration.parse(value) then
    return nil, ('must be a duration such as "30s" or "10m", not \'%s\''):format(tostring(value))
  end
  return value
end

local function split(value)
  local items = {}
  for item in (value .. ","):gmatch("(.-),") do
    item = item:match("^%s*(.-)%s*$")
    if item ~= "" then
      items[#items + 1] = item
    end
  end
  return items
end

function readers.list(decl, value, opts)
  if type(value) == "string" and opts.from_text then
    value = split(value)
  end
  if type(value) ~= "table" then
    return nil, "must be a list, not " .. type(value)
  end
  local of = type(decl.of) == "table" and decl.of
    or { type = decl.of or "string", values = decl.values, min = decl.min, max = decl.max }
  local out = {}
  for key in pairs(value) do
    if math.type(key) ~= "integer" or key < 1 or key > #value then
      return nil, "must be a list, not a map"
    end
  end
  for i, item in ipairs(value) do
    local read, message = readers[of.type](of, item, opts)
    if read == nil then
      return nil, ("item %d %s"):format(i, message)
    end
    out[i] = read
  end
  return out
end

function readers.secret()
  return nil, "is a secret and has no value here"
end

---Reads a value of a declared type.
---@param decl table the input's declaration
---@param value any
---@param opts { from_text: boolean?, cwd: string? }
---@return any value nil when it does not fit
---@return string? message "must be …"
function M.read(decl, value, opts)
  return readers[decl.type](decl, value, opts)
end

return M
