-- What every kind of store must do, against real servers: an S3 server and OpenStack Swift, which
-- check signatures, Azurite, and the file system.
local fs = require("pai.fs")
local store = require("pai.store")
local task = require("pai.task")

local help = assert(loadfile(pai.root .. "/tests/spec/store/support.lua", "t", _ENV))()
local it_runs = help.it_runs

-- Each kind: start, stop, and the URL and options of a place in it.
local kinds = {
  s3 = {
    start = help.s3,
    stop = help.stop,
    at = function(server, path)
      return "s3://bucket/" .. path, { keys = help.keys(server) }
    end,
  },
  -- as Google's: no request that deletes many
  gs = {
    start = help.s3,
    stop = help.stop,
    at = function(server, path)
      local keys = help.keys(server)
      keys.region = nil
      return "gs://bucket/" .. path, { keys = keys }
    end,
  },
  swift = {
    start = help.swift,
    stop = help.stop,
    at = function(server, path)
      return "swift://store.example/AUTH_test/bucket/" .. path, { keys = help.keys(server) }
    end,
  },
  -- the bucket's name in the host's, the region in it, too
  tos = {
    start = function()
      return help.swift("eu-9")
    end,
    stop = help.stop,
    at = function(server, path)
      local keys = help.keys(server, server.virtual)
      keys.region = nil
      return "tos://tos-s3-eu-9.store.example/bucket/" .. path, { keys = keys }
    end,
  },
  azure = {
    start = function()
      local server = help.azurite()
      help.dir = server.dir
      local s = assert(store.open(("azure://%s/container"):format(server.account), {
        keys = { connection_string = help.handle(help.connection(server)) },
      }))
      s.driver:send("make the container", { method = "PUT", query = { restype = "container" } })
      return server
    end,
    stop = help.stop,
    at = function(server, path)
      local keys = { connection_string = help.handle(help.connection(server)) }
      return ("azure://%s/container/%s"):format(server.account, path), { keys = keys }
    end,
  },
  file = {
    start = function()
      return { dir = fs.tempdir({ prefix = "pai-file" }) }
    end,
    stop = function(server)
      fs.remove(server.dir, { recursive = true })
    end,
    at = function(server, path)
      return "file://" .. server.dir .. "/" .. path, {}
    end,
  },
}

local MiB <const> = 1 << 20

