-- Endpoints and storage that a text refers to, found by their hosts and schemes. A host that is put
-- together later (a template, a shell variable) is no reference that can be followed, and is told
-- apart. Host names: Kubernetes "DNS for Services", NVCF API reference, Azure AI Foundry endpoints.
local M = {}

---@class pai.inference.Reference
---@field kind "nim"|"nvcf"|"foundry"
---@field key string name of the NIMService, id of the function, name of the endpoint or account
---@field port integer?
---@field role "model"|"account"|nil of Foundry: the endpoint of one model, or an account
---@field text string as it stands there

---@class pai.inference.Found
---@field references pai.inference.Reference[]
---@field unresolved string[] hosts that are put together later
---@field storage table<string, boolean> "s3", "azure", "az", "gs", "swift", "tos"

-- What makes a name out of something else: the end of {{...}}, ${...}, $(...), <...>, %...%, $name.
local BUILT <const> = "[%]})>%%$]$"

-- What stands before a position, as far as it may belong to the host.
local function before(text, at)
  local from = math.max(1, at - 200)
  return text:sub(from, at - 1)
end

local function shown(text, from, to)
  local start = from
  while start > 1 and start > from - 80 and not text:sub(start - 1, start - 1):find("[%s\"'`,;]") do
    start = start - 1
  end
  local piece = text:sub(start, to)
  if piece:find("}}", 1, true) and not piece:find("{{", 1, true) then
    local opened = text:sub(math.max(1, start - 80), start):match("^.*(){{")
    start = opened and math.max(1, start - 80) + opened - 1 or start
  end
  local stop = to
  while stop < #text and stop < to + 40 and not text:sub(stop + 1, stop + 1):find("[%s\"'`,;]") do
    stop = stop + 1
  end
  return text:sub(start, stop)
end

-- The DNS label that ends right before `at`; nil and true when it is put together later.
local function label(text, at)
  local head = before(text, at)
  local name = head:match("([%w_-]*)$")
  local rest = head:sub(1, #head - #name)
  if rest:find(BUILT) or name:find("_", 1, true) or name:find("%u") then
    return nil, rest:find(BUILT) ~= nil or name ~= ""
  end
  local valid = #name >= 1 and #name <= 63 and name:find("^%w") and name:find("%w$")
  return valid and name or nil, name == "" and rest:find("[*]$") == nil and rest ~= "" or false
end

local function add(found, kind, key, text, more)
  local id = ("%s %s %s"):format(kind, key, more or "")
  if not found.seen[id] then
    found.seen[id] = true
    table.insert(found.references, {
      kind = kind,
      key = key,
      port = kind == "nim" and more or nil,
      role = kind == "foundry" and more or nil,
      text = text,
    })
  end
end

local function unresolved(found, text)
  if not found.seen["? " .. text] then
    found.seen["? " .. text] = true
    table.insert(found.unresolved, text)
  end
end

-- NAME.osmo-nims[.svc[.cluster.local]][:PORT]
local function nims(found, text)
  local from = 1
  while true do
    local at, stop = text:find("%.osmo%-nims%f[^%w-]", from)
    if not at then
      return
    end
    from = stop + 1
    local tail = text:match("^%.svc%.cluster%.local", from)
      or text:match("^%.svc%f[^%w-]", from)
      or ""
    local port = text:match("^:(%d%d%d?%d?%d?)%f[%D]", from + #tail)
    local name, built = label(text, at)
    local said = shown(text, at, stop + #tail)
    if name then
      add(found, "nim", name, said, math.tointeger(tonumber(port)))
    elseif built then
      unresolved(found, said)
    end
  end
end

local UUID <const> = ("%x"):rep(8) .. ("%-" .. ("%x"):rep(4)):rep(3) .. "%-" .. ("%x"):rep(12)

-- api.nvcf.nvidia.com/v2/nvcf/[pexec/]functions/ID
local function nvcf(found, text)
  local from = 1
  while true do
    local at, stop = text:find("api%.nvcf%.nvidia%.com", from)
    if not at then
      return
    end
    from = stop + 1
    local path = text:match("^/v2/nvcf?/([^%s\"'`,;]*)", from)
    local rest = path and (path:match("^pexec/functions/(.*)$") or path:match("^functions/(.*)$"))
    local id = rest and rest:match("^" .. UUID .. "%f[^%x-]")
    local said = shown(text, at, stop)
    if id then
      add(found, "nvcf", id:lower(), said)
    elseif rest and rest ~= "" or said:find("[{$]") then
      unresolved(found, said)
    end
  end
end

local FOUNDRY <const> = {
  { "%.inference%.ai%.azure%.com", "model" },
  { "%.models%.ai%.azure%.com", "model" },
  { "%.services%.ai%.azure%.com", "account" },
  { "%.cognitiveservices%.azure%.com", "account" },
  { "%.openai%.azure%.com", "account" },
}

-- NAME[.REGION].inference.ai.azure.com and its like
local function foundry(found, text)
  for _, rule in ipairs(FOUNDRY) do
    local from = 1
    while true do
      local at, stop = text:find(rule[1] .. "%f[^%w-]", from)
      if not at then
        break
      end
      from = stop + 1
      local name, built = label(text, at)
      -- With a region before it the name is one label further left.
      local head = name and before(text, at - #name)
      if name and rule[1]:find("%.ai", 1, true) and head:find("%.$") then
        name, built = label(text, at - #name - 1)
      end
      if name then
        add(found, "foundry", name, shown(text, at, stop), rule[2])
      elseif built then
        unresolved(found, shown(text, at, stop))
      end
    end
  end
end

local SCHEMES <const> = { "s3", "azure", "az", "gs", "swift", "tos" }

local function storage(found, text)
  for _, scheme in ipairs(SCHEMES) do
    if text:find("%f[%w]" .. scheme .. "://") then
      found.storage[scheme] = true
    end
  end
end

---Finds what a text refers to.
---@param text string
---@param into pai.inference.Found? adds to it
---@return pai.inference.Found
function M.scan(text, into)
  local found = into or { references = {}, unresolved = {}, storage = {}, seen = {} }
  if text:find("osmo-nims", 1, true) then
    nims(found, text)
  end
  if text:find("api.nvcf.nvidia.com", 1, true) then
    nvcf(found, text)
  end
  if text:find(".azure.com", 1, true) then
    foundry(found, text)
  end
  if text:find("://", 1, true) then
    storage(found, text)
  end
  return found
end

return M
