-- A Service's answer to a GET, through the API server: reference page "Access Services Running on
-- Clusters". What is refused on the way is an error; every other status is an answer, also that of
-- a Service that is not there (404) or has no pod (503).
local err = require("pai.err")
local transport = require("pai.k8s.transport")

local M = {}

---Asks a Service.
---@param self pai.k8s.Client
---@param service string
---@param opts { namespace: string?, port: integer, path: string, timeout: string? }
---@return integer? status of HTTP; 503 also while no pod is behind the Service
---@return string|pai.Error body or the error
function M.proxy(self, service, opts)
  if type(opts) ~= "table" or not math.tointeger(opts.port) or type(opts.path) ~= "string" then
    return err.fail("EINVAL", "proxy wants a port and a path")
  end
  local path = ("/api/v1/namespaces/%s/services/%s:%d/proxy/%s"):format(
    transport.segment(opts.namespace or self.namespace),
    transport.segment(service),
    opts.port,
    (opts.path:gsub("^/", ""))
  )
  local res, e = self.transport:send("GET", path, { accept = "*/*", timeout = opts.timeout })
  if res then
    return res.status, res.body
  end
  if e.http and e.http ~= 401 and e.http ~= 403 then
    return e.http, e.message
  end
  return nil, e
end

return M
