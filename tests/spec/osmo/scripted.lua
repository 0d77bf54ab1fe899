-- A service whose routes the test writes, and a client for it.
local client = require("pai.osmo.client")
local fs = require("pai.fs")
local json = require("pai.json")
local serve = require("pai.serve")

local M = {}

---@class pai.test.Scripted
---@field dir string
---@field url string
---@field calls table[] the requests, in their order
---@field routes table<string, fun(req: table): table> by "METHOD /path"
---@field srv table
local Scripted = {}
Scripted.__index = Scripted

---@return pai.test.Scripted
function M.start()
  local self = setmetatable({ calls = {}, routes = {} }, Scripted)
  self.dir = assert(fs.tempdir({ prefix = "pai-client-" }))
  self.srv = assert(serve.listen({
    host = "127.0.0.1",
    port = 0,
    handler = function(req)
      self.calls[#self.calls + 1] = req
      local what = req.method .. " " .. req.path
      local route = self.routes[what]
      if not route then -- which fails the test
        return { status = 500, json = { message = "unexpected: " .. what } }
      end
      return route(req)
    end,
  }))
  self.url = "http://127.0.0.1:" .. self.srv:port()
  return self
end

function Scripted:finish()
  self.srv:close()
  fs.remove(self.dir, { recursive = true })
end

---@param opts table? of pai.osmo.client.connect
---@return pai.osmo.Client
function Scripted:connect(opts)
  local settings = { target = self.url, user = "alice" }
  for name, value in pairs(opts or {}) do
    settings[name] = value
  end
  return assert(client.connect(settings))
end

---What GET /api/version answers.
function M.version()
  return { json = { major = "6", minor = "4", revision = "0", hash = "abc" } }
end

---A workflow of one task.
M.SPEC = "workflow: "
  .. json.encode({
    name = "flow",
    tasks = { { name = "t", image = "alpine", command = { "true" } } },
  })
  .. "\n"

return M
