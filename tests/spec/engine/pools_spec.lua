-- Pools: retries and exit actions, GPUs and the queue, names of a group's tasks, refusals.
local S = dofile("tests/spec/engine/support.lua")
local fs = require("pai.fs")
local pools = require("pai.engine.pools")

-- What nvidia-smi --query-gpu=index,uuid,name,memory.total --format=csv,noheader,nounits prints;
-- any other call fails the test.
local NVIDIA_SMI <const> = [=[
#!/bin/sh
if [ "$*" != "--query-gpu=index,uuid,name,memory.total --format=csv,noheader,nounits" ]; then
  echo "unknown call: $*" >&2
  exit 99
fi
echo "0, GPU-00000000-0000-0000-0000-000000000000, Stand-in, 46068"
echo "1, GPU-00000000-0000-0000-0000-000000000001, Stand-in, 46068"
]=]

local POOLS <const> = [[
pools:
  local:
    max_retry_per_task: 2
    default_exit_actions: {RESCHEDULE: "75"}
    max_exec_timeout: 1h
  second: {description: another, max_exec_timeout: 10m}
]]

describe("pools of the engine", function()
  local engine, dir

  setup(function()
    dir = assert(fs.tempdir({ prefix = "pai-pools-" }))
    assert(fs.write(dir .. "/pools.yaml", POOLS))
    assert(fs.mkdir(dir .. "/bin"))
    assert(fs.write(dir .. "/bin/nvidia-smi", NVIDIA_SMI, { mode = "0755" }))
    engine = S.start({
      roots = { dir },
      env = {
        PAI_ENGINE_POOLS = dir .. "/pools.yaml",
        PAI_ENGINE_CORES = "4",
        PAI_ENGINE_MEMORY = "8Gi",
        PATH = dir .. "/bin:" .. os.getenv("PATH"),
      },
    })
  end)
  teardown(function()
    engine:stop()
    fs.remove(dir, { recursive = true })
  end)

  -- All tries of a task, newest first.
  local function tries(id, name)
    local _, q = engine:request("GET", "/api/workflow/" .. id .. "?verbose=true")
    local out = {}
    for _, g in ipairs(q.groups) do
      for _, t in ipairs(g.tasks) do
        if t.name == name then
          out[#out + 1] = t
        end
      end
    end
    return out
  end

  it("are those of the profile where a list names none", function()
    local here = engine:submit({ name = "here", tasks = { S.sh("t", "true") } })
    local there = engine:submit({ name = "there", tasks = { S.sh("t", "true") } }, {
      pool = "second",
    })
    local function listed()
      local names = {}
      for _, w in ipairs(select(2, engine:request("GET", "/api/workflow")).workflows) do
        names[w.name] = true
      end
      return names
    end
    assert.is_true(listed()[here] and not listed()[there])
    local function choose(pool)
      assert.equal(
        200,
        (engine:request("POST", "/api/profile/settings", { json = { pool = pool } }))
      )
    end
    choose("second")
    assert.is_true(listed()[there] and not listed()[here])
    for _, id in ipairs({ here, there }) do
      assert(engine.client:wait(id, { every = "20ms", timeout = "60s" }))
    end
    local _, tasks = engine:request("GET", "/api/task?statuses=COMPLETED")
    assert.equal(there, tasks.tasks[1].workflow_id)
    assert.equal(1, #tasks.tasks)
    choose("local")
  end)

  it("ask the exit actions for the engine's own codes, too", function()
    local input = { { url = "file://" .. dir .. "/late" } }
    local spec = {
      name = "codes",
      tasks = {
        S.sh("late", "cat {{input:0}}", { inputs = input, exitActions = { RESCHEDULE = "2010" } }),
        S.sh("never", "true", { inputs = input, exitActions = { COMPLETE = "2010" } }),
        S.sh("fail", "true", { inputs = input, exitActions = { FAIL = "2010" } }),
        {
          name = "missing",
          image = "pai.local/none",
          command = { "no-such-program" },
          exitActions = { RESCHEDULE = "2031" },
        },
      },
    }
    local q = engine:run(spec)
    local t = S.tasks(q)
    for name, code in pairs({ late = 2010, missing = 2031 }) do
      assert.equal("FAILED", t[name].status)
      assert.equal(code, t[name].exit_code)
      assert.equal(2, t[name].retry_id)
      assert.matches("retry limit 2", t[name].failure_message, 1, true)
      local all = tries(q.name, name)
      assert.equal(3, #all)
      assert.equal("RESCHEDULED", all[2].status)
      assert.truthy(all[2].error_logs ~= require("pai.json").null)
    end
    assert.equal("COMPLETED", t.never.status)
    assert.equal("FAILED", t.fail.status)
    assert.equal(0, t.fail.retry_id)
  end)

  it("are shown as they are configured", function()
    local _, answer = engine:request("GET", "/api/pool")
    assert.equal("another", answer.pools.second.description)
    assert.equal("1h", answer.pools["local"].max_exec_timeout)
    assert.same({ RESCHEDULE = "75" }, answer.pools["local"].default_exit_actions)
    local _, config = engine:request("GET", "/api/configs/pool/second")
    assert.equal("second", config.name)
    local _, quota = engine:request("GET", "/api/pool_quota?pools=second")
    assert.equal("2", quota.resource_sum.total_capacity)
    assert.equal(1, #quota.node_sets[1].pools)
    local status = engine:request("GET", "/api/pool?pools=third")
    assert.equal(400, status)
  end)

  it("bound the time of their runs", function()
    local id = engine:submit({
      name = "long",
      timeout = { exec_timeout = "5h" },
      tasks = { S.sh("t", "true") },
    }, { pool = "second" })
    local q = assert(engine.client:wait(id, { every = "20ms", timeout = "60s" }))
    assert.equal("second", q.pool)
    assert.equal(600.0, q.exec_timeout)
  end)

  it("try a task again until it succeeds, with an empty output each time", function()
    local q = engine:run({
      name = "again",
      tasks = {
        S.sh("t", ("ls {{output}}; echo x > {{output}}/x; echo x >> %s/count; "):format(dir), {
          command = {
            "/bin/sh",
            "-c",
            "ls {{output}}; echo $PAI_TASK_UUID > {{output}}/x; exit 75",
          },
          outputs = { { url = "file://" .. dir .. "/out" } },
        }),
      },
    })
    -- Two tries more are all that the pool gives; then the code counts as it is.
    assert.equal("FAILED", q.status)
    local list = tries(q.name, "t")
    assert.equal(3, #list)
    assert.same({ 2, 1, 0 }, { list[1].retry_id, list[2].retry_id, list[3].retry_id })
    assert.equal("FAILED", list[1].status)
    assert.truthy(list[1].failure_message:find("retry limit 2", 1, true))
    for i = 2, 3 do
      assert.equal("RESCHEDULED", list[i].status)
      assert.equal(75, list[i].exit_code)
      assert.truthy(list[i].end_time)
    end
    -- A query without verbose shows the last try only.
    assert.equal(1, #q.groups[1].tasks)
    assert.equal(2, q.groups[1].tasks[1].retry_id)
    assert.truthy(engine:log(q.name, { task = "t" }):find("[t retry-2]", 1, true))
    assert.is_nil(engine:log(q.name):find("] x", 1, true))
  end)

  it("end a try that succeeds", function()
    local mark = dir .. "/mark"
    local q = engine:run({
      name = "second-time",
      tasks = {
        S.sh("t", "test -e {{input:0}}/mark && exit 0; exit 75", {
          inputs = { { url = "file://" .. dir } },
          outputs = { { url = "file://" .. dir .. "/second" } },
          command = {
            "/bin/sh",
            "-c",
            "test -e {{input:0}}/second/x && exit 0; echo 1 > {{output}}/x; exit 75",
          },
        }),
      },
    })
    assert.equal("COMPLETED", q.status)
    assert.equal(1, q.groups[1].tasks[1].retry_id)
    assert.is_false(fs.exists(mark))
  end)

  it("restart the other tasks in place when the lead is tried again", function()
    local q = engine:run({
      name = "gang",
      groups = {
        {
          name = "pair",
          tasks = {
            S.sh("lead", "true", {
              lead = true,
              inputs = { { url = "file://" .. dir } },
              outputs = { { url = "file://" .. dir .. "/gang" } },
              command = {
                "/bin/sh",
                "-c",
                "test -e {{input:0}}/gang/x && sleep 1 && exit 0; sleep 0.3; "
                  .. "echo 1 > {{output}}/x; exit 75",
              },
            }),
            S.sh("other", "echo begin; sleep 60"),
          },
        },
      },
    })
    assert.equal("COMPLETED", q.status)
    local t = S.tasks(q)
    assert.equal(1, t.lead.retry_id)
    assert.equal(0, t.other.retry_id)
    local _, begun = engine:log(q.name, { task = "other" }):gsub("%[other%] begin\n", "")
    assert.equal(2, begun)
  end)

  it("give each task of a group the names of the others", function()
    local serve = "import socket; s = socket.create_server(('0.0.0.0', 7000)); "
      .. "print('up', flush=True); c = s.accept()[0]; c.sendall(b'hello from a'); c.close()"
    local ask = "import socket, time\nfor i in range(200):\n"
      .. " try:\n  print(socket.create_connection(('{{host:a}}', 7000)).recv(99).decode())\n"
      .. "  break\n except OSError as e:\n  time.sleep(0.1)\n"
    local q = engine:run({
      name = "names",
      groups = {
        {
          name = "pair",
          ignoreNonleadStatus = false,
          tasks = {
            { name = "a", image = "pai.local/py", command = { "/usr/bin/python3", "-c", serve } },
            {
              name = "b",
              lead = true,
              image = "pai.local/py",
              command = { "/usr/bin/python3", "-c", ask },
            },
          },
        },
      },
    })
    assert.equal("COMPLETED", q.status)
    assert.truthy(engine:log(q.name, { task = "b" }):find("hello from a", 1, true))
  end)

  it("give each task GPUs of its own, and let the rest wait for them", function()
    local function wants(n, script)
      return {
        name = "gpu",
        resources = { default = { gpu = n } },
        tasks = { S.sh("t", script) },
      }
    end
    local show = "echo gpus=$NVIDIA_VISIBLE_DEVICES,$CUDA_VISIBLE_DEVICES; "
    local hold = engine:submit(wants(1, show .. "echo up; sleep 60"))
    S.eventually(function()
      return engine:log(hold):find("[t] up", 1, true)
    end)
    assert.truthy(engine:log(hold):find("gpus=0,0", 1, true))
    local _, quota = engine:request("GET", "/api/pool_quota")
    assert.equal("1", quota.resource_sum.total_free)
    local both = engine:submit(wants(2, show))
    local one = engine:submit(wants(1, show))
    -- One without GPUs goes past those that wait for some.
    local none = engine:run({ name = "none", tasks = { S.sh("t", show) } })
    assert.equal("COMPLETED", none.status)
    assert.truthy(engine:log(none.name):find("gpus=,", 1, true))
    assert.equal("PENDING", engine.client:query(both).status)
    assert.equal("PENDING", engine.client:query(one).status)
    assert(engine.client:cancel(hold, { force = true }))
    for _, id in ipairs({ both, one }) do
      assert.equal("COMPLETED", engine.client:wait(id, { every = "20ms", timeout = "60s" }).status)
    end
    assert.truthy(engine:log(both):find("gpus=0,1,0,1", 1, true))
    local status, body = engine:request("POST", "/api/pool/local/workflow", {
      json = { file = S.spec(wants(3, "true")) },
    })
    assert.equal(400, status)
    assert.equal("RESOURCE", body.error_code)
    assert.truthy(body.message:find("has 2", 1, true))
  end)

  it("never give out more memory than there is", function()
    local function asks(memory)
      return {
        name = "memory",
        resources = { default = { memory = memory } },
        tasks = { S.sh("a", "echo up; sleep 0.3"), S.sh("b", "echo up; sleep 0.3") },
      }
    end
    local t = S.tasks(engine:run(asks("5Gi")))
    local first, second = t.a, t.b
    if second.start_time < first.start_time then
      first, second = second, first
    end
    assert.is_true(second.initializing_start_time >= first.output_upload_start_time)
    local status, body = engine:request("POST", "/api/pool/local/workflow", {
      json = { file = S.spec(asks("9Gi")) },
    })
    assert.equal(400, status)
    assert.truthy(body.message:find("this machine has 8.0", 1, true))
    local _, answer = engine:request("GET", "/api/resources")
    assert.equal("8", answer.resources[1].exposed_fields.memory)
  end)

  it("keep the files of KPIs and take checkpoints", function()
    local q = engine:run({
      name = "keep",
      tasks = {
        S.sh(
          "t",
          "mkdir {{output}}/c; echo one > {{output}}/c/a; sleep 1; echo 7 > {{output}}/kpi.json",
          {
            checkpoint = {
              {
                path = "/osmo/data/output/c",
                url = "file://" .. dir .. "/ckpt",
                frequency = "100ms",
              },
            },
            kpis = { { index = "speed", path = "kpi.json" }, { index = "no", path = "missing" } },
          }
        ),
      },
    })
    assert.equal("COMPLETED", q.status)
    local log = engine:log(q.name)
    assert.truthy(log:find("No KPI file at missing", 1, true))
    local kept = engine.paths.runs .. "/" .. q.name .. "/data/.kpis/t/speed"
    assert.equal("7\n", fs.read(kept))
    assert.equal("one\n", fs.read(dir .. "/ckpt/a"))
    local _, uploads = log:gsub("Checkpoint Uploaded", "")
    assert.is_true(uploads >= 2)
  end)
end)

describe("a file of pools", function()
  local dir

  setup(function()
    dir = assert(fs.tempdir({ prefix = "pai-pools-" }))
  end)
  teardown(function()
    fs.remove(dir, { recursive = true })
  end)

  it("is refused with file and key when something in it is wrong", function()
    for text, said in pairs({
      ["pools: {a: {runtime: lxc}}"] = "pools.a.runtime: one of docker, podman, process",
      ["pools: {a: {speed: 3}}"] = "unknown key speed",
      ["pools: {a: {max_retry_per_task: -1}}"] = "max_retry_per_task: a whole number",
      ["pools: {a: {max_exec_timeout: soon}}"] = "max_exec_timeout: a duration",
      ["pools: {a: {default_exit_actions: {RESTART: 1}}}"] = "RESTART: 1 is no exit action",
      ["pools: {a: {allowed_mounts: [data]}}"] = "data is no absolute path",
      ["pools: {a: {privileged_allowed: true}}"] = "for docker and podman pools",
      ["pools: {1a: {}}"] = "a name of letters",
      ["pool: {}"] = "a map 'pools'",
      ["pools: ["] = "pools.yaml",
    }) do
      local path = dir .. "/pools.yaml"
      assert(fs.write(path, text))
      local ok, e = pcall(pools.load, path)
      assert.is_false(ok, text)
      assert.equal("EINVAL", e.code)
      assert.truthy(e.message:find(said, 1, true), e.message)
      assert.truthy(e.message:find(path, 1, true), e.message)
    end
  end)

  it("need not be there", function()
    local list = pools.load(dir .. "/none.yaml")
    assert.equal("process", list["local"].runtime)
    assert.equal(0, list["local"].max_retry_per_task)
  end)
end)
