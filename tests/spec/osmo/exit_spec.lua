-- How pai osmo ends where OSMO's own command line ends with 0 although something has failed.
local exec = require("pai.exec")
local json = require("pai.json")
local pai = require("pai")
local task = require("pai.task")

local wire = assert(loadfile(pai.root .. "/tests/spec/osmo/wire.lua"))()

local REFUSED <const> = { status = 400, json = { message = "it cannot be", error_code = "USER" } }

describe("the exit code of pai osmo", function()
  local w

  before_each(function()
    w = wire.start()
  end)
  after_each(function()
    w:finish()
  end)

  it("is 1 when one of several runs could not be tagged or canceled", function()
    for _, what in ipairs({ "tag", "cancel" }) do
      w.srv.answers["POST /api/workflow/{id}/" .. what] = function(req)
        return req.args[1] == "a-1" and REFUSED or { json = { name = req.args[1] } }
      end
      local words = what == "tag" and "tag a-1 a-2 --add x" or "cancel a-1 a-2"
      local code, out, said = w:run(words)
      assert.equal(1, code)
      assert.matches("a-2: ", out, 1, true)
      assert.matches("a-1: it cannot be", said, 1, true)
      code, out = w:run(words .. " -t json")
      assert.equal(1, code)
      local runs = json.decode(out).workflows
      assert.equal("it cannot be", runs[1].message)
      assert.is_nil(runs[2].message)
    end
  end)

  it("is 1 when a log breaks off, whose beginning is shown all the same", function()
    local shown = false
    w.srv.answers["GET /api/workflow/{id}/logs"] = {
      stream = function(writer)
        while not shown do -- a silent stream would be taken for a live one, and left
          writer:write("one\n")
          task.sleep(10)
        end
        error("cut")
      end,
    }
    local argv = { pai.exe, "osmo", "logs", "a-1" }
    local proc = assert(exec.start(argv, { env = w.env, cwd = w.dir, stderr = "null" }))
    assert.equal("one", (proc:read_line("60s")))
    shown = true
    local ended, e = proc:wait("60s")
    assert.is_nil(ended)
    assert.matches("ended with exit code 1$", e.message)
  end)

  it("is 2 for a dry run of a run, which the service cannot do", function()
    w:refused(2, "--dry-run has no meaning", "submit a-1 -p p --dry-run")
    assert.equal(0, #w.srv.calls)
  end)

  it("is 1 for whatever the service refuses, and JSON says why", function()
    local page = { status = 403, body = "access denied" }
    for status, answer in pairs({
      [400] = REFUSED,
      [403] = page,
      [422] = { status = 422, json = { detail = { { loc = { "query", "x" }, msg = "is bad" } } } },
      [500] = { status = 500, json = { message = "Internal server error: oops" } },
    }) do
      w.srv.answers["GET /api/workflow/{id}"] = answer
      local code, out, said = w:run("query a-1")
      assert.equal(1, code, status)
      assert.equal("", out)
      assert.matches("^pai: [^\n]+\n", said)
      code, out = w:run("query a-1 -t json")
      assert.equal(1, code, status)
      local e = json.decode(out).error
      assert.equal("EHTTP", e.code)
      assert.is_string(e.message)
    end
  end)
end)
