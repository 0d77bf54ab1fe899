-- Tasks in containers of a real daemon: the same for Docker and Podman. docker_spec.lua and
-- podman_spec.lua run these.
local D = dofile("tests/spec/engine/daemon.lua")
local S = dofile("tests/spec/engine/support.lua")
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local serve = require("pai.serve")
local task = require("pai.task")

local IMAGE <const> = D.IMAGE

---@param kind "docker"|"podman"
return function(kind)
  local daemon, engine, root, env

  setup(function()
    daemon = D.start(kind)
    root = daemon.dir .. "/root"
    assert(fs.mkdir(root))
    env = daemon:pools({
      box = daemon:pool({ max_retry_per_task = 1, allowed_mounts = { root } }),
      fetch = daemon:pool({ pull = "missing" }),
      gone = { runtime = "podman", socket = daemon.dir .. "/none.sock" },
    })
    engine = S.start({ roots = { root }, env = env })
  end)
  teardown(function()
    engine:stop()
    daemon:stop()
  end)

  local function sh(name, script, more)
    local t = { name = name, image = IMAGE, command = { "/bin/sh", "-c" }, args = { script } }
    for key, v in pairs(more or {}) do
      t[key] = v
    end
    return t
  end

  local function run(workflow, pool)
    local id = engine:submit(workflow, { pool = pool or "box" })
    return assert(engine.client:wait(id, { every = "50ms", timeout = "120s" }))
  end

  local function containers()
    return daemon:containers()
  end

  it("runs tasks with inputs, outputs, files, environment and credentials", function()
    local value = "c" .. crypto.hex(16)
    assert.equal(200, (engine:request("POST", "/api/credentials/key", {
      json = { generic_credential = { credential = { token = value } } },
    })))
    local q = run({
      name = "flow",
      tasks = {
        sh("make", "echo out; echo err >&2; cat /made/note > {{output}}/note; echo $WHAT", {
          files = { { path = "/made/note", contents = "a note\n" } },
          environment = { WHAT = "where=here" },
        }),
        sh(
          "take",
          "cat {{input:make}}/note; ls /osmo/login/config; touch {{input:0}}/x || echo ro",
          {
            inputs = { { task = "make" } },
            outputs = { { url = "file://" .. root .. "/out" } },
          }
        ),
        sh("key", "echo key=$K", {
          credentials = { key = { K = "token" } },
        }),
        sh("keys", "cat /keys/token | wc -c; cat /keys/token", { credentials = { key = "/keys" } }),
      },
    })
    local log = engine:log(q.name)
    assert.equal("COMPLETED", q.status, log)
    for _, line in ipairs({
      "[make] out",
      "[make] err",
      "[make] where=here",
      "[take] a note",
      "[take] login.yaml",
      "[take] ro",
      "[key] key=***",
      "[keys] " .. #value,
    }) do
      assert.truthy(log:find(line, 1, true), line .. "\n" .. log)
    end
    assert.is_nil(log:find(value, 1, true))
    assert.same({}, containers())
    -- Nor does the complaint about a command show it.
    q = run({ name = "bad", tasks = { { name = "t", image = IMAGE, command = { value } } } })
    assert.equal(2031, S.tasks(q).t.exit_code)
    assert.truthy(S.tasks(q).t.failure_message:find("***", 1, true))
    assert.is_nil(S.tasks(q).t.failure_message:find(value, 1, true))
  end)

  it("reports exit codes, missing commands and images as upstream's table has them", function()
    local q = run({
      name = "codes",
      tasks = {
        sh("three", "exit 3"),
        sh("killed", "kill -9 $$"),
        sh("fine", "exit 7", { exitActions = { COMPLETE = "7" } }),
        sh("twice", "exit 9", { exitActions = { RESCHEDULE = "9" } }),
        { name = "missing", image = IMAGE, command = { "no-such-program" } },
        { name = "absent", image = "pai-test/absent:1", command = { "true" } },
      },
    })
    local t = S.tasks(q)
    assert.equal(3, t.three.exit_code)
    assert.equal("FAILED", t.three.status)
    assert.equal(137, t.killed.exit_code)
    assert.equal("COMPLETED", t.fine.status)
    assert.equal(1, t.twice.retry_id)
    assert.equal(2031, t.missing.exit_code)
    assert.equal("FAILED_IMAGE_PULL", t.absent.status)
    assert.equal(301, t.absent.exit_code)
    assert.truthy(t.absent.failure_message:find("pai-test/absent:1", 1, true))
    assert.same({}, containers())
  end)

  it("says so when an image cannot be pulled, or the daemon is not there", function()
    local absent = { name = "t", image = "127.0.0.1:9/none:1", command = { "true" } }
    local q = run({ name = "pull", tasks = { absent } }, "fetch")
    assert.equal("FAILED_IMAGE_PULL", S.tasks(q).t.status)
    assert.truthy(S.tasks(q).t.failure_message:find("127.0.0.1:9/none:1", 1, true))
    q = run({ name = "gone", tasks = { sh("t", "true") } }, "gone")
    assert.is_true(q.status ~= "COMPLETED")
    assert.truthy(S.tasks(q).t.failure_message:find("podman of pool gone", 1, true))
  end)

  -- Podman 4.3 on cgroups of version 1 does not tell that the kernel ended a process.
  if kind == "docker" then
    it("calls a task that needed too much memory evicted", function()
      local q = run({
        name = "oom",
        resources = { default = { memory = "16Mi", cpu = 1 } },
        tasks = {
          sh(
            "t",
            "echo > {{output}}/x; head -c 200000000 /dev/zero | tail -c 200000000 | wc -c; exit 3",
            { exitActions = { RESCHEDULE = "3004" } }
          ),
        },
      })
      local t = S.tasks(q).t
      assert.equal("FAILED_EVICTED", t.status, engine:log(q.name))
      assert.equal(3004, t.exit_code)
      -- The pool lets it be tried once more; what it had made is not kept.
      assert.equal(1, t.retry_id)
      assert.equal("", q.outputs)
      assert.equal("FAILED_EVICTED", q.status)
    end)
  end

  it("lets the tasks of a group find each other by name", function()
    local q = run({
      name = "names",
      groups = {
        {
          name = "pair",
          tasks = {
            sh("a", "echo from-a | busybox nc -l -p 7000 -w 60"),
            sh(
              "b",
              "i=0; while [ $i -lt 60 ]; do busybox nc {{host:a}} 7000 </dev/null && exit 0; "
                .. "sleep 1; i=$((i+1)); done; exit 1",
              { lead = true }
            ),
          },
        },
      },
    })
    assert.equal("COMPLETED", q.status, engine:log(q.name))
    assert.truthy(engine:log(q.name):find("[b] from-a", 1, true))
    -- It goes once the last task has ended.
    S.eventually(function()
      for _, n in ipairs(daemon:request("GET", "/networks"):json()) do
        if n.Name:find("^pai%-") then
          return false
        end
      end
      return true
    end)
  end)

  it("mounts what the pool allows and refuses the rest by name", function()
    assert(fs.write(root .. "/data", "mounted\n"))
    local q = run({
      name = "mount",
      tasks = { sh("t", "cat /mnt/data", { volumeMounts = { root .. ":/mnt" } }) },
    })
    assert.equal("COMPLETED", q.status)
    assert.truthy(engine:log(q.name):find("[t] mounted", 1, true))
    for said, entry in pairs({
      ["does not allow the mount /etc"] = { volumeMounts = { "/etc:/mnt" } },
      ["privileged is not allowed"] = { privileged = true },
      ["does not allow hostNetwork"] = { hostNetwork = true },
    }) do
      local status, body = engine:request("POST", "/api/pool/box/workflow", {
        json = { file = S.spec({ name = "no", tasks = { sh("t", "true", entry) } }) },
      })
      assert.equal(400, status)
      assert.truthy(body.message:find(said, 1, true), body.message)
    end
  end)

  it("ends a container that is cancelled, gently at first", function()
    local id = engine:submit({
      name = "cancel",
      tasks = { sh("t", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done") },
    }, { pool = "box" })
    S.eventually(function()
      return engine:log(id):find("[t] up", 1, true)
    end, 60000)
    assert.equal(1, #containers())
    assert(engine.client:cancel(id))
    local q = assert(engine.client:wait(id, { every = "50ms", timeout = "60s" }))
    assert.equal("FAILED_CANCELED", q.status)
    assert.truthy(engine:log(id):find("[t] bye", 1, true))
    assert.same({}, containers())
  end)

  it("lets a pull be cancelled", function()
    -- A registry that takes the connection and never answers.
    local silent_seen = false
    local silent = assert(serve.listen({
      handler = function()
        silent_seen = true
        task.sleep("10m")
      end,
    }))
    finally(function()
      silent:close()
    end)
    local image = ("127.0.0.1:%d/slow:1"):format(silent:port())
    local id = engine:submit({
      name = "slow",
      tasks = { { name = "t", image = image, command = { "true" } } },
    }, { pool = "fetch" })
    S.eventually(function()
      return silent_seen
    end)
    assert.equal("INITIALIZING", S.tasks(engine.client:query(id)).t.status)
    assert(engine.client:cancel(id))
    local q = assert(engine.client:wait(id, { every = "50ms", timeout = "60s" }))
    assert.equal("FAILED_CANCELED", q.status)
  end)

  it("gives a task an empty folder for an input that has nothing", function()
    local q = run({
      name = "empty",
      tasks = {
        sh("none", "true"),
        sh("t", "ls /osmo/data/input/0 | wc -l", { inputs = { { task = "none" } } }),
      },
    })
    assert.equal("COMPLETED", q.status, engine:log(q.name))
    assert.truthy(engine:log(q.name):find("[t] 0", 1, true))
  end)

  it("ends what a killed engine has left, and says what became of it", function()
    local id = engine:submit({
      name = "left",
      tasks = { sh("t", "echo up; sleep 600") },
    }, { pool = "box" })
    S.eventually(function()
      return engine:log(id):find("[t] up", 1, true)
    end, 60000)
    engine:kill()
    assert.equal(1, #containers())
    engine:boot({ env = env })
    assert.same({}, containers())
    assert.equal("FAILED_BACKEND_ERROR", engine.client:query(id).status)
    assert.truthy(engine:log(id):find("[t] up", 1, true))
    assert.truthy(fs.read(engine.paths.log):find("ended 1 containers", 1, true))
  end)

  assert(loadfile("tests/spec/engine/container_session_cases.lua", "t", _ENV))()(function()
    return daemon, engine
  end, sh)

  it("says so when the daemon goes away with its containers", function()
    local id = engine:submit({
      name = "away",
      tasks = { sh("t", "echo up; sleep 600") },
    }, { pool = "box" })
    S.eventually(function()
      return engine:log(id):find("[t] up", 1, true)
    end)
    daemon:halt()
    local q = assert(engine.client:wait(id, { every = "50ms", timeout = "90s" }))
    assert.is_true(S.tasks(q).t.status ~= "COMPLETED", S.tasks(q).t.status)
    assert.truthy(S.tasks(q).t.failure_message)
  end)
end
