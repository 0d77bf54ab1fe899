-- The official clients as an agent runs them: TypeScript v1 and v2 (both eras), over both
-- transports, and the Inspector, which looks at schemas strictly.
local bench_support = dofile("tests/spec/run/support.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local support = dofile("tests/spec/mcp/support.lua")

local CLIENT <const> = require("pai").root .. "/tests/peers/mcp/client.js"
local INSPECTOR <const> = "@modelcontextprotocol/inspector/clients/launcher/build/index.js"

describe("the official", function()
  local bench

  before_each(function()
    bench = bench_support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local COMMAND <const> = { pai.exe, "mcp", "--allow-dirty", "--recipes", "hello" }

  local function check(which, where)
    local args = { which }
    table.move(where, 1, #where, 2, args)
    local env = { PAI_STATE = bench.state }
    local r = support.node(CLIENT, args, { cwd = bench.dir, env = env })
    assert.are.equal(0, r.code, r.stderr)
    local seen = assert(json.decode(r.stdout))
    assert.are.equal("pai", seen.server.name)
    assert.are.same({ "hello needs: name" }, seen.asked)
    local tools = table.concat(seen.tools, " ")
    assert.is_truthy(tools:find("hello_plan hello_run", 1, true), tools)
    assert.are.same({ "pai://recipes/hello" }, seen.resources)
    assert.is_truthy(seen.page:find("# Hello", 1, true))
    assert.are.equal("green", seen.run.structuredContent.status)
    -- What comes in one piece with the answer the clients drop. In the stateless revision the
    -- client itself tells its rounds of questions as progress, first.
    for i = which == "v2-modern" and 3 or 2, #seen.progress do
      assert.is_true(seen.progress[i] > seen.progress[i - 1])
    end
    assert.are.equal("Hello, Ada!\n", fs.read(bench.dir .. "/greeting.txt"))
    assert.are.equal("would run", seen.plan.structuredContent.steps[1].state)
    assert.is_true(seen.refused.isError)
  end

  for _, which in ipairs({ "v1", "v2-legacy", "v2-modern" }) do
    it("client " .. which .. " lists and calls over stdio", function()
      local where = { "stdio" }
      table.move(COMMAND, 1, #COMMAND, 2, where)
      check(which, where)
    end)

    it("client " .. which .. " lists and calls over HTTP", function()
      local argv = table.move(COMMAND, 1, #COMMAND, 1, {})
      argv[#argv + 1] = "--http"
      local server <close> = assert(exec.start(argv, {
        cwd = bench.dir,
        env = { PAI_STATE = bench.state },
        accept = "any",
      }))
      check(which, { "http", assert(server:read_line("30s")) })
    end)
  end

  it("Inspector finds nothing to object to in any tool", function()
    local function inspect(args)
      local argv = { "--cli" }
      table.move(COMMAND, 1, #COMMAND, #argv + 1, argv)
      table.move(args, 1, #args, #argv + 1, argv)
      return support.node(INSPECTOR, argv, {
        cwd = bench.dir,
        env = { PAI_STATE = bench.state, HOME = bench.root },
      })
    end
    local r = inspect({ "--method", "tools/list", "--strict" })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.is_truthy(r.stdout:find("hello_run", 1, true))
    r = inspect({
      "--method",
      "tools/call",
      "--tool-name",
      "hello_run",
      "--tool-arg",
      "name=Ada",
      "out=by-inspector.txt",
    })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    assert.are.equal("Hello, Ada!\n", fs.read(bench.dir .. "/by-inspector.txt"))
  end)
end)
