-- A scripted API server: what it is asked, in which order and how often, is the test's business; an
-- unknown request is answered with 500 and fails the test at `close`.
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local json = require("pai.json")
local serve = require("pai.serve")
local task = require("pai.task")

local M = {}

---A test in a task, with a folder and a scripted server; `fn` gets (api, client).
---@param title string
---@param routes table<string, table|fun(req: table, n: integer): table> "GET /path" -> answer
---@param fn fun(api: table, client: pai.k8s.Client)
function M.it(title, routes, fn)
  it(title, function()
    task.run(function()
      local api = M.start(routes)
      local ok, problem = pcall(fn, api, api.client)
      local closed, why = pcall(api.close, api)
      if not ok then
        error(problem, 0)
      elseif not closed then
        error(why, 0)
      end
    end)
  end)
end

local function answer_of(self, req)
  local key = req.method .. " " .. req.path
  self.count[key] = (self.count[key] or 0) + 1
  table.insert(self.seen, req)
  local route = self.routes[key]
  if type(route) == "function" then
    route = route(req, self.count[key])
  end
  if route == nil then
    table.insert(self.unknown, key)
    return { status = 500, body = "the script does not know " .. key }
  end
  -- A plain object is an answer of its own: a Status has its code.
  if route.kind then
    return { status = route.kind == "Status" and route.code or 200, json = route }
  end
  return route
end

local Api = {}
Api.__index = Api

---Writes the kubeconfig; `user` and `cluster` are YAML flow maps.
function Api:write_config(user, cluster)
  local path = self.dir .. "/config"
  assert(fs.write(
    path,
    ([[
apiVersion: v1
kind: Config
current-context: scripted
clusters: [{name: c, cluster: %s}]
users: [{name: u, user: %s}]
contexts: [{name: scripted, context: {cluster: c, user: u}}]
]]):format(cluster or ('{server: "%s"}'):format(self.url), user or "{}"),
    { mode = "0600" }
  ))
  return path
end

function Api:connect(opts)
  opts = opts or {}
  opts.kubeconfig = opts.kubeconfig or self.dir .. "/config"
  return assert(require("pai.k8s.client").connect(opts))
end

function Api:close()
  self.server:close()
  fs.remove(self.dir, { recursive = true })
  if #self.unknown > 0 then
    error("unknown requests: " .. table.concat(self.unknown, ", "), 0)
  end
end

---@param routes table
---@return table api
function M.start(routes)
  local self = setmetatable({
    routes = routes,
    count = {},
    seen = {},
    unknown = {},
    dir = assert(fs.tempdir({ prefix = "pai-k8s" })),
    token = crypto.hex(16),
  }, Api)
  self.server = assert(serve.listen({
    handler = function(req)
      return answer_of(self, req)
    end,
    max_body = 64 * 1024 * 1024,
  }))
  self.url = "http://127.0.0.1:" .. self.server:port()
  self:write_config(('{token: "%s"}'):format(self.token))
  self.client = self:connect()
  return self
end

---A watch's answer: these events, and then the end of the connection.
---@param events table[]
---@param hold (fun(w: table))? keeps it open
---@return table
function M.stream(events, hold)
  return {
    stream = function(w)
      for _, event in ipairs(events) do
        local text = type(event) == "string" and event or json.encode(event) .. "\n"
        if not w:write(text) then
          return
        end
      end
      if hold then
        hold(w)
      end
    end,
  }
end

return M
