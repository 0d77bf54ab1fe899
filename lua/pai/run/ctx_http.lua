-- ctx.http: requests to hosts that the recipe declares.
local ctx_fs = require("pai.run.ctx_fs")
local err = require("pai.err")
local guard = require("pai.run.ctx_guard")
local needs = require("pai.run.needs")

local M = {}

---@param env pai.run.CtxEnv
---@return table with http
function M.new(env)
  local t = {}
  function t.http(opts)
    if type(opts) ~= "table" or type(opts.url) ~= "string" then
      err.raise("EINVAL", "ctx.http takes a table with a url")
    end
    local method = (opts.method or "GET"):upper()
    if method ~= "GET" and method ~= "HEAD" then
      guard.act_only(env, "ctx.http with " .. method, "use GET or HEAD")
    end
    if opts.follow and opts.follow ~= 0 then
      err.raise(
        "EACCES",
        "ctx.http follows no redirect: it may lead to a host outside of needs.hosts"
      )
    end
    env.needs:check_host(opts.url, opts.unix_socket)
    local function may(entry)
      return needs.names_host({ entry }, opts.url)
    end
    local basic = type(opts.basic) == "table" and opts.basic or {}
    for _, value in ipairs({ opts.bearer or false, opts.body or false, table.unpack(basic) }) do
      guard.check_secret(env, value, "hosts", opts.url, may)
    end
    for _, value in pairs(opts.headers or {}) do
      guard.check_secret(env, value, "hosts", opts.url, may)
    end
    local copy = {}
    for k, v in pairs(opts) do
      copy[k] = v
    end
    if copy.output then
      copy.output = ctx_fs.path(env, copy.output)
      ctx_fs.check_change(env, "ctx.http with output", copy.output)
    end
    return guard.called(require("pai.http").request, copy)
  end
  return t
end

return M
