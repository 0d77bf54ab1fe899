-- ctx.k8s in recipes: what it may do where, and that a run keeps to the cluster it planned for.
local api = assert(loadfile(pai.root .. "/tests/spec/k8s/api.lua", "t", _ENV))()
local fs = require("pai.fs")
local json = require("pai.json")
local shapes = assert(loadfile(pai.root .. "/tests/spec/k8s/shapes.lua", "t", _ENV))()
local support = dofile(pai.root .. "/tests/spec/run/support.lua")

local CM <const> = "/api/v1/namespaces/default/configmaps/c"

local BODY <const> = [[
  safety = "changes",
  inputs = { context = { type = "string", doc = "d" },
    key = { type = "secret", env = "KEY", optional = true, hosts = { "@context" } },
    other = { type = "secret", env = "OTHER", optional = true, hosts = { "example.com" } } },
  needs = { clusters = { "@context" } },
  steps = {
    { name = "look", checks = function(ctx)
        local ok, e = pcall(function() ctx.k8s():apply({}) end)
        local ns = ctx.k8s():get("ns", "kube-system", { pick = { "metadata.uid" } })
        return { { name = "acts", state = ok and "red" or "ok", measured = e.message },
          { name = "uid", state = "ok", measured = ns.metadata.uid } }
      end },
    { name = "make", after = { "look" },
      done = function(ctx, inp)
        local found = ctx.k8s(inp.context):get("cm", "c", { accept = { "NotFound" } })
        return found and { data = found.data } or nil
      end,
      run = function(ctx, inp)
        local _, outcome = ctx.k8s(inp.context):apply({ apiVersion = "v1", kind = "ConfigMap",
          metadata = { name = "c" }, data = { a = "1" } })
        return { outcome = outcome }
      end },
    FURTHER
  },
]]

-- A step of twelve checks that begin at once.
local MANY <const> = [[
  { name = "many", checks = function(ctx)
      local list = {}
      for i = 1, 12 do
        list[i] = { name = "c" .. i, run = function() return ctx.k8s():version() and true end }
      end
      return list
    end },
]]

local function routes()
  local uid = "first"
  local made = false
  return {
    set = function(value)
      uid = value
    end,
    ["GET /api/v1/namespaces/kube-system"] = function()
      return { kind = "Namespace", metadata = { name = "kube-system", uid = uid } }
    end,
    ["GET " .. CM] = function()
      return made and { kind = "ConfigMap", metadata = { name = "c" }, data = { a = "1" } }
        or shapes.not_found
    end,
    ["PATCH " .. CM] = function()
      made = true
      return { status = 201, json = { kind = "ConfigMap", metadata = { name = "c" } } }
    end,
  }
end

local function it_runs(title, further, fn)
  local script = routes()
  api.it(title, script, function(s)
    local bench = support.new()
    bench:recipe("r", (BODY:gsub("FURTHER", (further:gsub("%%", "%%%%")))))
    local function pai(argv, env)
      env = env or {}
      env.KUBECONFIG = s.dir .. "/config"
      return bench:pai(argv, { env = env })
    end
    local ok, problem = pcall(fn, pai, script, s, bench)
    bench:remove()
    if not ok then
      error(problem, 0)
    end
  end)
end

