-- The rules for recipes in git: a changing one that is tracked must be committed.
local support = dofile("tests/spec/run/support.lua")
local exec = require("pai.exec")
local pick = support.pick

describe("a recipe in git", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function git(...)
    local argv =
      { "git", "-C", bench.dir, "-c", "user.name=t", "-c", "user.email=t@example.test", ... }
    local env = { GIT_CONFIG_GLOBAL = "/dev/null", GIT_CONFIG_SYSTEM = "/dev/null" }
    return assert(exec.run(argv, { env = env })).stdout
  end

  local function recipe(safety, note)
    bench:recipe(
      "r",
      ('safety = "%s", steps = { { name = "a", run = function() end } }, -- %s'):format(
        safety,
        note
      )
    )
  end

  local function said(events)
    local texts = {}
    for i, e in ipairs(pick(events, "log")) do
      texts[i] = e.text
    end
    return table.concat(texts, "\n")
  end

  it("that is committed runs, and the commit is on record", function()
    recipe("changes", "one")
    git("init", "-q")
    git("add", "r.lua")
    git("commit", "-q", "-m", "one")
    local events, r = bench:run({ "./r.lua" })
    assert.are.equal(0, r.code, r.stderr)
    local record = events[1].git
    assert.are.equal(git("rev-parse", "HEAD"):match("%x+"), record.head)
    assert.are.same({ {}, {} }, { record.dirty, record.unknown })
    assert.are.equal("", said(events))
  end)

  it("that was changed since is refused, unless that is allowed", function()
    recipe("changes", "one")
    git("init", "-q")
    git("add", "r.lua")
    git("commit", "-q", "-m", "one")
    recipe("changes", "two")
    local _, r = bench:run({ "./r.lua" })
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stderr:find("not committed: " .. bench.dir .. "/r.lua", 1, true), r.stderr)
    assert.is_truthy(r.stderr:find("--allow-dirty", 1, true), r.stderr)
    local events
    events, r = bench:run({ "./r.lua", "--allow-dirty" })
    assert.are.equal(0, r.code, r.stderr)
    assert.are.same({ bench.dir .. "/r.lua" }, events[1].git.dirty)
    assert.is_truthy(said(events):find("not committed (--allow-dirty)", 1, true))
  end)

  it("in another user's checkout says what git wants to hear first", function()
    recipe("changes", "one")
    git("init", "-q")
    -- What git 2.39 says and does there.
    bench:write(
      "bin/git",
      "#!/bin/sh\necho \"fatal: detected dubious ownership in repository at 'x'\" >&2\nexit 128\n"
    )
    assert(require("pai.fs").chmod(bench.dir .. "/bin/git", "0755"))
    local _, r = bench:run({ "./r.lua" }, {
      env = { PATH = bench.dir .. "/bin:" .. os.getenv("PATH") },
    })
    assert.are.equal(1, r.code)
    local wanted = "git config --global --add safe.directory " .. bench.dir .. "; or pass --allow"
    assert.is_truthy(r.stderr:find(wanted, 1, true), r.stderr)
  end)

  it("whose module was changed is refused too", function()
    bench:write("r/lib.lua", "return 1\n")
    bench:recipe(
      "r",
      'safety = "changes", steps = { { name = "a", run = function() end } },',
      'local _ = require("r.lib")'
    )
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    bench:write("r/lib.lua", "return 2\n")
    local _, r = bench:run({ "./r.lua" })
    assert.are.equal(1, r.code)
    assert.is_truthy(r.stderr:find("/r/lib.lua", 1, true), r.stderr)
  end)

  it("that only observes runs as it is", function()
    recipe("observes", "one")
    git("init", "-q")
    git("add", "r.lua")
    git("commit", "-q", "-m", "one")
    recipe("observes", "two")
    local events, r = bench:run({ "./r.lua" })
    assert.are.equal(0, r.code, r.stderr)
    assert.is_nil(events[1].git)
  end)

  it("that git does not track runs with the copy as its record, and says so", function()
    recipe("changes", "one")
    git("init", "-q")
    local events, r = bench:run({ "./r.lua" })
    assert.are.equal(0, r.code, r.stderr)
    assert.are.same({ bench.dir .. "/r.lua" }, events[1].git.unknown)
    assert.is_truthy(said(events):find("the copy in .* is the record"), said(events))
  end)

  it("does not count what pai itself declares for all recipes", function()
    local body = 'safety = "changes", steps = { { name = "a", run = function() end } },'
    bench:recipe("r", body, 'local stages = require("pai.shared.stages")\nassert(stages.OSMO)')
    local events, r = bench:run({ "./r.lua" })
    assert.are.equal(0, r.code, r.stderr)
    assert.are.same({ bench.dir .. "/r.lua" }, events[1].git.unknown)
    assert.are.equal(3, #events[1].files)
  end)

  it("or in no work tree runs likewise", function()
    recipe("changes", "one")
    local events, r = bench:run({ "./r.lua" })
    assert.are.equal(0, r.code, r.stderr)
    assert.is_truthy(said(events):find("the copy in .* is the record"), said(events))
  end)
end)
