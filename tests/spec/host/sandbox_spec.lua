-- pai.sandbox: what a recipe can reach, and every way to hold the host that we know of.
local exec = require("pai.exec")
local sandbox = require("pai.sandbox")
local task = require("pai.task")

local function run(text, env, ...)
  return assert(sandbox.load(text, "@recipe:test.lua", env or sandbox.env()))(...)
end

-- Runs a script in a pai of its own, with a guard that bites after a second. Where it should not
-- bite, it gets longer: a loaded machine may take a second for what is soon done elsewhere.
local LONG <const> = { watchdog = "20s" }

local function guarded(script, opts)
  return exec.run({ pai.exe, "lua", "/dev/stdin" }, {
    stdin = ([[
      local sandbox, task = require("pai.sandbox"), require("pai.task")
      sandbox.guard({ label = "the recipe", watchdog = %q, memory = 64 << 20 })
      local env = sandbox.env()
      env.sleep, env.print = task.sleep, print
      local function recipe(text)
        return assert(sandbox.load(text, "@recipe:test.lua", env))
      end
    ]]):format((opts or {}).watchdog or "1s"):gsub("\n", " ") .. script,
    timeout = (opts or {}).timeout or "2m",
  })
end

describe("pai.sandbox", function()
  describe("env", function()
    it("holds the pure functions and nothing else", function()
      local names = {}
      for name, value in pairs(sandbox.env()) do
        if type(value) == "table" and name ~= "_G" then
          for field in pairs(value) do
            names[#names + 1] = name .. "." .. field
          end
        else
          names[#names + 1] = name
        end
      end
      table.sort(names)
      local text = " " .. table.concat(names, " ") .. " "
      for _, bad in ipairs({
        "print",
        "require",
        "dofile",
        "loadfile",
        "collectgarbage",
        "io",
        "debug",
        "package",
        "pai",
        "string.dump",
        "os.execute",
        "os.exit",
        "os.getenv",
        "os.remove",
        "os.rename",
        "os.tmpname",
        "os.setlocale",
      }) do
        assert.is_nil(text:find(" " .. bad .. " ", 1, true), bad)
        assert.is_nil(text:find(" " .. bad .. ".", 1, true), bad)
      end
      for _, good in ipairs({ "pcall", "string.rep", "table.sort", "math.floor", "utf8.char" }) do
        assert.is_not_nil(text:find(" " .. good .. " ", 1, true), good)
      end
      assert.equal(88, #names)
    end)

    it("is fresh each time", function()
      local a, b = sandbox.env(), sandbox.env()
      run("string.rep = nil; x = 1", a)
      assert.is_function(string.rep)
      assert.is_function(b.string.rep)
      assert.is_nil(rawget(_G, "x"))
      assert.equal(1, a.x)
      assert.equal(a, run("return _G", a))
    end)

    it("keeps the metatable of strings out of reach", function()
      assert.is_nil(run("return getmetatable('')"))
      assert.is_nil(run("return ('x').dump"))
      assert.equal("xx", run("return ('x'):rep(2)"))
    end)

    it("gives only metatables that the recipe has set", function()
      local env = sandbox.env()
      env.foreign = setmetatable({}, { __index = { secret = 1 } })
      env.protected = setmetatable({}, { __metatable = "mine" })
      env.task = task.spawn(function() end)
      assert.is_nil(run("return getmetatable(foreign)", env))
      assert.equal("mine", run("return getmetatable(protected)", env))
      assert.is_nil(run("return getmetatable(task)", env))
      assert.is_true(run("local mt = {} return getmetatable(setmetatable({}, mt)) == mt", env))
      assert.is_true(run("local t = setmetatable({}, {}) return setmetatable(t, nil) == t", env))
      for _, name in ipairs({ "foreign", "protected" }) do
        assert.has_error(function()
          run("setmetatable(" .. name .. ", {})", env)
        end)
      end
    end)

    it("refuses __gc, whatever it is", function()
      for _, value in ipairs({ "function() end", "1", "false" }) do
        local ok, e = pcall(run, "setmetatable({}, { __gc = " .. value .. " })")
        assert.is_false(ok)
        assert.matches("cannot have __gc", e)
      end
      -- Set afterwards it does nothing: Lua looks when the metatable is set.
      local env = sandbox.env()
      run("local mt = {}; setmetatable({}, mt); mt.__gc = function() ran = true end", env)
      collectgarbage()
      collectgarbage()
      assert.is_nil(env.ran)
    end)

    it("has an xpcall whose handler is an ordinary call", function()
      assert.same(
        { true, 1, 2 },
        { run("return xpcall(function(...) return ... end, error, 1, 2)") }
      )
      assert.same(
        { false, "handled x", 2 },
        { run("return xpcall(error, function(e) return 'handled ' .. e, 2 end, 'x')") }
      )
    end)
  end)

  describe("load", function()
    it("takes text only, and says where it is wrong", function()
      local f, err = sandbox.load(string.dump(function() end), "@recipe:x.lua", {})
      assert.is_nil(f)
      assert.equal("EPARSE", err.code)
      f, err = sandbox.load("\n\nx = = 1", "@recipe:x.lua", {})
      assert.is_nil(f)
      assert.equal("EPARSE", err.code)
      assert.equal(3, err.line)
      assert.matches("x.lua:3:", err.message)
    end)

    it("of a recipe takes text only and keeps the environment", function()
      local env = sandbox.env()
      assert.equal(2, run("y = 1 return load('y = y + 1 return y')()", env))
      assert.equal(2, env.y)
      assert.is_nil(rawget(_G, "y"))
      assert.equal(5, run("return load('return z', 'n', 't', { z = 5 })()"))
      assert.is_nil((run("return load('\\27Lua', 'x', 'b')")))
      assert.has_error(function()
        run("return load(function() return nil end)")
      end)
      -- Whatever name it asks for, the chunk is still known as a recipe's.
      assert.matches("^recipe:evil:1:", select(2, pcall(run, "load('error(1 .. {})', '@evil')()")))
      assert.matches("^recipe:evil:1:", select(2, pcall(run, "load('error(1 .. {})', '=evil')()")))
    end)
  end)

  describe("guard", function()
    it("refuses what is out of range", function()
      for _, bad in ipairs({
        { memory = -1 },
        { hook = 0 },
        { watchdog = "x" },
        { other = 1 },
      }) do
        assert.has_error(function()
          sandbox.guard(bad)
        end)
      end
    end)

    it("stops memory at its ceiling, and the process goes on", function()
      local r = assert(guarded(
        [[
        for _, text in ipairs({
          "return ('x'):rep(1 << 40)",
          "return ('x'):rep(1 << 30)",
          "local t = {} for i = 1, math.huge do t[i] = i end",
          "local s = 'x' while true do s = s .. s end",
          "local t = {} while true do t = { t, ('y'):rep(1000) } end",
          "return table.concat({}, 'x', 1, 1)",
        }) do
          local ok, e = pcall(task.run, recipe(text))
          print(ok, e)
          collectgarbage()
        end
      ]],
        LONG
      ))
      assert.equal(
        5,
        select(2, r.stdout:gsub("not enough memory", ""))
          + select(2, r.stdout:gsub("too large", ""))
      )
    end)

    -- Loops that Lua can be cut in: the others go on, and a cancellation ends them.
    for name, text in pairs({
      ["an empty loop"] = "while true do end",
      ["a goto"] = "::top:: goto top",
      ["recursion"] = "local function f() return f() end f()",
      ["pcall in a loop"] = "while true do pcall(function() while true do end end) end",
      ["pcall of errors"] = "while true do pcall(error) end",
      ["xpcall with a handler that loops"] = [[
        while true do xpcall(error, function() while true do end end) end]],
      ["a swallowed cancellation"] = "while true do pcall(sleep, '10s') end",
      ["a loop in a coroutine"] = "coroutine.wrap(function() while true do end end)()",
      ["a coroutine that is never done"] = [[
        local co = coroutine.wrap(function() while true do coroutine.yield() end end)
        while true do co() end]],
      ["coroutines without end"] = "while true do coroutine.wrap(function() end)() end",
      ["resuming what waits"] = [[
        while true do
          local co = coroutine.create(function() sleep(1) end)
          while coroutine.status(co) ~= 'dead' do coroutine.resume(co) end
        end]],
      ["an iterator"] = "for _ in function() return 1 end do end",
      ["__index"] = [[
        local t = setmetatable({}, { __index = function() while true do end end })
        return t.x]],
      ["__close"] = [[
        local _ <close> = setmetatable({}, { __close = function() while true do end end })
        error('x')]],
      ["plain yields"] = "while true do coroutine.yield() end",
      ["a chunk of its own"] = "load('while true do end', '=other')()",
    }) do
      it("lets the others go on beside " .. name, function()
        local r = assert(guarded(
          ([[
          task.run(function()
            local t = task.spawn(recipe(%q))
            local start, ticks = task.now(), 0
            while task.now() - start < 200 do
              task.sleep(5)
              ticks = ticks + 1
            end
            t:cancel()
            local ok, e = pcall(t.wait, t, "90s")
            print(ok, e.code, t:status(), ticks >= 1)
          end)
        ]]):format(text),
          LONG
        ))
        assert.equal("false\tECANCELED\tcanceled\ttrue\n", r.stdout)
      end)
    end

    -- Loops that only an error can end: Lua cannot yield there.
    for name, text in pairs({
      ["a comparator of table.sort"] = "table.sort({ 1, 2, 3 }, function() while true do end end)",
      ["a callback of gsub"] = "string.gsub('aaa', '.', function() while true do end end)",
      ["__tostring"] = [[
        tostring(setmetatable({}, { __tostring = function() while true do end end }))]],
      ["pcall in a comparator"] = [[
        table.sort({ 1, 2, 3 }, function()
          while true do pcall(function() while true do end end) end
        end)]],
    }) do
      it("raises in " .. name .. " before the watchdog bites", function()
        local r = assert(guarded(([[
          task.run(function()
            local t = task.spawn(recipe(%q))
            local ok, e = pcall(t.wait, t)
            print(ok, e)
            task.sleep(10)
            print("still here")
          end)
        ]]):format(text)))
        assert.matches("^false\t.*held the host for too long", r.stdout)
        assert.matches("still here\n$", r.stdout)
      end)
    end

    -- What no hook can stop.
    for name, text in pairs({
      ["a pattern that backtracks"] = [[
        return ('a'):rep(40):find(('a?'):rep(40) .. ('a'):rep(40) .. 'b')]],
      ["nested repetition"] = "return ('a'):rep(30000):find('.-.-.-.-b')",
      ["table.move without end"] = "table.move({}, 1, math.maxinteger - 1, 2)",
    }) do
      it("the watchdog ends " .. name .. ", and says who held the host", function()
        local start = task.now()
        local r, err = guarded(([[
          print("begun")
          io.flush()
          task.run(function()
            recipe(%q)()
          end)
          print("done")
        ]]):format(text))
        assert.is_nil(r)
        assert.equal("EEXIT", err.code)
        assert.equal(1, err.exit)
        assert.equal("begun\n", err.stdout)
        assert.matches('^pai: "the recipe" held the host for 1%.0 s', err.stderr)
        local ms = task.now() - start
        assert.is_true(ms >= 900 and ms < 10000, ms)
      end)
    end

    it("the watchdog is patient while the loop waits", function()
      local r = assert(guarded([[
        task.run(function() task.sleep("1600ms") end)
        task.sleep("1100ms")
        print("patient")
      ]]))
      assert.equal("patient\n", r.stdout)
    end)

    it("does not cut trusted code", function()
      local r = assert(guarded(
        [[
        sandbox.guard({ label = "x", hook = 100 })
        local turns = 0
        task.run(function()
          local other = task.spawn(function()
            while true do turns = turns + 1 task.sleep(0) end
          end)
          for _ = 1, 100000 do end
          local trusted = turns
          recipe("for _ = 1, 5000000 do end")() -- others get a turn about every millisecond
          print(trusted, turns > 10)
          other:cancel()
        end)
      ]],
        LONG
      ))
      assert.equal("0\ttrue\n", r.stdout)
    end)
  end)
end)
