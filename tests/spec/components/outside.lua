-- What is outside, on loopback: a registry that mirrors others, its token service, a repository of
-- charts and Hugging Face. Shapes: OCI distribution specification 1.1 (manifests), Docker registry
-- v2 token authentication (the challenge), Helm "chart repository" (index.yaml), huggingface_hub's
-- HfApi.auth_check and its header X-Error-Code. Run inside of task.run.
local crypto = require("pai.crypto")
local serve = require("pai.serve")

local M = {}

---@class tests.Outside
---@field url string
---@field key string that NGC takes
---@field hf string token that Hugging Face takes
---@field images table<string, integer> status of a manifest, "nim/x:1"
---@field models table<string, { [1]: integer, [2]: string }> status and error code
---@field charts table<string, string[]> versions by chart; nil of a repository that is not there
---@field locked boolean the index is for those with the key only
---@field token_status integer?
---@field realm string? of the token service, if it is not this one
---@field asked string[] "METHOD PATH?QUERY"
local Outside = {}
Outside.__index = Outside

local function challenge(self, repository)
  local how = 'Bearer realm="%s/token",service="registry",scope="repository:%s:pull"'
  local realm = self.realm or self.url
  return { status = 401, headers = { ["WWW-Authenticate"] = how:format(realm, repository) } }
end

function Outside:token(req)
  local login = "Basic " .. crypto.base64_encode("$oauthtoken:" .. self.key)
  local with = req.headers.authorization
  if self.token_status or (with and with ~= login) then
    return { status = self.token_status or 401, json = {} }
  end
  local scope = (req.query.scope or { "" })[1]
  local who = with and "key" or "everybody"
  return { json = { token = ("%s/%s/%s"):format(who, scope, self.grant) } }
end

-- What is of nvcr.io is for the key, everything else for everybody with a token.
function Outside:manifest(req, repository, reference)
  local who = (req.query.ns or {})[1] == "nvcr.io" and "key" or "everybody"
  local wanted = ("Bearer %s/repository:%s:pull/%s"):format(who, repository, self.grant)
  if req.method ~= "HEAD" or not (req.headers.accept or ""):find("manifest", 1, true) then
    return { status = 400 }
  elseif req.headers.authorization ~= wanted then
    return challenge(self, repository)
  end
  return { status = self.images[repository .. ":" .. reference] or 200 }
end

function Outside:index(req)
  local login = "Basic " .. crypto.base64_encode("$oauthtoken:" .. self.key)
  if self.index_text then
    return { body = self.index_text }
  elseif self.index_status then
    return { status = self.index_status }
  elseif self.locked and req.headers.authorization ~= login then
    return { status = req.headers.authorization and 403 or 401 }
  end
  local lines = { "apiVersion: v1", "entries:" }
  for name, versions in pairs(self.charts) do
    lines[#lines + 1] = ("  %s:"):format(name)
    for _, version in ipairs(versions) do
      lines[#lines + 1] = ("  - created: 2026-08-21T10:00:00.123Z\n    version: %s"):format(version)
    end
  end
  return { body = table.concat(lines, "\n") .. "\n" }
end

function Outside:model(req, name)
  local said = self.models[name]
  if said then
    return { status = said[1], headers = { ["X-Error-Code"] = said[2] }, json = { error = "no" } }
  elseif req.headers.authorization ~= "Bearer " .. self.hf then
    return { status = 401, json = { error = "Invalid user token." } }
  end
  return { json = {} }
end

function Outside:handle(req)
  self.asked[#self.asked + 1] = req.method .. " " .. req.path
  if req.path == "/token" then
    return self:token(req)
  elseif req.path:find("/index%.yaml$") then
    return self:index(req)
  end
  local model = req.path:match("^/api/models/(.+)/auth%-check$")
  if model then
    return self:model(req, model)
  end
  local repository, reference = req.path:match("^/v2/(.+)/manifests/([^/]+)$")
  if repository then
    return self:manifest(req, repository, reference)
  end
  return { status = 404 }
end

---How often something was asked for.
---@param pattern string
---@return integer
function Outside:count(pattern)
  local n = 0
  for _, one in ipairs(self.asked) do
    n = n + (one:find(pattern) and 1 or 0)
  end
  return n
end

function Outside:close()
  self.server:close()
end

---Starts it.
---@param key string
---@param hf string?
---@return tests.Outside
function M.start(key, hf)
  local self = setmetatable({
    key = key,
    hf = hf or "none",
    grant = crypto.hex(12),
    images = {},
    models = {},
    charts = {
      service = { "1.5.0", "1.4.0" },
      ["backend-operator"] = { "1.4.0" },
      ["k8s-nim-operator"] = { "3.1.1", "3.1.0" },
      ["gpu-operator"] = { "v25.10.1" },
    },
    asked = {},
  }, Outside)
  self.server = assert(serve.listen({
    handler = function(req)
      return self:handle(req)
    end,
  }))
  self.url = "http://127.0.0.1:" .. self.server:port()
  return self
end

---The inputs that lead there.
---@return string[]
function Outside:inputs(hf)
  return {
    "registry=" .. self.url,
    "charts=" .. self.url,
    hf and "hf_endpoint=" .. self.url or nil,
  }
end

return M
