-- What an agent keeps of a session: a secret that every recipe says aloud is in none of it, and a
-- scan of the transcript finds nothing; of the same session with the secret put back it does.
local bench_support = dofile("tests/spec/run/support.lua")
local support = dofile("tests/spec/mcp/support.lua")
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")

describe("the transcript of a session", function()
  local bench

  before_each(function()
    bench = bench_support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  it("scans clean", function()
    -- Keys of the forms that the rules know, made now.
    local keys = {
      "nvapi" .. "-" .. crypto.hex(32),
      "hf" .. "_" .. crypto.hex(17),
      "ghp" .. "_" .. crypto.hex(18),
    }
    local lines, shown = {}, {}
    for i, key in ipairs(keys) do
      lines[i] = ("SPEC_KEY_%d=%s\n"):format(i, key)
      shown[i] = "key=" .. key .. " as json " .. json.encode({ token = key })
    end
    bench:write("shown.txt", table.concat(shown, "\n"))
    bench:write(".gitignore", ".env\n")
    assert(exec.run({ "git", "init", "-q", bench.dir }))
    assert(fs.write(bench.dir .. "/.env", table.concat(lines), { mode = "0600" }))
    bench:recipe(
      "recipes/loud",
      [[
      name = "loud",
      inputs = { one = { type = "secret", env = "SPEC_KEY_1" } },
      needs = { bins = { "cat" } },
      steps = {
        { name = "say", run = function(ctx)
          ctx.log(ctx.read("shown.txt"))
          ctx.exec({ "cat", "shown.txt" })
          return {}
        end },
        { name = "gate", after = { "say" }, checks = function(ctx)
          return { { name = "c", state = "red", measured = ctx.read("shown.txt"), hint = "x" } }
        end },
      },]]
    )
    -- bench:recipe names a recipe by its path.
    local path = bench.dir .. "/recipes/loud.lua"
    local text = assert(fs.read(path)):gsub('name = "recipes/loud",', "", 1)
    assert(fs.write(path, text))

    local client = support.client({ pai.exe, "mcp" }, {
      cwd = bench.dir,
      env = { PAI_STATE = bench.state, XDG_CONFIG_HOME = bench.root .. "/config" },
    })
    local transcript = {}
    local function keep(role, value)
      transcript[#transcript + 1] = json.encode({ role = role, content = json.encode(value) })
    end
    keep("assistant", client:initialize())
    for _, call in ipairs({
      { "tools/list", {} },
      { "tools/call", { name = "loud_plan", arguments = {} } },
      { "tools/call", { name = "loud_run", arguments = {} } },
      { "tools/call", { name = "pai_runs_logs", arguments = { run = "last" } } },
      { "tools/call", { name = "pai_runs_show", arguments = { run = "last" } } },
    }) do
      keep("tool", client:call(call[1], call[2]))
    end
    for _, note in ipairs(client.notes) do
      keep("tool", note)
    end
    client:finish()
    assert.is_truthy(table.concat(transcript):find("***", 1, true), "nothing was said")

    local function scan(body)
      local file = bench:write("transcript.jsonl", body)
      return bench:pai({ "scan", file })
    end
    local body = table.concat(transcript, "\n") .. "\n"
    local r = scan(body)
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
    local leaky = body:gsub("%*%*%*", (keys[1]:gsub("%%", "%%%%")), 1)
    assert.are.equal(1, scan(leaky).code)
  end)
end)
