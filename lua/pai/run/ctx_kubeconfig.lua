-- ctx.kubeconfig: what a component does with the kubeconfig that its user works with. The file is
-- one of `needs.writes`; its backup and lock lie beside it.
local ctx_fs = require("pai.run.ctx_fs")
local guard = require("pai.run.ctx_guard")

local checked = guard.checked

local M = {}

---@param env pai.run.CtxEnv
---@return pai.ctx.kubeconfig
function M.new(env)
  local writer = require("pai.k8s.kubeconfig_write")

  ---@class pai.ctx.kubeconfig
  local kubeconfig = {}

  local function change(what, path)
    path = ctx_fs.path(env, path)
    ctx_fs.check_change(env, "ctx.kubeconfig." .. what, path)
    return path
  end

  ---Adds what a cluster's tool has printed as a context; every other one stays.
  ---@param path string
  ---@param given pai.secret.handle of ctx.exec or ctx.query with stdout = "secret"
  ---@param name string
  ---@param opts { server: string? }? the URL to use in place of the printed one
  ---@return { path: string, backup: string? } result
  function kubeconfig.merge(path, given, name, opts)
    return checked(writer.merge(change("merge", path), given, name, opts))
  end

  ---Takes a context away.
  ---@param path string
  ---@param name string
  ---@return { path: string, backup: string? }|false result false when there is none
  function kubeconfig.remove(path, name)
    return checked(writer.remove(change("remove", path), name))
  end

  ---The URL of a context's server; nil when there is no such context.
  ---@param from string|pai.secret.handle path, or what a tool printed
  ---@param name string?
  ---@return string? server
  function kubeconfig.server(from, name)
    from = type(from) == "string" and ctx_fs.path(env, from) or from
    return checked(writer.server(from, name))
  end

  return kubeconfig
end

return M
