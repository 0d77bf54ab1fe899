-- The typed wrappers of foreign tools, against scripted conversations.
local support = dofile("tests/spec/run/support.lua")
local stand_in = dofile("tests/spec/components/stand_in.lua")
local fs = require("pai.fs")

describe("a tool's wrapper", function()
  local bench, talk

  before_each(function()
    bench = support.new()
    talk = stand_in.new(bench.root .. "/tools", {
      "az",
      "helm",
      "microk8s",
      "snap",
      "ssh",
      "terraform",
    })
  end)

  after_each(function()
    bench:remove()
  end)

  local NEEDS <const> = [[safety = "changes", needs = {
    bins = { "az", "helm", "microk8s", "snap", "ssh", "terraform" }, writes = { "." } },
    inputs = { key = {
      type = "secret", env = "A_KEY", bins = { "terraform" }, optional = true } },]]

  -- Runs a body as a step; its result.
  local function act(body, env)
    bench:recipe(
      "r",
      NEEDS .. ("steps = { { name = 's', run = function(ctx, inp) %s end } }"):format(body)
    )
    env = env or {}
    env.PATH = talk.path
    local events, r = bench:run({ "./r.lua" }, { env = env })
    local done = support.pick(events, "step.done")[1]
    local failed = support.pick(events, "step.fail")[1]
    return done and done.result, failed and failed.error, r
  end

  -- The same, only looking.
  local function look(body)
    bench:recipe("r", NEEDS .. ([[steps = { { name = "s", checks = function(ctx, inp)
      %s end } }]]):format(body))
    local events = bench:run({ "./r.lua" }, { env = { PATH = talk.path } })
    return support.pick(events, "gate")[1].checks[1]
  end

  it("helm names the context, and knows a release that is not there", function()
    talk:tell({
      argv = {
        "helm",
        "status",
        "osmo",
        "--namespace",
        "o",
        "--kube-context",
        "k",
        "--output=json",
      },
      stderr = "Error: release: not found\n",
      code = 1,
      unless = "installed",
      cite = "helm status of a release that is not there",
    })
    talk:tell({
      argv = {
        "helm",
        "status",
        "osmo",
        "--namespace",
        "o",
        "--kube-context",
        "k",
        "--output=json",
      },
      stdout = [[{"name":"osmo","namespace":"o","version":2,"info":{"status":"deployed"},
        "chart":{"metadata":{"name":"service","version":"1.4.0"}}}]],
      cite = "helm status --output=json",
    })
    talk:tell({
      argv = { "helm", "upgrade", "osmo", "repo/service", "--install", "..." },
      stdout = '{"name":"osmo","namespace":"o","version":1,"info":{"status":"deployed"}}',
      sets = "installed",
      cite = "helm upgrade --install --output=json",
    })
    talk:tell({
      argv = { "helm", "uninstall", "osmo", "--wait", "..." },
      stdout = 'release "osmo" uninstalled\n',
      clears = "installed",
      cite = "helm uninstall",
    })
    local got = act([[
      local helm, at = ctx.tools.helm, { context = "k", namespace = "o" }
      local before = helm.status("osmo", at)
      helm.upgrade("osmo", "repo/service", { context = "k", namespace = "o", version = "1.4.0",
        values = { a = { b = true } } })
      local after = helm.status("osmo", at)
      helm.uninstall("osmo", at)
      return { before = before == nil, after = after }]])
    talk:check()
    assert.is_true(got.before)
    assert.are.same({ "deployed", "service-1.4.0", 2 }, {
      got.after.status,
      got.after.chart,
      got.after.revision,
    })
    local call = talk:calls("^helm upgrade")[1]
    local values = call.text:match("%-%-values (%S+)")
    assert.are.equal("a:\n  b: true\n", fs.read(values))
    assert.are.equal(384, fs.stat(values).mode & 511)
    local _, e = act('return ctx.tools.helm.status("x", { namespace = "o" })')
    assert.is_truthy(e.message:find("context is missing", 1, true))
  end)

  it("helm refuses to act in a gate", function()
    local check = look('ctx.tools.helm.uninstall("x", { context = "k", namespace = "n" })')
    assert.are.equal("unknown", check.state)
    assert.is_truthy(check.measured:find("may only observe", 1, true))
  end)

  it("az says what to do about what it refuses", function()
    for _, case in ipairs({
      { "ERROR: Please run 'az login' to setup account.", "ELOGIN", "az login" },
      { "ERROR: AADSTS50076: you must use multi-factor authentication", "ELOGIN", "tenant" },
      { "ERROR: (AuthorizationFailed) The client does not have authorization", "EACCES", "PIM" },
      { "ERROR: (ResourceGroupNotFound) Resource group 'x' could not be found.", "ENOENT" },
      { "ERROR: something else", "EEXIT" },
    }) do
      talk:instead({
        argv = { "az", "account", "show", "--output=json", "--only-show-errors" },
        stderr = case[1] .. "\n",
        code = 1,
        cite = "az account show, error texts of Azure Resource Manager",
      })
      local got = act(
        [[
        local answer, e = ctx.tools.az.ask({ "account", "show" })
        return { none = answer == nil, code = e.code, hint = e.hint or "", message = e.message }]]
      )
      assert.is_true(got.none)
      assert.are.equal(case[2], got.code)
      assert.is_truthy(got.hint:find(case[3] or "", 1, true), got.hint)
    end
    talk:instead({
      argv = { "az", "group", "show", "..." },
      stdout = '{"name":"rg"}',
      cite = "az group show",
    })
    assert.are.equal("rg", act('return ctx.tools.az.ask({ "group", "show", "-n", "rg" })').name)
    talk:check()
  end)

  it(
    "terraform hands sensitive outputs over as handles, and applies the plan it was shown",
    function()
      local value = "pw" .. tostring(os.time()) .. "zz"
      talk:tell({
        argv = { "terraform", "~^%-chdir=/", "output", "-no-color" },
        stdout = 'pg_fqdn = "db.example"\npg_admin_password = <sensitive>\n',
        cite = "terraform output",
      })
      talk:tell({
        argv = { "terraform", "~^%-chdir=/", "output", "-json", "-no-color", "pg_fqdn" },
        stdout = '"db.example"',
        cite = "terraform output -json NAME",
      })
      talk:tell({
        argv = { "terraform", "~^%-chdir=/", "output", "-raw", "-no-color", "pg_admin_password" },
        stdout = value,
        cite = "terraform output -raw NAME",
      })
      talk:tell({
        argv = { "terraform", "~^%-chdir=/", "plan", "..." },
        env = { TF_VAR_key = "^kk", TF_INPUT = "^0$" },
        code = 2,
        cite = "terraform plan -detailed-exitcode",
      })
      talk:tell({
        argv = { "terraform", "~^%-chdir=/", "show", "-json", "~/plan$" },
        stdout = [[{"resource_changes":[
        {"address":"a.one","change":{"actions":["create"]}},
        {"address":"a.two","change":{"actions":["delete","create"]}},
        {"address":"a.three","change":{"actions":["no-op"]}}]}]],
        cite = "terraform show -json PLAN",
      })
      talk:tell({
        argv = { "terraform", "~^%-chdir=/", "apply", "-input=false", "-no-color", "~/plan$" },
        cite = "terraform apply PLAN",
      })
      local key = "kk" .. tostring(os.time()) .. "vv"
      local got, e, r = act(
        [[
      local tf = ctx.tools.terraform
      local more = tf.plan("tf", { out = "plan", vars = { n = 1 }, secrets = { key = inp.key } })
      local changes = tf.changes("tf", "plan")
      tf.apply("tf", "plan")
      local out = tf.outputs("tf", { "pg_fqdn", "pg_admin_password" })
      ctx.log("password " .. tostring(out.pg_admin_password))
      return { more = more, create = changes.create, replace = changes.replace,
        fqdn = out.pg_fqdn, kind = type(out.pg_admin_password) }]],
        { A_KEY = key }
      )
      talk:check()
      assert.is_nil(e)
      assert.are.same({ "a.one" }, got.create)
      assert.are.same({ "a.two" }, got.replace)
      assert.are.equal("db.example", got.fqdn)
      assert.are.equal("userdata", got.kind)
      assert.is_nil((r.stdout .. r.stderr):find(value, 1, true))
      for _, call in ipairs(talk:calls()) do
        assert.is_nil(call.text:find(key, 1, true))
      end
      local _, missing = act('return ctx.tools.terraform.outputs("tf", { "nope" })')
      assert.are.equal("ENOENT", missing.code)
    end
  )

  it("microk8s and snap read what they print", function()
    talk:tell({
      argv = { "microk8s", "status", "--wait-ready", "--timeout", "300" },
      stdout = "microk8s is running\nhigh-availability: no\naddons:\n  enabled:\n"
        .. "    dns                  # (core) CoreDNS\n    helm3                # (core) Helm 3\n"
        .. "  disabled:\n    minio                # (core) MinIO object storage\n",
      cite = "microk8s status",
    })
    talk:tell({
      argv = { "snap", "list", "microk8s" },
      stdout = "Name      Version  Rev   Tracking     Publisher   Notes\n"
        .. "microk8s  v1.31.7  7979  1.31/stable  canonical** classic\n",
      cite = "snap list NAME",
    })
    talk:tell({
      argv = { "snap", "list", "none" },
      stderr = "error: no matching snaps installed\n",
      code = 1,
      cite = "snap list NAME of what is not installed",
    })
    local got = act([[
      local status = ctx.tools.microk8s.status({ wait = "300s" })
      return { running = status.running, dns = status.enabled.dns,
        minio = status.enabled.minio or false,
        snap = ctx.tools.snap.installed("microk8s"),
        none = ctx.tools.snap.installed("none") == nil }]])
    talk:check()
    assert.are.same({ true, true, false, true }, { got.running, got.dns, got.minio, got.none })
    assert.are.equal("1.31/stable", got.snap.channel)
  end)

  it("ssh quotes every word for the other end", function()
    talk:tell({ argv = { "ssh", "..." }, stdout = "ok\n", cite = "ssh(1)" })
    assert.are.equal(
      "ok\n",
      act([[
      return { out = ctx.tools.ssh.run("me@host", { "echo", "it's", "$HOME" }).stdout }]]).out
    )
    local argv = talk:calls()[1].argv
    assert.are.equal([['echo' 'it'\''s' '$HOME']], argv[#argv])
    assert.are.equal("--", argv[#argv - 2])
  end)

  it("is not there under a wrong name", function()
    local _, e = act("return ctx.tools.hlem.list()")
    assert.is_truthy(e.message:find("has no 'hlem' (did you mean 'helm'?)", 1, true), e.message)
  end)
end)
