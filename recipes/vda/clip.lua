-- The clip that a run works on: the user's video or the demo, made upright, even, constant and
-- silent, at input/NAME.mp4 of the run's folder, with input/source.json saying where it came from.
local demo = require("vda.demo")
local video = require("vda.video")

local M = {}

---@class vda.Source what input/source.json holds
---@field video string stem of the clip
---@field dataset string
---@field path string the clip
---@field original string the file it was made from
---@field demo boolean
---@field width integer
---@field height integer
---@field rate string
---@field frames integer
---@field rect { x: integer, y: integer, width: integer, height: integer }
---@field notes string[]

---The folder of a run.
---@param ctx pai.ctx
---@param inp table
---@return string
function M.run_dir(ctx, inp)
  return ctx.fs.join(inp.out, "runs", ctx.run_id)
end

-- Names of tasks and folders: what is not a letter, digit, dash or underscore becomes one.
local function stem_of(path)
  local stem = path:match("([^/]+)$"):gsub("%.[^.]*$", ""):gsub("[^%w_-]+", "_")
  stem = stem:gsub("^[_-]+", ""):gsub("_+$", ""):sub(1, 48)
  return stem ~= "" and stem or "video"
end

---Describes a video file, or says why it is none.
---@param ctx pai.ctx
---@param path string
---@return vda.Video? video
---@return string? why
function M.probe(ctx, path)
  local st = ctx.fs.stat(path)
  if not st then
    return nil, "there is no such file"
  elseif st.type ~= "file" then
    return nil, "it is a " .. st.type .. ", not a file"
  elseif st.size == 0 then
    return nil, "the file is empty"
  end
  local r = ctx.query(video.probe_command(path), { accept = { 0, 1 } })
  if r.code ~= 0 then
    local said = r.stderr:match("([^\n]+)%s*$") or ""
    return nil, "it is no video that ffmpeg can read: " .. said:gsub("^.*: ", "")
  end
  return video.describe(ctx.json.decode(r.stdout))
end

local function record(dir)
  return dir .. "/input/source.json"
end

---What an earlier attempt of this run made; nil when it is not whole.
---@param ctx pai.ctx
---@param inp table
---@return vda.Source?
function M.made(ctx, inp)
  local dir = M.run_dir(ctx, inp)
  if not ctx.fs.exists(record(dir)) then
    return nil
  end
  local source = ctx.json.decode(ctx.read(record(dir)))
  local st = ctx.fs.stat(source.path)
  return st and st.size == source.bytes and source or nil
end

---Runs something that makes a file; what it leaves when it fails is removed.
---@param ctx pai.ctx
---@param part string
---@param make function
---@return any ... what make returns
function M.whole(ctx, part, make)
  local results = table.pack(pcall(make))
  if not results[1] then
    if ctx.fs.exists(part) then
      ctx.fs.remove(part)
    end
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end

---Makes the clip.
---@param ctx pai.ctx
---@param inp table
---@return vda.Source
function M.make(ctx, inp)
  local is_demo = inp.video == nil
  local original = inp.video or demo.fetch(ctx, inp)
  local found, why = M.probe(ctx, original)
  if not found then
    error(("%s: %s"):format(original, why), 0)
  end
  local dir, stem = M.run_dir(ctx, inp), stem_of(original)
  local path, part = ("%s/input/%s.mp4"):format(dir, stem), ("%s/input/.%s.part"):format(dir, stem)
  ctx.fs.mkdir(dir .. "/input")
  local opts = { seconds = inp.seconds, codec = inp.codec }
  local clip, bars = M.whole(ctx, part, function()
    ctx.exec(video.normalise_command(found, original, part, opts), { timeout = "6h" })
    local made, problem = M.probe(ctx, part)
    if not made or (made.frames or 0) == 0 then
      error(("%s: no frame could be read: %s"):format(original, problem or "the clip is empty"), 0)
    end
    return made, ctx.exec(video.bars_command(part), { timeout = "1h" })
  end)
  local st = ctx.fs.stat(part)
  ctx.fs.rename(part, path)
  local source = {
    video = stem,
    dataset = inp.dataset or (is_demo and "vda-demo" or "vda"),
    path = path,
    original = original,
    original_sha256 = ctx.fs.digest(original),
    demo = is_demo,
    credit = is_demo and demo.CREDIT or nil,
    width = clip.width,
    height = clip.height,
    rate = clip.rate,
    frames = clip.frames,
    bytes = st.size,
    rect = video.picture(bars.stderr, clip.width, clip.height),
    notes = ctx.json.array(video.notes(found, inp.seconds)),
  }
  ctx.write(record(dir), ctx.json.encode(source, { pretty = true }) .. "\n")
  return source
end

return M
