-- Image references, by upstream's rules: [host[:port]/]name[:tag][@digest].
local M = {}

local function is_host(text)
  if text == "localhost" then
    return true
  end
  local parts = 0
  for part in (text .. "."):gmatch("([^.]*)%.") do
    if not part:find("^%w[%w-]*$") or part:find("-$") then
      return false
    end
    parts = parts + 1
  end
  return parts >= 2
end

-- A host needs a dot, a port, or to be localhost; else it is the first part of the name.
local function split_host(text)
  local first, rest = text:match("^([^/]+)/(.+)$")
  if not first then
    return nil
  end
  local host, port = first:match("^([^:]+):(%d+)$")
  if not host then
    return is_host(first) and first or nil, nil, rest
  elseif #port > 5 or not (is_host(host) or (host:find("^%w[%w-]*$") and not host:find("-$"))) then
    return nil
  end
  return host, port, rest
end

local function is_name(text)
  for part in (text .. "/"):gmatch("([^/]*)/") do
    if not part:find("^[0-9a-z][0-9a-z_.-]*$") or not part:find("[0-9a-z]$") then
      return false
    end
  end
  return true
end

local function split_name(text)
  local rest, digest = text:match("^([^@]*)@(.*)$")
  rest = rest or text
  if digest and not digest:find("^[%w_+.-]+:%x+$") then
    return nil
  end
  local name, tag = rest:match("^([^:]*):(.*)$")
  name = name or rest
  if tag and not tag:find("^[%w_][%w._-]*$") then
    return nil
  end
  if not is_name(name) then
    return nil
  end
  return name, tag, digest
end

---@class pai.osmo.Image
---@field host string?
---@field port integer?
---@field name string
---@field tag string?
---@field digest string?

---Takes an image reference apart.
---@param text string
---@return pai.osmo.Image? image
---@return string? reason
function M.parse(text)
  local host, port, rest = split_host(text)
  local name, tag, digest
  if host then
    name, tag, digest = split_name(rest)
  end
  if not name then
    host, port = nil, nil
    name, tag, digest = split_name(text)
  end
  if name then
    return {
      host = host,
      port = port and math.tointeger(port),
      name = name,
      tag = tag,
      digest = digest,
    }
  end
  local hint = text:find("%u") and "names are lower case"
    or text:find("^https?://") and "leave the scheme out"
    or text:find("%s") and "it has a space in it"
    or "the form is [host[:port]/]name[:tag][@digest]"
  return nil, ("'%s' is no image reference: %s"):format(text, hint)
end

return M
