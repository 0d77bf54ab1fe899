-- nginx in a folder of its own, on loopback, for the specs: a web server that is not of our making,
-- with TLS. It ends with the spec.
local exec = require("pai.exec")
local fs = require("pai.fs")
local http = require("pai.http")
local pai = require("pai")
local task = require("pai.task")

local net = assert(loadfile(pai.root .. "/tests/peers/net.lua", "t", _ENV))()

local M = {}

-- %NAME% is filled in.
local CONF <const> = [[
daemon off; master_process off; pid %root%/pid; error_log %root%/error.log;
events { worker_connections 4096; }
http {
  access_log off; client_body_temp_path %root%/t1; proxy_temp_path %root%/t2;
  fastcgi_temp_path %root%/t3; uwsgi_temp_path %root%/t4; scgi_temp_path %root%/t5;
%http%
}
]]

local TLS <const> = "ssl_certificate %root%/cert.pem; ssl_certificate_key %root%/key.pem;"

---@class pai.test.Nginx
---@field root string its folder: cert.pem, error.log, and what the spec puts there
---@field ca_file string
---@field ports table<string, integer> by name

-- Tries once: whether it answers, or what it said when it ended.
local function try(self, opts)
  self.ports = {}
  local values = { root = self.root, certificate = TLS:gsub("%%root%%", self.root) }
  for name, value in pairs(opts.values or {}) do
    values[name] = value
  end
  local ports = table.pack(net.free_ports(#opts.ports))
  for i, name in ipairs(opts.ports) do
    self.ports[name], values[name] = ports[i], ports[i]
  end
  local conf = CONF:gsub("%%http%%", (opts.http:gsub("%%", "%%%%"))):gsub("%%([%w_]+)%%", values)
  assert(fs.write(self.root .. "/nginx.conf", conf))
  self.proc = assert(exec.start({ "nginx", "-p", self.root, "-c", self.root .. "/nginx.conf" }))
  -- It listens on all ports before it answers on one; a TLS port answers a plain request, too.
  for _ = 1, 600 do
    local url = ("http://127.0.0.1:%d/nginx-is-up"):format(ports[1])
    if http.request({ url = url, accept = "any", timeout = "10s" }) then
      return true
    end
    local ended, e = self.proc:wait(50)
    if ended or e.code ~= "ETIMEDOUT" then
      break
    end
  end
  self.proc:kill("KILL")
  self.proc:wait("10s")
  return false, fs.read(self.root .. "/error.log")
end

---In `http`, %root%, %certificate% (its lines) and the names of ports and values are filled in.
---@class pai.test.NginxOptions
---@field http string what stands in http {}
---@field ports string[] names
---@field values? table<string, string|integer>
---@field names? string[] whom the certificate is for (localhost)
---@field fill? fun(root: string) puts files into the folder before it starts

---Starts nginx and waits until it answers. Runs in a task.
---@param opts pai.test.NginxOptions
---@return pai.test.Nginx
function M.start(opts)
  local root = assert(fs.tempdir({ prefix = "pai-nginx-" }))
  local self = { root = root, ca_file = root .. "/cert.pem" }
  net.certificate(root, opts.names)
  if opts.fill then
    opts.fill(root)
  end
  local ok, why
  for _ = 1, 3 do -- a port may have been taken meanwhile
    ok, why = try(self, opts)
    if ok then
      return self
    end
  end
  fs.remove(root, { recursive = true })
  error("nginx did not start: " .. tostring(why))
end

---Ends it and removes its folder.
---@param self pai.test.Nginx
function M.stop(self)
  task.run(function()
    self.proc:kill("TERM")
    if not self.proc:wait("10s") then
      self.proc:kill("KILL")
      self.proc:wait("10s")
    end
    fs.remove(self.root, { recursive = true })
  end)
end

return M
