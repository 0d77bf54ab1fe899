-- ctx.store: what a recipe may do with object stores, and where.
local crypto = require("pai.crypto")
local ctx = require("pai.run.ctx")
local fs = require("pai.fs")
local needs = require("pai.run.needs")

local help = assert(loadfile(pai.root .. "/tests/spec/store/support.lua", "t", _ENV))()
local it_runs = help.it_runs

local function live(more)
  more = more or {}
  local dir = help.dir
  local env = {
    run = { id = "run-1", target = "local", state = dir, secret_decls = more.secrets or {} },
    scope = {
      loaded = { name = "r", dir = dir, doc = { inputs = {} } },
      inp = {},
      defaults = {},
    },
    step = "a",
    mode = more.mode or "act",
    where = "checks of a",
    cwd = dir,
    run_dir = dir .. "/run",
    needs = needs.bind(more.needs or {}, {}, { cwd = dir, recipe = "r" }),
    osmo_roots = {},
  }
  return ctx.new(env)
end

local function refused(fn, ...)
  local ok, e = pcall(fn, ...)
  assert.is_false(ok)
  return e
end

describe("ctx.store", function()
  it_runs("moves files below needs.writes, with paths relative to cwd", function()
    help.write("in/a", "1")
    help.write("in/s/b", "22")
    help.write("in/.env", "SECRET=x")
    local c = live({ needs = { writes = { "store", "out" } } })
    local url = "file://" .. help.dir .. "/store/x"
    assert.equal(2, c.store.upload("in", url).files)
    assert.equal(2, c.store.upload({ "in/*" }, url).files)
    assert.is_true(c.store.exists(url))
    assert.equal(2, c.store.stat(url .. "/in/s/b").size)
    assert.is_nil(c.store.stat(url .. "/none"))
    assert.equal(2, #c.store.list(url .. "/in", { recursive = true }))
    assert.equal(2, c.store.download(url .. "/in", "out").files)
    assert.same({ "a", "s/b" }, fs.walk(help.path("out")))
    assert.equal(4, c.store.delete(url).deleted)
    assert.is_false(c.store.exists(url))
    assert.equal("ENOENT", refused(c.store.download, url, "out").code)
    assert.equal("EACCES", refused(c.store.download, url, "elsewhere").code)
    assert.equal("EACCES", refused(c.store.upload, "in", "file://" .. help.dir .. "/other").code)
    assert.equal("EACCES", refused(c.store.delete, "file://" .. help.dir .. "/in").code)
    assert.equal("EACCES", refused(c.store.upload, "in/.env", url).code)
    assert.is_string(refused(c.store.list, url, { recursiv = true }))
    assert.equal("EINVAL", refused(c.store.list, url, { on_host = print }).code)
  end)

  it_runs("only looks where only looking is allowed", function()
    help.write("store/a", "1")
    local c = live({ mode = "read", needs = { writes = { "store", "out" } } })
    local url = "file://" .. help.dir .. "/store"
    assert.equal(1, #c.store.list(url))
    assert.is_true(c.store.exists(url .. "/a"))
    for name, args in pairs({
      upload = { "store", url },
      download = { url, "out" },
      delete = { url },
    }) do
      local e = refused(c.store[name], table.unpack(args))
      assert.equal("EACCES", e.code)
      assert.matches(name, e.message)
      assert.matches("checks of a may only observe", e.message)
    end
    assert.is_true(fs.exists(help.path("store/a")))
  end)

  it_runs("speaks to hosts of needs.hosts only, and gives a key to its own hosts only", function()
    local server = help.s3()
    local keys = help.keys(server)
    help.write("a", "1")
    local opts = { keys = keys }
    local e = refused(live().store.list, "s3://bucket", opts)
    assert.equal("EACCES", e.code)
    assert.matches("needs.hosts does not name '127.0.0.1'", e.message, 1, true)
    local function with(hosts)
      local decl = { name = "key", hosts = hosts }
      return live({
        needs = { hosts = { "127.0.0.1" } },
        secrets = { [keys.access_key] = decl },
      })
    end
    e = refused(with({ "store.example" }).store.upload, "a", "s3://bucket/x", opts)
    assert.equal("EACCES", e.code)
    assert.matches("secret 'key' may not be given", e.message)
    local c = with({ "127.0.0.1" })
    assert.equal(1, c.store.upload("a", "s3://bucket/x", opts).files)
    assert.equal("x/a", c.store.list("s3://bucket/x", opts)[1].key)
    local wrong = { access_key_id = server.id, access_key = help.handle(crypto.hex(20)) }
    wrong.override_url = server.url
    e = refused(c.store.list, "s3://bucket/x", { keys = wrong })
    assert.equal("EACCES", e.code)
    server.proc:kill("KILL")
    server.proc:wait("10s")
    fs.remove(server.dir, { recursive = true })
  end)
end)
