-- From drawn values to what ffmpeg needs: a colour cube, specifications of particle tiles, and
-- two filter graphs, with and without particles (the motion check scores the second).

local cube = require("vda.cube")
local looks = require("vda.looks")

local M = {}

local GAMMA <const> = 2.2

local function clamp(x, low, high)
  return x < low and low or x > high and high or x
end

-- How bright light things still are under this grade.
local function light(grade)
  return clamp(2 ^ (grade.exposure / GAMMA), 0.3, 1.05)
end

-- The colour of the air: a light grey under the light of the hour.
local function air(grade)
  local hex = {}
  for i = 1, 3 do
    local gain = 1 + (grade.gains[i] - 1) * 0.6
    local level = 0.80 * (gain * 2 ^ grade.exposure) ^ (1 / GAMMA)
    hex[i] = string.format("%02X", math.floor(clamp(level, 0.08, 0.90) * 255 + 0.5))
  end
  return "0x" .. table.concat(hex)
end

-- Tiles wrap at every edge, so scrolling shows no seam. Counts hold for 768×576 and scale with
-- the area; lengths and sizes scale with the height.
local RAIN <const> = {
  { "rain_far", 5200, { length = 15, slant = 9, level = 105 }, 0.5, { 0, -0.31 }, 0.75 },
  { "rain_near", 900, { length = 44, slant = 9, level = 150 }, 0.7, { 0, -0.47 }, 0.85 },
}
local SNOW <const> = {
  { "snow_far", 1500, { radius = 1.0, level = 190 }, 0.5, { -0.004, -0.017 }, 0.85 },
  { "snow_mid", 420, { radius = 2.0, level = 215 }, 0.8, { -0.009, -0.036 }, 0.9 },
  { "snow_near", 60, { radius = 4.2, level = 205 }, 1.8, { -0.019, -0.071 }, 0.85 },
}

local function particle_tiles(kind, w, h)
  local area, size, tiles = w * h / (768 * 576), h / 576, {}
  for i, row in ipairs(kind == "rain" and RAIN or SNOW) do
    local name, count, shape, blur, speed, opacity = table.unpack(row)
    tiles[i] = {
      name = name,
      kind = kind,
      width = w,
      height = kind == "rain" and 2 * h or h, -- a longer tile repeats later
      count = math.max(1, math.floor(count * area + 0.5)),
      length = shape.length and shape.length * size,
      radius = shape.radius and shape.radius * size,
      thickness = math.max(1, math.floor(size + 0.5)),
      slant = shape.slant,
      level = shape.level,
      blur = blur,
      speed = speed,
      opacity = opacity,
    }
  end
  return tiles
end

local function num(x)
  return (string.format("%.4f", x):gsub("0+$", ""):gsub("%.$", ""))
end

