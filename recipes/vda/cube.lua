-- The colour part of a look: a 25-point cube that maps every colour of the source. Works in linear
-- light; hue and white cover touch vegetation only.

local M = {}

local CUBE <const> = 25 -- points an axis
local GAMMA <const> = 2.2
local LUMA <const> = { 0.2126, 0.7152, 0.0722 }

local function clamp(x, low, high)
  return x < low and low or x > high and high or x
end

local function smoothstep(low, high, x)
  local t = clamp((x - low) / (high - low), 0, 1)
  return t * t * (3 - 2 * t)
end

local function to_hsv(r, g, b)
  local high, low = math.max(r, g, b), math.min(r, g, b)
  local span = high - low
  if span == 0 then
    return 0, 0, high
  end
  local h
  if high == r then
    h = (g - b) / span % 6
  elseif high == g then
    h = (b - r) / span + 2
  else
    h = (r - g) / span + 4
  end
  return h / 6, span / high, high
end

local function to_rgb(h, s, v)
  local function channel(n)
    local k = (n + h * 6) % 6
    return v - v * s * clamp(math.min(k, 4 - k), 0, 1)
  end
  return channel(5), channel(3), channel(1)
end

-- How much a colour is that of leaves and grass: yellow-green to green, not grey.
local function vegetation(h, s)
  local hue = smoothstep(0.13, 0.19, h) * (1 - smoothstep(0.42, 0.50, h))
  return hue * smoothstep(0.08, 0.22, s)
end

-- Values above .9 approach 1 without reaching it hard, so that highlights keep their shape.
local function shoulder(x)
  if x <= 0.9 then
    return math.max(x, 0)
  end
  return 0.9 + 0.1 * (1 - math.exp(-(x - 0.9) / 0.1))
end

--- One colour through a grade.
---@param grade vda.Grade
---@param r number 0…1
---@param g number
---@param b number
---@return number r, number g, number b
function M.map(grade, r, g, b)
  local h, s, v = to_hsv(r, g, b)
  local green = vegetation(h, s)
  if grade.hue and green > 0 then
    s = s * (1 - green + green * grade.hue[2])
    -- leaves turn to straw and ochre, never to red
    r, g, b = to_rgb(math.max(h + grade.hue[1] * green, math.min(h, 0.105)), s, v)
  end
  if grade.cover > 0 and green > 0 then
    local mix, white = grade.cover * green, 0.72 + 0.4 * v
    r, g, b = r + (white - r) * mix, g + (white - g) * mix, b + (white * 1.02 - b) * mix
  end
  local gain = 2 ^ grade.exposure
  local c = { r ^ GAMMA, g ^ GAMMA, b ^ GAMMA }
  local luma = 0
  for i = 1, 3 do
    c[i] = c[i] * grade.gains[i] * gain
    luma = luma + LUMA[i] * c[i]
  end
  local pivot = 0.45 * gain ^ (1 / GAMMA)
  for i = 1, 3 do
    local x = math.max(luma + (c[i] - luma) * grade.saturation, 0) ^ (1 / GAMMA)
    c[i] = clamp(shoulder((x - pivot) * grade.contrast + pivot + grade.lift), 0, 1)
  end
  return c[1], c[2], c[3]
end

--- The text of a .cube file: red changes fastest.
---@param grade vda.Grade
---@return string
function M.text(grade)
  local out = { 'TITLE "pai vda"', "LUT_3D_SIZE " .. CUBE }
  local last = CUBE - 1
  for b = 0, last do
    for g = 0, last do
      for r = 0, last do
        out[#out + 1] = string.format("%.5f %.5f %.5f", M.map(grade, r / last, g / last, b / last))
      end
    end
  end
  out[#out + 1] = ""
  return table.concat(out, "\n")
end

return M
