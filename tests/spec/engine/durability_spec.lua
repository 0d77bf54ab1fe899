-- What happens when the engine dies: nothing runs on, nothing is RUNNING for ever, and what had
-- not begun goes on.
local S = dofile("tests/spec/engine/support.lua")
local fs = require("pai.fs")
local store = require("pai.engine.store")
local task = require("pai.task")

describe("an engine that is killed", function()
  local engine, root

  before_each(function()
    root = assert(fs.tempdir({ prefix = "pai-root-" }))
    engine = S.start({ roots = { root } })
  end)
  after_each(function()
    engine:stop()
    fs.remove(root, { recursive = true })
  end)

  local function running(id, name)
    S.eventually(function()
      local t = S.tasks(engine.client:query(id))[name]
      return t.status == "RUNNING"
    end)
  end

  it("takes its tasks with it, and the next one says so", function()
    local mark = "4.3" .. tostring(task.now())
    local id = engine:submit({
      name = "dead",
      tasks = {
        S.sh("now", ("echo begun; setsid sleep 6%s & sleep 6%s"):format(mark, mark)),
        S.sh("later", "true", { inputs = { { task = "now" } } }),
      },
    })
    S.eventually(function()
      return #S.processes("6" .. mark) >= 2 and engine:log(id):find("[now] begun", 1, true)
    end)
    engine:kill()
    S.eventually(function()
      return #S.processes("6" .. mark) == 0
    end)
    engine:boot()
    local q = assert(engine.client:query(id))
    assert.equal("FAILED_BACKEND_ERROR", q.status)
    local t = S.tasks(q)
    assert.equal("FAILED_BACKEND_ERROR", t.now.status)
    assert.equal(3001, t.now.exit_code)
    assert.truthy(t.now.failure_message:find("engine", 1, true))
    assert.equal("FAILED_UPSTREAM", t.later.status)
    assert.truthy(q.end_time)
    -- What the task had said is still there.
    assert.truthy(engine:log(id):find("[now] begun", 1, true))
  end)

  it("lets what had not begun go on", function()
    local first = engine:submit({
      name = "first",
      resources = { default = { cpu = 64 } },
      tasks = { S.sh("t", "sleep 60") },
    })
    running(first, "t")
    local second = engine:submit({ name = "second", tasks = { S.sh("t", "echo fine") } })
    assert.equal("SCHEDULING", S.tasks(engine.client:query(second)).t.status)
    engine:kill()
    engine:boot()
    assert.equal("FAILED_BACKEND_ERROR", engine.client:query(first).status)
    local q = assert(engine.client:wait(second, { timeout = "20s", every = "20ms" }))
    assert.equal("COMPLETED", q.status)
  end)

  it("can be followed by a restart of what failed only", function()
    local id = engine:submit({
      name = "again",
      tasks = {
        S.sh("make", "echo made > {{output}}/m"),
        S.sh("use", ("cat {{input:make}}/m; test -e %s/go || sleep 60"):format(root), {
          inputs = { { task = "make" }, { url = "file://" .. root } },
          command = { "/bin/sh", "-c", "cat {{input:make}}/m; test -e {{input:1}}/go || sleep 60" },
        }),
      },
    })
    running(id, "use")
    engine:kill()
    engine:boot()
    assert.equal("FAILED_BACKEND_ERROR", engine.client:query(id).status)
    fs.write(root .. "/go", "")
    local answer = assert(engine.client:restart(id))
    assert.equal("again-2", answer.name)
    local q = assert(engine.client:wait(answer.name, { timeout = "20s", every = "20ms" }))
    assert.equal("COMPLETED", q.status)
    assert.equal(1, #q.groups)
    assert.equal("again", q.parent_name)
    assert.equal(1, q.parent_job_id)
    assert.truthy(engine:log(answer.name):find("[use] made", 1, true))
  end)

  it("leaves no unfinished upload", function()
    local out = root .. "/out"
    fs.mkdir(out)
    local id = engine:submit({
      name = "up",
      tasks = {
        S.sh("t", "i=0; while [ $i -lt 3000 ]; do echo $i > {{output}}/f$i; i=$((i+1)); done", {
          outputs = { { url = "file://" .. out } },
        }),
      },
    })
    S.eventually(function()
      return engine:log(id):find("Uploading", 1, true)
    end)
    engine:kill()
    engine:boot()
    local q = assert(engine.client:wait(id, { timeout = "20s", every = "20ms" }))
    assert.is_true(q.status == "FAILED_BACKEND_ERROR" or q.status == "COMPLETED")
    for _, name in ipairs(fs.list(out)) do
      assert.is_nil(name:find("^%.pai%-"), name)
    end
  end)

  it("carries out a cancel that had been asked for", function()
    local id = engine:submit({
      name = "stop",
      tasks = {
        S.sh("now", "trap '' TERM; echo up; while :; do sleep 0.1; done"),
        S.sh("later", "true", { inputs = { { task = "now" } } }),
      },
    })
    S.eventually(function()
      return engine:log(id):find("[now] up", 1, true)
    end)
    assert(engine.client:cancel(id))
    engine:kill()
    engine:boot()
    local q = assert(engine.client:query(id))
    assert.equal("FAILED_CANCELED", q.status)
    assert.equal("FAILED_CANCELED", S.tasks(q).now.status)
  end)

  it("is harmless at any instant of a busy time", function()
    local ids = {}
    for i = 1, 6 do
      ids[i] = engine:submit({
        name = "busy",
        tasks = {
          S.sh("a", "echo a > {{output}}/a"),
          S.sh("b", "cat {{input:0}}/a", { inputs = { { task = "a" } } }),
          S.sh("c", "true", { inputs = { { task = "b" } } }),
        },
      })
    end
    for round = 1, 5 do
      task.sleep(7 * round)
      engine:kill()
      engine:boot()
    end
    for _, id in ipairs(ids) do
      local q = assert(engine.client:wait(id, { timeout = "60s", every = "20ms" }))
      for _, t in pairs(S.tasks(q)) do
        assert.truthy(t.end_time)
        assert.truthy(
          ({
            COMPLETED = true,
            FAILED_BACKEND_ERROR = true,
            FAILED_UPSTREAM = true,
          })[t.status],
          t.status
        )
      end
      assert.is_true(q.status == "COMPLETED" or q.status == "FAILED_BACKEND_ERROR", q.status)
    end
  end)
end)

describe("a client whose engine is killed", function()
  local client = require("pai.osmo.client")
  local exec = require("pai.exec")
  local launch = require("pai.engine.launch")
  local paths = require("pai.engine.paths")
  local state, c

  before_each(function()
    state = assert(fs.tempdir({ prefix = "pai-engine-" }))
    c = assert(client.connect({ target = "local", state = state }))
  end)
  after_each(function()
    launch.stop(paths.of(state))
    fs.remove(state, { recursive = true })
  end)

  local function submit(script)
    local spec = S.spec({ name = "run", tasks = { S.sh("t", script) } })
    return assert(c:submit({ spec = spec })).name
  end

  local function kill()
    local s = assert(launch.status(paths.of(state)))
    assert(exec.run({ "/bin/sh", "-c", "kill -KILL $0", tostring(s.pid) }))
    S.eventually(function()
      local p = fs.process(s.pid)
      return not p or p.state == "Z"
    end)
  end

  it("starts the next one with its next call and gets an honest answer", function()
    local id = submit("sleep 60")
    S.eventually(function()
      return c:query(id).status == "RUNNING"
    end)
    kill()
    local q = assert(c:wait(id, { timeout = "20s" }))
    assert.equal("FAILED_BACKEND_ERROR", q.status)
  end)

  it("sees a followed log end", function()
    local id = submit("echo one; sleep 60")
    local seen = {}
    local follower = task.spawn(function()
      return c:logs(id, {
        follow = true,
        on_line = function(line)
          seen[#seen + 1] = line:match("%[t%] (.*)$")
        end,
      })
    end)
    S.eventually(function()
      return seen[1] == "one"
    end)
    kill()
    assert.is_true((follower:wait("30s")))
    assert.same({ "one" }, seen)
    assert.equal("FAILED_BACKEND_ERROR", c:query(id).status)
  end)

  it("submits one run only", function()
    kill()
    local id = submit("true")
    assert.equal("run-1", id)
    assert.equal("COMPLETED", c:wait(id, { timeout = "20s" }).status)
    assert.equal(1, #c:list())
  end)
end)

describe("states between two transitions", function()
  local engine

  before_each(function()
    engine = S.start()
  end)
  after_each(function()
    engine:stop()
  end)

  -- Sets what a kill at that instant would have left, with the engine away.
  local function with_store(fn)
    engine:kill()
    local s = assert(store.open(engine.paths.db))
    fn(s)
    s:close()
    engine:boot()
  end

  it("a claimed group whose tasks had no process yet", function()
    local hold = engine:submit({
      name = "hold",
      resources = { default = { cpu = 64 } },
      tasks = { S.sh("t", "sleep 60") },
    })
    local id = engine:submit({ name = "claimed", tasks = { S.sh("t", "true") } })
    with_store(function(s)
      local w = s:workflow(id)
      s:run("UPDATE groups SET status = 'INITIALIZING' WHERE workflow = ?", w.seq)
      s:run("UPDATE tasks SET status = 'INITIALIZING' WHERE workflow = ?", w.seq)
    end)
    assert.equal("FAILED_BACKEND_ERROR", engine.client:query(id).status)
    assert.equal("FAILED_BACKEND_ERROR", engine.client:query(hold).status)
  end)

  it("a lead that had ended while another task ran", function()
    local id = engine:submit({
      name = "led",
      groups = {
        {
          name = "pair",
          tasks = { S.sh("lead", "sleep 60", { lead = true }), S.sh("other", "sleep 60") },
        },
      },
    })
    S.eventually(function()
      local t = S.tasks(engine.client:query(id))
      return t.lead.status == "RUNNING" and t.other.status == "RUNNING"
    end)
    with_store(function(s)
      local w = s:workflow(id)
      s:run(
        "UPDATE tasks SET status = 'COMPLETED', end_time = ? WHERE workflow = ? AND lead = 1",
        s:now(),
        w.seq
      )
    end)
    local q = engine.client:query(id)
    assert.equal("COMPLETED", q.status)
    assert.equal("COMPLETED", S.tasks(q).other.status)
    assert.equal("Lead task finished", S.tasks(q).other.failure_message)
  end)

  it("a process that outlived the engine", function()
    local exec = require("pai.exec")
    local id = engine:submit({ name = "left", tasks = { S.sh("t", "sleep 60") } })
    S.eventually(function()
      return S.tasks(engine.client:query(id)).t.status == "RUNNING"
    end)
    local uuid = S.tasks(engine.client:query(id)).t.task_uuid
    local pid = assert(exec.detach({ "sleep", "61" }, { env = { PAI_TASK_UUID = uuid } }))
    engine:kill()
    assert.truthy(fs.process(pid))
    engine:boot()
    local left = fs.process(pid)
    assert.is_true(left == nil or left.state == "Z")
  end)
end)