-- A graph is written link by link; `label` gives each pad a name of its own.
local function writer()
  local self = { parts = {}, n = 0 }
  function self.label(stem)
    self.n = self.n + 1
    return stem .. self.n
  end
  function self.add(text, ...)
    self.parts[#self.parts + 1] = string.format(text, ...)
  end
  return self
end

-- One tile as an endless stream that keeps step with the video.
local function stream(g, clip, index, chain, pad)
  g.add("[%d:v]loop=loop=-1:size=1,format=gray,%s%s[%s]", index, chain, clip.clock, pad)
end

local function haze(g, grade, clip, at, base)
  local out = g.label("hazed")
  stream(g, clip, at.cloud, "scroll=h=" .. num(0.012 / clip.fps) .. ",", "cloud")
  stream(g, clip, at.depth, "", "depth")
  g.add("[cloud][depth]blend=all_mode=multiply:shortest=1[mask]")
  g.add(
    "color=c=%s:s=%dx%d:r=%s,format=yuv420p,%s[colour]",
    air(grade),
    clip.width,
    clip.height,
    clip.rate,
    clip.clock
  )
  g.add("[colour][mask]alphamerge,format=yuva420p[veil]")
  g.add("[%s][veil]overlay=shortest=1:format=yuv420[%s]", base, out)
  return out
end

local function sheen(g, grade, clip, luma)
  local keep, wet, out = g.label("keep"), g.label("wet"), g.label("sheen")
  g.add("[%s]split=2[%s][%ss]", luma, keep, wet)
  g.add("[%ss]avgblur=sizeX=2:sizeY=%d[%s]", wet, math.max(2, clip.height // 24), wet)
  g.add("[%s][%s]blend=all_mode=screen:all_opacity=%s[%s]", keep, wet, num(grade.sheen), out)
  return out
end

-- Bright spots spread light. Done at a quarter of the size: the result is blurred anyway.
local function glow(g, grade, clip, luma)
  local keep, lamp, out = g.label("keep"), g.label("lamp"), g.label("glow")
  local w, h = math.max(16, clip.width // 8 * 2), math.max(16, clip.height // 8 * 2)
  local limit = math.floor(clamp(175 * light(grade), 60, 200))
  g.add("[%s]split=2[%s][%ss]", luma, keep, lamp)
  g.add(
    "[%ss]scale=%d:%d:flags=area,lut=y='clip((val-%d)*3\\,0\\,255)',gblur=sigma=%s,"
      .. "scale=%d:%d:flags=bilinear[%s]",
    lamp,
    w,
    h,
    limit,
    num(clip.height / 110),
    clip.width,
    clip.height,
    lamp
  )
  g.add("[%s][%s]blend=all_mode=screen:all_opacity=%s[%s]", keep, lamp, num(grade.glow), out)
  return out
end

local function fall(g, grade, clip, tiles, at, luma)
  for _, tile in ipairs(tiles) do
    local out = g.label("fall")
    local crop = string.format("crop=%d:%d:0:0,", clip.width, clip.height)
    local scroll = string.format("scroll=h=%s:v=%s,", num(tile.speed[1]), num(tile.speed[2]))
    stream(g, clip, at[tile.name], scroll .. crop, tile.name)
    local opacity = num(tile.opacity * light(grade))
    g.add(
      "[%s][%s]blend=all_mode=screen:all_opacity=%s:shortest=1[%s]",
      luma,
      tile.name,
      opacity,
      out
    )
    luma = out
  end
  return luma
end

local function sensor(grade, seed)
  local chain = {}
  if grade.vignette then
    chain[#chain + 1] = "vignette=angle=" .. num(grade.vignette)
  end
  if grade.blur > 0 then
    chain[#chain + 1] = "gblur=sigma=" .. num(grade.blur)
  end
  if grade.noise > 0 then
    local colour = grade.noise // 3
    chain[#chain + 1] = string.format(
      "noise=c0s=%d:c0f=t+u:c1s=%d:c1f=t+u:c2s=%d:c2f=t+u:all_seed=%d",
      grade.noise,
      colour,
      colour,
      seed
    )
  end
  return chain
end

local function on_luma(g, grade, clip, falling, at, base)
  local luma, out = g.label("y"), g.label("merged")
  g.add("[%s]extractplanes=y+u+v[%s][u][v]", base, luma)
  if grade.sheen > 0 then
    luma = sheen(g, grade, clip, luma)
  end
  local still
  if #falling > 0 then
    local falls = g.label("falls")
    still = g.label("still")
    g.add("[%s]split=2[%s][%s]", luma, falls, still)
    luma = fall(g, grade, clip, falling, at, falls)
  end
  if grade.glow > 0 then
    luma = glow(g, grade, clip, luma)
    still = still and glow(g, grade, clip, still)
  end
  g.add("[%s][u][v]mergeplanes=0x001020:yuv420p[%s]", luma, out)
  return out, still
end

-- The pads are [out], the picture, and with particles also [clean]: its luma without them.
local function write(grade, clip, falling, at, seed)
  local g, rect = writer(), clip.rect
  local inner = { width = rect.width, height = rect.height, fps = clip.fps, rate = clip.rate }
  inner.clock = clip.clock
  local whole = rect.width == clip.width and rect.height == clip.height
  local base, still, start = g.label("graded"), nil, "[0:v]" .. clip.clock
  if not whole then
    g.add("[0:v]%s,split=2[full][part]", clip.clock)
    start = string.format("[part]crop=%d:%d:%d:%d", rect.width, rect.height, rect.x, rect.y)
  end
  g.add("%s,format=gbrp,lut3d=file=grade.cube:interp=tetrahedral,format=yuv420p[%s]", start, base)
  if grade.haze then
    base = haze(g, grade, inner, at, base)
  end
  if grade.sheen > 0 or grade.glow > 0 or #falling > 0 then
    base, still = on_luma(g, grade, inner, falling, at, base)
  end
  local chain = sensor(grade, seed)
  if still then
    g.add("[%s]%s[clean]", still, table.concat({ "null", table.unpack(chain) }, ","))
  end
  chain[#chain + 1] = "format=yuv420p"
  local finish = table.concat(chain, ",")
  if whole then
    g.add("[%s]%s[out]", base, finish)
  else
    g.add("[%s]%s[inner]", base, finish)
    g.add("[full][inner]overlay=%d:%d:shortest=1:format=yuv420,format=yuv420p[out]", rect.x, rect.y)
  end
  return table.concat(g.parts, ";")
end

---@class vda.Clip
---@field width integer even
---@field height integer even
---@field rate string frames a second as a fraction, "10/1"
---@field rect? {x:integer,y:integer,width:integer,height:integer} the picture inside black bars

---@class vda.Plan
---@field grade vda.Grade
---@field cube string text of grade.cube
---@field tiles table[] what to paint, in the order of ffmpeg's inputs after the video
---@field filter string filter graph; pads [out] and, with particles, [clean]
---@field particles boolean

--- Everything needed to render one augmentation of one clip.
---@param drawn table<string, string>
---@param clip vda.Clip
---@param seed integer 0…2^31-1; drives tiles and noise
---@return vda.Plan? plan
---@return string? err
function M.plan(drawn, clip, seed)
  local grade, err = looks.grade(drawn)
  if not grade then
    return nil, err
  end
  local top, bottom = clip.rate:match("^(%d+)/(%d+)$")
  local rect = clip.rect or { x = 0, y = 0, width = clip.width, height = clip.height }
  local frame = { width = clip.width, height = clip.height, rect = rect, rate = clip.rate }
  frame.fps = tonumber(top) / tonumber(bottom)
  frame.clock = string.format("settb=%s/%s,setpts=N", bottom, top)
  local tiles, at, falling = {}, {}, {}
  local function add(tile)
    tile.seed = (seed + 7919 * #tiles) % 0x7fffffff
    tile.width, tile.height = tile.width or rect.width, tile.height or rect.height
    tiles[#tiles + 1] = tile
    at[tile.name] = #tiles
  end
  if grade.haze then
    add({ name = "cloud", kind = "cloud", low = 0.72 })
    add({ name = "depth", kind = "depth", top = grade.haze[1], bottom = grade.haze[2] })
  end
  if grade.particles then
    falling = particle_tiles(grade.particles, rect.width, rect.height)
    for _, tile in ipairs(falling) do
      add(tile)
    end
  end
  return {
    grade = grade,
    cube = cube.text(grade),
    tiles = tiles,
    filter = write(grade, frame, falling, at, seed),
    particles = #falling > 0,
  }
end

return M
