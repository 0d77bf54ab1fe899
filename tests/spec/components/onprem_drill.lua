-- A bench for the specs of cluster-onprem's drills.
local cluster = assert(loadfile("tests/spec/components/cluster.lua", "t", _ENV))()
local onprem = dofile("tests/spec/components/onprem.lua")
local support = dofile("tests/spec/run/support.lua")

local M = {}

local ENV <const> = { KUBECONFIG = false }

---@class tests.onprem.Drills
local Drills = {}
Drills.__index = Drills

---@return tests.onprem.Drills
function M.new()
  local self = setmetatable({ bench = support.new() }, Drills)
  onprem.install(self.bench, {})
  return self
end

function Drills:remove()
  self.bench:remove()
end

---@param c tests.Cluster
function Drills:kubeconfig(c)
  cluster.private(self.bench.root .. "/config", c:kubeconfig("racks"))
end

function Drills:argv(drill, more, words)
  local list = { "verify", "--drill", "cluster-onprem" }
  table.move(words, 1, #words, #list + 1, list)
  list[#list + 1] = "context=racks"
  list[#list + 1] = "kubeconfig=" .. self.bench.root .. "/config"
  list[#list + 1] = "drill=" .. drill
  for name, value in pairs(more or {}) do
    list[#list + 1] = name .. "=" .. value
  end
  return list
end

---@param argv string[]
---@return table result
function Drills:pai(argv)
  return self.bench:pai(argv, { env = ENV, timeout = "120s" })
end

---Runs a drill.
---@param drill string
---@param more table<string, string>? inputs
---@param words string[]? default: --json --yes
---@return table<string, table> checks by name; of those with one name the last
---@return table result
function Drills:drill(drill, more, words)
  local r = self:pai(self:argv(drill, more, words or { "--json", "--yes" }))
  local checks = {}
  for _, gate in ipairs(support.pick(support.events(r.stdout), "gate")) do
    for _, check in ipairs(gate.checks) do
      checks[check.name] = check
    end
  end
  return checks, r
end

---Starts a drill that will not end, and waits until it is so.
---@param drill string
---@param id string
---@param so fun(): boolean?
---@param more table<string, string>?
---@return table process
function Drills:hung(drill, id, so, more)
  local proc = self.bench:start(self:argv(drill, more, { "--json", "--yes", "--run-id", id }), ENV)
  support.eventually(so, drill .. " of " .. id)
  return proc
end

return M