describe("ctx.k8s", function()
  it_runs("observes in a plan, acts in a run, and repeats nothing", "", function(pai, _, s)
    local r = pai({ "plan", "./r.lua", "context=scripted", "--json" })
    local plan = json.decode(r.stdout)
    assert.same({ "scripted", s.url, "first" }, {
      plan.clusters[1].context,
      plan.clusters[1].server,
      plan.clusters[1].uid,
    })
    for _, req in ipairs(s.seen) do
      assert.equal("GET", req.method)
    end
    r = pai({ "run", "./r.lua", "context=scripted", "--plan", plan.digest })
    assert.equal(0, r.code)
    assert.truthy(
      r.stdout:find("ctx.k8s:apply changes something; checks of look may only", 1, true)
    )
    r = pai({ "run", "./r.lua", "context=scripted" })
    assert.same({ 0, 1 }, { r.code, s.count["PATCH " .. CM] })
    assert.truthy(r.stdout:find("already make", 1, true))
  end)

  it_runs("refuses another cluster than the plan's", "", function(pai, script, s)
    local plan = json.decode(pai({ "plan", "./r.lua", "context=scripted", "--json" }).stdout)
    script.set("second")
    local r = pai({ "run", "./r.lua", "context=scripted", "--plan", plan.digest })
    assert.same({ 1, nil }, { r.code, s.count["PATCH " .. CM] })
    assert.truthy(r.stderr:find("the plan is", 1, true))
  end)

  it_runs(
    "refuses another cluster than that of the run that is resumed",
    [[{ name = "late", after = { "make" }, run = function(ctx)
        if not ctx.fs.exists(ctx.cwd .. "/go") then error("not yet", 0) end
        ctx.k8s():delete("cm", "c")
      end },]],
    function(pai, script, s, bench)
      assert.equal(
        1,
        pai({ "run", "./r.lua", "context=scripted", "--run-id", "run-20260101-aaaa" }).code
      )
      bench:write("go", "")
      script.set("second")
      local r = pai({ "resume", "run-20260101-aaaa" })
      assert.equal(1, r.code)
      local said = r.stdout .. r.stderr
      assert.truthy(said:find("is another cluster than that of the run before", 1, true))
      assert.is_nil(s.count["DELETE " .. CM])
    end
  )

  it_runs(
    "speaks to no context that needs does not name",
    [[{ name = "stray", run = function(ctx) ctx.k8s("other"):list("pods") end },]],
    function(pai)
      local r = pai({ "run", "./r.lua", "context=scripted" })
      assert.equal(1, r.code)
      assert.truthy((r.stdout .. r.stderr):find("needs.clusters does not name 'other'", 1, true))
    end
  )

  it_runs(
    "gives a secret only to clusters that its hosts name",
    [[{ name = "secret", run = function(ctx, inp)
        local object = { apiVersion = "v1", kind = "Secret", metadata = { name = "s" } }
        object.stringData = { key = inp.key }
        ctx.k8s():apply(object)
        object.stringData = { key = inp.other }
        ctx.k8s():apply(object)
      end },]],
    function(pai, script, s)
      local path = "/api/v1/namespaces/default/secrets/s"
      script["GET " .. path] = shapes.not_found
      script["PATCH " .. path] = { status = 201, json = shapes.secret_metadata }
      local env = { KEY = "key-" .. s.token, OTHER = "other-" .. s.token }
      local r = pai({ "run", "./r.lua", "context=scripted" }, env)
      assert.same({ 1, 1 }, { r.code, s.count["PATCH " .. path] })
      local said = r.stdout .. r.stderr
      assert.truthy(said:find("the secret 'other' may not be given to scripted", 1, true))
      assert.is_nil(said:find(s.token, 1, true))
    end
  )

  it_runs(
    "asks once which cluster it is, however many checks come at once",
    MANY,
    function(pai, script, s, bench)
      script["GET /version"] = function()
        return { json = { gitVersion = "v1.31.4", major = "1", minor = "31" } }
      end
      script["GET /api/v1/namespaces/kube-system"] = function()
        require("pai.task").sleep("100ms") -- so that the others come while the first one asks
        return { kind = "Namespace", metadata = { name = "kube-system", uid = "first" } }
      end
      local r = pai({ "run", "./r.lua", "context=scripted", "--run-id", "run-20260101-bbbb" })
      assert.equal(0, r.code, r.stdout .. r.stderr)
      assert.equal(1, #support.pick(bench:journal("run-20260101-bbbb"), "cluster"))
      assert.equal(12, s.count["GET /version"])
      -- The plan, the run's client, and the recipe itself in its step `look`.
      assert.equal(3, s.count["GET /api/v1/namespaces/kube-system"])
    end
  )

  it_runs(
    "shares a failure with the checks that waited for it, and looks again later",
    MANY,
    function(pai, script, s)
      script["GET /version"] = { json = { gitVersion = "v1.31.4", major = "1", minor = "31" } }
      script["GET /api/v1/namespaces/kube-system"] = function(_, n)
        require("pai.task").sleep("100ms")
        if n > 1 then
          return { status = 401, json = shapes.unauthorized }
        end
        return { kind = "Namespace", metadata = { name = "kube-system", uid = "first" } }
      end
      local r = pai({ "run", "./r.lua", "context=scripted" })
      assert.equal(1, r.code)
      assert.truthy(r.stdout:find("Unauthorized", 1, true), r.stdout)
      assert.is_nil(s.count["GET /version"])
      assert.truthy(s.count["GET /api/v1/namespaces/kube-system"] <= 4)
    end
  )

  api.it("asks no cluster before a recipe that only observes", routes(), function(s)
    local bench = support.new()
    bench:recipe(
      "o",
      [[safety = "observes", inputs = { context = { type = "string", doc = "d" } },
        needs = { clusters = { "@context" } },
        steps = { { name = "look",
          checks = function() return { { name = "a", state = "ok" } } end } },
      ]]
    )
    local env = { KUBECONFIG = s.dir .. "/config" }
    for _, verb in ipairs({ "plan", "run" }) do
      local r = bench:pai({ verb, "./o.lua", "context=scripted", "--json" }, { env = env })
      assert.equal(0, r.code, r.stderr)
    end
    assert.same({}, s.seen)
    -- The URL is known all the same: another server of that name is another plan.
    local plan = bench:pai({ "plan", "./o.lua", "context=scripted", "--json" }, { env = env })
    plan = json.decode(plan.stdout)
    assert.equal(s.url, plan.clusters[1].server)
    s:write_config(nil, '{server: "http://127.0.0.1:1"}')
    local r = bench:pai({ "run", "./o.lua", "context=scripted", "--plan", plan.digest }, {
      env = env,
    })
    assert.equal(1, r.code)
    assert.truthy(r.stderr:find("the plan is", 1, true))
    bench:remove()
  end)

  it("of a cluster that is not there yet does not stop a plan", function()
    local bench = support.new()
    bench:recipe("r", (BODY:gsub("FURTHER", "")))
    local config = bench:write("config", "contexts: []")
    local r = bench:pai({ "plan", "./r.lua", "context=new", "--json" }, {
      env = { KUBECONFIG = config },
    })
    local plan = json.decode(r.stdout)
    assert.same({ context = "new", absent = "EUSAGE" }, plan.clusters[1])
    assert.truthy(fs.exists(config))
    bench:remove()
  end)
end)
