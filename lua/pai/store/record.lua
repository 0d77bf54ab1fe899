-- What is remembered of an upload in parts, so that a killed one goes on: a file in the state
-- folder that names the store's upload and the parts that it has. It is locked while the upload
-- runs.
local err = require("pai.err")
local fs = require("pai.fs")
local json = require("pai.json")
local state = require("pai.state")

local M = {}

---@class pai.store.Record
---@field id string? the store's name of the upload
---@field etags table<integer, string> of the parts that are there
local Record = {}
Record.__index = Record

local function identity(url, source, part_size)
  return {
    url = url,
    path = source.path,
    size = source.size,
    mtime_ms = source.mtime_ms,
    ino = source.ino,
    part_size = part_size,
  }
end

-- The parts of an earlier run of the same upload of the same bytes; a torn last line is ignored.
local function load(record, text)
  local head
  for line in text:gmatch("([^\n]*)\n") do
    local value = json.decode(line)
    if type(value) ~= "table" then
      return
    elseif not head then
      head = value
      for key, want in pairs(record.identity) do
        if head[key] ~= want then
          return
        end
      end
      record.id = type(head.id) == "string" and head.id or nil
    elseif math.type(value.n) == "integer" and type(value.etag) == "string" then
      record.etags[value.n] = value.etag
    end
  end
end

---Opens the record of an upload. Raises `EAGAIN` when another process is at it.
---@param url string of the object, with the endpoint
---@param source {path: string, size: integer, mtime_ms: integer, ino: integer}
---@param part_size integer
---@return pai.store.Record
function M.open(url, source, part_size)
  local dir = state.create(state.dir()) .. "/uploads"
  state.create(dir)
  local name = require("pai.digest").sha256(url .. "\0" .. source.path)
  local self = setmetatable({
    path = dir .. "/" .. name,
    identity = identity(url, source, part_size),
    etags = {},
  }, Record)
  local lock, e = fs.lock(self.path)
  if not lock then
    if e.code == "EAGAIN" then
      err.raise(
        "EAGAIN",
        ("%s is being uploaded to %s by another process"):format(source.path, url)
      )
    end
    error(e, 0)
  end
  self.lock = lock
  load(self, fs.read(self.path) or "")
  return self
end

local function checked(ok, e)
  if not ok then
    error(e, 0)
  end
end

---Begins anew, with an upload that has no parts.
---@param id string
function Record:start(id)
  self.id, self.etags = id, {}
  local head = { id = id }
  for key, value in pairs(self.identity) do
    head[key] = value
  end
  checked(self.lock:write(json.encode(head) .. "\n"))
end

---@param n integer
---@param etag string
function Record:add(n, etag)
  self.etags[n] = etag
  checked(fs.append(self.path, json.encode({ n = n, etag = etag }) .. "\n"))
end

---The upload is over, one way or the other.
function Record:remove()
  fs.remove(self.path)
end

---Lets go of it; what it holds stays for the next time.
function Record:close()
  if not self.id then
    fs.remove(self.path)
  end
  self.lock:release()
end

return M
