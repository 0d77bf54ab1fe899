-- Objects as request bodies. Handles may stand among the values of a Secret, and nowhere else; the
-- text with them is made in locked memory, so that a value never is a Lua string.
local crypto = require("pai.crypto")
local err = require("pai.err")
local json = require("pai.json")

local M = {}

-- A Secret with base64 in `data` for all that `data` and `stringData` give. Tells whether a handle
-- is among the values.
local function values_of(object)
  local copy, sealed = {}, false
  for key, value in pairs(object) do
    copy[key] = value
  end
  copy.data, copy.stringData = {}, nil
  for field in pairs({ data = true, stringData = true }) do
    for key, value in pairs(type(object[field]) == "table" and object[field] or {}) do
      if type(value) == "userdata" and value ~= json.null then
        sealed = true
        copy.data[key] = crypto.base64_encode(value)
      else
        copy.data[key] = field == "data" and value or crypto.base64_encode(tostring(value))
      end
    end
  end
  if next(copy.data) == nil then
    copy.data = nil
  end
  return copy, sealed
end

-- Some charts want a key in a ConfigMap. Whoever writes one says so in the object, for all to see.
local function is_marked(object)
  local marks = object.kind == "ConfigMap" and object.metadata and object.metadata.annotations
  return type(marks) == "table" and marks["pai/holds-secret"] == "true"
end

---The JSON of an object. A Secret's stringData becomes data, since server-side apply cannot own the
---former; a handle among either is sent as base64 of its value.
---@param object table
---@return string|pai.secret.handle|nil
---@return pai.Error? err
function M.encode(object)
  if type(object) ~= "table" then
    return err.fail("EINVAL", "an object is a table with apiVersion and kind")
  end
  local sealed = false
  if object.kind == "Secret" and object.apiVersion == "v1" then
    object, sealed = values_of(object)
  elseif is_marked(object) then
    sealed = true
  end
  local ok, body = pcall(sealed and json.seal or json.encode, object)
  if not ok then
    local message = "a %s cannot be written as JSON: %s"
    return err.fail("EINVAL", message:format(tostring(object.kind), tostring(body)), {
      hint = "a secret may stand in the data and stringData of a Secret only",
    })
  end
  return body
end

return M
