-- host/include: the header as LuaJIT, C and C++ read it, and the library behind it.
local exec = require("pai.exec")
local fs = require("pai.fs")

local root = require("pai").root
local lib = require("pai").lib .. "/libpai.so"
local include = root .. "/host/include"

describe("the public header", function()
  local dir

  before_each(function()
    dir = assert(fs.tempdir({ prefix = "pai-header-" }))
  end)

  after_each(function()
    assert(fs.remove(dir, { recursive = true }))
  end)

  local function put(name, text)
    assert(fs.write(dir .. "/" .. name, text, { sync = false }))
    return dir .. "/" .. name
  end

  -- A library with the sanitizers in it wants their runtime to come first.
  local function preload()
    local r = assert(exec.run({ "nm", "-D", lib }))
    if not r.stdout:find("__asan_init", 1, true) then
      return {}
    end
    local runtime = assert(exec.run({ "gcc", "-print-file-name=libasan.so" })).stdout
    return { LD_PRELOAD = runtime:match("%S+"), ASAN_OPTIONS = "detect_leaks=0" }
  end

  local function run(argv, env)
    local r, err = exec.run(argv, { timeout = "60s", env = env })
    assert(r, tostring(err) .. "\n" .. (err and err.stderr or ""))
    return r.stdout
  end

  it("has no preprocessor line in the part that ffi.cdef reads", function()
    for line in assert(fs.read(include .. "/pai_ext.h")):gmatch("[^\n]+") do
      assert.is_nil(line:match("^%s*#"), line)
    end
  end)

  local strict = { "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-fsyntax-only" }

  it("compiles alone as C11 and as C++17", function()
    local source =
      '#include "pai.h"\n#include "pai.h"\nint main(void) { return pai_abi_version(); }\n'
    for _, compiler in ipairs({
      { "gcc", "-std=c11", put("alone.c", source) },
      { "g++", "-std=c++17", put("alone.cc", source) },
    }) do
      for _, flag in ipairs(strict) do
        table.insert(compiler, 2, flag)
      end
      table.insert(compiler, 2, "-I" .. include)
      run(compiler)
    end
  end)

  -- The layout of the one struct, as printed by a C program and by LuaJIT.
  local fields = { "size", "code", "message" }

  it("has the same layout in LuaJIT as in C", function()
    local c = { '#include "pai.h"\n#include <stdio.h>\nint main(void) {\n' }
    c[#c + 1] = 'printf("%zu\\n", sizeof(pai_ext_error));\n'
    local lua = { 'local ffi = require("ffi")\nffi.cdef(io.open(arg[1]):read("*a"))\n' }
    lua[#lua + 1] = 'print(ffi.sizeof("pai_ext_error"))\n'
    for _, field in ipairs(fields) do
      c[#c + 1] = ('printf("%%zu\\n", offsetof(pai_ext_error, %s));\n'):format(field)
      lua[#lua + 1] = ('print(ffi.offsetof("pai_ext_error", %q))\n'):format(field)
    end
    c[#c + 1] = "return 0; }\n"
    run({ "gcc", "-std=c11", "-I" .. include, "-o", dir .. "/layout", put("l.c", table.concat(c)) })
    local from_c = run({ dir .. "/layout" })
    assert.matches("^%d+\n0\n", from_c)
    assert.equal(
      from_c,
      run({ "luajit", put("l.lua", table.concat(lua)), include .. "/pai_ext.h" })
    )
  end)

  it("names functions that the library has, and it has no others", function()
    local declared, exported = {}, {}
    local text = fs.read(include .. "/pai_ext.h"):gsub("/%*.-%*/", "")
    for name in text:gmatch("([%w_]+)%s*%(") do
      declared[#declared + 1] = name
    end
    for name in run({ "nm", "-D", "--defined-only", lib }):gmatch(" T ([^\n]+)") do
      exported[#exported + 1] = name
    end
    table.sort(declared)
    table.sort(exported)
    assert.is_true(#declared >= 9)
    assert.same(declared, exported)
    for _, name in ipairs(exported) do
      assert.matches("^pai_", name)
    end
  end)

  it("is usable from LuaJIT as it stands", function()
    local script = put(
      "use.lua",
      [[
      local ffi = require("ffi")
      ffi.cdef(io.open(arg[1]):read("*a"))
      local pai = ffi.load(arg[2])
      local abi = pai.pai_abi_version()
      assert(math.floor(abi / 1000) == 1 and abi >= ffi.C.PAI_EXT_ABI)
      local out, n = ffi.new("const char *[1]"), ffi.new("size_t[1]")
      local err = ffi.new("pai_ext_error", { size = ffi.sizeof("pai_ext_error") })
      local m = ffi.gc(assert(pai.pai_masker_new()), pai.pai_masker_free)
      local value = "ffi-" .. "canary-77"
      assert(pai.pai_masker_add(m, value, #value, err) == 1)
      assert(pai.pai_masker_add(m, "short", 5, err) == 0)
      local function feed(s)
        assert(pai.pai_masker_feed(m, s, #s, out, n, err) == 0)
        return ffi.string(out[0], n[0])
      end
      assert(feed("see ffi-can") == "see ")
      assert(pai.pai_masker_held(m) == 7)
      assert(feed("ary-77!") == "***!")
      assert(feed("ffi-") == "")
      assert(pai.pai_masker_finish(m, out, n, nil) == 0)
      assert(ffi.string(out[0], n[0]) == "ffi-")
      local big = ("x"):rep(4000000)
      assert(pai.pai_masker_add(m, big .. "abc", #big + 3, err) == ffi.C.PAI_EXT_E_LIMIT)
      assert(ffi.string(err.message):match("too long"))
      pai.pai_masker_free(nil)
      assert(pai.pai_equal("abc", 3, "abc", 3) and not pai.pai_equal("abc", 3, "abd", 3))
      local bytes = ffi.new("char[4]", "abc")
      pai.pai_wipe(bytes, 3)
      assert(bytes[0] == 0 and bytes[2] == 0)
      print("used")
    ]]
    )
    local argv = { "luajit", script, include .. "/pai_ext.h", lib }
    assert.equal("used\n", run(argv, preload()))
  end)
end)
