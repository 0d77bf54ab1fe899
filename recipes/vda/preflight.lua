-- What must hold before a run changes anything.
local clip = require("vda.clip")
local demo = require("vda.demo")
local video = require("vda.video")

local M = {}

M.PYTHON = "/usr/bin/python3"
-- Imports what the tasks import; -B and -I so that looking writes and reads nothing of the user's.
M.IMPORT = "import cv2, numpy; print(cv2.__version__)"

local LONGEST_NAME <const> = 60

local function ok(measured)
  return { state = "ok", measured = measured }
end

local function red(measured, hint, expected)
  return { state = "red", measured = measured, hint = hint, expected = expected }
end

local function ffmpeg(ctx, inp)
  for _, name in ipairs({ "ffmpeg", "ffprobe" }) do
    if not ctx.which(name) then
      return red(name .. " is missing", "apt-get install ffmpeg", "ffmpeg and ffprobe on PATH")
    end
  end
  local encoder = video.encoder_name(inp.codec)
  local list = ctx.query({ "ffmpeg", "-hide_banner", "-encoders" }).stdout
  if not list:find(" " .. encoder:gsub("%-", "%%-") .. " ") then
    return red(
      "this ffmpeg has no encoder " .. encoder,
      "choose another codec=, or Debian's own ffmpeg",
      "an encoder for " .. inp.codec
    )
  end
  local version = ctx.query({ "ffmpeg", "-version" }).stdout:match("version (%S+)")
  return ok(("%s with %s"):format(version, encoder))
end

local function opencv(ctx)
  if not ctx.fs.exists(M.PYTHON) then
    return red(M.PYTHON .. " is missing", "apt-get install python3-opencv")
  end
  local r = ctx.query({ M.PYTHON, "-I", "-B", "-c", M.IMPORT }, { accept = { 0, 1 } })
  if r.code ~= 0 then
    local said = r.stderr:match("([^\n]+)%s*$") or "python3 can't import cv2"
    return red(said, "apt-get install python3-opencv", "OpenCV for " .. M.PYTHON)
  end
  return ok("OpenCV " .. r.stdout:match("%S+"))
end

local function sandbox(ctx)
  if ctx.which("bwrap") then
    return ok("bubblewrap")
  end
  return {
    state = "warn",
    measured = "bubblewrap is missing: tasks run as plain processes",
    hint = "apt-get install bubblewrap",
  }
end

local function target(ctx, inp)
  if #(inp.dataset or "") > LONGEST_NAME then
    return red(
      ("a dataset name of %d letters"):format(#inp.dataset),
      "choose a shorter dataset=",
      ("at most %d: it is the workflow's name"):format(LONGEST_NAME)
    )
  elseif ctx.target == "local" then
    return ok("local: the embedded engine")
  end
  return red(
    "target " .. ctx.target,
    "pass --target local; this recipe has the local profile only",
    "target local"
  )
end

local function source(ctx, inp)
  if inp.video then
    if not ctx.which("ffprobe") then
      return { state = "skipped", measured = "ffprobe is missing" }
    end
    local found, why = clip.probe(ctx, inp.video)
    if not found then
      return red(("%s: %s"):format(inp.video, why), "name another video= file", "a video")
    end
    local length = found.duration and ("%.1f s"):format(found.duration) or "unknown length"
    return ok(("%s %dx%d, %s"):format(found.codec, found.width, found.height, length))
  end
  local path = demo.find(ctx, inp)
  if path then
    return ok("demo video at " .. path)
  end
  for _, program in ipairs({ "apt-get", "dpkg-deb", "tar" }) do
    if not ctx.which(program) then
      return red(
        "no video was given and the demo can't be fetched: " .. program .. " is missing",
        "pass video=FILE"
      )
    end
  end
  return ok("demo video, to be fetched from Debian's package opencv-doc (96 MB)")
end

-- The folder itself, or the nearest one above it that is there.
local function nearest(ctx, path)
  while not ctx.fs.exists(path) and path ~= "/" do
    path = ctx.fs.dirname(path)
  end
  return path
end

local function folder(ctx, inp)
  local there = nearest(ctx, inp.out)
  local st = ctx.fs.stat(there)
  if not st or st.type ~= "directory" then
    local measured = ("%s is a %s, not a folder"):format(there, st and st.type or "riddle")
    return red(measured, "name another folder: out=DIR", "a folder that can be written")
  end
  if ctx.which("test") and ctx.query({ "test", "-w", there }, { accept = { 0, 1 } }).code ~= 0 then
    return red(there .. " is not writable", "name another folder: out=DIR")
  end
  return ok(inp.out)
end

-- Bytes that a run leaves and needs in between; measured at 12.3 KB a frame of the demo at most.
local function needed(inp, found)
  local fps, seconds, pixels = 10, inp.seconds > 0 and inp.seconds or 80, 768 * 576
  if found then
    local top, bottom = found.rate:match("(%d+)/(%d+)")
    fps, pixels = tonumber(top) / tonumber(bottom), found.width * found.height
    seconds = inp.seconds > 0 and math.min(inp.seconds, found.duration or inp.seconds)
      or found.duration
      or 600
  end
  return math.floor(4e6 + fps * seconds * pixels * 0.25 * inp.augmentations)
end

local function space(ctx, inp)
  local found = inp.video and ctx.which("ffprobe") and clip.probe(ctx, inp.video) or nil
  local need = needed(inp, found)
  local free = ctx.fs.disk_free(nearest(ctx, inp.out))
  local text = ("%.1f MB of space free"):format(free / 1e6)
  if free < need then
    return red(
      text,
      "make space, or name a folder on another disk: out=DIR",
      ("about %.0f MB of space"):format(need / 1e6)
    )
  end
  return ok(text)
end

---The checks of the gate before a run.
---@param ctx pai.ctx
---@param inp table
---@return table[]
function M.checks(ctx, inp)
  local function check(name, fn)
    return {
      name = name,
      run = function()
        return fn(ctx, inp)
      end,
    }
  end
  return {
    check("target", target),
    check("ffmpeg", ffmpeg),
    check("OpenCV", opencv),
    check("sandbox", sandbox),
    check("video", source),
    check("output folder", folder),
    check("disk space", space),
  }
end

return M
