-- Typed inputs: each type from text and from data, where values come from, what is missing, and
-- secrets that never become text.
local fs = require("pai.fs")
local inputs = require("pai.recipe.inputs")
local json = require("pai.json")
local support = dofile("tests/spec/run/support.lua")
local values = require("pai.recipe.values")

describe("values", function()
  local function from_text(decl, value)
    return values.read(decl, value, { from_text = true, cwd = "/base" })
  end
  local function from_data(decl, value)
    return values.read(decl, value, { cwd = "/base" })
  end

  it("reads each type from text", function()
    assert.are.equal("5", from_text({ type = "string" }, "5"))
    assert.are.equal(-5, from_text({ type = "integer" }, "-5"))
    assert.are.equal(1.5, from_text({ type = "number" }, "1.5"))
    assert.is_true(from_text({ type = "boolean" }, "yes"))
    assert.is_false(from_text({ type = "boolean" }, "0"))
    assert.are.equal("/base/a.mp4", from_text({ type = "path" }, "./x/../a.mp4"))
    assert.are.equal("/a", from_text({ type = "path" }, "/a"))
    assert.are.equal(os.getenv("HOME") .. "/a", from_text({ type = "path" }, "~/a"))
    assert.are.equal("10m", from_text({ type = "duration" }, "10m"))
    assert.are.same({ "a", "b" }, from_text({ type = "list" }, "a, b"))
    assert.are.same({ 1, 2 }, from_text({ type = "list", of = "integer" }, "1,2"))
    assert.are.same({ "/base/a" }, from_text({ type = "list", of = "path" }, "a"))
  end)

  it("reads data as it is", function()
    assert.are.equal(5, from_data({ type = "integer" }, 5))
    assert.are.equal(5, from_data({ type = "integer" }, 5.0))
    assert.are.equal("integer", math.type(from_data({ type = "integer" }, 5.0)))
    assert.is_nil(from_data({ type = "integer" }, "5"))
    assert.is_nil(from_data({ type = "boolean" }, "yes"))
    assert.is_nil(from_data({ type = "string" }, 5))
    assert.are.same({ "a" }, from_data({ type = "list" }, { "a" }))
    assert.is_nil(from_data({ type = "list" }, { a = 1 }))
  end)

  local refused = {
    { { type = "integer" }, "1.5", "must be a whole number, not '1.5'" },
    { { type = "integer" }, "0x10", "must be a whole number, not '0x10'" },
    { { type = "integer", min = 1 }, "0", "must be at least 1, not 0" },
    { { type = "number", max = 1 }, "2", "must be at most 1, not 2" },
    { { type = "number" }, "nan", "must be a number, not 'nan'" },
    { { type = "number" }, "inf", "must be a number, not 'inf'" },
    { { type = "boolean" }, "perhaps", "must be true or false, not 'perhaps'" },
    {
      { type = "enum", values = { "e2e", "auto_labeling" } },
      "auto_labelling",
      "must be one of e2e, auto_labeling; not 'auto_labelling' (did you mean 'auto_labeling'?)",
    },
    { { type = "path" }, "", "must be a path" },
    { { type = "path" }, "a\0b", "must be a path" },
    { { type = "duration" }, "5", 'must be a duration such as "30s" or "10m", not \'5\'' },
    { { type = "list", of = "integer" }, "1,x", "item 2 must be a whole number, not 'x'" },
    { { type = "string", pattern = "%l+" }, "A1", "must match %l+, not 'A1'" },
  }
  for _, case in ipairs(refused) do
    it(("refuses '%s' as %s"):format(case[2]:gsub("%z", "\\0"), case[1].type), function()
      local value, message = from_text(case[1], case[2])
      assert.is_nil(value)
      assert.are.equal(case[3], message)
    end)
  end
end)

