-- Waiting for a run of a scripted service, and following its log.
local async = require("pai.async")
local client = require("pai.osmo.client")
local json = require("pai.json")
local pai = require("pai")
local task = require("pai.task")

local scripted = assert(loadfile(pai.root .. "/tests/spec/osmo/scripted.lua"))()

describe("the client of a service:", function()
  local s, routes

  before_each(function()
    s = scripted.start()
    routes = s.routes
  end)
  after_each(function()
    s:finish()
  end)

  local function connect(opts)
    return s:connect(opts)
  end

  describe("a wait", function()
    it("ends with the run, and reports what changes", function()
      local states = { "PENDING", "RUNNING", "COMPLETED" }
      local n = 0
      routes["GET /api/workflow/x-1"] = function()
        n = math.min(n + 1, 3)
        return { json = { name = "x-1", status = states[n], groups = json.array({}) } }
      end
      local seen = {}
      local q = assert(connect():wait("x-1", {
        every = "10ms",
        on_update = function(update)
          seen[#seen + 1] = update.status
        end,
      }))
      assert.equal("COMPLETED", q.status)
      assert.same(states, seen)
    end)

    it("asks for the tasks when the run has ended, and before only who looks at them", function()
      local asked = {}
      routes["GET /api/workflow/x-1"] = function(req)
        local brief = (req.query.skip_groups or {})[1] == "True"
        asked[#asked + 1] = brief and "brief" or "whole"
        local groups = json.array(brief and {} or { { name = "g", tasks = json.array({}) } })
        local now = #asked < 3 and "RUNNING" or "COMPLETED"
        return { json = { name = "x-1", status = now, groups = groups } }
      end
      local q = assert(connect():wait("x-1", { every = "10ms" }))
      assert.equal("g", q.groups[1].name)
      assert.same({ "brief", "brief", "brief", "whole" }, asked)
      asked = {}
      assert(connect():wait("x-1", { every = "10ms", on_update = function() end }))
      assert.same({ "whole", "whole", "whole" }, asked)
    end)

    it("ends at its deadline with the status it saw", function()
      routes["GET /api/workflow/x-1"] = function()
        return { json = { name = "x-1", status = "HIBERNATING", groups = json.array({}) } }
      end
      local q, e = connect():wait("x-1", { every = "10ms", timeout = "100ms" })
      assert.is_nil(q)
      assert.equal("ETIMEDOUT", e.code)
      assert.equal("HIBERNATING", e.status)
    end)

    it("takes any FAILED_ status as an end", function()
      routes["GET /api/workflow/x-1"] = function()
        return { json = { name = "x-1", status = "FAILED_BY_MAGIC", groups = json.array({}) } }
      end
      assert.equal("FAILED_BY_MAGIC", connect():wait("x-1").status)
      assert.is_true(client.terminal("COMPLETED"))
      assert.is_false(client.terminal("WAITING"))
    end)

    it("outlives a service that is away for a moment", function()
      local n = 0
      routes["GET /api/workflow/x-1"] = function()
        n = n + 1
        if n == 1 then
          return { status = 503, body = "later" }
        end
        return { json = { name = "x-1", status = "COMPLETED", groups = json.array({}) } }
      end
      assert.equal("COMPLETED", connect():wait("x-1", { every = "10ms" }).status)
    end)
  end)

  describe("a followed log", function()
    -- Serves `log` in pieces; `plan` says for each connection how many lines it gives and whether
    -- it then ends, cuts or hangs.
    local function serve_log(log, plan)
      local connection = 0
      routes["GET /api/workflow/x-1/logs"] = function(req)
        connection = connection + 1
        local step = plan[math.min(connection, #plan)]
        local from = step.from or 1
        if req.query.last_n_lines then
          from = math.max(from, #log - tonumber(req.query.last_n_lines[1]) + 1)
        end
        return {
          stream = function(w)
            for i = from, step.to do
              w:write(log[i] .. "\n")
            end
            if step.how == "cut" then
              task.sleep("50ms") -- what was written is on its way
              error("cut")
            elseif step.how == "hang" then
              task.sleep("60s")
            end
          end,
        }
      end
      routes["GET /api/workflow/x-1"] = function()
        local status = plan[connection] and plan[connection].how == "end" and "COMPLETED"
          or "RUNNING"
        return { json = { name = "x-1", status = status, groups = json.array({}) } }
      end
    end

    local function lines(n)
      local out = {}
      for i = 1, n do
        out[i] = ("2026/08/20 01:02:%02d [t] line %d"):format(i // 3, i)
      end
      return out
    end

    local function follow(opts)
      local got = {}
      local settings = {
        follow = true,
        silence = "300ms",
        on_line = function(line)
          got[#got + 1] = line
        end,
      }
      for name, value in pairs(opts or {}) do
        settings[name] = value
      end
      assert(connect():logs("x-1", settings))
      return got
    end

    it("goes on after a cut without a gap and without a line twice", function()
      local log = lines(20)
      serve_log(
        log,
        { { to = 7, how = "cut" }, { to = 12, how = "cut" }, { to = 20, how = "end" } }
      )
      assert.same(log, follow())
    end)

    it("is asked again when it is silent", function()
      local log = lines(9)
      serve_log(log, { { to = 4, how = "hang" }, { to = 9, how = "end" } })
      assert.same(log, follow())
    end)

    it("finds its place when the beginning is gone", function()
      local log = lines(30)
      serve_log(log, { { to = 12, how = "cut" }, { from = 6, to = 30, how = "end" } })
      assert.same(log, follow())
    end)

    it("begins with the last lines if asked to", function()
      local log = lines(10)
      serve_log(log, { { to = 10, how = "cut" }, { to = 10, how = "end" } })
      assert.same({ log[8], log[9], log[10] }, follow({ last = 3 }))
    end)

    it("does not take equal lines for the same ones", function()
      local log = {}
      for i = 1, 80 do
        log[i] = "2026/08/20 01:02:03 [t] tick"
      end
      serve_log(log, { { to = 60, how = "cut" }, { to = 80, how = "end" } })
      assert.equal(80, #follow())
    end)

    it("of the embedded engine ends with what a user can type", function()
      local at = "http://localhost/api/workflow/x-1"
      local log = { "[t] see " .. at, at, at .. "/error_logs", at .. "/logs", "http://localhost/x" }
      local typed = {
        log[1],
        "pai osmo query x-1 --target local",
        "pai osmo logs x-1 --error --target local",
        log[4],
        log[5],
      }
      local plan = { { to = 2, how = "cut" }, { to = 5, how = "end" } }
      serve_log(log, plan)
      assert.same(log, follow())
      serve_log(log, plan)
      local c = connect()
      c.target = "local"
      local text = assert(c:logs("x-1", { follow = true, silence = "300ms" }))
      assert.equal(table.concat(typed, "\n") .. "\n", text)
    end)

    it("ends with its caller", function()
      serve_log(lines(3), { { to = 3, how = "hang" } })
      local ok, e = pcall(task.run, function()
        async.deadline("200ms", follow, { silence = "30s" })
      end)
      assert.is_false(ok)
      assert.equal("ETIMEDOUT", e.code)
    end)
  end)
end)
