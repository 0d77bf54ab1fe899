-- Without a sandbox: plain processes, tokens that stand for the task's own folder, and everything
-- that needs /osmo refused by name.
local S = dofile("tests/spec/engine/support.lua")
local fs = require("pai.fs")
local task = require("pai.task")

describe("an engine without a sandbox", function()
  local engine, root

  setup(function()
    root = assert(fs.tempdir({ prefix = "pai-root-" }))
    engine = S.start({ roots = { root }, env = { PAI_ENGINE_SANDBOX = "plain", XDG_PLAIN = "x" } })
  end)
  teardown(function()
    engine:stop()
    fs.remove(root, { recursive = true })
  end)

  it("says so and why", function()
    local _, s = engine:request("GET", "/api/pai/status")
    assert.same({ kind = "plain", reason = "PAI_ENGINE_SANDBOX=plain" }, s.sandbox)
  end)

  it("runs tasks in their own folder, with inputs, outputs and files", function()
    fs.mkdir(root .. "/in")
    fs.write(root .. "/in/a", "from outside\n")
    local q = engine:run({
      name = "plain",
      tasks = {
        S.sh("make", "cat {{input:0}}/a > {{output}}/a; cat note; env | grep -c XDG_ || true", {
          inputs = { { url = "file://" .. root .. "/in" } },
          files = { { path = "note", contents = "to {{output}}\n" } },
        }),
        S.sh("take", "cat {{input:make}}/a; echo mine > {{input:make}}/b", {
          inputs = { { task = "make" } },
          outputs = { { url = "file://" .. root .. "/out" } },
        }),
      },
    })
    assert.equal("COMPLETED", q.status)
    local log = engine:log(q.name)
    assert.truthy(log:find("[take] from outside", 1, true))
    assert.truthy(log:find("[make] to " .. engine.state, 1, true))
    assert.truthy(log:find("[make] 0", 1, true))
    -- An input is a copy: what a task does to it stays with the task.
    assert.same({ "a" }, fs.list(root .. "/in"))
    assert.is_false(fs.exists(engine.paths.runs .. "/" .. q.name .. "/data/make/b"))
  end)

  it("refuses by name what needs the sandbox", function()
    local function refused(entry)
      local answer, e = engine.client:submit({
        spec = S.spec({ name = "no", tasks = { S.sh("t", "true", entry) } }),
      })
      assert.is_nil(answer)
      assert.equal(400, e.http)
      return e.message
    end
    assert.truthy(refused({ command = { "ls", "/osmo/data/output" } }):find("/osmo", 1, true))
    assert.truthy(
      refused({ files = { { path = "/tmp/x", contents = "" } } }):find("/tmp/x", 1, true)
    )
  end)

  it("ends a task with everything that it has started", function()
    local mark = "7.1" .. tostring(task.now())
    local id = engine:submit({
      name = "tree",
      tasks = { S.sh("t", ("setsid sleep 6%s & sleep 6%s"):format(mark, mark)) },
    })
    S.eventually(function()
      return #S.processes("6" .. mark) >= 2
    end)
    assert(engine.client:cancel(id))
    assert.equal("FAILED_CANCELED", engine.client:wait(id, { timeout = "20s" }).status)
    assert.same({}, S.processes("6" .. mark))
  end)

  it("reports a signal as a shell does", function()
    local q = engine:run({ name = "signal", tasks = { S.sh("t", "kill -9 $$") } })
    assert.equal(137, S.tasks(q).t.exit_code)
  end)

  it("leaves nothing of a killed engine's tasks running", function()
    local mark = "8.2" .. tostring(task.now())
    local id = engine:submit({
      name = "dead",
      tasks = { S.sh("t", ("setsid sleep 6%s & sleep 6%s"):format(mark, mark)) },
    })
    S.eventually(function()
      return #S.processes("6" .. mark) >= 2
    end)
    engine:kill()
    engine:boot({ env = { PAI_ENGINE_SANDBOX = "plain" } })
    assert.same({}, S.processes("6" .. mark))
    local q = assert(engine.client:query(id))
    assert.equal("FAILED_BACKEND_ERROR", q.status)
    assert.equal(3001, S.tasks(q).t.exit_code)
  end)
end)
