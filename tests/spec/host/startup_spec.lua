-- The executable itself: what it links, how it starts and ends, where its Lua comes from.
local exec = require("pai.exec")
local fs = require("pai.fs")

local function sh(script, opts)
  return exec.run({ "sh", "-c", script }, opts)
end

local function script(text, opts)
  opts = opts or {}
  opts.stdin = text
  return exec.run({ pai.exe, "lua", "/dev/stdin", table.unpack(opts.args or {}) }, {
    stdin = text,
    env = opts.env,
  })
end

describe("pai", function()
  local dir

  before_each(function()
    dir = assert(fs.tempdir({ prefix = "pai-startup-" }))
  end)

  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  -- A copy of the installation under dir, whose files a test may change.
  local function copy()
    for _, folder in ipairs({ "bin", "lib/pai", "lua/pai/cli" }) do
      assert(fs.mkdir(dir .. "/" .. folder, { parents = true }))
    end
    assert(exec.run({ "cp", pai.exe, dir .. "/bin/pai" }))
    assert(fs.write(dir .. "/lua/pai/cli/init.lua", "return { main = function() return 0 end }"))
    return dir .. "/bin/pai"
  end

  describe("links", function()
    it("the C library and nothing else", function()
      local needed = {}
      local r = assert(exec.run({ "readelf", "-d", pai.exe }))
      for lib in r.stdout:gmatch("NEEDED[^%[]*%[([^%]]+)%]") do
        needed[#needed + 1] = lib:match("^lib[%a]+")
      end
      table.sort(needed)
      local text = table.concat(needed, " ")
      assert.is_truthy(text == "libc libm" or text:find("asan"), text)
    end)

    it("offers its modules what they need, and nothing more", function()
      local r = assert(exec.run({ "nm", "-D", "--defined-only", "--format=posix", pai.exe }))
      local lua, ours = 0, 0
      for name in r.stdout:gmatch("(%S+) [^\n]*\n") do
        lua = lua + (name:find("^luaL?_") and 1 or 0)
        ours = ours + (name:find("^pai_") and 1 or 0)
        local known = name:find("^luaL?_") or name:find("^pai_") or name:find("^std%a+@")
        assert.is_truthy(known or name:find("^_") or name:find("asan"), name)
      end
      assert.is_true(lua > 100 and ours > 50)
    end)
  end)

  describe("version", function()
    it("opens no file but its own", function()
      local r =
        assert(exec.run({ "strace", "-qq", "-e", "openat,execve,clone", pai.exe, "version" }, {
          env = { ASAN_OPTIONS = "detect_leaks=0" },
        }))
      assert.matches("^pai %d", r.stdout)
      local opened = 0
      for path in r.stderr:gmatch('openat%([^"]*"([^"]+)"') do
        local known = path:find("^/etc/ld%.so") or path:find("/lib[cm]%.so") or path == "/dev/null"
        -- a build with the sanitizers has their libraries, and those of C++
        local checker = path:find("san%.so") or path:find("gcc_s%.so") or path:find("stdc%+%+%.so")
        known = known or checker and r.stderr:find("/libasan.so", 1, true)
        assert.is_truthy(known or path:find(pai.root, 1, true) or path:find(pai.lib, 1, true), path)
        opened = opened + (checker and 0 or 1)
      end
      assert.is_true(opened < 14, opened)
      assert.is_nil(r.stderr:find("clone(", 1, true))
    end)
  end)

  describe("an empty run", function()
    local empty = pai.root .. "/tests/bench/empty.lua"

    local function traced(recipe)
      local calls = "openat,execve,clone,clone3,vfork,fork,fsync,fdatasync"
      local argv = { "strace", "-qq", "-f", "-e", calls, pai.exe, "run", recipe }
      local env = { PAI_STATE = dir .. "/state", ASAN_OPTIONS = "detect_leaks=0" }
      local r = assert(exec.run(argv, { env = env }))
      assert.matches("green", r.stdout)
      return r
    end

    it("loads no library, starts no process, and waits for no disk", function()
      local r = traced(empty)
      local loaded = {}
      for path in r.stderr:gmatch('openat%([^"]*"[^"]+/([^"/]+%.so[%d.]*)"[^\n]*= %d') do
        loaded[path:match("^[%a_]+")] = true
      end
      for _, name in ipairs({ "crypto", "libcrypto", "yaml", "db", "http" }) do
        assert.is_nil(loaded[name], name)
      end
      assert.is_true(loaded.libc, "the pattern finds what is loaded")
      assert.is_nil(r.stderr:find("fork(", 1, true) or r.stderr:find("clone(", 1, true))
      assert.equal(1, select(2, r.stderr:gsub("execve%(", "")))
      -- Nothing has an effect that is to be on record.
      assert.equal(0, select(2, r.stderr:gsub("sync%(", "")))
    end)

    it("syncs the intent of a step that may change something", function()
      local text = fs.read(empty):gsub('safety = "observes"', 'safety = "changes"')
      assert(fs.write(dir .. "/changes.lua", text))
      local r = traced(dir .. "/changes.lua")
      -- The intent; the result and the verdict together.
      assert.equal(2, select(2, r.stderr:gsub("sync%(", "")))
    end)
  end)

  describe("pai lua", function()
    it("runs a file with its arguments as the plain interpreter does", function()
      local r =
        assert(script("print(arg[0], #arg, arg[-1] ~= nil, ...)", { args = { "a b", "c" } }))
      assert.equal("/dev/stdin\t2\ttrue\ta b\tc\n", r.stdout)
      assert.matches("usage: pai lua", assert(exec.run({ pai.exe, "lua", "--help" })).stdout)
      assert.equal(2, select(2, exec.run({ pai.exe, "lua" })).exit)
    end)

    it("ends with 1 and a traceback after an error", function()
      local _, err = script("local function f() error('oh no') end f()")
      assert.equal(1, err.exit)
      assert.matches("^pai: /dev/stdin:1: oh no\nstack traceback:", err.stderr)
      _, err = script("x = = 1")
      assert.equal(1, err.exit)
      assert.equal(1, select(2, exec.run({ pai.exe, "lua", dir .. "/none.lua" })).exit)
      _, err = script("error(setmetatable({}, { __tostring = function() return 'an object' end }))")
      assert.matches("^pai: an object\n", err.stderr)
    end)

    it("masks what it says of an error", function()
      local value = "err" .. tostring(os.time()) .. "leak"
      assert(fs.write(dir .. "/value", value, { mode = 384 }))
      local _, err = script(
        [[
        require("pai.secret").from_file(arg[1])
        error("it was " .. io.open(arg[1]):read("a"))
      ]],
        { args = { dir .. "/value" } }
      )
      assert.matches("it was %*%*%*", err.stderr)
      assert.is_nil(err.stderr:find(value, 1, true))
    end)

    it("flushes and closes at os.exit, also inside a task", function()
      local _, err = script(
        [[
        io.write("written")
        local file = io.open(arg[1], "w")
        file:write("kept")
        pai.task.run(function()
          local p = pai.exec.start({ "sleep", "30" })
          io.stderr:write(p.pid)
          local _ <close> = setmetatable({}, { __close = function() end })
          coroutine.wrap(function() os.exit(7) end)()
        end)
      ]],
        { args = { dir .. "/file" } }
      )
      assert.equal(7, err.exit)
      assert.equal("written", err.stdout)
      assert.equal("kept", fs.read(dir .. "/file"))
      local process = fs.process(math.tointeger(tonumber(err.stderr)))
      assert.is_true(process == nil or process.state == "Z")
      assert.equal(0, assert(script("os.exit(true)")).code)
      assert.equal(1, select(2, script("os.exit(false)")).exit)
      assert.equal(3, select(2, script("os.exit(3, false)")).exit)
    end)

    it("has no descriptor open that a child could get by chance", function()
      local r = assert(sh(pai.exe .. " lua /dev/fd/9 9<&0 <&- >&- 2>&-", {
        stdin = ([[
          local f = io.open(%q, "w")
          local r = pai.exec.run({ "sh", "-c", "echo out; echo err >&2" })
          f:write(r.stdout, r.stderr)
        ]]):format(dir .. "/result"),
      }))
      assert.equal(0, r.code)
      assert.equal("out\nerr\n", fs.read(dir .. "/result"))
    end)
  end)

  it("is quiet when its reader is gone", function()
    local r = assert(sh("{ " .. pai.exe .. " help; echo $? >&2; } | true"))
    assert.equal("0\n", r.stderr)
  end)

  describe("its own Lua", function()
    local source =
      [[return { main = function() print(%s, debug.getinfo(1, "S").source) return 0 end }]]

    local function write(path, what, time)
      assert(fs.mkdir(fs.dirname(path), { parents = true }))
      assert(fs.write(path, what))
      assert(exec.run({ "touch", "-d", time, path }))
    end

    -- Makes the copy's bundle of what lua/pai/cli/init.lua holds now.
    local function bundle(name, time)
      local luac = pai.root .. "/lua/luac.lua"
      local made = dir .. "/lib/pai/lua.bundle"
      assert(exec.run({ pai.exe, "lua", luac, made, "lua/pai/" .. name .. ".lua" }, { cwd = dir }))
      assert(exec.run({ "touch", "-d", time, made }))
      return made
    end

    it("is bytecode, unless the source is newer or the bytecode is no good", function()
      local bin = copy()
      local lua = dir .. "/lua/pai/cli/init.lua"
      local said = "\t@lua/pai/cli/init.lua\n"
      write(lua, source:format("'bytecode'"), "2020-01-01 00:00:00")
      local made = bundle("cli/init", "2020-01-01 00:00:01")
      write(lua, source:format("'source'"), "2020-01-01 00:00:00")
      assert.equal("bytecode" .. said, assert(exec.run({ bin, "x" })).stdout)
      write(lua, source:format("'source'"), "2020-01-01 00:00:02")
      assert.equal("source" .. said, assert(exec.run({ bin, "x" })).stdout)
      local whole = fs.read(made)
      for _, bad in ipairs({
        "",
        "pai lua",
        "pai luX" .. whole:sub(8),
        whole:sub(1, 8) .. string.pack("<I4", 99) .. whole:sub(13),
        whole:sub(1, 12) .. string.pack("<I4", 0xffffffff) .. whole:sub(17),
        whole:sub(1, 80) .. string.pack("<I4I4", 0xfffffff0, 400) .. whole:sub(89),
        whole:sub(1, 80) .. string.pack("<I4I4", 88, 0xffffffff) .. whole:sub(89),
        whole:sub(1, 60),
        whole:sub(1, 88),
        whole:sub(1, #whole // 2),
        whole:sub(1, 88) .. source:format("'text'") .. (" "):rep(#whole),
      }) do
        write(made, bad, "2020-01-01 00:00:03")
        assert.equal("source" .. said, assert(exec.run({ bin, "x" })).stdout, bad)
      end
    end)

    it("is not bytecode whose source is gone", function()
      local bin = copy()
      write(dir .. "/lua/pai/gone.lua", "return 1", "2020-01-01 00:00:00")
      bundle("gone", "2020-01-01 00:00:01")
      assert(fs.remove(dir .. "/lua/pai/gone.lua"))
      write(
        dir .. "/lua/pai/cli/init.lua",
        "return { main = function() require('pai.gone') end }",
        "2020-01-01"
      )
      local _, err = exec.run({ bin, "x" })
      assert.equal(70, err.exit)
      assert.matches("module 'pai.gone' not found", err.stderr)
    end)

    it("has its place in messages, without the folders of this machine", function()
      local bin = copy()
      write(
        dir .. "/lua/pai/cli/init.lua",
        "return { main = function() error('here') end }",
        "2020-01-01"
      )
      local _, err = exec.run({ bin, "x" })
      assert.equal(70, err.exit)
      assert.matches("^pai: lua/pai/cli/init.lua:1: here\n", err.stderr)
      write(dir .. "/lua/pai/cli/init.lua", "return }", "2020-01-01")
      _, err = exec.run({ bin, "x" })
      assert.equal(70, err.exit)
      assert.matches("lua/pai/cli/init.lua:1:", err.stderr)
    end)

    it("knows its lines as bytecode, but not the names of its locals", function()
      local bin = copy()
      local body = {
        "local M, count = {}, 7",
        "function M.main()",
        "  local large, list = 2 ^ 53 + 0.5, { 1 << 40, 'a', nil, true, false, -0.0 }",
        "  local function inner(x) return function() return count + x + list[1] + large end end",
        ("\n"):rep(300), -- a line too far for the short form
        "  return inner(1)() > 0 and list[7].none",
        "end",
        "return M",
      }
      local path = dir .. "/lua/pai/cli/init.lua"
      write(path, table.concat(body, "\n"), "2020-01-01 00:00:00")
      local text = fs.read(bundle("cli/init", "2020-01-01 00:00:01"))
      assert.is_nil(text:find("large", 1, true))
      assert.is_not_nil(text:find("none", 1, true))
      local _, err = exec.run({ bin, "x" })
      assert.equal(70, err.exit)
      assert.matches("^pai: lua/pai/cli/init.lua:306: attempt to index a nil value", err.stderr)
    end)

    it("was compiled whole", function()
      local made = fs.read(pai.lib .. "/pai/lua.bundle")
      local time = assert(fs.stat(pai.lib .. "/pai/lua.bundle")).mtime_ms
      local _, count = string.unpack("<I4I4", made, 9)
      local bundled = {}
      for i = 1, count do
        bundled[string.unpack("<z", made, 17 + (i - 1) * 72)] = true
      end
      local missing = {}
      for _, path in ipairs(fs.walk(pai.root .. "/lua/pai")) do
        local old = fs.stat(pai.root .. "/lua/pai/" .. path).mtime_ms < time
        local name = path:match("^(.*)%.lua$")
        if old and name and not path:find("^meta/") and not bundled["pai/" .. name] then
          missing[#missing + 1] = path
        end
      end
      assert.same({}, missing)
      assert.is_true(count > 100)
    end)
  end)

  it("says when its files are not there", function()
    assert(exec.run({ "cp", pai.exe, dir .. "/pai" }))
    local _, err = exec.run({ dir .. "/pai", "version" })
    assert.equal(70, err.exit)
    assert.matches("is the installation whole", err.stderr)
  end)
end)
