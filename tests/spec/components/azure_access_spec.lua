-- azure-access, against a scripted az. Shapes of answers: the Azure CLI reference of each command.
local azure = dofile("tests/spec/components/azure.lua")
local support = dofile("tests/spec/run/support.lua")
local stand_in = dofile("tests/spec/components/stand_in.lua")
local json = require("pai.json")

local SUB <const> = azure.SUBSCRIPTION

describe("azure-access", function()
  local bench, talk

  before_each(function()
    bench = support.new()
    azure.install(bench, { "azure-access" })
    talk = stand_in.new(bench.root .. "/tools", { "az" })
  end)

  after_each(function()
    bench:remove()
  end)

  local function env()
    return { env = { PATH = talk.path } }
  end

  local function preflight(...)
    local r = bench:pai({ "preflight", "azure-access", "--json", ... }, env())
    return azure.by_name(r), r
  end

  it("is green where all is well, and names the subscription on every call", function()
    azure.tell(talk, "robots")
    local checks, r = preflight("subscription=robots", "tenant=" .. azure.TENANT)
    assert.are.equal(0, r.code, r.stdout)
    for name, check in pairs(checks) do
      assert.are.equal("ok", check.state, name .. ": " .. tostring(check.measured))
    end
    assert.are.equal("2.71.0", checks["az version"].measured)
    assert.are.equal("10 Registered", checks["resource providers"].measured)
    talk:check()
    -- Each question is asked once.
    assert.are.equal(5, #talk:calls())
    assert.are.equal(0, #talk:calls("account set"))
    assert.are.equal(0, #talk:calls("configure"))
  end)

  it("says which subscription is the active one when none is named", function()
    azure.tell(talk)
    local checks, r = preflight()
    assert.are.equal(0, r.code, r.stdout)
    assert.are.equal("warn", checks.subscription.state)
    assert.is_truthy(checks.subscription.hint:find("subscription=" .. SUB, 1, true))
    talk:check()
  end)

  it("has a verdict for each check without az, and without a login", function()
    talk:remove("az")
    local checks, r = preflight("subscription=robots")
    assert.are.equal(1, r.code)
    assert.are.equal("red", checks["az version"].state)
    assert.are.equal("red", checks["Azure login"].state)
    for _, name in ipairs({ "subscription", "roles", "region", "resource providers" }) do
      assert.are.equal("unknown", checks[name].state, name)
      assert.is_truthy(checks[name].measured:find("az is not on PATH", 1, true))
    end
    talk = stand_in.new(bench.root .. "/more", { "az" })
    azure.tell(talk, "robots")
    talk:set("logged-out")
    checks, r = preflight("subscription=robots")
    assert.are.equal(1, r.code)
    assert.are.equal("ok", checks["az version"].state)
    assert.are.equal("red", checks["Azure login"].state)
    assert.is_truthy(checks["Azure login"].hint:find("openclaw-azure-login", 1, true))
    assert.are.equal("unknown", checks.subscription.state)
    assert.is_truthy(checks.roles.measured:find("not logged in", 1, true))
  end)

  local LIST <const> = { "account", "list", "--all" }
  local cite <const> = "az account list"

  for what, case in pairs({
    ["another tenant"] = {
      azure.answer(LIST, json.array({ azure.account({ tenantId = "t" }) }), cite),
      "tenant",
      "red",
      "t",
    },
    ["a disabled subscription"] = {
      azure.answer(LIST, json.array({ azure.account({ state = "Disabled" }) }), cite),
      "subscription",
      "red",
      "Disabled",
    },
    ["a subscription that is not there"] = {
      azure.answer(LIST, json.array({ azure.account({ name = "cars" }) }), cite),
      "subscription",
      "red",
      "there are: cars (Enabled)",
    },
    ["a provider that is not registered"] = {
      azure.answer(
        { "provider", "list", "--subscription", "robots" },
        azure.providers({ ["Microsoft.Cache"] = "NotRegistered" }),
        "az provider list"
      ),
      "resource providers",
      "red",
      "Microsoft.Cache: NotRegistered",
      "az provider register --namespace Microsoft.Cache --subscription " .. SUB,
    },
    ["a provider that can't be seen"] = {
      azure.answer(
        { "provider", "list", "--subscription", "robots" },
        azure.providers({ ["Microsoft.Cache"] = false }),
        "az provider list"
      ),
      "resource providers",
      "red",
      "can't be read: Microsoft.Cache",
      "PIM",
    },
    ["rights that are not active"] = {
      azure.refusal(
        { "provider", "list", "--subscription", "robots" },
        "(AuthorizationFailed) The client does not have authorization to perform action",
        "error texts of Azure Resource Manager"
      ),
      "resource providers",
      "unknown",
      "AuthorizationFailed",
      "PIM",
    },
    ["a login that expired"] = {
      azure.refusal(
        { "provider", "list", "--subscription", "robots" },
        "AADSTS700082: The refresh token has expired due to inactivity. Run: az login",
        "Microsoft Entra error codes"
      ),
      "resource providers",
      "unknown",
      "AADSTS700082",
      "tenant",
    },
    ["a region that is not offered"] = {
      azure.answer(
        { "account", "list-locations", "--subscription", "robots" },
        json.array({ { name = "westus3" } }),
        "az account list-locations"
      ),
      "region",
      "red",
      "not offered",
    },
    ["a role that is too small"] = {
      {
        argv = { "az", "role", "assignment", "list", "..." },
        stdout = '[{"roleDefinitionName":"Contributor"}]',
        cite = "az role assignment list",
      },
      "roles",
      "red",
      "Contributor",
      "PIM",
    },
    ["no role at all"] = {
      {
        argv = { "az", "role", "assignment", "list", "..." },
        stdout = "[]",
        cite = "az role assignment list",
      },
      "roles",
      "red",
      "none",
    },
    ["an old az"] = {
      {
        argv = { "az", "version", "--output=json" },
        stdout = '{"azure-cli":"2.59.9"}',
        cite = "az version reference",
      },
      "az version",
      "red",
      "2.59.9",
    },
  }) do
    it("is red for " .. what, function()
      talk:tell(case[1])
      azure.tell(talk, "robots")
      local checks, r = preflight("subscription=robots", "tenant=" .. azure.TENANT)
      assert.are.equal(1, r.code, r.stdout)
      local check = checks[case[2]]
      assert.are.equal(case[3], check.state)
      assert.is_truthy(check.measured:find(case[4], 1, true), check.measured)
      assert.is_truthy((check.hint or ""):find(case[5] or "", 1, true), check.hint)
    end)
  end

  it("takes two roles together for one", function()
    azure.tell(talk, "robots")
    talk:instead({
      argv = { "az", "role", "assignment", "list", "..." },
      stdout = '[{"roleDefinitionName":"Contributor"},'
        .. '{"roleDefinitionName":"User Access Administrator"}]',
      cite = "az role assignment list",
    })
    assert.are.equal("ok", preflight("subscription=robots").roles.state)
  end)

  local function register(namespace, more)
    local answer = {
      argv = azure.argv({
        "provider",
        "register",
        "--namespace",
        namespace,
        "--subscription",
        "robots",
        "--wait",
      }),
      cite = "az provider register",
    }
    for k, v in pairs(more or {}) do
      answer[k] = v
    end
    return answer
  end

  it("registers what is missing, once", function()
    talk:tell(
      azure.answer(
        { "provider", "list", "--subscription", "robots" },
        azure.providers({ ["Microsoft.Cache"] = "NotRegistered" }),
        "az provider list",
        { unless = "registered" }
      )
    )
    azure.tell(talk, "robots")
    talk:tell(register("Microsoft.Cache", { sets = "registered" }))
    local r = bench:pai({ "deploy", "azure-access" }, env())
    assert.are.equal(3, r.code)
    assert.is_truthy(r.stderr:find("USER_INPUT_REQUIRED: subscription", 1, true), r.stderr)
    r = bench:pai({ "deploy", "azure-access", "subscription=robots" }, env())
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.equal(1, #talk:calls("provider register"))
    r = bench:pai({ "deploy", "azure-access", "subscription=robots" }, env())
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.equal(1, #talk:calls("provider register"))
    assert.are.equal(0, bench:pai({ "verify", "azure-access", "subscription=robots" }, env()).code)
    talk:check()
  end)

  it("goes on with a registration in which it was killed", function()
    talk:tell(
      azure.answer(
        { "provider", "list", "--subscription", "robots" },
        azure.providers({ ["Microsoft.Cache"] = "Registering" }),
        "az provider list",
        { unless = "registered" }
      )
    )
    azure.tell(talk, "robots")
    talk:tell(register("Microsoft.Cache", { sets = "registered" }))
    local argv = { "deploy", "azure-access", "subscription=robots", "--run-id", "run-0badcafe" }
    local r = bench:pai(argv, {
      env = { PATH = talk.path, PAI_TEST_KILL = "step.start:azure-access/providers" },
    })
    assert.are.equal("KILL", (r.signal or ""):gsub("^SIG", ""), r.stdout .. r.stderr)
    assert.are.equal(0, #talk:calls("provider register"))
    r = bench:pai({ "resume", "run-0badcafe" }, env())
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.equal(1, #talk:calls("provider register"))
    talk:check()
  end)

  it("stops when az refuses to register", function()
    talk:tell(
      azure.answer(
        { "provider", "list", "--subscription", "robots" },
        azure.providers({ ["Microsoft.Cache"] = "NotRegistered" }),
        "az provider list"
      )
    )
    azure.tell(talk, "robots")
    talk:tell(register("Microsoft.Cache", {
      code = 1,
      stderr = "ERROR: (AuthorizationFailed) no\n",
    }))
    local r = bench:pai({ "deploy", "azure-access", "subscription=robots" }, env())
    assert.are.equal(1, r.code)
    assert.is_truthy((r.stdout .. r.stderr):find("AuthorizationFailed", 1, true))
  end)

  it("has no teardown, and says why", function()
    local r = bench:pai({ "teardown", "azure-access" })
    assert.are.equal(2, r.code)
    assert.is_truthy(r.stderr:find("azure-access has no teardown", 1, true), r.stderr)
    r = bench:pai({ "show", "azure-access" })
    assert.is_truthy(r.stdout:find("There is none: registrations", 1, true), r.stdout)
  end)
end)
