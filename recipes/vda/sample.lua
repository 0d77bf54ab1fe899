-- Draws the target conditions of one augmentation. The stream of random numbers belongs to
-- (dataset, video, index, seed) alone: another video or another index changes nothing here.

local M = {}

-- Draws that no picture can show together; they are drawn again and the refusal is recorded.
local CONTRADICTIONS <const> = {
  { surface_condition = "wet", weather = "snow", why = "snow covers a wet ground" },
  { surface_condition = "dry", weather = "rain", why = "rain wets the ground" },
  { season = "summer", weather = "snow", why = "no snow in summer" },
}

local MAX_DRAWS <const> = 64

-- splitmix64: small, well spread, and the same on every machine.
local function generator(state)
  return function()
    state = state + 0x9E3779B97F4A7C15
    local z = state
    z = (z ~ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ~ (z >> 27)) * 0x94D049BB133111EB
    z = z ~ (z >> 31)
    return (z >> 11) / 2.0 ^ 53
  end
end

---The text whose digest seeds one augmentation.
---@param dataset string
---@param video string
---@param index integer from 0
---@param seed integer
---@return string
function M.key(dataset, video, index, seed)
  return table.concat({ "vda.sample.1", dataset, video, index, seed }, "\n")
end

local function pick(values, random)
  local total = 0
  for _, entry in ipairs(values) do
    total = total + entry[2]
  end
  local at = random() * total
  for _, entry in ipairs(values) do
    at = at - entry[2]
    if at < 0 then
      return entry[1]
    end
  end
  return values[#values][1]
end

local function contradiction(drawn)
  for _, rule in ipairs(CONTRADICTIONS) do
    local hit = true
    for name, value in pairs(rule) do
      if name ~= "why" and drawn[name] ~= value then
        hit = false
      end
    end
    if hit then
      return rule.why
    end
  end
end

---@class vda.Draw
---@field values table<string, string> variable -> value
---@field seed integer 0…2^31-1, for tiles and noise
---@field redraws { values: table<string, string>, why: string }[]

---Draws one value for each variable, in the order of the list.
---@param variables { name: string, values: { [1]: string, [2]: number }[] }[]
---@param digest string SHA-256 in hex of M.key(…)
---@return vda.Draw
function M.draw(variables, digest)
  local random = generator(math.tointeger(tonumber("0x" .. digest:sub(1, 16))))
  local redraws = {}
  for _ = 1, MAX_DRAWS do
    local drawn = {}
    for _, variable in ipairs(variables) do
      drawn[variable.name] = pick(variable.values, random)
    end
    local why = contradiction(drawn)
    if not why then
      local seed = tonumber("0x" .. digest:sub(17, 24)) & 0x7fffffff
      return { values = drawn, seed = seed, redraws = redraws }
    end
    redraws[#redraws + 1] = { values = drawn, why = why }
  end
  error("the cookbook's variables contradict each other in every draw", 0)
end

---The values of each variable, in order, for those who must know the alternatives.
---@param variables table[]
---@return table<string, string[]>
function M.options(variables)
  local out = {}
  for _, variable in ipairs(variables) do
    local list = {}
    for i, entry in ipairs(variable.values) do
      list[i] = entry[1]
    end
    out[variable.name] = list
  end
  return out
end

return M
