-- A node as it is given: NAME, USER@HOST or NAME=[USER@]ADDRESS, where NAME is what Kubernetes
-- calls it and the rest is what ssh takes.
local M = {}

local LABEL <const> = "^[%l%d][%l%d-]*$"

---@class cluster-onprem.Node
---@field name string
---@field host string for ssh
---@field user string?
---@field address string what ssh connects to, without the user
---@field worker boolean
---@field fault string? why it is none

---@param text string
---@param worker boolean
---@return cluster-onprem.Node
function M.read(text, worker)
  local name, host = text:match("^([^=]*)=(.*)$")
  host = host or text
  local user, address = host:match("^([^@]*)@(.*)$")
  address = address or host
  name = name or address
  local node = { name = name, host = host, user = user, address = address, worker = worker }
  local good = name:find("^[%w_][%w_.:-]*$") and address:find("^[%w_][%w_.:-]*$")
  if not good or (user and not user:find("^[%w_][%w_.-]*$")) then
    node.name, node.fault = text, "that is no name of a host"
  end
  return node
end

---Every node of the inputs, control planes first.
---@param inp table
---@return cluster-onprem.Node[]
function M.all(inp)
  local list = {}
  for _, text in ipairs(inp.control_planes or {}) do
    list[#list + 1] = M.read(text, false)
  end
  for _, text in ipairs(inp.workers or {}) do
    list[#list + 1] = M.read(text, true)
  end
  return list
end

---What keeps these nodes from being a cluster's; Kubespray makes their names the hostnames.
---@param nodes cluster-onprem.Node[]
---@return string? why
function M.fault(nodes)
  local seen = {}
  for _, node in ipairs(nodes) do
    if node.fault then
      return ("%s: %s"):format(node.name, node.fault)
    elseif not node.name:find(LABEL) or #node.name > 63 then
      local message = "%s is no name of a node: give NAME=%s"
      return message:format(node.name, node.host)
    elseif seen[node.name] then
      return node.name .. " is named twice"
    end
    seen[node.name] = true
  end
end

---@param nodes cluster-onprem.Node[]
---@param worker boolean
---@return string[] names
function M.names(nodes, worker)
  local list = {}
  for _, node in ipairs(nodes) do
    list[#list + 1] = node.worker == worker and node.name or nil
  end
  return list
end

return M
