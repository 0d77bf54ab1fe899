-- Lines of standard input in a process of its own, whose input stays open meanwhile.
local exec = require("pai.exec")
local fs = require("pai.fs")

local exe = require("pai").exe

describe("pai.pipe.lines", function()
  local dir

  before_each(function()
    dir = assert(fs.tempdir({ prefix = "pai-pipe-" }))
  end)

  after_each(function()
    assert(fs.remove(dir, { recursive = true }))
  end)

  local function start(text)
    assert(fs.write(dir .. "/script.lua", text, { sync = false }))
    return assert(exec.start({ exe, "lua", dir .. "/script.lua" }, {
      stdin = "pipe",
      timeout = "60s",
      env = { LC_ALL = "C" },
    }))
  end

  it("gives each line when it comes, while other tasks go on", function()
    local child <close> = start([[
      local out, pipe, task = require("pai.out"), require("pai.pipe"), require("pai.task")
      task.run(function()
        local lines = pipe.lines(0)
        local ticks = 0
        local ticking = task.spawn(function()
          while true do
            task.sleep(1)
            ticks = ticks + 1
          end
        end)
        while true do
          local line = lines:read()
          if not line then
            break
          end
          out.stdout("got ", line, "\n")
          local before = ticks
          while ticks < before + 3 do
            task.sleep(1)
          end
        end
        ticking:cancel()
        out.stdout("end\n")
      end)
    ]])
    for i = 1, 20 do
      assert(child:write(("line %d\n"):format(i)))
      assert.equal("got line " .. i, assert(child:read_line("20s")))
    end
    assert(child:write("two at\nonce\nlast"))
    assert.equal("got two at", assert(child:read_line("20s")))
    assert.equal("got once", assert(child:read_line("20s")))
    child:close_stdin()
    assert.equal("got last", assert(child:read_line("20s")))
    assert.equal("end", assert(child:read_line("20s")))
    assert.equal(0, assert(child:wait()).code)
  end)

  it("is nothing to wait for while nobody reads, also when more comes", function()
    local child <close> = start(([[
      local out, pipe, task = require("pai.out"), require("pai.pipe"), require("pai.task")
      local go, fs, lines = %q, require("pai.fs"), pipe.lines(0)
      out.stdout(task.run(function()
        return lines:read()
      end), "\n")
      -- The second line comes while nobody reads, and must neither be lost nor turn the loop.
      task.run(function()
        while not fs.stat(go) do
          task.sleep(1)
        end
      end)
      local never = task.event()
      local ok, e = pcall(task.run, function()
        never:wait()
      end)
      local why = tostring(e)
      out.stdout(tostring(ok), " ", why:find("deadlock") and "deadlock" or why, "\n")
      out.stdout(task.run(function()
        return lines:read()
      end), "\n")
    ]]):format(dir .. "/go"))
    assert(child:write("one\n"))
    assert.equal("one", assert(child:read_line("20s")))
    assert(child:write("two\n"))
    assert(fs.write(dir .. "/go", "", { sync = false }))
    assert.equal("false deadlock", assert(child:read_line("20s")))
    assert.equal("two", assert(child:read_line("20s")))
    assert.equal(0, assert(child:wait()).code)
  end)
end)
