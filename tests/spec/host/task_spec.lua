-- pai.task: tasks, events, cancellation, and suspends that pass through any nest of coroutines.
local task = require("pai.task")

local function in_task(fn)
  return function()
    return task.run(fn)
  end
end

local function took(fn, ...)
  local start = task.now()
  fn(...)
  return task.now() - start
end

describe("pai.task", function()
  describe("run and spawn", function()
    it("gives back what the function returns, holes included", function()
      assert.same(
        { 1, nil, 3, n = 3 },
        table.pack(task.run(function(...)
          task.sleep(1)
          return ...
        end, 1, nil, 3))
      )
    end)

    it("raises what the function raises, as it is", function()
      local thrown = { code = "MINE" }
      local ok, e = pcall(task.run, function()
        task.sleep(1)
        error(thrown)
      end)
      assert.is_false(ok)
      assert.equal(thrown, e)
    end)

    it(
      "runs tasks side by side",
      in_task(function()
        local ms = took(function()
          local list = {}
          for i = 1, 100 do
            list[i] = task.spawn(function()
              task.sleep(40)
              return i
            end)
          end
          for i = 1, 100 do
            assert.equal(i, list[i]:wait())
          end
        end)
        assert.is_true(ms >= 39 and ms < 1000, ms)
      end)
    )

    it(
      "lets several wait for one task, also after it has ended",
      in_task(function()
        local t = task.spawn(function()
          task.sleep(5)
          return "a", "b"
        end)
        local others = {}
        for i = 1, 3 do
          others[i] = task.spawn(function()
            return select("#", t:wait()), (t:wait())
          end)
        end
        for i = 1, 3 do
          assert.same({ 2, "a" }, { others[i]:wait() })
        end
        assert.same({ "a", "b" }, { t:wait() })
        assert.equal("done", t:status())
      end)
    )

    it(
      "keeps the traceback of a failure",
      in_task(function()
        local t = task.spawn(function()
          error("went wrong")
        end)
        local ok, e = pcall(t.wait, t)
        assert.is_false(ok)
        assert.matches("went wrong", e)
        assert.matches("task_spec", t:trace())
        assert.equal("failed", t:status())
      end)
    )

    it("works outside of any task too", function()
      assert.is_nil(task.current())
      assert.is_true(took(task.sleep, 15) >= 14)
      local t = task.spawn(task.sleep, "5ms")
      assert.equal("ready", t:status())
      t:wait()
      assert.equal("done", t:status())
    end)

    it("says when nothing is left that could end a wait", function()
      local ok, e = pcall(task.run, function()
        task.event():wait()
      end)
      assert.is_false(ok)
      assert.matches("deadlock", tostring(e))
    end)

    it(
      "refuses to wait for itself and wrong arguments",
      in_task(function()
        assert.has_error(function()
          task.current():wait()
        end, "a task cannot wait for itself")
        assert.has_error(function()
          task.spawn("x")
        end)
        assert.has_error(function()
          task.sleep("soon")
        end)
        assert.has_error(function()
          task.sleep(-1)
        end)
      end)
    )

    it("frees tasks that have ended", function()
      local function use()
        for _ = 1, 200 do
          task.spawn(function()
            return ("x"):rep(10000)
          end)
        end
        task.sleep(0)
        task.sleep(0)
        collectgarbage()
        collectgarbage()
        return collectgarbage("count")
      end
      local before = use()
      local after = use()
      assert.is_true(after - before < 500, after - before)
    end)
  end)

  describe("wait with a timeout", function()
    it(
      "raises ETIMEDOUT and leaves the task going",
      in_task(function()
        local t = task.spawn(function()
          task.sleep(40)
          return "late"
        end)
        local ok, e = pcall(t.wait, t, 5)
        assert.is_false(ok)
        assert.equal("ETIMEDOUT", e.code)
        assert.is_true(e.retryable)
        assert.equal("waiting", t:status())
        assert.equal("late", t:wait("1s"))
      end)
    )
  end)

  describe("events", function()
    it(
      "wake everybody who waits",
      in_task(function()
        local ev, woken = task.event(), 0
        local list = {}
        for i = 1, 3 do
          list[i] = task.spawn(function()
            assert.is_true(ev:wait("1s"))
            woken = woken + 1
          end)
        end
        task.sleep(1)
        assert.equal(0, woken)
        ev:set()
        for i = 1, 3 do
          list[i]:wait()
        end
        assert.equal(3, woken)
        assert.is_true(ev:is_set())
        assert.is_true(ev:wait())
        ev:clear()
        assert.is_false(ev:is_set())
        assert.is_false(ev:wait(5))
      end)
    )
  end)

  describe("suspends", function()
    it(
      "pass through coroutine.wrap",
      in_task(function()
        local gen = coroutine.wrap(function(a)
          for i = 1, 3 do
            task.sleep(1)
            a = coroutine.yield(a + i)
          end
          return "end"
        end)
        assert.equal(11, gen(10))
        assert.equal(22, gen(20))
        assert.equal(33, gen(30))
        assert.equal("end", gen(0))
      end)
    )

    it(
      "pass through coroutines at any depth, with their values",
      in_task(function()
        local function nest(depth)
          if depth == 0 then
            task.sleep(1)
            return "bottom", nil, 3
          end
          local results = table.pack(coroutine.resume(coroutine.create(nest), depth - 1))
          assert.is_true(results[1])
          return table.unpack(results, 2, results.n)
        end
        assert.same({ "bottom", nil, 3, n = 3 }, table.pack(nest(50)))
      end)
    )

    it(
      "are not seen by a loop that resumes until the coroutine is dead",
      in_task(function()
        local resumes, others = 0, 0
        local ticker = task.spawn(function()
          while true do
            task.sleep(1)
            others = others + 1
          end
        end)
        local co = coroutine.create(function()
          for _ = 1, 5 do
            task.sleep(5)
          end
        end)
        while coroutine.status(co) ~= "dead" do
          resumes = resumes + 1
          assert(coroutine.resume(co))
        end
        ticker:cancel()
        assert.equal(1, resumes)
        assert.is_true(others >= 3, others)
      end)
    )

    it(
      "keep a waiting coroutine from everybody else",
      in_task(function()
        local co = coroutine.create(function()
          task.sleep(20)
          return "mine"
        end)
        local other = task.spawn(function()
          task.sleep(1)
          assert.equal("normal", coroutine.status(co))
          assert.same({ false, "cannot resume non-suspended coroutine" }, { coroutine.resume(co) })
          assert.has_error(function()
            coroutine.close(co)
          end, "cannot close a normal coroutine")
        end)
        assert.same({ true, "mine" }, { coroutine.resume(co) })
        assert.equal("dead", coroutine.status(co))
        other:wait()
      end)
    )

    it(
      "carry errors out of wrapped coroutines, and close their variables",
      in_task(function()
        local closed
        local f = coroutine.wrap(function()
          local _ <close> = setmetatable({}, {
            __close = function()
              closed = true
            end,
          })
          task.sleep(1)
          error("inner")
        end)
        local ok, e = pcall(f)
        assert.is_false(ok)
        assert.matches("inner", e)
        assert.is_true(closed)
      end)
    )

    it(
      "work in pcall, iterators, metamethods and <close>",
      in_task(function()
        local log = {}
        local slow = setmetatable({}, {
          __index = function(_, k)
            task.sleep(1)
            return k
          end,
        })
        do
          local _ <close> = setmetatable({}, {
            __close = function()
              task.sleep(1)
              log[#log + 1] = "closed"
            end,
          })
          assert.is_true(pcall(task.sleep, 1))
          log[#log + 1] = slow.key
          for i in
            function(_, i)
              task.sleep(1)
              return i < 2 and i + 1 or nil
            end,
            nil,
            0
          do
            log[#log + 1] = i
          end
        end
        assert.same({ "key", 1, 2, "closed" }, log)
      end)
    )

    it(
      "block the others, and only them, where Lua cannot yield",
      in_task(function()
        local ran = false
        local other = task.spawn(function()
          ran = true
        end)
        local list = { 3, 1, 2 }
        table.sort(list, function(a, b)
          task.sleep(2)
          return a < b
        end)
        assert.same({ 1, 2, 3 }, list)
        assert.equal("AB", (("ab"):gsub(".", function(c)
          task.sleep(1)
          return c:upper()
        end)))
        assert.is_false(ran)
        other:wait()
        assert.is_true(ran)
        table.sort({ 2, 1 }, function()
          assert.has_error(function()
            task.event():wait()
          end)
          return false
        end)
      end)
    )

    it(
      "take a plain yield of a task as a turn for the others",
      in_task(function()
        local order = {}
        local other = task.spawn(function()
          order[#order + 1] = "other"
        end)
        assert.equal(0, select("#", coroutine.yield("lost")))
        order[#order + 1] = "main"
        other:wait()
        assert.same({ "other", "main" }, order)
      end)
    )

    it(
      "leave an ended task's coroutine dead",
      in_task(function()
        local co
        task
          .spawn(function()
            co = coroutine.running()
            assert.same(
              { false, "cannot resume non-suspended coroutine" },
              { coroutine.resume(co) }
            )
            return 1, 2
          end)
          :wait()
        assert.equal("dead", coroutine.status(co))
        assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(co) })
        assert.is_true(coroutine.close(co))
      end)
    )
  end)

  describe("coroutine outside of tasks", function()
    it("is as in plain Lua", function()
      local co = coroutine.create(function(a, b)
        local c = coroutine.yield(a + b)
        error({ c })
      end)
      assert.equal("suspended", coroutine.status(co))
      assert.same({ true, 3 }, { coroutine.resume(co, 1, 2) })
      local ok, e = coroutine.resume(co, "x")
      assert.is_false(ok)
      assert.same({ "x" }, e)
      assert.equal("dead", coroutine.status(co))
      assert.same({ false, "cannot resume dead coroutine" }, { coroutine.resume(co) })
      assert.same({ false, { "x" } }, { coroutine.close(co) })
      assert.equal("running", coroutine.status((coroutine.running())))
      assert.has_error(function()
        coroutine.resume(1)
      end)
      local ok2, e2 = pcall(coroutine.wrap(function()
        error("at", 1)
      end))
      assert.is_false(ok2)
      assert.matches("at$", e2)
    end)
  end)

  describe("cancel", function()
    it(
      "ends a wait at once",
      in_task(function()
        local t = task.spawn(task.sleep, "10s")
        task.sleep(1)
        local ms = took(function()
          t:cancel()
          local ok, e = pcall(t.wait, t)
          assert.is_false(ok)
          assert.equal("ECANCELED", e.code)
        end)
        assert.is_true(ms < 500, ms)
        assert.equal("canceled", t:status())
      end)
    )

    it(
      "keeps a task that has not begun from running",
      in_task(function()
        local ran = false
        local t = task.spawn(function()
          ran = true
        end)
        t:cancel()
        assert.is_false((pcall(t.wait, t)))
        assert.is_false(ran)
        assert.equal("canceled", t:status())
      end)
    )

    it(
      "reaches a wait inside coroutines, and runs what is to be closed",
      in_task(function()
        local log = {}
        local t = task.spawn(function()
          local _ <close> = setmetatable({}, {
            __close = function()
              log[#log + 1] = "outer"
            end,
          })
          coroutine.wrap(function()
            local _ <close> = setmetatable({}, {
              __close = function()
                log[#log + 1] = "inner"
              end,
            })
            task.sleep("10s")
          end)()
        end)
        task.sleep(1)
        t:cancel()
        assert.is_false((pcall(t.wait, t)))
        assert.same({ "inner", "outer" }, log)
      end)
    )

    it(
      "is raised again by each further wait",
      in_task(function()
        local count = 0
        local t = task.spawn(function()
          for _ = 1, 3 do
            local ok, e = pcall(task.sleep, "10s")
            assert(not ok and e.code == "ECANCELED")
            count = count + 1
          end
          return "survived"
        end)
        task.sleep(1)
        t:cancel()
        assert.equal("survived", t:wait())
        assert.equal(3, count)
        assert.equal("done", t:status())
      end)
    )

    it(
      "drops a task that swallows it for ever",
      in_task(function()
        local t = task.spawn(function()
          while true do
            pcall(task.sleep, "10s")
          end
        end)
        task.sleep(1)
        t:cancel()
        local ok, e = pcall(t.wait, t, "5s")
        assert.is_false(ok)
        assert.equal("ECANCELED", e.code)
        assert.equal("canceled", t:status())
      end)
    )

    it(
      "does not hide another failure",
      in_task(function()
        local t = task.spawn(function()
          pcall(task.sleep, "10s")
          error("clean-up failed", 0)
        end)
        task.sleep(1)
        t:cancel()
        assert.same({ false, "clean-up failed" }, { pcall(t.wait, t) })
        assert.equal("failed", t:status())
      end)
    )

    it(
      "of a waiter leaves what it waits for alone",
      in_task(function()
        local work = task.spawn(function()
          task.sleep(20)
          return "fine"
        end)
        local waiter = task.spawn(function()
          return work:wait()
        end)
        task.sleep(1)
        waiter:cancel()
        assert.is_false((pcall(waiter.wait, waiter)))
        assert.equal("fine", work:wait())
      end)
    )

    it(
      "of a caller of run ends what it runs",
      in_task(function()
        local log = {}
        local t = task.spawn(function()
          task.run(function()
            local _ <close> = setmetatable({}, {
              __close = function()
                task.shield(task.sleep, 5)
                log[#log + 1] = "closed"
              end,
            })
            task.sleep("10s")
          end)
        end)
        task.sleep(1)
        t:cancel()
        local ok, e = pcall(t.wait, t)
        assert.is_false(ok)
        assert.equal("ECANCELED", e.code)
        assert.same({ "closed" }, log)
      end)
    )
  end)

  describe("shield", function()
    it(
      "holds cancellation back until its function has returned",
      in_task(function()
        local log = {}
        local t = task.spawn(function()
          local a, b = task.shield(function(...)
            task.sleep(20)
            log[#log + 1] = "whole"
            return ...
          end, 1, 2)
          log[#log + 1] = a + b
          task.sleep("10s")
          log[#log + 1] = "never"
        end)
        task.sleep(1)
        t:cancel()
        assert.is_false((pcall(t.wait, t)))
        assert.same({ "whole", 3 }, log)
      end)
    )

    it(
      "passes errors on and ends with them",
      in_task(function()
        local t = task.spawn(function()
          pcall(task.shield, function()
            task.sleep(1)
            error("x")
          end)
          task.sleep("10s")
        end)
        task.sleep(5)
        t:cancel()
        local ok, e = pcall(t.wait, t, "1s")
        assert.is_false(ok)
        assert.equal("ECANCELED", e.code)
      end)
    )
  end)

  describe("on_signal", function()
    local function raise(name)
      local f = assert(io.open("/proc/self/stat"))
      local pid = f:read("n")
      f:close()
      assert(require("pai.exec").run({ "kill", "-" .. name, tostring(pid) }))
    end

    it("calls the function in a task until it is removed", function()
      local seen, ev = {}, task.event()
      local remove = task.on_signal(function(name)
        assert.is_not_nil(task.current())
        seen[#seen + 1] = name
        ev:set()
      end)
      raise("HUP")
      assert.is_true(ev:wait("5s"))
      remove()
      remove()
      local other = task.on_signal(function(name)
        seen[#seen + 1] = "other " .. name
      end, { "SIGTERM" })
      raise("TERM")
      task.sleep(5)
      raise("WINCH")
      task.sleep(5)
      other()
      assert.same({ "SIGHUP", "other SIGTERM" }, seen)
      assert.has_error(function()
        task.on_signal(print, { "SIGKILL" })
      end)
    end)
  end)

  describe("an error that nobody takes", function()
    it("is reported once, with its traceback", function()
      local r = assert(pai.exec.run({ pai.exe, "lua", "/dev/stdin" }, {
        stdin = [[
          local task = require("pai.task")
          local seen = task.spawn(error, "taken")
          pcall(seen.wait, seen)
          task.spawn(function() error("nobody took this") end)
          local c = task.spawn(task.sleep, "10s")
          task.sleep(1)
          c:cancel()
          task.sleep(1)
        ]],
      }))
      assert.equal("", r.stdout)
      assert.matches("a task failed: .*nobody took this", r.stderr)
      assert.matches("stack traceback", r.stderr)
      assert.equal(1, select(2, r.stderr:gsub("a task failed", "")))
    end)
  end)
end)
