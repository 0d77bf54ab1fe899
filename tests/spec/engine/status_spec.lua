-- Roll-up of statuses and exit codes.
local status = require("pai.engine.status")

describe("the status of a group", function()
  local function group(list, ignore)
    local tasks = {}
    for i, s in ipairs(list) do
      tasks[i] = { status = s, lead = i == 1 }
    end
    return status.group(tasks, ignore ~= false)
  end

  it("is INITIALIZING until a task runs or has ended", function()
    assert.equal("INITIALIZING", group({ "SCHEDULING", "INITIALIZING" }))
    assert.equal("RUNNING", group({ "INITIALIZING", "RUNNING" }))
    assert.equal("RUNNING", group({ "INITIALIZING", "COMPLETED" }))
    assert.equal("RUNNING", group({ "INITIALIZING", "FAILED" }))
  end)

  it("follows the lead unless all count", function()
    assert.equal("COMPLETED", group({ "COMPLETED", "FAILED" }))
    assert.equal("FAILED", group({ "COMPLETED", "FAILED" }, false))
    assert.equal("FAILED", group({ "FAILED", "COMPLETED" }))
  end)

  it("takes the first of the special failures", function()
    assert.equal("FAILED_UPSTREAM", group({ "FAILED_SERVER_ERROR", "FAILED_UPSTREAM" }))
    assert.equal("FAILED_SERVER_ERROR", group({ "COMPLETED", "FAILED_SERVER_ERROR" }))
    assert.equal("FAILED_PREEMPTED", group({ "COMPLETED", "FAILED_PREEMPTED" }))
    assert.equal("COMPLETED", group({ "COMPLETED", "FAILED_EVICTED" }))
    assert.equal("FAILED_EVICTED", group({ "COMPLETED", "FAILED_EVICTED" }, false))
  end)
end)

describe("the status of a workflow", function()
  it("is RUNNING while a group runs, else PENDING", function()
    assert.equal("PENDING", status.workflow({ "SCHEDULING", "WAITING" }))
    assert.equal("RUNNING", status.workflow({ "COMPLETED", "RUNNING", "WAITING" }))
    assert.equal("PENDING", status.workflow({ "COMPLETED", "SCHEDULING" }))
  end)

  it("names the failure that all failed groups share", function()
    assert.equal("COMPLETED", status.workflow({ "COMPLETED", "COMPLETED" }))
    assert.equal("FAILED", status.workflow({ "FAILED", "FAILED_UPSTREAM" }))
    assert.equal(
      "FAILED_BACKEND_ERROR",
      status.workflow({ "FAILED_BACKEND_ERROR", "FAILED_UPSTREAM", "COMPLETED" })
    )
    assert.equal("FAILED", status.workflow({ "FAILED_BACKEND_ERROR", "FAILED" }))
    assert.equal("FAILED", status.workflow({ "FAILED_UPSTREAM" }))
  end)

  it("puts cancel before faults before time-outs", function()
    assert.equal(
      "FAILED_CANCELED",
      status.workflow({ "FAILED_EXEC_TIMEOUT", "FAILED_CANCELED", "FAILED_SERVER_ERROR" })
    )
    assert.equal(
      "FAILED_SERVER_ERROR",
      status.workflow({ "FAILED_EXEC_TIMEOUT", "FAILED_SERVER_ERROR" })
    )
    assert.equal(
      "FAILED_EXEC_TIMEOUT",
      status.workflow({ "FAILED_QUEUE_TIMEOUT", "FAILED_EXEC_TIMEOUT" })
    )
  end)
end)

describe("an exit code", function()
  it("is success only when it is 0", function()
    assert.equal("COMPLETED", (status.of_exit(0)))
    assert.equal("FAILED", (status.of_exit(1)))
  end)

  local function action(name, ...)
    return { action = name, ranges = { ... } }
  end

  it("is judged by the exit actions first", function()
    local complete = { action("COMPLETE", { 1, 1 }, { 3, 5 }) }
    assert.equal("COMPLETED", (status.of_exit(3, complete)))
    assert.equal("COMPLETED", (status.of_exit(5, complete)))
    assert.equal("FAILED", (status.of_exit(6, complete)))
    assert.equal("FAILED", (status.of_exit(0, { action("FAIL", { 0, 0 }) })))
    local _, why = status.of_exit(3, complete)
    assert.truthy(why:find("Exit Action: COMPLETE the task for exit code 3", 1, true))
  end)

  it("takes the first matching action", function()
    local both = { action("FAIL", { 7, 7 }), action("COMPLETE", { 7, 7 }) }
    assert.equal("FAILED", (status.of_exit(7, both)))
    assert.equal("COMPLETED", (status.of_exit(7, { both[2], both[1] })))
  end)

  it("stays as it is on RESCHEDULE, which the retry limit of 0 forbids", function()
    local new, why = status.of_exit(9, { action("RESCHEDULE", { 9, 9 }) })
    assert.equal("FAILED", new)
    assert.truthy(why:find("retry limit 0", 1, true))
    assert.equal("COMPLETED", (status.of_exit(0, { action("RESCHEDULE", { 0, 0 }) })))
  end)
end)

describe("finished and failed", function()
  it("take unknown failures as failures and other unknown values as alive", function()
    assert.is_true(status.finished("FAILED_OF_SOME_NEW_KIND"))
    assert.is_true(status.failed("FAILED_OF_SOME_NEW_KIND"))
    assert.is_false(status.finished("HIBERNATING"))
    assert.is_true(status.finished("RESCHEDULED"))
    assert.is_false(status.failed("COMPLETED"))
  end)
end)
