-- pai.async: functions side by side, a list worked off by a few, a deadline.
local async = require("pai.async")
local task = require("pai.task")

local function in_task(fn)
  return function()
    return task.run(fn)
  end
end

-- Sleeps long, and notes in log[name] that it was ended properly.
local function sleeper(log, name)
  return function()
    local _ <close> = setmetatable({}, {
      __close = function()
        task.shield(task.sleep, 10)
        log[name] = "closed"
      end,
    })
    task.sleep("30s")
  end
end

describe("pai.async", function()
  for _, where in ipairs({ "in a task", "outside of tasks" }) do
    local wrap = where == "in a task" and in_task or function(fn)
      return fn
    end

    describe(where, function()
      it(
        "all gives results under their keys",
        wrap(function()
          local got = async.all({
            a = function()
              task.sleep(5)
              return 1, 2
            end,
            b = function()
              return false
            end,
            function()
              return "first"
            end,
            function() end,
          })
          assert.same({ a = 1, b = false, "first" }, got)
          assert.same({}, async.all({}))
        end)
      )

      it(
        "all runs side by side",
        wrap(function()
          local fns, begun = {}, 0
          for i = 1, 10 do
            fns[i] = function()
              begun = begun + 1
              task.sleep(40)
              return begun
            end
          end
          assert.same({ 10, 10, 10, 10, 10, 10, 10, 10, 10, 10 }, async.all(fns))
        end)
      )

      it(
        "the first failure ends the others and is raised when they have gone",
        wrap(function()
          local log, thrown = {}, { code = "FIRST" }
          local ok, e = pcall(async.all, {
            sleeper(log, "one"),
            function()
              task.sleep(5)
              error(thrown)
            end,
            sleeper(log, "two"),
          })
          assert.is_false(ok)
          assert.equal(thrown, e)
          assert.same({ one = "closed", two = "closed" }, log)
        end)
      )

      it(
        "deadline raises ETIMEDOUT after the function has stopped",
        wrap(function()
          local log = {}
          local ok, e = pcall(async.deadline, 20, sleeper(log, "it"))
          assert.is_false(ok)
          assert.equal("ETIMEDOUT", e.code)
          assert.is_true(e.retryable)
          assert.equal("not done within 20 ms", tostring(e))
          assert.same({ it = "closed" }, log)
        end)
      )

      it(
        "deadline passes results and errors on",
        wrap(function()
          assert.same(
            { 1, nil, 3, n = 3 },
            table.pack(async.deadline("5s", function(...)
              task.sleep(1)
              return ...
            end, 1, nil, 3))
          )
          local ok, e = pcall(async.deadline, "5s", error, { code = "ETIMEDOUT", own = true })
          assert.is_false(ok)
          assert.is_true(e.own)
        end)
      )
    end)
  end

  it(
    "runs at most limit at a time, in order",
    in_task(function()
      local now, most, order = 0, 0, {}
      async.each({ "a", "b", "c", "d", "e" }, function(item, i)
        now = now + 1
        most = math.max(most, now)
        order[#order + 1] = item .. i
        task.sleep(3)
        now = now - 1
      end, { limit = 2 })
      assert.equal(2, most)
      assert.same({ "a1", "b2", "c3", "d4", "e5" }, order)
    end)
  )

  it(
    "starts nothing more after a failure",
    in_task(function()
      local started = 0
      local ok = pcall(async.each, { 1, 2, 3, 4 }, function()
        started = started + 1
        error("x")
      end, { limit = 1 })
      assert.is_false(ok)
      assert.equal(1, started)
    end)
  )

  it(
    "ends what runs when its caller is cancelled",
    in_task(function()
      local log = {}
      for name, fn in pairs({
        all = function()
          async.all({ sleeper(log, "all") })
        end,
        deadline = function()
          async.deadline("20s", sleeper(log, "deadline"))
        end,
        nested = function()
          async.all({
            function()
              async.each({ 1 }, sleeper(log, "nested"))
            end,
          })
        end,
      }) do
        local t = task.spawn(fn)
        task.sleep(5)
        t:cancel()
        local ok, e = pcall(t.wait, t)
        assert.is_false(ok)
        assert.equal("ECANCELED", e.code)
        assert.equal("closed", log[name])
      end
    end)
  )

  it("refuses unknown options", function()
    assert.has_error(function()
      async.all({}, { limits = 1 })
    end, "unknown option 'limits' (known: limit)")
    assert.has_error(function()
      async.each({}, print, { limit = 0 })
    end, "option 'limit' must be an integer of at least 1")
  end)
end)
