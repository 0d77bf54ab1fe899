-- An engine that is killed at each transition, before and after its commit: the next one brings
-- every run to an honest end, leaves no process and no folder, and keeps each line that was seen.
local S = dofile("tests/spec/engine/support.lua")
local fs = require("pai.fs")
local store = require("pai.engine.store")
local task = require("pai.task")

local POOLS <const> = [[
pools:
  local: {max_retry_per_task: 1, default_exit_actions: {RESCHEDULE: "75"}}
  stubborn: {max_retry_per_task: 3, default_exit_actions: {RESCHEDULE: "75,3001"}}
]]

local ENDS <const> = {
  COMPLETED = true,
  RESCHEDULED = true,
  FAILED_BACKEND_ERROR = true,
  FAILED_UPSTREAM = true,
  FAILED_CANCELED = true,
}

-- One group is tried twice, one waits for it, one has two tasks.
local function workflow()
  return {
    name = "points",
    groups = {
      {
        name = "first",
        tasks = {
          S.sh("again", "true", {
            command = {
              "/bin/sh",
              "-c",
              "echo said; test -e {{input:0}}/done/x && exit 0; echo > {{output}}/x; exit 75",
            },
            inputs = { { url = "file://@" } },
            outputs = { { url = "file://@/done" } },
          }),
        },
      },
      {
        name = "next",
        tasks = { S.sh("after", "echo after", { inputs = { { task = "again" } } }) },
      },
      {
        name = "pair",
        tasks = { S.sh("lead", "echo lead; sleep 0.2", { lead = true }), S.sh("side", "sleep 60") },
      },
    },
  }
end

