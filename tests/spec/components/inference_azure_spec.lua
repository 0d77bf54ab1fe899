-- inference-azure, against a scripted az and terraform and a model API on loopback. Shapes of
-- answers: az cognitiveservices account deployment, list-models, keys list; chat completions of the
-- Foundry model inference API.
local azure = assert(loadfile("tests/spec/components/azure.lua", "t", _ENV))()
local support = dofile("tests/spec/run/support.lua")
local stand_in = dofile("tests/spec/components/stand_in.lua")
local crypto = require("pai.crypto")
local json = require("pai.json")
local serve = require("pai.serve")
local task = require("pai.task")

describe("inference-azure", function()
  local bench, talk, key

  before_each(function()
    bench = support.new()
    azure.install(bench, { "inference-azure" })
    talk = stand_in.new(bench.root .. "/tools", { "az", "terraform" })
    key = crypto.hex(16)
  end)

  after_each(function()
    bench:remove()
  end)

  -- The account's model API.
  local function api()
    local self = { asked = {}, content = "Hello!", status = 200 }
    self.server = assert(serve.listen({
      handler = function(req)
        if req.headers["api-key"] ~= key then
          return { status = 401, json = { error = { code = "401" } } }
        elseif req.path == "/models/info" then
          return { status = self.status, json = { model_name = "x" } }
        elseif req.path == "/models/chat/completions" and req.method == "POST" then
          self.asked[#self.asked + 1] = assert(json.decode(req.body))
          return {
            status = self.status,
            json = { choices = json.array({ { message = { content = self.content } } }) },
          }
        end
        return { status = 404, json = {} }
      end,
    }))
    self.url = "http://127.0.0.1:" .. self.server:port()
    return self
  end

  local function api_it(title, fn)
    it(title, function()
      task.run(function()
        local a = api()
        local ok, problem = pcall(fn, a)
        a.server:close()
        if not ok then
          error(problem, 0)
        end
      end)
    end)
  end

  local function about(words)
    local argv = { "cognitiveservices", "account", table.unpack(words) }
    for _, word in ipairs({
      "--resource-group",
      "rg-nvpai-dev",
      "--name",
      "ai-nvpai-dev",
      "--subscription",
      "robots",
    }) do
      argv[#argv + 1] = word
    end
    return argv
  end

  local function shown(model, state)
    return {
      name = "llama-3-1-8b",
      properties = {
        model = { name = model, version = "5", format = "Meta" },
        provisioningState = state or "Succeeded",
      },
    }
  end

  local LLAMA <const> = "Meta-Llama-3.1-8B-Instruct"
  local SHOW <const> = { "deployment", "show", "--deployment-name", "llama-3-1-8b" }

  local function tell()
    azure.tell(talk, "robots")
    talk:tell({
      argv = { "terraform", "version", "-json" },
      stdout = '{"terraform_version":"1.11.4"}',
      cite = "terraform version -json",
    })
    talk:tell({
      argv = { "terraform", "~^%-chdir=", "output", "-no-color" },
      stdout = 'resource_group = "rg-nvpai-dev"\nfoundry_resource = "ai-nvpai-dev"\n',
      cite = "terraform output",
    })
    for name, value in pairs({
      resource_group = '"rg-nvpai-dev"',
      foundry_resource = '"ai-nvpai-dev"',
    }) do
      talk:tell({
        argv = { "terraform", "~^%-chdir=", "output", "-json", "-no-color", name },
        stdout = value,
        cite = "terraform output -json NAME",
      })
    end
    local cite = "az cognitiveservices account deployment"
    talk:tell(azure.answer(about(SHOW), shown(LLAMA), cite, { when = "deployed" }))
    talk:tell(azure.refusal(about(SHOW), "(DeploymentNotFound) The API deployment is gone.", cite))
    talk:tell(azure.answer(
      about({ "list-models" }),
      json.array({
        { name = LLAMA, format = "Meta", version = "1", isDefaultVersion = false },
        {
          name = LLAMA,
          format = "Meta",
          version = "5",
          isDefaultVersion = true,
          skus = json.array({ { name = "GlobalStandard" } }),
        },
      }),
      "az cognitiveservices account list-models"
    ))
    talk:tell(azure.answer(
      about({
        "deployment",
        "create",
        "--deployment-name",
        "llama-3-1-8b",
        "--model-name",
        LLAMA,
        "--model-version",
        "5",
        "--model-format",
        "Meta",
        "--sku-name",
        "GlobalStandard",
        "--sku-capacity",
        "1",
      }),
      shown(LLAMA),
      cite,
      { sets = "deployed" }
    ))
    local delete = about({ "deployment", "delete", "--deployment-name", "llama-3-1-8b" })
    talk:tell({ argv = azure.argv(delete), clears = "deployed", cite = cite })
    talk:tell({
      argv = {
        "az",
        "cognitiveservices",
        "account",
        "keys",
        "list",
        "--subscription",
        "robots",
        "--resource-group",
        "rg-nvpai-dev",
        "--name",
        "ai-nvpai-dev",
        "--query",
        "key1",
        "--output=tsv",
        "--only-show-errors",
      },
      stdout = key .. "\n",
      cite = "az cognitiveservices account keys list",
    })
  end

  local function call(action, a, ...)
    local argv = { action, "inference-azure", "subscription=robots", ... }
    argv[#argv + 1] = a and "endpoint=" .. a.url or nil
    return bench:pai(argv, { env = { PATH = talk.path }, timeout = "120s" })
  end

  local function said(r)
    return r.stdout .. r.stderr
  end

  local function acts()
    return #talk:calls("deployment create") + #talk:calls("deployment delete")
  end

  api_it("deploys the default version, asks it, and does not do it again", function(a)
    tell()
    local r = call("deploy", a)
    assert.are.equal(0, r.code, said(r))
    assert.are.equal(1, acts())
    assert.are.equal("llama-3-1-8b", a.asked[1].model)
    assert.are.equal(10, a.asked[1].max_tokens)
    assert.is_truthy(r.stdout:find("answer of llama-3-1-8b: Hello!", 1, true), r.stdout)
    r = call("deploy", a)
    assert.are.equal(0, r.code, said(r))
    assert.are.equal(1, acts())
    r = call("verify", a)
    assert.are.equal(0, r.code, said(r))
    talk:check()
    -- The key is nowhere, not even in part.
    for _, path in ipairs(require("pai.fs").walk(bench.state)) do
      local body = require("pai.fs").read(bench.state .. "/" .. path) or ""
      assert.is_nil(body:find(key:sub(1, 8), 1, true), path)
    end
    for _, one in ipairs(talk:calls()) do
      assert.is_nil(one.text:find(key, 1, true))
      assert.is_nil(one.text:find("configure", 1, true))
    end
    assert.is_nil(said(r):find(key:sub(1, 8), 1, true))
  end)

  api_it("is red when the model does not answer, or answers something else", function(a)
    tell()
    a.status = 429
    local r = call("deploy", a)
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("HTTP 429", 1, true), r.stdout)
    a.status, a.content = 200, "I can't say that."
    r = call("deploy", a)
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("I can't say that", 1, true), r.stdout)
    key = crypto.hex(16) -- the account's key is another one now
    r = call("verify", a)
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find("reachable, HTTP 401", 1, true), r.stdout)
    a.server:close()
    r = call("verify", a)
    assert.are.equal(1, r.code)
  end)

  api_it("keeps a deployment with another model unless replace is given", function(a)
    tell()
    talk:set("other")
    talk:instead(
      azure.answer(about(SHOW), shown("Phi-4"), "az deployment show", { when = "other" })
    )
    local r = call("deploy", a)
    assert.are.equal(1, r.code)
    assert.is_truthy(said(r):find("pass replace=true", 1, true), said(r))
    assert.are.equal(0, acts())
    talk:instead({
      argv = azure.argv(about({ "deployment", "delete", "--deployment-name", "llama-3-1-8b" })),
      clears = "other",
      cite = "az cognitiveservices account deployment delete",
    })
    r = call("deploy", a, "replace=true")
    assert.are.equal(0, r.code, said(r))
    assert.are.equal(2, acts())
  end)

  api_it("refuses what the account does not offer", function(a)
    tell()
    local r = call("deploy", a, "sku=ProvisionedManaged")
    assert.are.equal(1, r.code)
    assert.is_truthy(said(r):find("there are: GlobalStandard", 1, true), said(r))
    talk:instead(azure.answer(about({ "list-models" }), json.array({}), "az list-models"))
    r = call("deploy", a)
    assert.are.equal(1, r.code)
    assert.is_truthy(said(r):find("offers no " .. LLAMA, 1, true), said(r))
    assert.are.equal(0, acts())
  end)

  api_it("is red when a deployment does not succeed", function(a)
    tell()
    talk:instead(
      azure.answer(about(SHOW), shown(LLAMA, "Failed"), "az deployment show", { when = "deployed" })
    )
    local r = call("deploy", a)
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stdout:find(LLAMA .. ", Failed", 1, true), r.stdout)
    assert.are.equal(0, #a.asked)
  end)

  api_it("goes on after a kill", function(a)
    tell()
    local r = bench:pai({
      "deploy",
      "inference-azure",
      "subscription=robots",
      "endpoint=" .. a.url,
      "--run-id",
      "run-0badcafe",
    }, {
      env = {
        PATH = talk.path,
        PAI_TEST_KILL = "step.done:inference-azure/model[llama-3-1-8b]",
      },
    })
    assert.are_not.equal(0, r.code)
    assert.are.equal(1, acts())
    r = bench:pai({ "resume", "run-0badcafe" }, { env = { PATH = talk.path } })
    assert.are.equal(0, r.code, said(r))
    assert.are.equal(1, acts())
  end)

  api_it("teardown deletes the deployment, once, and leaves the account", function(a)
    tell()
    assert.are.equal(0, call("deploy", a).code)
    talk:forget()
    assert.are.equal(3, call("teardown", a).code)
    assert.are.equal(0, acts())
    local r = call("teardown", a, "--yes")
    assert.are.equal(0, r.code, said(r))
    assert.are.equal(1, acts())
    r = call("teardown", a, "--yes")
    assert.are.equal(0, r.code, said(r))
    assert.are.equal(1, acts())
    local seen = azure.by_name(call("verify", a, "--json"))
    assert.are.same({ "red", "there is none" }, {
      seen["deployment llama-3-1-8b"].state,
      seen["deployment llama-3-1-8b"].measured,
    })
    talk:check()
  end)

  api_it("teardown is red while the deployment is still there", function(a)
    tell()
    assert.are.equal(0, call("deploy", a).code)
    talk:instead({
      argv = azure.argv(about({ "deployment", "delete", "--deployment-name", "llama-3-1-8b" })),
      cite = "az cognitiveservices account deployment delete, not done yet",
    })
    local r = call("teardown", a, "--yes")
    assert.are.equal(1, r.code, said(r))
    assert.is_truthy(r.stdout:find("still there", 1, true), r.stdout)
    talk:check()
  end)

  local function preflight(...)
    local r = call("preflight", nil, "--json", ...)
    return azure.by_name(r), r
  end

  it("preflight asks for no account, and refuses what Foundry can't do", function()
    tell()
    local checks, r = preflight()
    assert.are.equal(0, r.code, r.stdout)
    assert.are.equal("warn", checks.account.state)
    for _, name in ipairs({ "jq", "curl", "az extension ml" }) do
      assert.are.equal("skipped", checks[name].state)
    end
    checks, r = preflight("capabilities=chat,video-style-transfer")
    assert.are.equal(1, r.code)
    assert.are.equal("missing: video-style-transfer", checks.capabilities.measured)
    checks = preflight("capabilities=vlm", "models=phi-3-5-vision")
    assert.are.equal("ok", checks.capabilities.state)
    checks = preflight("resource_group=a", "account=b")
    assert.are.equal("ok", checks.account.state)
    assert.is_nil(checks["terraform version"])
    talk:check()
    talk:remove("az")
    talk:remove("terraform")
    checks, r = preflight()
    assert.are.equal(1, r.code)
    assert.are.equal("red", checks["az version"].state)
    assert.are.equal("red", checks["terraform version"].state)
    assert.are.equal("red", checks["Azure login"].state)
    assert.are.equal("unknown", checks["resource providers"].state)
    assert.are.equal("ok", checks.capabilities.state)
  end)
end)
