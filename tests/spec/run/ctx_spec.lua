-- ctx is what lua/pai/meta/ctx.lua says: the same names, functions with the same parameters.
local support = dofile("tests/spec/run/support.lua")
local ctx = require("pai.run.ctx")
local fs = require("pai.fs")
local needs = require("pai.run.needs")

describe("ctx", function()
  local function live(more)
    local scope = {
      loaded = { name = "r", dir = "/x/r", doc = { inputs = {} } },
      inp = {},
      defaults = {},
    }
    local env = {
      run = { id = "run-1", target = "local", state = "/state", secret_decls = {} },
      scope = scope,
      step = "a",
      mode = "act",
      where = "run of a",
      cwd = "/x",
      run_dir = "/state/run-1",
      needs = needs.bind({}, {}, { cwd = "/x", recipe = "r" }),
      osmo_roots = {},
    }
    for k, v in pairs(more or {}) do
      env[k] = v
    end
    return ctx.new(env)
  end

  local function compare(described, actual, where)
    for name, value in pairs(described) do
      local found = actual[name]
      assert.are.equal(type(value), type(found), where .. name)
      if type(value) == "function" then
        local want, have = debug.getinfo(value, "u"), debug.getinfo(found, "u")
        if debug.getinfo(found, "S").what ~= "C" then
          assert.are.equal(want.isvararg, have.isvararg, where .. name)
          assert.are.equal(want.nparams, have.nparams, where .. name)
        end
      elseif type(value) == "table" then
        compare(value, found, where .. name .. ".")
      end
    end
    for name, value in pairs(actual) do
      if type(value) == "function" then
        assert.is_function(described[name], where .. name .. " is not described")
      end
    end
  end

  it("has what its description has, and nothing that it has not", function()
    local described = dofile(pai.root .. "/lua/pai/meta/ctx.lua")
    local actual = live()
    compare(described, actual, "ctx.")
    local text = fs.read(pai.root .. "/lua/pai/meta/ctx.lua")
    for name, value in pairs(actual) do
      if type(value) ~= "function" and type(value) ~= "table" then
        assert.is_truthy(text:find("---@field " .. name, 1, true), name .. " is not described")
      end
    end
  end)

  it("names what a slip was near to", function()
    local one = live()
    local ok, e = pcall(function()
      return one.wirte("x", "y")
    end)
    assert.is_false(ok)
    assert.are.equal("ctx has no 'wirte' (did you mean 'write'?)", e.message)
    ok, e = pcall(function()
      return one.stroe
    end)
    assert.is_false(ok)
    assert.are.equal("ctx has no 'stroe' (did you mean 'store'?)", e.message)
    -- A step without `each` has no item, and may ask.
    assert.is_nil(one.item)
  end)

  it("says a mistake in options without a file and line of pai's own", function()
    local one = live({ needs = needs.bind({ reads = { "ls" } }, {}, { cwd = "/x", recipe = "r" }) })
    local ok, e = pcall(one.query, { "ls" }, { tiemout = "3s" })
    assert.is_false(ok)
    assert.is_truthy(tostring(e):find("^unknown option 'tiemout' %(known: cwd"), tostring(e))
  end)

  describe("osmo", function()
    local known, opened

    before_each(function()
      known = package.loaded["pai.osmo.client"]
      opened = {}
      package.loaded["pai.osmo.client"] = {
        connect = function(opts)
          opened[#opened + 1] = opts
          return {
            query = function(_, id)
              return { name = id }
            end,
            cancel = function()
              return nil, require("pai.err").new("EHTTP", "no such workflow")
            end,
            submit = function(_, opts_given)
              return { name = "w-1", dry_run = opts_given.dry_run }
            end,
            list = function()
              return nil, require("pai.err").new("ENETWORK", "connect: refused")
            end,
          }
        end,
      }
    end)

    after_each(function()
      package.loaded["pai.osmo.client"] = known
    end)

    local function with_mode(mode)
      local one = live({ mode = mode, osmo_roots = { "/data" } })
      return one.osmo
    end

    it("connects at the first call, to the run's target, with the recipe's roots", function()
      local osmo = with_mode("act")
      assert.are.equal(0, #opened)
      assert.are.same({ name = "w-1" }, osmo:query("w-1"))
      assert.are.same({ name = "w-2" }, osmo:query("w-2"))
      assert.are.same({ { target = "local", state = "/state", roots = { "/data" } } }, opened)
    end)

    it("raises what the client returns as an error, and names a call that is none", function()
      local osmo = with_mode("act")
      local ok, e = pcall(osmo.cancel, osmo, "w-1")
      assert.are.same({ false, "no such workflow" }, { ok, e.message })
      ok, e = pcall(osmo.quarry, osmo)
      assert.are.same({ false, "ctx.osmo has no call 'quarry'" }, { ok, e.message })
    end)

    it("lets a gate look, and refuses what changes something before it is sent", function()
      for _, mode in ipairs({ "read", "plan" }) do
        local osmo = with_mode(mode)
        assert.are.same({ name = "w-1" }, osmo:query("w-1"))
        assert.are.same({ name = "w-1", dry_run = true }, osmo:submit({ dry_run = true }))
        for _, call in ipairs({ "submit", "cancel", "restart" }) do
          local ok, e = pcall(osmo[call], osmo, { validation_only = true })
          assert.is_false(ok)
          assert.are.equal("EACCES", e.code, call)
        end
      end
      assert.is_nil(opened[1].start)
      assert.is_false(opened[2].start)
    end)

    it("says in a plan that no engine runs", function()
      local osmo = with_mode("plan")
      local ok, e = pcall(osmo.list, osmo, {})
      assert.are.same({ false, "ENOENGINE" }, { ok, e.code })
      osmo = with_mode("act")
      ok, e = pcall(osmo.list, osmo, {})
      assert.are.same({ false, "ENETWORK" }, { ok, e.code })
    end)
  end)

  it("works as described: paths, json, yaml, digests, which", function()
    local bench = support.new()
    bench:recipe(
      "r",
      [[
      needs = { bins = { "sh" } },
      steps = { { name = "a", run = function(ctx)
        local dir = ctx.fs.tempdir()
        ctx.write(dir .. "/a/../b.json", ctx.json.encode({ list = ctx.json.array({}) }))
        local all = ctx.all({ x = function() return 1 end, y = function() return 2 end })
        local ok = pcall(ctx.json.decode, "{")
        local bad = pcall(ctx.fs.list, "none")
        return {
          text = ctx.read(dir .. "/b.json"),
          files = ctx.fs.walk(dir),
          globbed = #ctx.fs.glob(dir .. "/*.json"),
          size = ctx.fs.stat(dir .. "/b.json").size,
          none = ctx.fs.stat("none") == nil,
          yaml = ctx.yaml.decode("a: [1, x]"),
          hash = ctx.hash("x") == ctx.fs.digest(ctx.write(dir .. "/x", "x")),
          sh = ctx.which("sh"), nowhere = ctx.which("pai-spec-none") == nil,
          all = all, ok = ok, bad = bad, under = ctx.fs.under(dir, ctx.run_dir),
          dir = ctx.dir == ctx.cwd .. "/r", planning = ctx.planning, target = ctx.target,
        }
      end } },]]
    )
    local events, r = bench:run({ "./r.lua" })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    local got = support.pick(events, "step.done", "a")[1].result
    assert.is_truthy(got.sh:find("/sh$"))
    got.sh = nil
    assert.are.same({
      text = '{"list":[]}',
      files = { "b.json" },
      globbed = 1,
      size = 11,
      none = true,
      yaml = { a = { 1, "x" } },
      hash = true,
      nowhere = true,
      all = { x = 1, y = 2 },
      ok = false,
      bad = false,
      under = true,
      dir = true,
      planning = false,
      target = "local",
    }, got)
    bench:remove()
  end)

  it("seals JSON with one input's secret, which may go where that one may", function()
    local secret = require("pai.secret")
    local decls = {}
    local made = live({ run = { id = "run-1", target = "local", secret_decls = decls } })
    local one, other = secret.generate(16), secret.generate(16)
    decls[one] = { name = "one", hosts = { "example.com" } }
    decls[other] = { name = "other", hosts = { "other.example.com" } }
    local sealed = made.json.seal({ auths = { { user = "u", password = one } } })
    assert.are.equal("***", tostring(sealed))
    assert.are.equal("one", decls[sealed].name)
    assert.is_true(sealed:len() > one:len())
    local ok, e = pcall(made.json.seal, { one, other })
    assert.is_false(ok)
    assert.is_truthy(e.message:find("of one secret input", 1, true))
  end)
end)
