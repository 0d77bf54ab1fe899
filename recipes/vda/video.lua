-- What ffprobe says of a video, and the ffmpeg command lines that make one fit for the flow.

local M = {}

M.THREADS = 2 -- another number gives other bytes, so it is fixed and recorded

local ENCODERS <const> = {
  vp9 = {
    name = "libvpx-vp9",
    args = "-deadline realtime -cpu-used 7 -row-mt 0 -tile-columns 1 -b:v 0 -crf",
    quality = { fine = 16, clean = 24, noisy = 34, show = 32 },
  },
  h264 = {
    name = "libx264",
    args = "-preset veryfast -crf",
    quality = { fine = 14, clean = 20, noisy = 26, show = 23 },
  },
  av1 = {
    name = "libsvtav1",
    args = "-preset 10 -crf",
    quality = { fine = 20, clean = 28, noisy = 38, show = 35 },
  },
  mpeg4 = { name = "mpeg4", args = "-q:v", quality = { fine = 2, clean = 3, noisy = 6, show = 4 } },
}

---Name of ffmpeg's encoder for a codec.
---@param codec string
---@return string
function M.encoder_name(codec)
  return ENCODERS[codec].name
end

---Arguments of an encoder: 4:2:0, the same bytes for the same input.
---@param codec string
---@param use "fine"|"clean"|"noisy"|"show"
---@return string[]
function M.encoder(codec, use)
  local e = ENCODERS[codec]
  local argv = { "-c:v", e.name }
  for word in e.args:gmatch("%S+") do
    argv[#argv + 1] = word
  end
  for _, word in ipairs({ e.quality[use], "-pix_fmt", "yuv420p", "-threads", M.THREADS }) do
    argv[#argv + 1] = tostring(word)
  end
  return argv
end

local function fraction(text)
  local top, bottom = tostring(text or ""):match("^(%d+)/(%d+)$")
  top, bottom = math.tointeger(tonumber(top)), math.tointeger(tonumber(bottom))
  if not top or top == 0 or bottom == 0 then
    return nil
  end
  return top / bottom, ("%d/%d"):format(top, bottom)
end

local function rotation(stream)
  for _, data in ipairs(stream.side_data_list or {}) do
    if data.rotation then
      return math.tointeger(data.rotation) or 0
    end
  end
  return math.tointeger(tonumber((stream.tags or {}).rotate)) or 0
end

---@class vda.Video
---@field codec string
---@field width integer as stored
---@field height integer
---@field rotation integer degrees
---@field square boolean pixels are square
---@field rate string frames a second as a fraction
---@field variable boolean
---@field duration? number seconds
---@field frames? integer as the file says
---@field sound boolean

---The command that describes a file.
---@param path string
---@return string[]
function M.probe_command(path)
  local fields = "stream=index,codec_type,codec_name,width,height,sample_aspect_ratio,r_frame_rate,"
    .. "avg_frame_rate,nb_frames,duration:stream_tags=rotate:stream_side_data=rotation"
    .. ":stream_disposition=attached_pic:format=duration,format_name"
  return { "ffprobe", "-v", "error", "-show_entries", fields, "-of", "json", path }
end

---Reads ffprobe's answer.
---@param answer table
---@return vda.Video? video
---@return string? why there is none
function M.describe(answer)
  local stream, sound
  for _, s in ipairs(answer.streams or {}) do
    local picture = (s.disposition or {}).attached_pic == 1
    if s.codec_type == "video" and not picture and not stream then
      stream = s
    end
    sound = sound or s.codec_type == "audio"
  end
  if not stream then
    return nil, "it has no video stream" .. (sound and ", only sound" or "")
  end
  local real, real_text = fraction(stream.r_frame_rate)
  local mean, mean_text = fraction(stream.avg_frame_rate)
  if not (real or mean) or not stream.width or stream.width == 0 then
    return nil, "its video stream has no frames"
  end
  local duration = tonumber(stream.duration) or tonumber((answer.format or {}).duration)
  if duration and duration <= 0 then
    return nil, "its length is zero"
  end
  local variable = real ~= nil and mean ~= nil and math.abs(real - mean) > 0.01 * mean
  local rate = not variable and (real_text or mean_text)
    or ("%d/1"):format(math.max(1, math.floor(mean + 0.5)))
  local shape = stream.sample_aspect_ratio
  return {
    codec = stream.codec_name,
    width = stream.width,
    height = stream.height,
    rotation = rotation(stream),
    square = shape == nil or shape == "1:1" or shape == "0:1" or shape == "N/A",
    rate = rate,
    variable = variable,
    duration = duration,
    frames = math.tointeger(tonumber(stream.nb_frames)),
    sound = sound or false,
  }
end

---What a video goes through before the flow uses it, in words.
---@param v vda.Video
---@param seconds integer 0 = whole
---@return string[]
function M.notes(v, seconds)
  local notes = {}
  local function note(condition, text)
    if condition then
      notes[#notes + 1] = text
    end
  end
  note(v.rotation % 360 ~= 0, ("turned by %d degrees, as the file asks"):format(v.rotation))
  note(not v.square, "pixels made square")
  note(v.width % 2 == 1 or v.height % 2 == 1, "odd size made even")
  note(v.variable, "variable frame rate made constant, " .. v.rate .. " a second")
  note(v.sound, "sound left out")
  local longer = seconds > 0 and (v.duration == nil or v.duration > seconds + 0.05)
  note(longer, ("first %d seconds taken"):format(seconds))
  return notes
end

---The command that makes the clip: upright, even, square pixels, constant rate, 4:2:0, no sound.
---@param v vda.Video
---@param from string
---@param to string
---@param opts { seconds: integer, codec: string }
---@return string[]
function M.normalise_command(v, from, to, opts)
  local argv = { "ffmpeg", "-nostdin", "-v", "error", "-y", "-threads", tostring(M.THREADS) }
  local function add(...)
    for _, word in ipairs({ ... }) do
      argv[#argv + 1] = tostring(word)
    end
  end
  local chain = "scale='max(2,trunc(iw*if(gt(sar,0),sar,1)/2)*2)':'max(2,trunc(ih/2)*2)'"
    .. (":flags=bicubic,setsar=1,fps=%s,format=yuv420p"):format(v.rate)
  add("-i", from, "-map", "0:v:0", "-an", "-sn", "-dn", "-map_metadata", "-1", "-vf", chain)
  if opts.seconds > 0 then
    add("-t", opts.seconds)
  end
  add(table.unpack(M.encoder(opts.codec, "fine")))
  add("-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart", "-f", "mp4", to)
  return argv
end

---The command whose messages tell where the picture lies inside black bars.
---@param path string
---@return string[]
function M.bars_command(path)
  local filter = "cropdetect=limit=18:round=2:reset=0"
  local argv = { "ffmpeg", "-nostdin", "-hide_banner", "-threads", tostring(M.THREADS), "-i", path }
  return table.move({ "-vf", filter, "-an", "-f", "null", "-" }, 1, 6, #argv + 1, argv)
end

---The picture inside black bars, from cropdetect's messages; the whole frame when the bars are
---thin, or so thick that it is rather a dark picture.
---@param messages string
---@param width integer
---@param height integer
---@return { x: integer, y: integer, width: integer, height: integer }
function M.picture(messages, width, height)
  local last
  for crop in messages:gmatch("crop=(%-?%d+:%-?%d+:%-?%d+:%-?%d+)") do
    last = crop
  end
  local whole = { x = 0, y = 0, width = width, height = height }
  local numbers = {}
  for n in (last or ""):gmatch("%-?%d+") do
    numbers[#numbers + 1] = math.tointeger(tonumber(n))
  end
  local w, h, x, y = table.unpack(numbers)
  if not y or w < 2 or h < 2 then
    return whole
  end
  x, y, w, h = x // 2 * 2, y // 2 * 2, w // 2 * 2, h // 2 * 2
  local thin = w > 0.98 * width and h > 0.98 * height
  local thick = w < 0.6 * width or h < 0.6 * height
  return (thin or thick) and whole or { x = x, y = y, width = w, height = h }
end

---The command that puts source and result side by side, 720 rows high.
---@param from string
---@param result string
---@param to string
---@param opts { rate: string, codec: string }
---@return string[]
function M.compare_command(from, result, to, opts)
  local top, bottom = opts.rate:match("^(%d+)/(%d+)$")
  local one = ("[%%d:v]scale=-2:720:flags=bilinear,setsar=1,settb=%s/%s,setpts=N[%%s]"):format(
    bottom,
    top
  )
  local graph = one:format(0, "a") .. ";" .. one:format(1, "b")
  graph = graph .. ";[a][b]hstack=shortest=1,format=yuv420p[out]"
  local threads = tostring(M.THREADS)
  local argv = { "ffmpeg", "-nostdin", "-v", "error", "-y" }
  local function add(...)
    for _, word in ipairs({ ... }) do
      argv[#argv + 1] = word
    end
  end
  add("-threads", threads, "-i", from, "-threads", threads, "-i", result)
  add("-filter_complex_threads", threads, "-filter_complex", graph, "-map", "[out]", "-an")
  add("-map_metadata", "-1", "-fps_mode", "passthrough")
  add(table.unpack(M.encoder(opts.codec, "show")))
  add("-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart", "-f", "mp4", to)
  return argv
end

return M
