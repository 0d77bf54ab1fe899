-- Videos and images inside the page, as data: URIs, so that one file holds the evidence. What is
-- too large for that is named with its path instead, and the report says so.
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local html = require("pai.report.html")

local el = html.element

local M = {}

M.MAX_FILE = 64 << 20 -- bytes of one file
M.MAX_TOTAL = 160 << 20 -- bytes of all files in one page

local TYPES = {
  mp4 = "video/mp4",
  m4v = "video/mp4",
  webm = "video/webm",
  png = "image/png",
  jpg = "image/jpeg",
  jpeg = "image/jpeg",
  gif = "image/gif",
  webp = "image/webp",
  svg = "image/svg+xml",
}

---A file's size for people.
---@param bytes integer
---@return string
function M.size(bytes)
  if bytes < 1000 then
    return bytes .. " bytes"
  elseif bytes < 1000000 then
    return string.format("%.1f kB", bytes / 1000)
  end
  return string.format("%.1f MB", bytes / 1000000)
end

---Keeps count of what one page embeds, and of what it could not.
---@class pai.report.Shelf
---@field used integer
---@field left_out {path: string, reason: string}[]

---@return pai.report.Shelf
function M.shelf()
  return { used = 0, left_out = {} }
end

local function read(shelf, path)
  local stat, err = fs.stat(path)
  if not stat then
    return nil, err.message
  elseif stat.size > M.MAX_FILE or shelf.used + stat.size > M.MAX_TOTAL then
    return nil, M.size(stat.size) .. " is too large to be put inside this page", stat
  end
  local bytes, read_err = fs.read(path, { max = M.MAX_FILE })
  if not bytes then
    return nil, read_err.message
  end
  shelf.used = shelf.used + #bytes
  return bytes, nil, stat
end

local function element(kind, uri, name)
  if kind == "video" then
    return el("video", {
      src = uri,
      controls = true,
      loop = true,
      muted = true,
      playsinline = true,
      preload = "auto",
      ["aria-label"] = name,
    })
  end
  return el("img", { src = uri, alt = name })
end

---One item of a media section.
---@param shelf pai.report.Shelf
---@param item {path: string, caption?: string, kind?: string}
---@return pai.report.Node
function M.figure(shelf, item)
  local path = tostring(item.path)
  local name = item.caption or fs.basename(path)
  local mime = TYPES[(path:match("%.(%w+)$") or ""):lower()]
  local bytes, why, stat = nil, "no video or image that a browser shows", nil
  if mime then
    bytes, why, stat = read(shelf, path)
  end
  local shown
  if bytes then
    -- Base64 has no character that HTML knows, and is no text to be masked: it is the file.
    local uri = html.raw("data:" .. mime .. ";base64," .. crypto.base64_encode(bytes))
    shown = element(mime:match("^%a+"), uri, name)
  else
    shelf.left_out[#shelf.left_out + 1] = { path = path, reason = why }
    shown = el("p", { class = "notice" }, "Not shown here: ", why, ".")
  end
  return el(
    "figure",
    {},
    shown,
    el(
      "figcaption",
      {},
      el("div", {}, name),
      el("div", { class = "soft small mono" }, path, stat and "  ·  " .. M.size(stat.size) or "")
    )
  )
end

return M
