-- An agent brings a video through the VDA recipe with nothing but MCP: it finds the tool, is asked
-- for the video that it did not name, follows the run, and gets the evidence as resources.
local crypto = require("pai.crypto")
local demo = dofile("tests/spec/demo/support.lua")
local json = require("pai.json")
local support = dofile("tests/spec/mcp/support.lua")

-- The recipe of a team that always wants a video of its own: the demo must not stand in for it.
local OURS <const> = [[
return {
  api = 1,
  name = "our-clip",
  title = "Our clip",
  summary = "Labels a clip of ours with the VDA recipe.",
  safety = "changes",
  tags = { "workload" },
  inputs = {
    video = { type = "path", doc = "The clip." },
    out = { type = "path", default = "media/vda" },
    cache = { type = "path", default = "cache" },
  },
  needs = {
    bins = { "ffmpeg", "ffprobe", "apt-get", "dpkg-deb", "tar" },
    reads = { { "test", "-w" }, { "/usr/bin/python3", "-I", "-B" } },
    writes = { "@out", "@cache" },
  },
  steps = {
    { name = "vda", use = "vda", with = function(inp)
        return { video = inp.video, flow = "auto_labeling", seconds = 0, out = inp.out,
          cache = inp.cache }
      end },
  },
}
]]

describe("the VDA demo over MCP", function()
  local bench, client

  setup(function()
    bench = demo.new()
    bench:write("recipes/our-clip.lua", OURS)
    demo.video(bench.dir .. "/clip.mp4")
    client = support.client(
      { pai.exe, "mcp", "--allow-dirty", "--state", bench.state },
      { cwd = bench.dir }
    )
    client:initialize()
  end)

  teardown(function()
    client.proc:stop()
    demo.remove(bench)
  end)

  it("goes from the prompt to the evidence", function()
    local prompt = client:ok("prompts/get", { name = "our-clip" }).messages[1].content.text
    assert.is_truthy(prompt:find("our-clip_run", 1, true))
    local listed = false
    for _, tool in ipairs(client:ok("tools/list").tools) do
      listed = listed or tool.name == "our-clip_run"
    end
    assert.is_true(listed)

    client.on_request = function(m)
      assert.are.equal("elicitation/create", m.method)
      assert.are.same({ "video" }, m.params.requestedSchema.required)
      return { action = "accept", content = { video = "clip.mp4" } }
    end
    local plan = client:tool("our-clip_plan")
    assert.is_nil(plan.isError, support.text(plan))
    local states = {}
    for _, step in ipairs(plan.structuredContent.steps) do
      states[#states + 1] = step.step .. ": " .. step.state
    end
    assert.is_truthy(table.concat(states, "\n"):find("vda/input: would run", 1, true))

    local result = client:tool("our-clip_run", {}, { progressToken = "vda" })
    local data = result.structuredContent
    assert.are.equal("green", data.status, support.text(result))
    assert.are.equal(2, #client.asked)
    local told = {}
    for _, note in ipairs(client.notes) do
      told[#told + 1] = note.params.message
    end
    assert.is_truthy(table.concat(told, "\n"):find("done vda/submit", 1, true))

    assert.is_true(#data.media > 0)
    local links = 0
    for _, block in ipairs(result.content) do
      if block.type == "resource_link" then
        links = links + 1
        local contents = client:ok("resources/read", { uri = block.uri }).contents[1]
        local bytes = contents.text or crypto.base64_decode(contents.blob)
        assert.is_true(#bytes > 0, block.uri)
        assert.are.equal(block.mimeType, contents.mimeType)
      end
    end
    assert.is_true(links >= #data.media)

    local shown = client:tool("pai_runs_show", { run = data.run }).structuredContent
    assert.are.equal("green", shown.status)
    local journal = client:ok("resources/read", {
      uri = ("pai://runs/%s/journal"):format(data.run),
    }).contents[1].text
    local ended
    for line in journal:gmatch("[^\n]+") do
      local event = json.decode(line)
      ended = event.event == "run.end" and event or ended
    end
    assert.are.equal("green", ended.status)
    local again = client:tool("our-clip_plan")
    assert.is_nil(again.isError)
  end)
end)
