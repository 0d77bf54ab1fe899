-- Folders of tasks that are used again: only when the task has left nothing in them.
local S = dofile("tests/spec/engine/support.lua")
local fs = require("pai.fs")

describe("folders of tasks", function()
  local engine

  before_each(function()
    engine = S.start()
  end)
  after_each(function()
    S.stop_all()
  end)

  -- Runs tasks one after the other, each in a run of its own; what they printed.
  local function say(script)
    local q = engine:run({ name = "spare", tasks = { S.sh("t", script) } })
    local lines = {}
    for line in engine:log(q.name):gmatch("[^\n]+") do
      lines[#lines + 1] = line:match("^%S+ %S+ %[t%] (.*)$")
    end
    assert.equal("COMPLETED", q.status, table.concat(lines, "\n"))
    return table.concat(lines, "\n")
  end

  local LOOK <const> = "cd /osmo; find data/output run | sort | tr '\\n' ' '; "
    .. "stat -c %a data/output run run/workspace | tr '\\n' ' '; stat -c %i data/output"
  local EMPTY <const> = "^data/output run run/home run/workspace 700 700 700 %d+$"

  local function inode(text)
    assert.truthy(text:find(EMPTY), text)
    return text:match("%d+$")
  end

  local function spares()
    return fs.list(engine.paths.root .. "/spare") or {}
  end

  it("come back when nothing is in them", function()
    local first = inode(say(LOOK))
    assert.equal(1, #spares())
    assert.equal(first, inode(say(LOOK)))
    assert.equal(1, #spares())
  end)

  it("are removed when anything is in them or about them is changed", function()
    for _, script in ipairs({
      "echo x > /osmo/data/output/x",
      "echo x > /osmo/run/x",
      "echo x > /osmo/run/workspace/.x",
      "echo x > /osmo/run/home/x",
      "mkdir /osmo/run/workspace/d",
      "ln -s /etc /osmo/run/home/l",
      "chmod 755 /osmo/run/workspace",
      "rmdir /osmo/run/home",
      "rmdir /osmo/run/home; ln -s /etc /osmo/run/home",
      "cd /osmo/run; rmdir home; echo > home",
    }) do
      inode(say(LOOK))
      assert.equal(1, #spares(), script)
      say(script)
      assert.equal(0, #spares(), script)
    end
  end)

  it("are not those of tasks that failed, nor of an engine that was killed", function()
    say("true")
    local q = engine:run({ name = "spare", tasks = { S.sh("t", "echo > /osmo/run/x; exit 3") } })
    assert.equal("FAILED", q.status)
    assert.equal(0, #spares())
    say("true")
    local left = spares()[1]
    fs.write(("%s/spare/%s/run/x"):format(engine.paths.root, left), "from the dead")
    engine:kill()
    engine:boot()
    inode(say(LOOK))
    inode(say(LOOK))
    assert.equal(1, #spares())
  end)
end)
