-- The demo video: people on a campus, from Debian's package opencv-doc. Taken from where it is
-- installed, else from a cache, else from the package, which apt downloads; only that one file is
-- kept. It is never part of this project and never replaces a video that the user named.

local M = {}

M.NAME = "vtest"
M.CREDIT = "PETS 2009 S2.L1, University of Reading; free for research, with acknowledgement"

local PACKAGE <const> = "opencv-doc"
local MEMBER <const> = "usr/share/doc/opencv-doc/examples/data/vtest.avi"
local SHA256 <const> = "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf"

local function cached(inp)
  return inp.cache .. "/demo/vtest.avi"
end

---Where the demo video is on this machine.
---@param ctx pai.ctx
---@param inp table
---@return string? path
function M.find(ctx, inp)
  for _, path in ipairs({ "/" .. MEMBER, cached(inp) }) do
    if ctx.fs.exists(path) then
      return path
    end
  end
end

-- The package lists may be absent (a fresh container) or not ours to renew: then a private copy.
local function download(ctx, dir)
  local r = ctx.exec(
    { "apt-get", "download", PACKAGE },
    { cwd = dir, timeout = "10m", accept = { 0, 100 } }
  )
  if r.code == 0 then
    return
  end
  ctx.log("apt knows no " .. PACKAGE .. ": renewing package lists in a folder of this run")
  for _, sub in ipairs({ "lists/partial", "archives/partial" }) do
    ctx.fs.mkdir(dir .. "/" .. sub)
  end
  local private = { "-o", "Dir::State::Lists=" .. dir .. "/lists", "-o", "Dir::Cache=" .. dir }
  for _, what in ipairs({ { "update" }, { "download", PACKAGE } }) do
    local argv = { "apt-get" }
    table.move(private, 1, #private, 2, argv)
    table.move(what, 1, #what, #argv + 1, argv)
    ctx.exec(argv, { cwd = dir, timeout = "10m" })
  end
end

---Fetches the demo video into the cache.
---@param ctx pai.ctx
---@param inp table
---@return string path
function M.fetch(ctx, inp)
  local found = M.find(ctx, inp)
  if found then
    return found
  end
  ctx.log("fetching the demo video: Debian package " .. PACKAGE .. ", about 96 MB, kept for later")
  local dir, target = ctx.fs.tempdir(), cached(inp)
  download(ctx, dir)
  local package = ctx.fs.glob(dir .. "/" .. PACKAGE .. "_*.deb")[1]
  if not package then
    error("apt-get download left no " .. PACKAGE .. " package", 0)
  end
  local tar, out = dir .. "/package.tar", dir .. "/vtest.avi"
  ctx.exec({ "dpkg-deb", "--fsys-tarfile", package }, { stdout = { file = tar }, timeout = "5m" })
  ctx.fs.remove(package)
  ctx.exec({ "tar", "-xOf", tar, "./" .. MEMBER }, { stdout = { file = out }, timeout = "5m" })
  local digest = ctx.fs.digest(out)
  if digest ~= SHA256 then
    ctx.log("the demo video of this Debian differs from the one that was measured: " .. digest)
  end
  ctx.fs.mkdir(ctx.fs.dirname(target))
  ctx.fs.copy(out, target .. "." .. ctx.run_id)
  ctx.fs.rename(target .. "." .. ctx.run_id, target)
  ctx.fs.remove(dir, { recursive = true })
  return target
end

return M