describe("an engine that is killed at", function()
  local dir, engine, seen

  before_each(function()
    dir = assert(fs.tempdir({ prefix = "pai-kill-" }))
    assert(fs.write(dir .. "/pools.yaml", POOLS))
    seen = {}
  end)
  after_each(function()
    engine:stop()
    fs.remove(dir, { recursive = true })
  end)

  local function env(point)
    local file = dir .. "/pools.yaml"
    return { PAI_ENGINE_POOLS = file, PAI_ENGINE_CORES = "3", PAI_TEST_KILL = point }
  end

  local function follow(id)
    return task.spawn(function()
      engine.client:logs(id, {
        follow = true,
        on_line = function(line)
          seen[#seen + 1] = line
        end,
      })
    end)
  end

  -- Submits, waits for the end of the engine, and starts the next one. The id, if it was told.
  local function die_at(point, pool, act)
    engine = S.start({ roots = { dir }, env = env(point) })
    local spec = S.spec(workflow()):gsub("file://@", "file://" .. dir)
    local answer = engine.client:submit({ spec = spec, pool = pool })
    local id = answer and answer.name
    local follower = id and follow(id)
    if act and id then
      act(id)
    end
    assert.is_true(engine.proc:wait("30s") ~= nil or fs.process(engine.proc.pid) == nil, point)
    if follower then
      follower:cancel()
    end
    return id
  end

  local function uuids_of(id)
    local _, q = engine:request("GET", "/api/workflow/" .. id .. "?verbose=true")
    local out = {}
    for _, g in ipairs(q.groups) do
      for _, t in ipairs(g.tasks) do
        assert.is_true(ENDS[t.status] == true, t.name .. " is " .. t.status)
        assert.truthy(t.end_time, t.name)
        out[#out + 1] = t.task_uuid
      end
    end
    return out
  end

  -- What must hold for every run, wherever the engine was killed.
  local function check(id, point)
    local q = assert(engine.client:wait(id, { every = "20ms", timeout = "60s" }))
    assert.is_true(
      ENDS[q.status] == true,
      point .. ": " .. q.status .. "\n" .. fs.read(engine.paths.log)
    )
    S.eventually(function()
      return not fs.exists(engine.paths.runs .. "/" .. id .. "/tasks")
    end)
    for _, uuid in ipairs(uuids_of(id)) do
      for _, name in ipairs(fs.list("/proc")) do
        local f = name:find("^%d+$") and io.open("/proc/" .. name .. "/environ", "rb")
        if f then
          local text = f:read("a") or ""
          f:close()
          assert.is_nil(text:find(uuid, 1, true), point .. " has left a process")
        end
      end
    end
    -- Each line that a reader had is in the log, in the same order.
    local log = "\n" .. engine:log(id)
    local at = 1
    for _, line in ipairs(seen) do
      local from, to = log:find("\n" .. line .. "\n", at, true)
      assert.truthy(from, point .. " has lost the line " .. line)
      at = to
    end
    return q
  end

  for _, transition in ipairs({ "submit", "claim", "running", "reschedule", "finish", "entry" }) do
    for _, side in ipairs({ "before", "after" }) do
      local point = side .. ":" .. transition
      it(point, function()
        local id = die_at(point)
        engine:boot({ env = env() })
        local runs = assert(engine.client:list({ all_users = true }))
        if point == "before:submit" then
          assert.same({}, runs)
          -- The number is free as well.
          assert.equal(
            "points-1",
            engine:submit({ name = "points", tasks = { S.sh("t", "true") } })
          )
          return
        end
        assert.equal(1, #runs)
        assert.equal(id or "points-1", runs[1].name)
        check(runs[1].name, point)
      end)
    end
  end

  for _, point in ipairs({
    "after:claim#2",
    "before:running#3",
    "after:finish#2",
    "before:finish#4",
  }) do
    it(point, function()
      local id = die_at(point)
      engine:boot({ env = env() })
      check(id, point)
    end)
  end

  for _, point in ipairs({ "before:cancel", "after:cancel", "before:stop", "after:stop" }) do
    it(point .. " of a run that is being cancelled", function()
      local id = die_at(point, nil, function(id)
        S.eventually(function()
          local q = engine.client:query(id)
          return q and q.status == "RUNNING"
        end)
        engine.client:cancel(id)
      end)
      engine:boot({ env = env() })
      local q = check(id, point)
      if point ~= "before:cancel" then
        assert.equal("FAILED_CANCELED", q.status)
      end
    end)
  end

  it("any moment runs again what the pool's exit actions want tried again", function()
    local id = die_at("after:running", "stubborn")
    engine:boot({ env = env() })
    local q = check(id, "after:running")
    assert.equal("COMPLETED", q.status)
    local retries = 0
    for _, t in pairs(S.tasks(q)) do
      retries = retries + t.retry_id
    end
    assert.is_true(retries >= 1)
  end)

  it("the recovery itself, again and again", function()
    local id = die_at("after:running", "stubborn")
    for _, point in ipairs({ "before:requeue", "after:requeue" }) do
      -- It ends before it ever answers.
      local proc = assert(
        require("pai.exec").start(
          { require("pai").exe, "engine", "serve", "--state", engine.state },
          { env = env(point), stdout = "null", stderr = "null", accept = "any" }
        )
      )
      local r, e = proc:wait("30s")
      assert.equal("SIGKILL", (r or e).signal)
    end
    engine:boot({ env = env() })
    assert.equal("COMPLETED", check(id, "requeue").status)
  end)
end)

-- What each version did not have, as statements that take it out again.
local OLDER <const> = {
  [2] = {
    "ALTER TABLE groups DROP COLUMN preempted",
    "DROP TABLE tags",
  },
  [1] = {
    "ALTER TABLE workflows DROP COLUMN app_owner",
    "ALTER TABLE workflows DROP COLUMN app_name",
    "ALTER TABLE workflows DROP COLUMN app_version",
    "ALTER TABLE workflows DROP COLUMN entry",
    "ALTER TABLE workflows DROP COLUMN entry_base",
    "ALTER TABLE groups DROP COLUMN gpu",
    "ALTER TABLE groups DROP COLUMN memory",
    "ALTER TABLE tasks DROP COLUMN container",
    "DROP INDEX workflows_listed",
    "CREATE INDEX workflows_by_time ON workflows (submit_time)",
    "DROP TABLE app_versions",
    "DROP TABLE apps",
  },
}

describe("a store of an older version", function()
  for oldest = 1, 2 do
    it("is taken over with all that is in it: version " .. oldest, function()
      local engine = S.start()
      local q = engine:run({ name = "old", tasks = { S.sh("t", "true") } })
      engine:kill()
      local db = assert(require("pai.db").open(engine.paths.db))
      for version = 2, oldest, -1 do
        for _, sql in ipairs(OLDER[version]) do
          assert(db:exec(sql))
        end
      end
      assert(db:exec("PRAGMA user_version = " .. oldest))
      db:close()
      engine:boot()
      assert.equal("COMPLETED", engine.client:query(q.name).status)
      assert.equal(q.name, engine.client:list()[1].name)
      local again = engine:run({ name = "old", tasks = { S.sh("t", "true") } })
      assert.equal("old-2", again.name)
      engine:kill()
      local s = assert(store.open(engine.paths.db))
      s:run("UPDATE meta SET value = value")
      assert(s.db:exec("PRAGMA user_version = 99"))
      s:close()
      local refused, e = store.open(engine.paths.db)
      assert.is_nil(refused)
      assert.truthy(e.message:find("version 99", 1, true))
      engine:stop()
    end)
  end
end)
