local exec = require("pai.exec")
local fs = require("pai.fs")
local term = require("pai.term")

local exe = require("pai").exe

describe("pai.term", function()
  local dir

  before_each(function()
    dir = assert(fs.tempdir({ prefix = "pai-term-" }))
  end)

  after_each(function()
    assert(fs.remove(dir, { recursive = true }))
  end)

  -- Runs the Lua text in a terminal of its own, with this typed into it.
  local function in_terminal(text, typed, env)
    local path = dir .. "/script.lua"
    assert(fs.write(path, 'local term = require("pai.term")\n' .. text, { sync = false }))
    local command = ("stty cols 97 rows 31; %s lua %s"):format(exe, path)
    local feed =
      [[{ sleep 0.4; printf '%s' "$TYPED"; sleep 0.2; } | script -qec "$COMMAND" /dev/null]]
    env = env or {}
    env.COMMAND, env.TYPED, env.TERM = command, typed or "", env.TERM or "xterm"
    local r = exec.run({ "/bin/sh", "-c", feed }, { raw = true, timeout = "20s", env = env })
    return assert(r).stdout
  end

  it("knows the width of text", function()
    for text, width in pairs({
      [""] = 0,
      ["abc"] = 3,
      ["é"] = 1,
      ["e\u{301}"] = 1,
      ["日本語"] = 6,
      ["한글"] = 4,
      ["😀"] = 2,
      ["👍🏽"] = 2,
      ["a\u{200b}b"] = 2,
      ["\27[1;31mred\27[0m"] = 3,
      ["\27]8;;http://x\27\\link\27]8;;\a"] = 4,
      ["a\tb\n"] = 2,
      ["\xff\xfe"] = 2,
      ["\27["] = 0,
      ["\27"] = 0,
      ["→ │ █"] = 5,
    }) do
      assert.equal(width, term.width(text), ("%q"):format(text))
    end
  end)

  it("knows a terminal, its size, and whether colour is wanted", function()
    local report = "print(term.isatty(1), term.color(1), term.size())"
    assert.equal("true\ttrue\t97\t31\r\n", in_terminal(report))
    assert.equal("true\tfalse\t97\t31\r\n", in_terminal(report, "", { NO_COLOR = "1" }))
    assert.equal("true\ttrue\t97\t31\r\n", in_terminal(report, "", { NO_COLOR = "" }))
    assert.equal("true\tfalse\t97\t31\r\n", in_terminal(report, "", { TERM = "dumb" }))
  end)

  it("has a size without a terminal", function()
    local path = dir .. "/size.lua"
    assert(fs.write(
      path,
      [[
      local term = require("pai.term")
      print(term.isatty(1), term.color(1), term.size())
    ]]
    ))
    local function run(env)
      return assert(exec.run({ exe, "lua", path }, { env = env })).stdout
    end
    assert.equal("false\tfalse\t80\t24\n", run({ TERM = "xterm" }))
    assert.equal("false\tfalse\t120\t40\n", run({ COLUMNS = "120", LINES = "40" }))
    assert.equal("false\tfalse\t80\t24\n", run({ COLUMNS = "-1", LINES = "x" }))
  end)

  it("reads a line while other tasks go on", function()
    local shown = in_terminal(
      [[
      local task = require("pai.task")
      local turns = 0
      task.run(function()
        local ticker = task.spawn(function()
          while true do task.sleep(20) turns = turns + 1 end
        end)
        print(term.read_line("Name: "))
        ticker:cancel()
      end)
      print(turns > 3)
    ]],
      "Ada\n"
    )
    assert.matches("Name: Ada\r\nAda\r\ntrue\r\n", shown, 1, true)
  end)

  it("gives the terminal back when the question is cancelled", function()
    local shown = in_terminal([[
      local task, secret, exec = require("pai.task"), require("pai.secret"), require("pai.exec")
      task.run(function()
        local asker = task.spawn(secret.prompt, "Token: ")
        task.sleep(50)
        local r = exec.run({ "stty", "-a" }, { stdin = "inherit" })
        print(r.stdout:match("[ ;](%-?echo)[ ;]"))
        asker:cancel()
        print(select(2, pcall(asker.wait, asker)).code)
        r = exec.run({ "stty", "-a" }, { stdin = "inherit" })
        print(r.stdout:match("[ ;](%-?echo)[ ;]"))
      end)
    ]])
    assert.equal("Token: -echo\r\n\r\nECANCELED\r\necho\r\n", shown)
  end)

  it("fails without a terminal", function()
    local path = dir .. "/ask.lua"
    assert(fs.write(path, [[print(select(2, require("pai.term").read_line("x")).code)]]))
    local r = assert(exec.run({ "setsid", "-w", exe, "lua", path }))
    assert.equal("ENXIO\n", r.stdout)
  end)
end)
