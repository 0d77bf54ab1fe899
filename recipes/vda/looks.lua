-- What each drawn value does to the picture: light, colour, air, particles, sensor.
-- Numbers only; graph.lua turns them into a colour cube, tiles and a filter graph.

---@class vda.Look
---@field exposure? number stops, in linear light
---@field gains? number[] red, green, blue, in linear light
---@field saturation? number
---@field contrast? number around a middle grey that follows the exposure
---@field lift? number added to every channel
---@field haze? number[] mask level of 255 at the top and at the bottom of the picture
---@field sheen? number opacity of the wet ground layer
---@field particles? "rain"|"snow"
---@field cover? number share of white on vegetation
---@field hue? number[] shift in turns and saturation factor, for vegetation only
---@field vignette? number angle of ffmpeg's vignette filter
---@field glow? number opacity of the light that bright spots spread
---@field noise? integer strength of temporal noise
---@field blur? number sigma in pixels

local M = {}

---@type table<string, table<string, vda.Look>>
M.values = {
  time_of_day = {
    morning = {
      exposure = 0.05,
      gains = { 1.10, 1.00, 0.86 },
      saturation = 1.05,
      contrast = 0.95,
      lift = 0.02,
    },
    midday = { exposure = 0.08, saturation = 1.12, contrast = 1.10 },
    evening = {
      exposure = -0.45,
      gains = { 1.24, 0.98, 0.66 },
      saturation = 1.08,
      contrast = 1.04,
      vignette = 0.45,
    },
    dusk = {
      exposure = -1.0,
      gains = { 0.86, 0.94, 1.22 },
      saturation = 0.75,
      contrast = 0.95,
      vignette = 0.5,
      glow = 0.25,
    },
    night = {
      exposure = -1.75,
      gains = { 0.74, 0.90, 1.22 },
      saturation = 0.42,
      vignette = 0.6,
      glow = 0.3,
      noise = 7,
    },
  },
  weather = {
    clear = {},
    overcast = {
      exposure = 0.05,
      gains = { 0.97, 1, 1.05 },
      saturation = 0.66,
      contrast = 0.84,
      haze = { 46, 6 },
    },
    rain = {
      exposure = -0.35,
      gains = { 0.95, 1, 1.06 },
      saturation = 0.60,
      contrast = 0.90,
      haze = { 100, 24 },
      sheen = 0.22,
      particles = "rain",
    },
    fog = { gains = { 1, 1, 1.02 }, saturation = 0.62, contrast = 0.88, haze = { 240, 84 } },
    snow = {
      exposure = 0.12,
      gains = { 0.96, 1, 1.07 },
      saturation = 0.45,
      contrast = 0.86,
      haze = { 140, 44 },
      particles = "snow",
      cover = 0.88,
    },
  },
  lighting = {
    bright = { exposure = 0.30, saturation = 1.02, contrast = 1.05 },
    moderate = {},
    dim = {
      exposure = -1.1,
      gains = { 1.08, 1, 0.86 },
      saturation = 0.8,
      contrast = 0.98,
      vignette = 0.5,
      glow = 0.2,
    },
  },
  surface_condition = {
    dry = {},
    wet = { exposure = -0.12, contrast = 1.06, sheen = 0.18 },
  },
  season = {
    summer = {},
    autumn = { hue = { -0.165, 0.85 } },
    winter = { hue = { -0.03, 0.35 } },
  },
  camera = {
    clean = {},
    noise = { noise = 20 },
    soft = { blur = 1.3 },
    lowlight = { noise = 11 },
  },
}

-- The order in which looks are laid over each other; it does not depend on the cookbook.
M.order = { "time_of_day", "weather", "lighting", "surface_condition", "season", "camera" }

---@class vda.Grade
---@field exposure number
---@field gains number[]
---@field saturation number
---@field contrast number
---@field lift number
---@field haze? number[]
---@field sheen number
---@field particles? string
---@field cover number
---@field hue? number[]
---@field vignette? number
---@field glow number
---@field noise integer
---@field blur number

local function add(grade, look)
  grade.exposure = grade.exposure + (look.exposure or 0)
  grade.saturation = grade.saturation * (look.saturation or 1)
  grade.contrast = grade.contrast * (look.contrast or 1)
  grade.lift = grade.lift + (look.lift or 0)
  for i = 1, 3 do
    grade.gains[i] = grade.gains[i] * (look.gains and look.gains[i] or 1)
  end
  grade.haze = look.haze or grade.haze
  grade.particles = look.particles or grade.particles
  grade.hue = look.hue or grade.hue
  grade.cover = math.max(grade.cover, look.cover or 0)
  grade.sheen = math.max(grade.sheen, look.sheen or 0)
  grade.glow = math.max(grade.glow, look.glow or 0)
  grade.noise = math.max(grade.noise, look.noise or 0)
  grade.blur = math.max(grade.blur, look.blur or 0)
  if look.vignette then
    grade.vignette = math.max(grade.vignette or 0, look.vignette)
  end
end

--- Lays the looks of all drawn values over each other.
---@param drawn table<string, string> variable -> value
---@return vda.Grade? grade
---@return string? err names the variable or value that has no look
function M.grade(drawn)
  local grade = {
    exposure = 0,
    gains = { 1, 1, 1 },
    saturation = 1,
    contrast = 1,
    lift = 0,
    sheen = 0,
    cover = 0,
    glow = 0,
    noise = 0,
    blur = 0,
  }
  for name, value in pairs(drawn) do
    if not M.values[name] then
      return nil, "no look for variable " .. name
    end
    if not M.values[name][value] then
      return nil, "no look for " .. name .. " = " .. value
    end
  end
  for _, name in ipairs(M.order) do
    if drawn[name] then
      add(grade, M.values[name][drawn[name]])
    end
  end
  return grade
end

return M
