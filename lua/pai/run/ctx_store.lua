-- ctx.store: object stores for recipes. Calls raise in place of nil and an error. Servers are bound
-- to needs.hosts, local files to needs.writes, keys to the hosts that their inputs name. Looking is
-- allowed everywhere; what changes a store or the disk only in `run`.
local ctx_fs = require("pai.run.ctx_fs")
local err = require("pai.err")
local guard = require("pai.run.ctx_guard")

local checked = guard.checked

local M = {}

-- Settings of the store itself; the others belong to the call.
local OPEN <const> = { "keys", "parallel", "retries", "ca_file" }

local REFUSED <const> = { on_host = true, retry_wait_ms = true }

local KEYS <const> = { "access_key", "session_token", "account_key", "sas", "connection_string" }

local function act_only(env, name)
  if env.mode ~= "act" then
    local message = "ctx.store.%s changes something; %s may only observe"
    err.raise("EACCES", message:format(name, env.where))
  end
end

-- What is left of the options after those of the store; a file of certificates is a path.
local function split(env, opts)
  local open, rest = {}, {}
  for key, value in pairs(opts or {}) do
    if REFUSED[key] then
      err.raise("EINVAL", ("ctx.store: '%s' is not known"):format(key))
    end
    rest[key] = value
  end
  for _, key in ipairs(OPEN) do
    open[key], rest[key] = rest[key], nil
  end
  if open.ca_file then
    open.ca_file = ctx_fs.path(env, open.ca_file)
  end
  return open, rest
end

---Makes ctx.store.
---@param env pai.run.CtxEnv
---@param may_use fun(handle: any, url: string) raises unless a secret may go to that server
---@return table
function M.new(env, may_use)
  local store = require("pai.store")
  local function open(url, opts)
    local settings, rest = split(env, opts)
    settings.machine = true -- whose service on_host must allow, too
    settings.on_host = function(endpoint)
      env.needs:check_host(endpoint)
      for _, name in ipairs(KEYS) do
        may_use((settings.keys or {})[name], endpoint)
      end
    end
    return checked(store.open(url, settings)), rest
  end

  -- Of file:// the places that are written must be named, as with ctx.write.
  local function open_to_change(name, url, opts)
    act_only(env, name)
    local s, rest = open(url, opts)
    if s.place.scheme == "file" then
      env.needs:check_write("/" .. s.place.key)
    end
    return s, rest
  end

  local t = {}
  function t.list(url, opts)
    local s, rest = open(url, opts)
    return checked(s:list(rest))
  end
  function t.stat(url, opts)
    local s = open(url, opts)
    return checked(s:stat())
  end
  function t.exists(url, opts)
    local s = open(url, opts)
    return checked(s:exists())
  end
  function t.upload(paths, url, opts)
    local s, rest = open_to_change("upload", url, opts)
    local list = {}
    for i, path in ipairs(type(paths) == "table" and paths or { paths }) do
      local star = type(path) == "string" and path:match("^(.+)/%*$")
      list[i] = star and ctx_fs.path(env, star) .. "/*" or ctx_fs.path(env, path)
      if list[i]:match("[^/]*$") == ".env" then
        err.raise("EACCES", list[i] .. " holds secrets and is not uploaded: declare an input")
      end
    end
    rest.exclude = table.move(rest.exclude or {}, 1, #(rest.exclude or {}), 2, { ".env" })
    return checked(s:upload(list, rest))
  end
  function t.download(url, dir, opts)
    dir = ctx_fs.path(env, dir)
    ctx_fs.check_change(env, "ctx.store.download", dir)
    local s, rest = open(url, opts)
    return checked(s:download(dir, rest))
  end
  function t.delete(url, opts)
    local s, rest = open_to_change("delete", url, opts)
    return checked(s:delete(rest))
  end
  return t
end

return M
