-- The stream of a container's output: frames of eight bytes of head (stream, three zeros, length in
-- network order) and that many of text, cut anywhere; from it the bytes of each stream, or whole
-- lines of each.
local M = {}

-- A line without an end is cut here, as pai.exec cuts it.
local MAX_LINE <const> = 65536

---@class pai.engine.Frames
local Frames = {}
Frames.__index = Frames

---Takes the next piece.
---@param chunk string
function Frames:feed(chunk)
  local data = self.pending .. chunk
  local at = 1
  while at <= #data do
    if self.left > 0 then
      local text = data:sub(at, at + self.left - 1)
      at = at + #text
      self.left = self.left - #text
      self.on_text(text, self.stream)
    elseif #data - at + 1 < 8 then
      break
    else
      local stream, length = (">BxxxI4"):unpack(data, at)
      self.stream = stream == 2 and "stderr" or "stdout"
      self.left = length
      at = at + 8
    end
  end
  self.pending = data:sub(at)
end

---@param on_text fun(text: string, stream: "stdout"|"stderr") pieces as they come
---@return pai.engine.Frames
function M.frames(on_text)
  return setmetatable({ on_text = on_text, pending = "", left = 0 }, Frames)
end

---@class pai.engine.FrameReader
local Reader = {}
Reader.__index = Reader

local function lines(self, text, stream)
  local rest = (self.rest[stream] or "") .. text
  local from = 1
  while true do
    local stop = rest:find("\n", from, true)
    if not stop then
      break
    end
    self.on_line((rest:sub(from, stop - 1):gsub("\r$", "")), stream)
    from = stop + 1
  end
  rest = rest:sub(from)
  while #rest > MAX_LINE do
    self.on_line(rest:sub(1, MAX_LINE), stream)
    rest = rest:sub(MAX_LINE + 1)
  end
  self.rest[stream] = rest
end

---Takes the next piece.
---@param chunk string
function Reader:feed(chunk)
  self.frames:feed(chunk)
end

---Gives what came without a last line end.
function Reader:finish()
  for _, stream in ipairs({ "stdout", "stderr" }) do
    local rest = self.rest[stream]
    if rest and rest ~= "" then
      self.rest[stream] = ""
      self.on_line(rest, stream)
    end
  end
end

---@param on_line fun(line: string, stream: "stdout"|"stderr")
---@return pai.engine.FrameReader
function M.reader(on_line)
  local self = setmetatable({ on_line = on_line, rest = {} }, Reader)
  self.frames = M.frames(function(text, stream)
    lines(self, text, stream)
  end)
  return self
end

return M
