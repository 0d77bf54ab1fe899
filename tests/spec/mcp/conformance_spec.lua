-- The official conformance suites against the server over Streamable HTTP. What they call by name
-- is served by fixtures/; there is no file of expected failures.
local fs = require("pai.fs")
local support = dofile("tests/spec/mcp/support.lua")

local RELEASED <const> = {
  "server-initialize",
  "logging-set-level",
  "ping",
  "completion-complete",
  "tools-list",
  "tools-call-simple-text",
  "tools-call-image",
  "tools-call-audio",
  "tools-call-embedded-resource",
  "tools-call-mixed-content",
  "tools-call-with-logging",
  "tools-call-error",
  "tools-call-with-progress",
  "tools-call-sampling",
  "tools-call-elicitation",
  "json-schema-2020-12",
  "elicitation-sep1034-defaults",
  "server-sse-polling",
  "server-sse-multiple-streams",
  "elicitation-sep1330-enums",
  "resources-list",
  "resources-read-text",
  "resources-read-binary",
  "resources-templates-read",
  "resources-subscribe",
  "resources-unsubscribe",
  "prompts-list",
  "prompts-get-simple",
  "prompts-get-with-args",
  "prompts-get-embedded-resource",
  "prompts-get-with-image",
  "dns-rebinding-protection",
}

-- The names under `server:` in a file of requirements.
local function required(revision)
  local path = "vendor/npm-mcp/node_modules/conformance-next/requirements/%s.yaml"
  local list = require("pai.yaml").decode(assert(fs.read(path:format(revision)))).server
  assert.is_true(#list > 20)
  return list
end

describe("the conformance suite", function()
  local proc, url, results

  setup(function()
    proc, url = support.http_server()
    results = fs.tempdir({ prefix = "pai-mcp-" })
  end)

  teardown(function()
    proc:stop()
    fs.remove(results, { recursive = true })
  end)

  -- Runs a suite; every scenario must have passed, each with something that was checked.
  local function suite(package, args, scenarios)
    local argv = { "server", "--url", url, "-o", results }
    table.move(args, 1, #args, #argv + 1, argv)
    local r = support.node(package .. "/dist/index.js", argv)
    local summary = r.stdout:match("=== SUMMARY ===(.*)$") or r.stdout .. r.stderr
    for _, name in ipairs(scenarios) do
      local mark, passed, failed =
        summary:match("\n(%S+) " .. name:gsub("%p", "%%%0") .. ": (%d+) passed, (%d+) failed")
      assert.are.equal("✓", mark, name .. " in " .. summary)
      assert.are.equal("0", failed, name)
      assert.is_true(tonumber(passed) > 0, name)
    end
    return r, summary
  end

  it("0.1.16 passes: all 32 scenarios", function()
    assert.are.equal(32, #RELEASED)
    local r, summary = suite("@modelcontextprotocol/conformance", { "--suite", "all" }, RELEASED)
    assert.are.equal(0, r.code, summary)
    assert.is_truthy(summary:find("Total: %d+ passed, 0 failed"), summary)
  end)

  it("of the pre-release passes what 2026-07-28 requires", function()
    local names = required("2026-07-28")
    assert.are.equal(37, #names)
    local r, summary = suite("conformance-next", { "--requirements", "2026-07-28" }, names)
    assert.are.equal(0, r.code, summary)
  end)

  it("of the pre-release passes what 2025-11-25 requires", function()
    local names = required("2025-11-25")
    local r, summary = suite("conformance-next", { "--requirements", "2025-11-25" }, names)
    assert.are.equal(0, r.code, summary)
  end)

  it("of the pre-release passes the skills scenarios, with pai's own recipes", function()
    local server <close> = assert(require("pai.exec").start({
      pai.exe,
      "mcp",
      "--http",
      "--state",
      results .. "/state",
    }, { accept = "any" }))
    local own = assert(server:read_line("30s"))
    for _, name in ipairs({ "directory", "enumeration", "manifest" }) do
      local scenario = "sep-2640-skills-" .. name
      local argv = { "server", "--url", own, "-o", results, "--scenario", scenario }
      local r = support.node("conformance-next/dist/index.js", argv)
      assert.are.equal(0, r.code, r.stdout)
      local passed = r.stdout:match("Passed: (%d+)/")
      assert.is_true(tonumber(passed) > 1, r.stdout)
    end
  end)

  it("of the pre-release passes the header scenarios that are not scored yet", function()
    for _, name in ipairs({ "http-header-validation", "http-custom-header-server-validation" }) do
      local argv = { "server", "--url", url, "-o", results, "--scenario", name }
      local r = support.node("conformance-next/dist/index.js", argv)
      assert.are.equal(0, r.code, r.stdout)
    end
  end)
end)