for name, kind in pairs(kinds) do
  describe("a store of the kind " .. name, function()
    local server

    setup(function()
      server = task.run(kind.start)
    end)
    teardown(function()
      kind.stop(server)
    end)

    local function open(path)
      local url, opts = kind.at(server, path)
      return assert(store.open(url, opts))
    end

    -- Keys below a path, relative to it.
    local function names(path, opts)
      opts = opts or { recursive = true }
      local s, out = open(path), {}
      local prefix = require("pai.store.url").prefix(s.place)
      for i, entry in ipairs(assert(s:list(opts))) do
        out[i] = entry.key:sub(#prefix + 1)
      end
      table.sort(out)
      return out
    end

    it_runs("uploads a tree and brings it back, byte for byte", function()
      local odd = "with space, +%20~(x)ü"
      help.write("tree/one", "1")
      help.write("tree/empty", "")
      help.write("tree/sub/deep/" .. odd, "odd")
      help.big("tree/sub/big", 33 * MiB + 17)
      local r = assert(open("t"):upload({ help.path("tree") }))
      assert.same({ 4, 0, 33 * MiB + 21 }, { r.files, r.skipped, r.bytes })
      local expected = { "tree/empty", "tree/one", "tree/sub/big", "tree/sub/deep/" .. odd }
      assert.same(expected, names("t"))
      assert.same({ "tree/" }, names("t", {}))
      assert.same({ "empty", "one", "sub/" }, names("t/tree", {}))
      r = assert(open("t/tree"):download(help.path("out")))
      assert.same({ 4, 0 }, { r.files, #r.left_out })
      assert.same({ "empty", "one", "sub/big", "sub/deep/" .. odd }, fs.walk(help.path("out")))
      assert.equal(help.sum(help.path("tree/sub/big")), help.sum(help.path("out/sub/big")))
      assert.equal("odd", fs.read(help.path("out/sub/deep/" .. odd)))
      assert.equal("", fs.read(help.path("out/empty")))
      assert.equal(420, fs.stat(help.path("out/one")).mode & 420)
    end)

    it_runs("knows an object, a path, and what is not there", function()
      help.write("one", "12345")
      assert(open("k/dir"):upload({ help.path("one") }))
      assert.equal(5, assert(open("k/dir/one"):stat()).size)
      assert.is_nil((open("k/dir"):stat()))
      assert.same({ true, true, false, false }, {
        open("k/dir/one"):exists(),
        open("k/dir"):exists(),
        open("k/d"):exists(),
        open("z"):exists(),
      })
      -- a name that is the beginning of another one is no folder
      assert.same({}, names("k/dir/on"))
      assert.same({ "one" }, names("k/dir", { prefix = "on" }))
      local r, e = open("k/none"):download(help.path("out"))
      assert.is_nil(r)
      assert.equal("ENOENT", e.code)
      r = assert(open("k/dir/one"):download(help.path("single")))
      assert.equal(1, r.files)
      assert.equal("12345", fs.read(help.path("single/one")))
    end)

    it_runs("filters by pattern and regular expression", function()
      for _, file in ipairs({ "a.mp4", "b.txt", "s/c.mp4", "s/d.txt" }) do
        help.write("f/" .. file, file)
      end
      assert(open("f"):upload({ help.path("f/*") }, { exclude = { "b.txt" } }))
      assert.same({ "a.mp4", "s/c.mp4", "s/d.txt" }, names("f"))
      assert.same({ "a.mp4", "s/c.mp4" }, names("f", { recursive = true, include = { "*.mp4" } }))
      local r = assert(open("f"):download(help.path("out"), { regex = "s/" }))
      assert.equal(2, r.files)
      assert.same({ "s/c.mp4", "s/d.txt" }, fs.walk(help.path("out")))
      r = assert(open("f"):delete({ include = { "*.mp4" } }))
      assert.equal(2, r.deleted)
      assert.same({ "s/d.txt" }, names("f"))
    end)

    it_runs("deletes one object, or what is below a path and nothing beside it", function()
      for _, file in ipairs({ "x/1", "x/2", "xy", "x.d" }) do
        help.write("d/" .. file, file)
      end
      assert(open("d"):upload({ help.path("d/*") }))
      local plan = assert(open("d/x"):delete({ dry_run = true }))
      assert.same({ 2, 0 }, { #plan.keys, plan.deleted })
      assert.same({ "x.d", "x/1", "x/2", "xy" }, names("d"))
      assert.equal(2, assert(open("d/x"):delete()).deleted)
      assert.same({ "x.d", "xy" }, names("d"))
      assert.equal(1, assert(open("d/xy"):delete()).deleted)
      assert.same({ "x.d" }, names("d"))
      assert.equal(0, assert(open("d/none"):delete()).deleted)
    end)

    it_runs("checks what one may do, and leaves nothing behind", function()
      assert.is_true(assert(open("check"):check()))
      assert.same({}, names("check"))
      local ok, e = open("check"):check({ "FLY" })
      assert.is_nil(ok)
      assert.equal("EINVAL", e.code)
    end)

    it_runs("refuses two files for one name, and says what it left out", function()
      help.write("p/same", "1")
      help.write("q/same", "2")
      local r, e = open("u"):upload({ help.path("p/*"), help.path("q/*") })
      assert.is_nil(r)
      assert.equal("EINVAL", e.code)
      r, e = open("u"):upload({ help.path("nothing") })
      assert.is_nil(r)
      assert.equal("ENOENT", e.code)
      assert(fs.symlink("/nowhere/at/all", help.path("p/broken")))
      r = assert(open("u"):upload({ help.path("p") }))
      assert.same({ 1, { help.path("p/broken") } }, { r.files, r.left_out })
    end)

    it_runs("tells how far it is", function()
      help.write("m/one", ("x"):rep(1000))
      help.write("m/two", ("x"):rep(500))
      local seen = {}
      assert(open("m"):upload({ help.path("m") }, {
        on_progress = function(p)
          if p.file then
            seen[#seen + 1] = p
          end
        end,
      }))
      assert.equal(2, #seen)
      assert.same({ 1500, 1500, 2, 2 }, {
        seen[2].bytes,
        seen[2].total,
        seen[2].files,
        seen[2].count,
      })
    end)
  end)
end
