-- What a step may return: plain data up to 256 KiB that the masker would leave alone. It is given
-- on to other steps as it comes back from the journal, so a resumed run sees the same values.
local err = require("pai.err")
local json = require("pai.json")
local mask = require("pai.mask")

local M = {}

---Largest result, encoded.
M.MAX = 256 * 1024

local function refuse(step, path, message)
  local where = path == "" and "" or ", key " .. path
  err.raise("ERESULT", ("the result of step %s%s: %s"):format(step, where, message))
end

local function kind_of(value)
  local n = 0
  for k in next, value do
    n = n + 1
    if math.type(k) ~= "integer" then
      return "map"
    end
  end
  return n == #value and "list" or "mixed"
end

local function join(path, key)
  return path == "" and tostring(key) or path .. "." .. tostring(key)
end

local function plain(step, value, path, sources, depth)
  local t = type(value)
  if t == "string" then
    if not utf8.len(value) then
      refuse(step, path, "is not UTF-8 text; give a file and its digest")
    elseif mask.text(value) ~= value then
      refuse(step, path, "holds a secret")
    end
    return value
  elseif t == "number" then
    if value ~= value or math.abs(value) == math.huge then
      refuse(step, path, "is not a finite number")
    end
    return value
  elseif t == "boolean" or value == json.null then
    return value
  elseif t == "userdata" then
    local source = sources[value]
    if not source then
      refuse(step, path, "is a handle that no input declares")
    end
    return { ["$secret"] = source }
  elseif t ~= "table" then
    refuse(step, path, "is a " .. t .. ", not plain data")
  end
  if depth > 32 then
    refuse(step, path, "is nested too deep")
  end
  local kind = kind_of(value)
  if kind == "mixed" then
    refuse(step, path, "is a list with holes")
  end
  local copy = {}
  for k, v in next, value do
    if kind == "map" and type(k) ~= "string" then
      refuse(step, join(path, k), "is not a string key")
    end
    copy[k] = plain(step, v, join(path, k), sources, depth + 1)
  end
  if kind == "map" then
    for k in next, copy do
      if mask.text(k) ~= k then
        refuse(step, path, "has a key that holds a secret")
      end
    end
  end
  return copy
end

---Checks a result and makes the copy that is journalled.
---@param step string
---@param value any
---@param sources table<userdata, string> where each secret handle comes from
---@return any plain
function M.plain(step, value, sources)
  if value == nil then
    return nil
  end
  local body = json.encode(plain(step, value, "", sources, 0))
  if #body > M.MAX then
    local message = "is %d bytes, more than %d; give a file and its digest"
    refuse(step, "", message:format(#body, M.MAX))
  end
  return json.decode(body)
end

---Turns a journalled result into what other steps get: handles are opened again.
---@param value any
---@param open fun(source: string): userdata?
---@return any
function M.revive(value, open)
  if value == json.null then
    return nil
  elseif type(value) ~= "table" then
    return value
  elseif type(value["$secret"]) == "string" then
    return open(value["$secret"])
  end
  local copy = {}
  for k, v in pairs(value) do
    copy[k] = M.revive(v, open)
  end
  return copy
end

return M
