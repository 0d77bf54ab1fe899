-- What every peer of the specs needs before it starts: ports that nobody has, and a certificate.
local exec = require("pai.exec")
local serve = require("pai.serve")

local M = {}

---Ports of 127.0.0.1 that were free a moment ago. Runs in a task.
---@param n integer?
---@return integer ...
function M.free_ports(n)
  local servers, ports = {}, {}
  for i = 1, n or 1 do
    servers[i] = assert(serve.listen({
      handler = function()
        return {}
      end,
    }))
    ports[i] = servers[i]:port()
  end
  for _, s in ipairs(servers) do
    s:close()
  end
  return table.unpack(ports)
end

---Makes DIR/cert.pem, which is its own authority, and DIR/key.pem. Runs in a task.
---@param dir string
---@param names string[]? what it is for (localhost)
function M.certificate(dir, names)
  local list = {}
  for i, name in ipairs(names or { "localhost" }) do
    list[i] = "DNS:" .. name
  end
  local argv = { "openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=test" }
  for _, word in ipairs({
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-addext",
    "subjectAltName=" .. table.concat(list, ","),
    "-keyout",
    dir .. "/key.pem",
    "-out",
    dir .. "/cert.pem",
  }) do
    argv[#argv + 1] = word
  end
  assert(exec.run(argv, { timeout = "2m" }))
end

return M
