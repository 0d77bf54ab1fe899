-- IPv4 networks: reading them, and whether one holds or touches another. Texts are not compared:
-- 203.0.113.4 is not inside of 203.0.113.40/32, and it is inside of 203.0.113.0/24.
local M = {}

---@class pai.Cidr
---@field base integer the network's first address
---@field bits integer length of the prefix
---@field text string "203.0.113.0/24"
---@field exact boolean false when bits beyond the prefix were given and left out

-- Networks that are not routed on the Internet (RFC 1918, RFC 6598, loopback, link local).
local PRIVATE <const> = {
  "10.0.0.0/8",
  "172.16.0.0/12",
  "192.168.0.0/16",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
}

local function mask_of(bits)
  return bits == 0 and 0 or (0xFFFFFFFF << (32 - bits)) & 0xFFFFFFFF
end

local function dotted(n)
  return ("%d.%d.%d.%d"):format(n >> 24 & 255, n >> 16 & 255, n >> 8 & 255, n & 255)
end

---Reads a network; an address alone is one of /32.
---@param text string
---@return pai.Cidr? network
---@return string? why it is none
function M.parse(text)
  local a, b, c, d, rest = text:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)(.*)$")
  if not a then
    return nil, ("'%s' is no IPv4 network"):format(text)
  end
  local base = 0
  for _, part in ipairs({ a, b, c, d }) do
    local n = tonumber(part)
    if #part > 3 or n > 255 or (#part > 1 and part:sub(1, 1) == "0") then
      return nil, ("'%s' is no IPv4 network"):format(text)
    end
    base = base << 8 | math.tointeger(n)
  end
  local bits = rest == "" and 32 or math.tointeger(tonumber(rest:match("^/(%d%d?)$")))
  if not bits or bits > 32 then
    return nil, ("'%s': the prefix is a number from 0 to 32"):format(text)
  end
  local network = base & mask_of(bits)
  return {
    base = network,
    bits = bits,
    text = dotted(network) .. "/" .. bits,
    exact = network == base,
  }
end

---Whether all of `inner` is in `outer`.
---@param outer pai.Cidr
---@param inner pai.Cidr
---@return boolean
function M.contains(outer, inner)
  return outer.bits <= inner.bits and inner.base & mask_of(outer.bits) == outer.base
end

---Whether two networks have an address in common.
---@param a pai.Cidr
---@param b pai.Cidr
---@return boolean
function M.overlaps(a, b)
  return M.contains(a, b) or M.contains(b, a)
end

---Whether any of a network is not on the Internet.
---@param network pai.Cidr
---@return boolean
function M.is_private(network)
  for _, text in ipairs(PRIVATE) do
    if M.overlaps(M.parse(text), network) then
      return true
    end
  end
  return false
end

---Reads a list; raises nothing.
---@param texts string[]
---@return pai.Cidr[]? networks
---@return string? why
function M.parse_all(texts)
  local list = {}
  for i, text in ipairs(texts) do
    local network, why = M.parse(text)
    if not network then
      return nil, why
    end
    list[i] = network
  end
  return list
end

---The first network of a list that holds another one.
---@param networks pai.Cidr[]
---@param inner pai.Cidr
---@return pai.Cidr?
function M.holder(networks, inner)
  for _, network in ipairs(networks) do
    if M.contains(network, inner) then
      return network
    end
  end
end

---Adds networks to a list: what is covered already adds nothing, nothing is taken away.
---@param texts string[]
---@param more string[]
---@return string[] texts
---@return string[] added
function M.union(texts, more)
  local out, added = table.move(texts, 1, #texts, 1, {}), {}
  for _, text in ipairs(more) do
    local network = assert(M.parse(text))
    if not M.holder(assert(M.parse_all(out)), network) then
      out[#out + 1] = text
      added[#added + 1] = text
    end
  end
  return out, added
end

return M
