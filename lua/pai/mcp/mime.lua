-- Media types of evidence by the end of a file's name.
local M = {}

local TYPES <const> = {
  mp4 = "video/mp4",
  m4v = "video/mp4",
  webm = "video/webm",
  mkv = "video/x-matroska",
  png = "image/png",
  jpg = "image/jpeg",
  jpeg = "image/jpeg",
  gif = "image/gif",
  webp = "image/webp",
  svg = "image/svg+xml",
  html = "text/html",
  json = "application/json",
  jsonl = "application/jsonl",
  txt = "text/plain",
  log = "text/plain",
  md = "text/markdown",
  yaml = "application/yaml",
}

---@param path string
---@return string
function M.of(path)
  return TYPES[(path:match("%.(%w+)$") or ""):lower()] or "application/octet-stream"
end

return M
