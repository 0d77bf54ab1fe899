-- The stream of a container's output: frames of eight bytes of head (stream, three zeros, length in
-- network order) and that many of text, cut anywhere; from it whole lines of each stream.
local M = {}

-- A line without an end is cut here, as pai.exec cuts it.
local MAX_LINE <const> = 65536

---@class pai.engine.FrameReader
local Reader = {}
Reader.__index = Reader

local function lines(self, stream, text)
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
  local data = self.pending .. chunk
  local at = 1
  while at <= #data do
    if self.left > 0 then
      local text = data:sub(at, at + self.left - 1)
      at = at + #text
      self.left = self.left - #text
      lines(self, self.stream, text)
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
  return setmetatable({ on_line = on_line, pending = "", left = 0, rest = {} }, Reader)
end

return M
