-- ctx.fs: the file system as a recipe sees it. Everything may be looked at; what changes something
-- is bound to needs.writes and the run's folder, and refused where only looking is allowed.
local err = require("pai.err")
local fs = require("pai.fs")
local guard = require("pai.run.ctx_guard")

local checked = guard.checked

local M = {}

---@param env pai.run.CtxEnv
---@param path any
---@return string absolute
function M.path(env, path)
  if type(path) ~= "string" or path == "" then
    err.raise("EINVAL", "a path must be a string that is not empty")
  end
  return fs.abspath(path:sub(1, 1) == "/" and path or env.cwd .. "/" .. path)
end

---Raises unless the file system may be changed here, and there.
---@param env pai.run.CtxEnv
---@param what string
---@param path string absolute
function M.check_change(env, what, path)
  if env.mode ~= "act" then
    local message = "%s changes something; %s may only observe"
    err.raise("EACCES", message:format(what, env.where))
  end
  env.needs:check_write(path)
end

---Makes ctx.fs.
---@param env pai.run.CtxEnv
---@return table
function M.new(env)
  local t = {}
  local function path_of(path)
    return M.path(env, path)
  end
  local function change(what, path)
    path = path_of(path)
    M.check_change(env, "ctx.fs." .. what, path)
    return path
  end

  function t.exists(path)
    return fs.exists(path_of(path))
  end
  function t.stat(path)
    local st, e = fs.stat(path_of(path))
    if not st and e and e.code ~= "ENOENT" and e.code ~= "ENOTDIR" then
      error(e, 0)
    end
    return st
  end
  function t.list(dir)
    return checked(fs.list(path_of(dir)))
  end
  function t.walk(dir)
    return checked(fs.walk(path_of(dir)))
  end
  function t.glob(pattern)
    return checked(fs.glob(path_of(pattern)))
  end
  function t.digest(path)
    return checked(require("pai.crypto").file_sha256(path_of(path)))
  end
  function t.disk_free(path)
    return checked(fs.disk_free(path_of(path)))
  end
  function t.under(path, root)
    return fs.under(path_of(path), { path_of(root) })
  end
  function t.join(...)
    return fs.join(...)
  end
  function t.dirname(path)
    return fs.dirname(path)
  end
  function t.basename(path)
    return fs.basename(path)
  end
  function t.abspath(path)
    return path_of(path)
  end

  function t.mkdir(path)
    return checked(fs.mkdir(change("mkdir", path), { parents = true }))
  end
  function t.copy(from, to, opts)
    return checked(fs.copy(path_of(from), change("copy", to), opts))
  end
  function t.remove(path, opts)
    return checked(fs.remove(change("remove", path), opts))
  end
  function t.rename(from, to)
    return checked(fs.rename(change("rename", from), change("rename", to)))
  end
  function t.chmod(path, mode)
    return checked(fs.chmod(change("chmod", path), mode))
  end
  function t.tempdir()
    local dir = change("tempdir", env.run_dir .. "/tmp")
    checked(fs.mkdir(dir, { parents = true }))
    return checked(fs.tempdir({ dir = dir, prefix = "step-" }))
  end
  return t
end

return M
