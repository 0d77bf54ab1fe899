-- Where pai keeps what it must remember: the state folder, ids of runs, short socket paths.
-- Nothing here creates anything unless its name says so.
local err = require("pai.err")
local fs = require("pai.fs")

local M = {}

local chosen

---Sets the state folder for this process (--state DIR).
---@param dir string
function M.set(dir)
  chosen = fs.abspath(dir)
end

---The state folder: --state, PAI_STATE, $XDG_STATE_HOME/pai, ~/.local/state/pai.
---@return string absolute path, which need not exist
function M.dir()
  if chosen then
    return chosen
  end
  local env = os.getenv("PAI_STATE")
  if env and env ~= "" then
    return fs.abspath(env)
  end
  local xdg = os.getenv("XDG_STATE_HOME")
  -- The base directory rules say that a relative value is to be ignored.
  if xdg and xdg:sub(1, 1) == "/" then
    return xdg .. "/pai"
  end
  local home = os.getenv("HOME")
  if not home or home == "" then
    err.raise("ENOENT", "no state folder: HOME is not set", { hint = "pass --state DIR" })
  end
  return home .. "/.local/state/pai"
end

---The folder that holds the runs.
---@return string
function M.runs()
  return M.dir() .. "/runs"
end

---The folder of one run.
---@param id string
---@return string
function M.run_dir(id)
  return M.runs() .. "/" .. id
end

---Makes a folder for this user only, with its parents.
---@param dir string
---@return string dir
function M.create(dir)
  local ok, e = fs.mkdir(dir, { parents = true, mode = "0700" })
  if not ok then
    error(e, 0)
  end
  return dir
end

-- Plain Lua, so that a run does not load a crypto library for four bytes.
local function random_hex(bytes)
  local f = assert(io.open("/dev/urandom", "rb"))
  f:setvbuf("no")
  local raw = f:read(bytes)
  f:close()
  return (raw:gsub(".", function(c)
    return ("%02x"):format(c:byte())
  end))
end

---Makes a new run id.
---@return string "run-" and eight hex digits
function M.new_id()
  return "run-" .. random_hex(4)
end

---Tells whether a text can be a run id.
---@param id any
---@return boolean
function M.is_id(id)
  return type(id) == "string" and id:find("^run%-[%w_-]+$") ~= nil and #id <= 64
end

-- sun_path holds 108 bytes with its end; bind fails beyond.
local SOCKET_MAX <const> = 100

---A path for a unix socket that belongs to a folder. A folder whose path is too long for one gets
---a socket in the user's runtime folder, named by a digest of the folder.
---@param dir string
---@param name string
---@return string
function M.socket(dir, name)
  local path = dir .. "/" .. name
  if #path <= SOCKET_MAX then
    return path
  end
  local base = os.getenv("XDG_RUNTIME_DIR")
  if not base or base:sub(1, 1) ~= "/" or #base > 60 then
    local _, uid = fs.user()
    base = "/tmp/pai-" .. uid
    local st = fs.stat(base)
    -- Anybody may make a folder there; only one that is ours alone may hold our socket.
    if st and (st.type ~= "directory" or st.uid ~= uid or st.mode & 63 ~= 0) then -- 077
      err.raise("EACCES", base .. " is not a folder of this user alone", {
        hint = "set XDG_RUNTIME_DIR, or a shorter --state",
      })
    end
  end
  local digest = require("pai.digest").sha256(dir)
  return ("%s/pai-%s-%s"):format(base, digest:sub(1, 16), name)
end

return M
