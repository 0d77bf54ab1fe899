-- What specs of components with secrets ask at their end: does one of them stand in a command, in
-- what helm was given, in pai's journals and state, in an object that is no Secret, or in what was
-- printed? Raw, as base64 and as it stands in JSON.
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local json = require("pai.json")

local M = {}

---@class tests.Secrecy
---@field texts string[] the secrets
---@field bench tests.Bench
---@field talk tests.Talk? programs that were stood in for
---@field cluster tests.Cluster?
---@field said string? what was printed
---@field holders table<string, true>? names of objects that hold one though they are no Secrets

local function forms(texts)
  local list = {}
  for _, text in ipairs(texts) do
    assert(#text >= 8, "too short for a secret")
    list[#list + 1] = text
    list[#list + 1] = crypto.base64_encode(text)
    list[#list + 1] = json.encode(text):sub(2, -2)
  end
  return list
end

---Where a secret stands that should not: a list of places, empty when all is well.
---@param at tests.Secrecy
---@return string[]
function M.leaks(at)
  local all, places = forms(at.texts), {}
  local function look(place, body)
    for _, form in ipairs(all) do
      if body:find(form, 1, true) then
        places[#places + 1] = place
        return
      end
    end
  end
  local function folder(dir)
    for _, path in ipairs(fs.exists(dir) and fs.walk(dir) or {}) do
      look(dir .. "/" .. path, fs.read(dir .. "/" .. path) or "")
    end
  end
  folder(at.bench.state)
  look("what was printed", at.said or "")
  if at.talk then
    folder(at.talk.dir .. "/releases")
    for _, call in ipairs(at.talk:calls()) do
      look("a command: " .. call.argv[1] .. " " .. tostring(call.argv[2]), call.text)
    end
  end
  for key, body in pairs(at.cluster and at.cluster.bodies or {}) do
    local name = (body.metadata or {}).name
    if body.kind ~= "Secret" and not (at.holders or {})[name] then
      look(key, json.encode(body))
    end
  end
  return places
end

---Fails where a secret stands that should not.
---@param at tests.Secrecy
function M.check(at)
  local places = M.leaks(at)
  assert(#places == 0, "a secret stands in " .. table.concat(places, ", "))
end

return M
