local exec = require("pai.exec")
local fs = require("pai.fs")
local out = require("pai.out")
local secret = require("pai.secret")

local exe = require("pai").exe
local value = "out-canary-" .. ("9dQz"):rep(4)

describe("pai.out", function()
  local dir

  before_each(function()
    dir = assert(fs.tempdir({ prefix = "pai-out-" }))
    assert(fs.write(dir .. "/token", value, { sync = false }))
  end)

  after_each(function()
    assert(fs.remove(dir, { recursive = true }))
  end)

  -- A shell command in which $PAI runs the Lua text.
  local function sh(command, text)
    local path = dir .. "/script.lua"
    local head = ([[local out, secret, path = require("pai.out"), require("pai.secret"), %q
      assert(secret.from_file(path .. "/token")) ]]):format(dir)
    assert(fs.write(path, head .. text, { sync = false }))
    local env = { PAI = ("%s lua %s"):format(exe, path) }
    local opts = { raw = true, timeout = "20s", env = env, accept = { 0, 3 } }
    return assert(exec.run({ "/bin/sh", "-c", command }, opts))
  end

  local function run(text)
    return sh("exec $PAI", text)
  end

  it("masks both standard channels, also across writes", function()
    local half = #value // 2
    local r = run(([[
      local v = %q .. %q
      out.stdout("one ", v, " two ", 3, "\n")
      out.stderr("err ", v:sub(1, 9)) out.stderr(v:sub(10), "\n")
      for c in v:gmatch(".") do out.write(1, c) end
      out.write(2, "end ", v)
    ]]):format(value:sub(1, half), value:sub(half + 1)))
    assert.equal("one *** two 3\n***", r.stdout)
    assert.equal("err ***\nend ***", r.stderr)
  end)

  it("writes at exit what it held back", function()
    local r = run([[out.stdout("ends with out-canary")]])
    assert.equal("ends with out-canary", r.stdout)
    r = run([[out.stdout("out-can") os.exit(3, false)]])
    assert.equal("out-can", r.stdout)
    assert.equal(3, r.code)
  end)

  it("shows a prompt at once, and what it holds back when flushed", function()
    local r = sh(
      [[$PAI | { head -c 8; echo "<"; cat; }]],
      [[
      out.stdout("Go on? ")
      out.stdout("o")
      out.flush(1)
      local f = io.open(path .. "/wait", "w") f:close()
      out.stdout("!")
    ]]
    )
    assert.equal("Go on? o<\n!", r.stdout)
  end)

  it("is quiet, and the program goes on, when the reader is gone", function()
    local r = sh(
      [[{ $PAI; echo $? >&2; } | head -n 1]],
      [[
      local ok = true
      for i = 1, 20000 do ok = ok and out.stdout("line ", i, "\n") == true end
      out.stderr(tostring(ok), " ", tostring(out.closed(1)), "\n")
      os.exit(7)
    ]]
    )
    assert.equal("line 1\n", r.stdout)
    assert.equal("true true\n7\n", r.stderr)
  end)

  it("says when the disk is full", function()
    local r = sh(
      "exec $PAI >/dev/full",
      [[
      local ok, err = out.stdout("x\n")
      out.stderr(tostring(ok), " ", err.code, " ", tostring(err))
    ]]
    )
    assert.equal("nil ENOSPC write to standard output: No space left on device", r.stderr)
  end)

  it("waits for a slow reader of a pipe that does not block", function()
    local r = sh(
      [[$PAI | { sleep 0.3; wc -c; }]],
      [[
      -- Makes the pipe non-blocking through a child that shares it.
      require("pai.exec").run({ "/usr/bin/python3", "-c",
        "import os; os.set_blocking(1, False)" }, { stdout = "inherit" })
      assert(out.stdout(("x"):rep(1000000)))
    ]]
    )
    assert.equal("1000000\n", r.stdout)
  end)

  it("is not ended by the watchdog while its reader is slow", function()
    local r = sh(
      [[$PAI | { sleep 1; wc -c; }]],
      [[
      require("pai.sandbox").guard({ label = "test", watchdog = "200ms" })
      assert(out.stdout(("x"):rep(1000000)))
    ]]
    )
    assert.equal("1000000\n", r.stdout)
  end)

  it("takes strings and numbers only, all or nothing", function()
    local r = run([[
      local h = secret.from_file(path .. "/token")
      for _, bad in ipairs({ h, true, {} }) do
        local ok, err = pcall(out.stdout, "not shown", bad)
        out.stderr(tostring(ok), ",")
      end
      out.stderr(tostring(pcall(out.write, 3, "x")))
    ]])
    assert.equal("", r.stdout)
    assert.equal("false,false,false,false", r.stderr)
  end)

  describe("a file", function()
    it("is masked, appended to, and private", function()
      assert(secret.from_file(dir .. "/token"))
      local path = dir .. "/log"
      local ch = assert(out.open(path))
      assert.is_true(ch:write("a ", value:sub(1, 12)))
      assert.equal("a ", fs.read(path))
      assert.is_true(ch:write(value:sub(13), " b\n"))
      assert.equal("a *** b\n", fs.read(path))
      assert.is_true(ch:close())
      assert.equal(384, fs.stat(path).mode)
      do
        local again <close> = assert(out.open(path, { sync = true }))
        again:write("c\n")
      end
      assert.equal("a *** b\nc\n", fs.read(path))
      local empty = assert(out.open(path, { append = false, mode = 416 }))
      assert.is_true(empty:sync())
      assert.equal("", fs.read(path))
      empty:close()
      assert.error_matches(function()
        empty:write("x")
      end, "closed")
    end)

    it("holds a whole record after sync", function()
      assert(secret.from_file(dir .. "/token"))
      local path = dir .. "/journal"
      local ch <close> = assert(out.open(path))
      assert(ch:write('{"a":"out-can'))
      assert.equal('{"a":"', fs.read(path))
      assert(ch:sync())
      assert.equal('{"a":"out-can', fs.read(path))
    end)

    it("keeps no half of a text that did not fit", function()
      local r = sh(
        [[ulimit -f 8; trap '' XFSZ; exec $PAI]],
        [[
        local ch = out.open(path .. "/log")
        assert(ch:write("first\n"))
        local ok, err = ch:write(("x"):rep(100000))
        out.stderr(tostring(ok), " ", err.code)
        assert(ch:write("last\n"))
      ]]
      )
      assert.equal("nil EFBIG", r.stderr)
      assert.equal("first\nlast\n", fs.read(dir .. "/log"))
    end)

    it("that cannot be opened is an error", function()
      local ch, err = out.open(dir .. "/no/log")
      assert.is_nil(ch)
      assert.equal("ENOENT", err.code)
      assert.error_matches(function()
        out.open(dir .. "/x", { create = true })
      end, "unknown option 'create'")
    end)
  end)
end)
