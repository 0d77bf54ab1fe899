-- `make install`: what it copies runs by itself and can be built against.
local exec = require("pai.exec")
local fs = require("pai.fs")

describe("make install", function()
  local dir

  setup(function()
    dir = assert(fs.tempdir({ prefix = "pai-install-" }))
    -- As a packager would: below DESTDIR, and moved from there.
    assert(exec.run({ "make", "-s", "install", "DESTDIR=" .. dir, "PREFIX=/to" }, {
      cwd = pai.root,
      timeout = "5m",
    }))
  end)

  teardown(function()
    fs.remove(dir, { recursive = true })
  end)

  it("gives a pai that needs no checkout", function()
    local r = assert(exec.run({ dir .. "/to/bin/pai", "run", "hello", "name=Ada" }, {
      cwd = dir,
      env = { PAI_STATE = dir .. "/state" },
      timeout = "60s",
    }))
    assert.matches("green", r.stdout)
    local traced = assert(exec.run({
      "strace",
      "-f",
      "-qq",
      "-e",
      "trace=%file",
      dir .. "/to/bin/pai",
      "list",
    }, {
      cwd = dir,
      env = { PAI_STATE = dir .. "/state", ASAN_OPTIONS = "detect_leaks=0" },
      timeout = "60s",
    }))
    assert.matches("hello", traced.stdout)
    local checkout = fs.abspath(pai.root) .. "/"
    assert.is_nil(traced.stderr:find('"' .. checkout, 1, true))
    -- Bytecode is used; what recipes share is read as their other files are.
    for path in traced.stderr:gmatch('openat[^\n]*/lua/pai/([^\n]*%.lua)"') do
      assert.matches("^shared/", path)
    end
  end)

  it("gives a header and a library", function()
    local program =
      '#include <pai.h>\n#include <stdio.h>\nint main(void) { puts("built"); return 0; }\n'
    assert(fs.write(dir .. "/x.c", program))
    local to = dir .. "/to"
    assert(exec.run({
      "gcc",
      "-I" .. to .. "/include",
      "-o",
      dir .. "/x",
      dir .. "/x.c",
      "-L" .. to .. "/lib",
      "-Wl,--no-as-needed",
      "-lpai",
      "-Wl,-rpath," .. to .. "/lib",
    }, { timeout = "60s" }))
    assert.equal("built\n", assert(exec.run({ dir .. "/x" })).stdout)
  end)
end)
