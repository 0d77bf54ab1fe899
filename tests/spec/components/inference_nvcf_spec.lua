-- inference-nvcf against a scripted API. Shapes: NVCF API reference, "List Functions" and "Invoke
-- Function" (docs.nvidia.com/cloud-functions); chat answers: OpenAI's "chat completion object".
local crypto = require("pai.crypto")
local json = require("pai.json")
local secrecy = dofile("tests/spec/components/secrecy.lua")
local serve = require("pai.serve")
local support = dofile("tests/spec/run/support.lua")
local task = require("pai.task")

local CHAT <const> = "0aa11bb2-0000-4000-8000-0000000000a1"
local VIDEO <const> = "0aa11bb2-0000-4000-8000-0000000000b2"
local OTHER <const> = "0aa11bb2-0000-4000-8000-0000000000c3"
local VERSION <const> = "0aa11bb2-0000-4000-8000-00000000ff01"

-- A scripted API, a bench and a key; `fn` gets (pai, api, key).
local function it_asks(title, fn)
  it(title, function()
    task.run(function()
      local key = "key-" .. crypto.hex(16)
      local api = { count = {}, chat = "42", pending = 0 }
      api.functions = {
        { id = CHAT, name = "nurec", status = "ACTIVE", versionId = VERSION },
        { id = VIDEO, name = "cosmos-predict", status = "ACTIVE", versionId = VERSION },
        { id = OTHER, name = "old", status = "INACTIVE", versionId = VERSION },
      }
      local server = assert(serve.listen({
        handler = function(req)
          local what = req.method .. " " .. req.path
          api.count[what] = (api.count[what] or 0) + 1
          if req.headers.authorization ~= "Bearer " .. key then
            return { status = 401, json = { title = "Unauthorized" } }
          elseif what == "GET /v2/nvcf/functions" then
            return api.list or { status = 200, json = { functions = json.array(api.functions) } }
          elseif req.path:find("^/v2/nvcf/pexec/status/r1$") or req.method == "POST" then
            api.body = req.method == "POST" and json.decode(req.body) or api.body
            if api.pending > 0 then
              api.pending = api.pending - 1
              return { status = 202, headers = { ["NVCF-REQID"] = "r1" }, body = "" }
            end
            local message = { role = "assistant", content = api.chat }
            return api.answer or { status = 200, json = { choices = { { message = message } } } }
          end
          return { status = 500, body = "unknown" }
        end,
      }))
      local bench = support.new()
      local origin = "http://127.0.0.1:" .. server:port()
      api.origin = origin
      local function pai(action, given, env)
        local argv = { action, "inference-nvcf", "api=" .. origin, "--json" }
        table.move(given or {}, 1, #(given or {}), #argv + 1, argv)
        local r = bench:pai(argv, { env = env or { NGC_API_KEY = key } })
        secrecy.check({ texts = { key }, bench = bench, said = r.stdout .. r.stderr })
        return r
      end
      local ok, problem = pcall(fn, pai, api, key)
      server:close()
      bench:remove()
      if not ok then
        error(problem, 0)
      end
    end)
  end)
end

local function states(r)
  local list = {}
  local answer = assert(json.decode(r.stdout))
  for _, step in ipairs(answer.steps) do
    for _, check in ipairs(step.checks) do
      list[check.name] = ("%s %s"):format(check.state, check.measured)
      list["hint " .. check.name] = check.hint
    end
  end
  return list
end

local function url(id, version)
  local base = "https://api.nvcf.nvidia.com/v2/nvcf/pexec/functions/" .. id
  return version and base .. "/versions/" .. version or base
end

describe("inference-nvcf", function()
  it_asks("is green with a key that may, and functions that are active", function(pai, api)
    local r = pai("preflight", { "llama31_8b=" .. url(CHAT, VERSION), "functions=" .. VIDEO })
    assert.equal(0, r.code, r.stdout)
    local seen = states(r)
    assert.equal("ok set", seen.NGC_API_KEY)
    assert.equal("ok HTTP 200", seen["NVCF reachable"])
    assert.equal("ok 3 functions", seen["NVCF authorised"])
    assert.equal("ok nurec is ACTIVE", seen["function " .. CHAT])
    assert.equal("ok cosmos-predict is ACTIVE", seen["function " .. VIDEO])
    assert.same({ ["GET /v2/nvcf/functions"] = 1 }, api.count)
    assert.equal(0, pai("verify").code)
  end)

  it_asks("takes the key by its other name, and misses it by its first", function(pai, _, key)
    assert.equal(0, pai("preflight", nil, { NVCF_API_KEY = key }).code)
    local r = pai("preflight", nil, {})
    assert.equal(1, r.code)
    assert.equal("red not set", states(r).NGC_API_KEY)
  end)

  it_asks("tells an answer from an authorisation", function(pai, api)
    local r = pai("preflight", nil, { NGC_API_KEY = "personal-" .. crypto.hex(8) })
    local seen = states(r)
    assert.equal(1, r.code)
    assert.equal("ok HTTP 401", seen["NVCF reachable"])
    assert.equal("red HTTP 401", seen["NVCF authorised"])
    assert.truthy(seen["hint NVCF authorised"]:find("personal key", 1, true))
    api.list = { status = 403, json = {} }
    seen = states(pai("preflight"))
    assert.equal("red HTTP 403", seen["NVCF authorised"])
    assert.truthy(seen["hint NVCF authorised"]:find("another organisation", 1, true))
    api.list = { status = 200, body = "<html>" }
    seen = states(pai("preflight"))
    assert.equal("red HTTP 200, but no list of functions in it", seen["NVCF authorised"])
    api.list = { status = 200, json = { functions = json.array({}) } }
    assert.equal("red no function is deployed", states(pai("preflight"))["NVCF authorised"])
  end)

  it_asks("looks at each function that is named", function(pai)
    local r = pai("preflight", { "functions=" .. OTHER .. ",none", "llama31_8b=" .. url(VERSION) })
    local seen = states(r)
    assert.equal("red old is INACTIVE", seen["function " .. OTHER])
    assert.equal("red not among the key's functions", seen["function " .. VERSION])
    assert.truthy(seen["function functions"]:find("^red it is neither an id nor a URL"))
    local typo = url(CHAT):gsub("/nvcf/pexec", "/nvc")
    seen = states(pai("preflight", { "llama31_8b=" .. typo }))
    assert.truthy(seen["function llama31_8b"]:find("/v2/nvc/; the API's is", 1, true))
    local version = url(CHAT, OTHER)
    seen = states(pai("preflight", { "llama31_8b=" .. version }))
    assert.equal("red this version is not listed", seen["function " .. CHAT])
  end)

  it_asks("asks nobody when it is told not to", function(pai, api, key)
    local env = { NGC_API_KEY = key, PHYSICAL_AI_PREFLIGHT_SKIP_NETWORK = "1" }
    local r = pai("preflight", { "functions=" .. CHAT .. ",bad" }, env)
    assert.equal(1, r.code)
    local seen = states(r)
    assert.equal("skipped skip_network=true", seen.NVCF)
    assert.truthy(seen["function functions"]:find("^red"))
    assert.equal(0, pai("preflight", { "functions=" .. CHAT }, env).code)
    assert.same({}, api.count)
  end)

  it("gives the key to NVCF and to this machine only", function()
    local bench = support.new()
    for _, origin in ipairs({ "https://example.com", "http://api.nvcf.nvidia.com.example.com" }) do
      local r = bench:pai({ "preflight", "inference-nvcf", "api=" .. origin, "--json" }, {
        env = { NGC_API_KEY = "key-" .. crypto.hex(8) },
      })
      assert.equal(1, r.code)
      assert.truthy(r.stdout:find("api must be https://api.nvcf.nvidia.com", 1, true), r.stdout)
    end
    local r = bench:pai({ "preflight", "inference-nvcf", "api=http://127.0.0.1:1", "--json" }, {
      env = { NGC_API_KEY = "key-" .. crypto.hex(8) },
    })
    assert.truthy(states(r)["NVCF reachable"]:find("^red"), r.stdout)
    assert.truthy(states(r)["NVCF authorised"]:find("^unknown"), r.stdout)
    bench:remove()
  end)

  it_asks("asks a chat endpoint one question and reads the answer", function(pai, api)
    api.pending = 2
    local given = { "llama31_8b=" .. url(CHAT, VERSION), "cosmos_predict1=" .. url(VIDEO) }
    local r = pai("deploy", given)
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.equal("meta/llama-3.1-8b-instruct", api.body.model)
    local post = ("POST /v2/nvcf/pexec/functions/%s/versions/%s"):format(CHAT, VERSION)
    assert.equal(1, api.count[post])
    assert.equal(2, api.count["GET /v2/nvcf/pexec/status/r1"])
    local gate = support.pick(support.events(r.stdout), "gate", "inference-nvcf/calls")[1]
    assert.same({ "ok", "warn" }, { gate.checks[1].state, gate.checks[2].state })
  end)

  it_asks("is red on a wrong answer, on none, and on a task that is not known", function(pai, api)
    local function gate(given)
      local r = pai("deploy", given)
      assert.equal(1, r.code, r.stdout)
      return support.pick(support.events(r.stdout), "gate", "inference-nvcf/calls")[1].checks[1]
    end
    local chat = { "qwen25_14b=" .. url(CHAT) }
    api.chat = "I would say 41."
    assert.equal("I would say 41.", gate(chat).measured)
    api.answer = { status = 500, body = "" }
    assert.equal("HTTP 500", gate(chat).measured)
    api.answer = { status = 200, json = { detail = "x" } }
    assert.equal("the answer is no chat completion", gate(chat).measured)
    assert.truthy(gate({ "functions=" .. CHAT }).measured:find("not known", 1, true))
  end)

  it("has no teardown, and says why", function()
    local bench = support.new()
    local r = bench:pai({ "teardown", "inference-nvcf" })
    assert.equal(2, r.code)
    assert.truthy(r.stderr:find("inference-nvcf has no teardown", 1, true), r.stderr)
    r = bench:pai({ "show", "inference-nvcf" })
    assert.truthy(r.stdout:find("There is none: nothing here was made by pai", 1, true))
    bench:remove()
  end)
end)
