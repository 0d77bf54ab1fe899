-- The network that the tasks of a group share when they name each other: a loopback in a namespace
-- of its own for processes, a network of the daemon's for containers.
local container = require("pai.engine.container")
local err = require("pai.err")
local hold = require("pai.engine.hold")
local sandbox = require("pai.engine.sandbox")

local M = {}

-- Starts what holds the network of a group: a loopback of its own that lasts as long as this
-- process does. A process in it, and what ends it.
local function hold_network()
  local args = table.move(sandbox.ISOLATE, 1, #sandbox.ISOLATE, 1, {})
  table.move({ "--ro-bind", "/", "/" }, 1, 3, #args + 1, args)
  local held, e = hold.start(args)
  if e then
    error(e, 0)
  elseif not held then
    err.raise("ESTART", "the network of the group could not be made")
  end
  return held.pid, held.close
end

---Makes the network of a group whose tasks name each other. Raises.
---@param self pai.engine.Run
function M.open(self)
  if not self.hosts or self.kind == "plain" then
    return
  elseif self.kind == "container" then
    self.network = "pai-" .. self.group.uuid
    container.make_network(self.pool, self.network, self.engine.paths.real_root)
    return
  end
  self.net, self.close_net = hold_network()
  self.addresses = {}
  local lines = { "127.0.0.1 localhost" }
  for i, t in ipairs(self.tasks) do
    local name = self.hosts[t.row.name]
    self.addresses[t.row.name] = ("127.0.%d.%d"):format(1 + i // 250, 1 + i % 250)
    lines[#lines + 1] = self.addresses[t.row.name] .. " " .. name
  end
  self.hosts_file = table.concat(lines, "\n") .. "\n"
end

---@param self pai.engine.Run
function M.close(self)
  if self.network then
    container.remove_network(self.pool, self.network)
  elseif self.close_net then
    self.close_net()
  end
end

return M
