-- The texts of `pai new recipe`; @NAME@ and the like are filled in.
local M = {}

M.recipe = [==[
-- @TITLE@: what it is for, in a line.
--
--   pai lint @PATH@    checks it without running it
--   pai plan @NAME@    shows what it would do; changes nothing
--   pai run @NAME@     runs it; one that was killed goes on with `pai resume`
--
-- The whole format is in docs/recipes.md of pai.

local function path_of(inp)
  return inp.folder .. "/text.txt"
end

return {
  api = 1,
  name = "@NAME@",
  title = "@TITLE@",
  summary = "Writes a text and checks that it is whole.", -- one sentence, for `pai list`
  safety = "changes", -- observes: it only looks; changes; destroys: it asks first

  -- What a caller gives as key=value. What has no default and is not optional is asked for.
  inputs = {
    text = { type = "string", default = "hello", doc = "What is written." },
    folder = { type = "path", default = "out/@NAME@", doc = "Where the file goes." },
    -- A secret comes from the environment or `pai secret set`, and goes only to who is named:
    -- key = { type = "secret", env = "MY_KEY", hosts = { "api.example.org" }, doc = "..." },
  },

  -- What it may use; anything else is refused. "@folder" stands for the value of the input.
  needs = { bins = { "wc" }, reads = { "wc -c" }, writes = { "@folder" } },

  steps = {
    {
      -- A gate. Checks only look, and all of them run; red stops the run before a change.
      name = "preflight",
      checks = function(ctx, inp)
        return { ctx.check.program("wc"), ctx.check.disk(inp.folder, 0.01) }
      end,
    },
    {
      name = "write",
      after = { "preflight" },
      -- Is it so already? Then this is the step's result, and `run` is left out.
      done = function(ctx, inp)
        local path = path_of(inp)
        if ctx.fs.exists(path) and ctx.read(path) == inp.text .. "\n" then
          return { path = path }
        end
      end,
      -- The only place that changes something. What it returns is journalled.
      run = function(ctx, inp)
        local path = path_of(inp)
        ctx.fs.mkdir(inp.folder)
        ctx.write(path, inp.text .. "\n")
        return { path = path }
      end,
    },
    {
      name = "measure",
      after = { "write" }, -- whose results it gets as got.write; other steps run side by side
      safety = "observes",
      timeout = "1m",
      run = function(ctx, _, got)
        local r = ctx.query({ "wc", "-c", got.write.path })
        return { bytes = math.tointeger(tonumber(r.stdout:match("%d+"))) }
      end,
      -- The gate after the step: what was measured, what was expected, what to do.
      verify = function(_, inp, got)
        local expected = #inp.text + 1
        return {
          {
            name = "the text is whole",
            state = got.measure.bytes == expected and "ok" or "red",
            measured = got.measure.bytes,
            expected = expected,
            hint = "look at what else writes to " .. got.write.path,
          },
        }
      end,
    },
  },

  -- What a caller gets back.
  returns = {
    path = { type = "path", from = "write.path", doc = "The file." },
    bytes = { type = "integer", from = "measure.bytes", doc = "Its size." },
  },
  examples = { "pai run @NAME@", "pai run @NAME@ text=goodbye folder=/tmp/@NAME@" },
}
]==]

M.spec = [==[
-- Tests of the recipe @NAME@: pai test @SPEC@
-- Each runs it as a user does and looks at the events of the run and at what was made.
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")

describe("@NAME@", function()
  local dir

  before_each(function()
    dir = fs.tempdir()
  end)

  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  -- Runs pai with a state folder of the test's own: its exit code and the lines that it printed.
  local function pai(...)
    local argv = { require("pai").exe, ... }
    table.move({ "--json", "--state", dir .. "/state" }, 1, 3, #argv + 1, argv)
    local result = exec.run(argv, { accept = "any", timeout = "1m" })
    local lines = {}
    for line in result.stdout:gmatch("[^\n]+") do
      lines[#lines + 1] = json.decode(line)
    end
    return result.code, lines, result.stderr
  end

  local function run(text)
    local code, events, said =
      pai("run", "@NAME@", "--allow-dirty", "folder=" .. dir .. "/out", "text=" .. text)
    return code, events[#events], said
  end

  it("writes the text, and has nothing to write the second time", function()
    local code, last, said = run("good morning")
    assert.equal(0, code, said)
    assert.equal("green", last.status)
    assert.equal("good morning\n", fs.read(dir .. "/out/text.txt"))
    assert.equal(0, last.counters.already)
    assert.equal(1, select(2, run("good morning")).counters.already)
  end)

  it("changes nothing when it only plans", function()
    local code, _, said = pai("plan", "@NAME@", "folder=" .. dir .. "/out")
    assert.equal(0, code, said)
    assert.is_false(fs.exists(dir .. "/out"))
  end)

  it("fails where it can't write", function()
    fs.write(dir .. "/out", "a file, no folder")
    local code, last = run("x")
    assert.equal(1, code)
    assert.equal("failed", last.status)
  end)
end)
]==]

return M
