-- The texts of `pai new component`; @NAME@ and the like are filled in.
local M = {
  ---Files of the folder, in the order in which they are shown.
  files = { "component", "place", "preflight", "deploy", "verify", "teardown" },
}

M.component = [==[
-- What the component is, and what its actions share. `pai show @NAME@` prints the reference.
return {
  api = 1,
  name = "@NAME@",
  title = "@TITLE@",
  summary = "Keeps a settings file in a folder.", -- one sentence, for `pai list`
  tags = {},
  reference = [[
What it is      A file with one setting, to be replaced by what your component really is.
Needs           A folder that can be written.

Symptom                      Look at
preflight is red             its hint; `pai verify @NAME@` afterwards
]],
  -- Every action has these inputs.
  inputs = {
    folder = { type = "path", default = "out/@NAME@", doc = "Where the file is." },
    level = { type = "enum", values = { "low", "high" }, default = "low", doc = "The setting." },
  },
  -- What the actions may use besides what each names itself; anything else is refused.
  needs = {},
}
]==]

M.place = [==[
-- What several actions have in common: require("@NAME@.place").
local M = {}

function M.path(inp)
  return inp.folder .. "/settings.txt"
end

function M.text(inp)
  return "level=" .. inp.level .. "\n"
end

return M
]==]

M.preflight = [==[
-- pai preflight @NAME@: what is missing here, all at once. It changes nothing.
return {
  summary = "Looks whether the file can be written.",
  safety = "observes",
  steps = {
    {
      name = "machine",
      checks = function(ctx, inp)
        return {
          ctx.check.disk(inp.folder, 0.01),
          {
            name = "folder",
            expected = "a folder, or nothing yet",
            hint = "name another one: folder=DIR",
            run = function()
              local st = ctx.fs.stat(inp.folder)
              local state = (not st or st.type == "directory") and "ok" or "red"
              return { state = state, measured = st and st.type or "nothing yet" }
            end,
          },
        }
      end,
    },
  },
}
]==]

M.deploy = [==[
-- pai deploy @NAME@. A second one changes nothing, and one that was killed goes on.
local place = require("@NAME@.place")

return {
  summary = "Writes the file.",
  safety = "changes",
  needs = { writes = { "@folder" } },
  -- Names what is changed: two runs that name the same do not run at once.
  locks = function(inp)
    return { "file:" .. place.path(inp) }
  end,
  steps = {
    {
      name = "write",
      timeout = "1m",
      -- Is it so already? Then this is the step's result, and `run` is left out.
      done = function(ctx, inp)
        local path = place.path(inp)
        if ctx.fs.exists(path) and ctx.read(path) == place.text(inp) then
          return { path = path }
        end
      end,
      run = function(ctx, inp)
        ctx.fs.mkdir(inp.folder)
        ctx.write(place.path(inp), place.text(inp))
        return { path = place.path(inp) }
      end,
    },
  },
  returns = { path = { type = "path", from = "write.path", doc = "The file." } },
}
]==]

M.verify = [==[
-- pai verify @NAME@: does it work? It changes nothing.
local place = require("@NAME@.place")

return {
  summary = "Reads the file.",
  safety = "observes",
  steps = {
    {
      name = "settings",
      checks = function(ctx, inp)
        return {
          {
            name = "file",
            expected = place.text(inp):gsub("\n", ""),
            hint = "pai deploy @NAME@",
            run = function()
              local path = place.path(inp)
              if not ctx.fs.exists(path) then
                return { state = "red", measured = "there is no " .. path }
              end
              local text = ctx.read(path)
              local state = text == place.text(inp) and "ok" or "red"
              return { state = state, measured = (text:gsub("\n", " ")) }
            end,
          },
        }
      end,
    },
  },
}
]==]

M.teardown = [==[
-- pai teardown @NAME@. It asks first; --yes answers where nobody can be asked.
local place = require("@NAME@.place")

return {
  summary = "Removes the file.",
  safety = "destroys",
  needs = { writes = { "@folder" } },
  locks = function(inp)
    return { "file:" .. place.path(inp) }
  end,
  steps = {
    {
      name = "remove",
      timeout = "1m",
      done = function(ctx, inp)
        return not ctx.fs.exists(place.path(inp)) and {} or nil
      end,
      run = function(ctx, inp)
        ctx.fs.remove(place.path(inp))
        return {}
      end,
    },
  },
}
]==]

M.spec = [==[
-- Tests of the component @NAME@: pai test @SPEC@
-- Each runs its actions as a user does and looks at what they said and made.
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

  -- Runs an action in folders of the test's own: its exit code and the last line that it printed.
  local function act(action, ...)
    local argv = { require("pai").exe, action, "@NAME@", "folder=" .. dir .. "/out", ... }
    table.move({ "--json", "--state", dir .. "/state" }, 1, 3, #argv + 1, argv)
    local result = exec.run(argv, { accept = "any", timeout = "1m" })
    local last = result.stdout:match("([^\n]+)\n*$")
    return result.code, last and json.decode(last), result.stderr
  end

  it("is deployed, verified and torn down", function()
    assert.equal(0, (act("preflight")))
    local code, last, said = act("deploy", "--allow-dirty")
    assert.equal(0, code, said)
    assert.equal(0, last.counters.already)
    assert.equal("level=low\n", fs.read(dir .. "/out/settings.txt"))
    assert.equal(0, (act("verify")))
    code, last, said = act("deploy", "--allow-dirty")
    assert.equal(0, code, said)
    assert.equal(1, last.counters.already)
    assert.equal(0, (act("teardown", "--allow-dirty", "--yes")))
    assert.is_false(fs.exists(dir .. "/out/settings.txt"))
  end)

  it("is red where it is not deployed, or not so", function()
    local code, answer = act("verify")
    assert.equal(1, code)
    assert.equal("red", answer.verdict)
    assert.equal(0, (act("deploy", "--allow-dirty")))
    assert.equal(1, (act("verify", "level=high")))
  end)

  it("says in its preflight what is in the way", function()
    fs.write(dir .. "/out", "a file, no folder")
    assert.equal(1, (act("preflight")))
  end)

  it("is not torn down without a yes", function()
    assert.equal(0, (act("deploy", "--allow-dirty")))
    assert.equal(3, (act("teardown", "--allow-dirty")))
    assert.is_true(fs.exists(dir .. "/out/settings.txt"))
  end)
end)
]==]

return M