describe("inputs", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function resolve(decls, given, from_text)
    local marks = {}
    for key in pairs(given or {}) do
      marks[key] = from_text ~= false
    end
    return inputs.resolve(decls, given or {}, { cwd = bench.dir, from_text = marks })
  end

  it("takes given values over defaults, and leaves optional ones out", function()
    local out = resolve({
      a = { type = "integer", default = 1 },
      b = { type = "integer", default = 2 },
      c = { type = "string", optional = true },
    }, { a = "5" })
    assert.are.same({ a = 5, b = 2 }, out.values)
    assert.are.same({ b = true }, out.demo)
    assert.are.same({}, out.missing)
  end)

  it("refuses an unknown key with the nearest name", function()
    local ok, e = pcall(resolve, { video = { type = "path", optional = true } }, { vidoe = "x" })
    assert.is_false(ok)
    assert.are.equal("EUSAGE", e.code)
    assert.are.equal("no input 'vidoe' (did you mean 'video'?)", e.message)
  end)

  it("names exactly what is missing", function()
    local out = resolve({
      video = { type = "path", doc = "The clip." },
      flow = { type = "enum", values = { "a", "b" } },
      hf = { type = "secret", env = "PAI_SPEC_NO_SUCH_VARIABLE" },
      there = { type = "string", default = "x" },
    })
    assert.are.equal(
      "USER_INPUT_REQUIRED: flow (a | b); hf (secret, set PAI_SPEC_NO_SUCH_VARIABLE or run "
        .. "`pai secret set PAI_SPEC_NO_SUCH_VARIABLE`); video (path): The clip.",
      inputs.question(out.missing)
    )
  end)

  it("refuses a secret as a value without repeating it", function()
    local value = "plain-" .. require("pai.crypto").hex(6)
    for _, given in ipairs({ true, false }) do
      local decls = { hf = { type = "secret", env = "HF_TOKEN" } }
      local ok, e = pcall(resolve, decls, { hf = value }, given)
      assert.is_false(ok)
      assert.are.equal("EUSAGE", e.code)
      assert.is_nil(e.message:find(value, 1, true))
      assert.is_truthy(e.message:find("set HF_TOKEN", 1, true))
    end
  end)

  it("opens a secret from a file and records where it came from", function()
    local path = bench:write("token", "value-" .. require("pai.crypto").hex(8) .. "\n")
    assert(fs.chmod(path, "0600"))
    local out = resolve({ hf = { type = "secret" } }, { hf = "file:token" })
    assert.are.equal("userdata", type(out.values.hf))
    assert.are.equal("***", tostring(out.values.hf))
    assert.are.same({ ["$secret"] = "file:" .. path }, out.record.hf)
    local again = inputs.reopen({ hf = { type = "secret" } }, out.record, bench.dir)
    assert.is_true(again.values.hf:equals(out.values.hf))
  end)

  it("asks again for a secret whose source is gone", function()
    for _, source in ipairs({ "env:PAI_SPEC_NO_SUCH_VARIABLE", "file:/nonexistent", "prompt" }) do
      local record = { hf = { ["$secret"] = source } }
      local out = inputs.reopen({ hf = { type = "secret" } }, record, bench.dir)
      assert.are.equal("hf", out.missing[1].name)
    end
  end)

  it("reads --input as JSON and as YAML", function()
    assert.are.same({ a = 1 }, inputs.parse_file('{"a": 1}', "f"))
    assert.are.same({ a = 1, b = { "x" } }, inputs.parse_file("a: 1\nb: [x]\n", "f"))
    local _, e = inputs.parse_file("- a\n- b\n", "f")
    assert.are.equal("f: must be a map of input names to values", e.message)
    local _, bad = inputs.parse_file('{"a": ', "f")
    assert.are.equal("EUSAGE", bad.code)
  end)

  describe("from the environment and .env", function()
    local RECIPE = [[
      inputs = {
        hf = { type = "secret", env = "HF_TOKEN" },
        org = { type = "string", env = "NGC_ORG", default = "none" },
      },
      steps = {
        { name = "a", run = function(ctx, inp) return { n = inp.hf:len(), org = inp.org } end },
      },
    ]]

    local function git(...)
      local exec = require("pai.exec")
      assert(
        exec.run({ "git", "-C", bench.dir, ... }, { env = { GIT_CONFIG_GLOBAL = "/dev/null" } })
      )
    end

    local function run(env)
      bench:recipe("r", RECIPE)
      local events, r = bench:run({ "./r.lua" }, { env = env })
      local done = support.pick(events, "step.done", "a")[1]
      return done and done.result, r, events
    end

    it("takes the caller's environment first", function()
      git("init", "-q")
      bench:write(".gitignore", ".env\n")
      bench:write(".env", "HF_TOKEN=fromfile\nNGC_ORG=ignored\n")
      fs.chmod(bench.dir .. "/.env", "0600")
      local result = run({ HF_TOKEN = "from-environment", NGC_ORG = "org" })
      assert.are.same({ n = 16, org = "org" }, result)
    end)

    it("takes .env when the environment has nothing, and sets no environment", function()
      git("init", "-q")
      bench:write(".gitignore", ".env\n")
      bench:write(".env", "HF_TOKEN=fromfile\nNGC_ORG=mine\n")
      fs.chmod(bench.dir .. "/.env", "0600")
      local result, r, events = run()
      assert.are.same({ n = 8, org = "mine" }, result, r.stderr)
      local record = support.pick(events, "run.start")[1].inputs.hf
      assert.are.same({ ["$secret"] = "dotenv:" .. bench.dir .. "/.env#HF_TOKEN" }, record)
    end)

    it("refuses a .env that others can read", function()
      git("init", "-q")
      bench:write(".gitignore", ".env\n")
      bench:write(".env", "HF_TOKEN=fromfile\n")
      fs.chmod(bench.dir .. "/.env", "0644")
      local _, r = run()
      assert.are.equal(1, r.code)
      assert.is_truthy(r.stderr:find("has mode 0644", 1, true), r.stderr)
    end)

    it("refuses a .env that git would commit", function()
      git("init", "-q")
      bench:write(".env", "HF_TOKEN=fromfile\n")
      fs.chmod(bench.dir .. "/.env", "0600")
      local _, r = run()
      assert.are.equal(1, r.code)
      assert.is_truthy(r.stderr:find("is not ignored by git", 1, true), r.stderr)
    end)

    it("does not look at .env outside of a work tree", function()
      bench:write(".env", "HF_TOKEN=fromfile\n")
      local _, r = run()
      assert.are.equal(3, r.code)
      assert.is_nil(r.stderr:find(".env", 1, true))
    end)

    it("leaves no trace of the value in the run's folder", function()
      local value = "canary-" .. require("pai.crypto").hex(12)
      local _, r = run({ HF_TOKEN = value })
      assert.are.equal(0, r.code, r.stderr)
      for _, path in ipairs(fs.walk(bench.state)) do
        assert.is_nil(fs.read(bench.state .. "/" .. path):find(value, 1, true), path)
      end
      assert.is_nil(r.stdout:find(value, 1, true))
      assert.is_nil(json.encode(r):find(value, 1, true))
    end)
  end)
end)
