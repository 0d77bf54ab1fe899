-- The table of the live view: what stands in a row when, and where the next drawing begins when the
-- terminal's width has changed meanwhile.
local lines = require("pai.cli.lines")
local live = require("pai.cli.live")
local out = require("pai.out")
local task = require("pai.task")
local term = require("pai.term")

describe("the live view", function()
  local columns, written
  local real_size, real_stdout = term.size, out.stdout

  before_each(function()
    columns, written = 60, {}
    term.size = function()
      return columns, 20
    end
    out.stdout = function(text)
      written[#written + 1] = text
    end
  end)

  after_each(function()
    term.size, out.stdout = real_size, real_stdout
  end)

  -- The view with three steps, handed to a function; then it is closed.
  local function with_view(fn)
    task.run(function()
      local view = live.new()
      view:event({
        event = "run.graph",
        steps = { { name = "one" }, { name = "two" }, { name = "three" } },
      })
      fn(view)
      view:close()
    end)
  end

  -- What was drawn last.
  local function drawn(view)
    view:draw()
    return written[#written]
  end

  it("goes up by the lines that the table takes, also when they were wrapped since", function()
    with_view(function(view)
      view:begin("one")
      view:output("one", ("x"):rep(200))
      drawn(view)
      assert.is_truthy(drawn(view):find("^\27%[3A\r\27%[J"))
      -- 59 columns of the first row are three lines of 25.
      columns = 25
      assert.is_truthy(drawn(view):find("^\27%[5A\r\27%[J"))
      -- Drawn for 25, it takes a line each again, here and on a wider one.
      columns = 100
      assert.is_truthy(drawn(view):find("^\27%[3A\r\27%[J"))
    end)
  end)

  it("shows a program's last line while it runs, and what the step said when it is done", function()
    with_view(function(view)
      view:begin("one")
      view:event({ event = "log", step = "one", level = "info", text = "said by the step" })
      view:output("one", "printed by a program")
      assert.is_truthy(drawn(view):find("printed by a program", 1, true))
      view:event({ event = "step.done", step = "one", how = "ran", ms = 5 })
      local text = drawn(view)
      assert.is_nil(text:find("printed by a program", 1, true))
      assert.is_truthy(text:find("said by the step", 1, true))
    end)
  end)

  it("does not call a step failed that was interrupted", function()
    local e = { code = "ECANCELED", message = "the task was canceled" }
    local event = { event = "step.fail", step = "two", ms = 7, error = e }
    with_view(function(view)
      view:begin("two")
      view:event(event)
      local text = drawn(view)
      assert.is_nil(text:find("canceled", 1, true))
      assert.is_truthy(text:find("stopped two", 1, true))
    end)
    assert.same({ "stopped two" }, lines.of(event, false))
  end)

  it("ends with a recap without what did not happen, and says how to go on", function()
    local counters = { done = 2, failed = 0, waiting = 1 }
    local event = { event = "run.end", run = "run-x", ms = 1200, counters = counters }
    event.status, event.reason = "interrupted", "SIGINT"
    with_view(function(view)
      view:event(event)
    end)
    local text = table.concat(written)
    assert.is_truthy(text:find("to go on: pai resume run-x\n", 1, true))
    assert.is_truthy(text:find("pai runs cancel run-x\n", 1, true))
    assert.is_truthy(text:find("recap run-x interrupted done=2 waiting=1 time=1.2s\n", 1, true))
    -- Plain lines keep every counter in its place.
    local plain = lines.of(event, false)
    assert.is_truthy(plain[#plain]:find(" done=2 already=0 kept=0 .* failed=0 "))
  end)
end)
