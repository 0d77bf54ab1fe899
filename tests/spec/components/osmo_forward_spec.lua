-- The port-forward to OSMO's gateway: started once, known by pid and start time, started again when
-- it was killed, and ended; never another process.
local support = dofile("tests/spec/run/support.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local serve = require("pai.serve")
local task = require("pai.task")

describe("the port-forward to OSMO", function()
  local bench, peer, port

  local function record()
    local text = fs.read(("%s/forwards/%d.json"):format(bench.state, port))
    return text and json.decode(text)
  end

  local function runs(title, fn)
    it(title, function()
      task.run(function()
        bench = support.new()
        peer = assert(exec.start({
          "/usr/bin/python3",
          pai.root .. "/tests/spec/components/gateway_peer.py",
        }, { stdin = "pipe" }))
        local api = assert(peer:read_line("60s"))
        -- A port that was free a moment ago.
        local probe = assert(serve.listen({
          handler = function()
            return { body = "" }
          end,
        }))
        port = probe:port()
        probe:close()
        assert(fs.write(
          bench.root .. "/config",
          ([[
clusters: [{name: c, cluster: {server: "http://127.0.0.1:%s"}}]
users: [{name: u, user: {}}]
contexts:
- {name: lab, context: {cluster: c, user: u}}
- {name: other, context: {cluster: c, user: u}}
]]):format(api),
          { mode = "0600" }
        ))
        local ok, problem = pcall(fn)
        local left = record()
        if left then -- only a test that failed leaves one
          local p = fs.process(left.pid)
          if p and p.start_time == left.start_time then
            exec.run({ "kill", "-s", "KILL", tostring(left.pid) })
          end
        end
        peer:stop()
        bench:remove()
        assert(ok, problem)
      end)
    end)
  end

  -- Runs a body with ctx.osmo_deploy; its result or its error.
  local function act(body, context)
    bench:recipe(
      "r",
      ([[safety = "changes", needs = { clusters = { "@context" } },
      inputs = { context = { type = "string" }, kubeconfig = { type = "path" } },
      steps = { { name = "s", run = function(ctx, inp)
        local d = ctx.osmo_deploy
        local conf = { context = inp.context, kubeconfig = inp.kubeconfig, port = %d,
          namespaces = d.NAMESPACES }
        %s
      end } }]]):format(port, body)
    )
    local events, r = bench:run({
      "./r.lua",
      "context=" .. (context or "lab"),
      "kubeconfig=" .. bench.root .. "/config",
    })
    local done = support.pick(events, "step.done")[1]
    local failed = support.pick(events, "step.fail")[1]
    return done and done.result, failed and failed.error, r.stdout .. r.stderr
  end

  local function ends(pid)
    support.eventually(function()
      local p = fs.process(pid)
      return not p or p.state == "Z"
    end, "the end of the forward")
  end

  local UP <const> = "return { pid = d.forward(conf).pid, up = d.forward_ready(conf) }"

  runs("comes up, is known, and goes", function()
    local got, _, said = act("local before = d.forward_ready(conf) " .. UP)
    assert(got, said)
    assert.is_true(got.up)
    local known = record()
    assert.are.same({ got.pid, "lab" }, { known.pid, known.context })
    assert.are.equal(fs.process(got.pid).start_time, known.start_time)
    assert.is_truthy(fs.process(got.pid).cmd:find("port-forward --context lab", 1, true))
    -- Another cluster may not take the port, nor end what is not its own.
    local none, e = act(UP, "other")
    assert.is_nil(none)
    assert.is_truthy(e.message:find("leads to the cluster lab", 1, true), e.message)
    assert.is_false(act("return { stopped = d.stop_forward(conf) }", "other").stopped)
    assert.is_truthy(fs.process(got.pid))
    -- verify says which cluster a port leads to.
    local look = "local c = d.forward_check(conf).run() return { c = c }"
    assert.are.equal("ok", act(look).c.state)
    local theirs = act(look, "other").c
    assert.are.equal("red", theirs.state)
    assert.is_truthy(theirs.measured:find("leads to lab", 1, true))
    assert.are.same({ port }, act("return { ports = d.forwards(conf.context) }").ports)
    assert.are.same({}, act("return { ports = d.stop_forwards(conf.context) }", "other").ports)
    -- A killed one is started again.
    assert(exec.run({ "kill", "-s", "KILL", tostring(got.pid) }))
    ends(got.pid)
    assert.is_false(act("return { up = d.forward_ready(conf) }").up)
    local again = act(UP)
    assert.is_true(again.up)
    assert.are_not.equal(got.pid, again.pid)
    assert.are.same({ port }, act("return { ports = d.stop_forwards(conf.context) }").ports)
    ends(again.pid)
    assert.are.equal("warn", act(look).c.state)
    assert.is_nil(record())
    assert.is_false(act("return { stopped = d.stop_forward(conf) }").stopped)
  end)

  runs("does not take another process for it", function()
    local me = assert(exec.start({ "sleep", "600" }))
    assert(fs.mkdir(bench.state .. "/forwards", { parents = true }))
    assert(fs.write(
      ("%s/forwards/%d.json"):format(bench.state, port),
      json.encode({
        pid = me.pid,
        start_time = me.start_time - 1,
        boot = fs.boot_id(),
        context = "lab",
        server = "x",
        port = port,
      })
    ))
    assert.is_false(act("return { stopped = d.stop_forward(conf) }").stopped)
    assert.is_truthy(fs.process(me.pid))
    me:stop()
    -- A program that is not ours and answers as OSMO does.
    local other = assert(serve.listen({
      port = port,
      handler = function()
        return { json = { major = "6" } }
      end,
    }))
    local _, e = act(UP)
    assert.is_truthy(e.message:find("another program serves OSMO", 1, true), e.message)
    other:close()
  end)
end)
