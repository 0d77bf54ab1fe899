-- One secret, planted in .env, and every command of pai run over recipes that do their best to show
-- it. Then every stream, every file below the state folder and the working directory, the arguments
-- of every process that was started and the environment of each that was not to get it are looked
-- through. A command that this file does not know fails it: add it below.
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local support = dofile("tests/spec/run/support.lua")

-- With characters that every encoding writes differently.
local MIDDLE = crypto.hex(8)
local CANARY = 'Cn4"&/+' .. MIDDLE .. "=k>z"

---@param text string
local function hex(text, format)
  return (text:gsub(".", function(c)
    return (format):format(c:byte())
  end))
end

local function percent(text)
  return (text:gsub("[^%w]", function(c)
    return ("%%%02X"):format(c:byte())
  end))
end

local JSON = CANARY:gsub('["\\]', "\\%0")
local XML = CANARY:gsub('[&>"]', { ["&"] = "&amp;", [">"] = "&gt;", ['"'] = "&quot;" })

-- What the recipes and their programs print. The last two are broken at a line's end.
local SHOWN = {
  CANARY,
  crypto.base64_encode(CANARY),
  crypto.base64_encode("user:" .. CANARY),
  crypto.base64_encode("k=" .. CANARY .. "!", { url = true }),
  hex(CANARY, "%02x"),
  hex(CANARY, "%02X"),
  percent(CANARY),
  JSON,
  (JSON:gsub('["\\]', "\\%0")),
  XML,
  hex(CANARY, "\\u%04x"),
  CANARY:sub(1, 9) .. "\27[31m" .. CANARY:sub(10) .. "\27[0m",
  CANARY:sub(1, 9) .. "\n" .. CANARY:sub(10),
  (crypto.base64_encode(("x"):rep(44) .. CANARY):gsub(("."):rep(64), "%0\n")),
}

-- What must not be found anywhere, colour codes and line ends aside: the encodings, and any eight
-- bytes in a row of the value's middle, so that a part of it is no way out.
local NEEDLES = { hex(CANARY, "%02x"), hex(CANARY, "%02X"), hex(CANARY, "\\u%04x") }
for from = 1, #MIDDLE - 7 do
  NEEDLES[#NEEDLES + 1] = MIDDLE:sub(from, from + 7)
end
for shift = 0, 2 do
  local text = crypto.base64_encode(("x"):rep(shift) .. CANARY)
  local first, last = (8 * shift + 5) // 6, 8 * (shift + #CANARY) // 6
  NEEDLES[#NEEDLES + 1] = text:sub(first + 1, last)
  NEEDLES[#NEEDLES + 1] = (text:sub(first + 1, last):gsub("%+", "-"):gsub("/", "_"))
end

local function holds(text)
  local flat = text:gsub("\27%[[%d;]*m", ""):gsub("[\r\n]+", "")
  for i, needle in ipairs(NEEDLES) do
    if text:find(needle, 1, true) or flat:find(needle, 1, true) then
      return "needle " .. i
    end
  end
end

local RECIPE = [[
  inputs = {
    how = { type = "string", default = "log" },
    token = { type = "secret", env = "CANARY", bins = { "sh" } },
  },
  safety = "changes",
  needs = { bins = { "sh", "cat" }, writes = { "." }, hosts = { "127.0.0.1" } },
  steps = {
    { name = "look", checks = function(ctx, inp)
        return { { name = "c", state = "ok", measured = ctx.read("shown"), expected = "e" } }
      end },
    { name = "leak", after = { "look" }, timeout = "60s", run = function(ctx, inp)
        local shown, sink = ctx.read("shown"), { T = inp.token, CANARY_SINK = "1" }
        local plain = shown:match("[^\n]+")
        return ({
          log = function()
            ctx.log(shown)
            for line in ctx.read("lines"):gmatch("[^\n]+") do ctx.log("line: " .. line) end
            ctx.log(tostring(inp.token) .. ("%s"):format(inp.token))
          end,
          error = function() error("this: " .. shown) end,
          value = function() error({ code = "E", message = shown, hint = shown }) end,
          trace = function() local t = {} t[plain].x() end,
          name = function() return ctx[plain]() end,
          join = function() return { a = "x" .. inp.token } end,
          key = function() return { [plain] = 1 } end,
          result = function() return { a = shown } end,
          handle = function() return { a = inp.token } end,
          write = function() ctx.write("out.txt", shown) end,
          path = function() ctx.write("dir/" .. plain, "x") end,
          argv = function() ctx.exec({ "cat", "--", plain }) end,
          handle_argv = function() ctx.exec({ "cat", inp.token }) end,
          env = function() ctx.exec({ "cat", "shown" }, { env = { T = plain } }) end,
          http = function() ctx.http({ url = "http://127.0.0.1:1/?q=" .. plain }) end,
          userinfo = function() ctx.http({ url = "http://u:" .. plain .. "@127.0.0.1:1/" }) end,
          fail = function()
            ctx.exec({ "sh", "-c", "cat shown >&2; echo $T; exit 3" }, { env = sink })
          end,
          crash = function()
            ctx.exec({ "sh", "-c", "echo $T; cat shown; kill -SEGV $$" }, { env = sink })
          end,
          stdin = function()
            return { out = ctx.exec({ "sh", "-c", "cat" }, { stdin = inp.token }).stdout }
          end,
          watch = function()
            -- Both wait until they were looked at.
            local wait = "until [ -e %s ]; do sleep 0.02; done"
            ctx.all({
              function() ctx.exec({ "sh", "-c", wait:format("seen-sink") }, { env = sink }) end,
              function() ctx.exec({ "sh", "-c", wait:format("seen-other") .. " # other" }) end,
            })
          end,
        })[inp.how]()
      end },
  },
  report = function(ctx, inp, got)
    local shown = ctx.read("shown")
    return { title = shown, sections = { { title = "s", kind = "text", text = shown } } }
  end,
]]

local SCRIPT = [[
  local secret, out = require("pai.secret"), require("pai.out")
  assert(secret.from_dotenv(".env"))
  local f = assert(io.open("shown")) local shown = f:read("a") f:close()
  out.stdout(shown) out.stderr(shown)
  for c in shown:gmatch(".") do out.stdout(c) end
  if arg[1] == "thread" then
    coroutine.wrap(function() error(shown) end)()
  elseif arg[1] == "value" then
    error(setmetatable({}, { __tostring = function() return shown end }))
  end
  error(shown)
]]

-- A component that shows it in every action, and says so in its description.
local ACTION = [[return { safety = "%s", needs = { bins = { "sh" } },
  inputs = { token = { type = "secret", env = "CANARY", bins = { "sh" } } },
  steps = { { name = "s", %s } } }]]
local LOOK = [[checks = function(ctx, inp) return {
  { name = "c", state = "ok", measured = ctx.read("shown"), hint = tostring(inp.token) } } end]]
local ACT = [[run = function(ctx, inp)
  ctx.log(ctx.read("shown"))
  ctx.exec({ "sh", "-c", "cat shown; echo $T" }, { env = { T = inp.token, CANARY_SINK = "1" } })
end]]

-- What an agent says to `pai mcp`, and how many answers that has; what the recipe says goes through
-- the server.
local function agent()
  local json = require("pai.json")
  local list = {
    {
      "initialize",
      {
        protocolVersion = "2025-11-25",
        capabilities = {},
        clientInfo = { name = "t", version = "1" },
      },
    },
    { "tools/list", {} },
    { "tools/call", { name = "leaky_plan", arguments = {} } },
    { "tools/call", { name = "leaky_run", arguments = { how = "log" } } },
    { "tools/call", { name = "leaky_run", arguments = { how = "crash" } } },
    { "tools/call", { name = CANARY, arguments = { [CANARY] = CANARY } } },
    { "resources/list", {} },
  }
  local lines = {}
  for i, one in ipairs(list) do
    lines[#lines + 1] = json.encode({ jsonrpc = "2.0", id = i, method = one[1], params = one[2] })
    if i == 1 then
      lines[2] = '{"jsonrpc":"2.0","method":"notifications/initialized"}'
    end
  end
  return table.concat(lines, "\n") .. "\n", #list
end

local HOW <const> = {
  "log",
  "error",
  "value",
  "trace",
  "name",
  "join",
  "key",
  "result",
  "handle",
  "write",
  "path",
  "argv",
  "handle_argv",
  "env",
  "http",
  "userinfo",
  "fail",
  "crash",
  "stdin",
  "watch",
}

describe("one secret", function()
  local bench, looked, seen

  setup(function()
    bench = support.new()
    bench:write("shown", table.concat(SHOWN, "\n") .. "\n")
    bench:write("lines", table.concat(SHOWN, "\n", 1, #SHOWN - 2) .. "\n")
    bench:write(".gitignore", ".env\n")
    assert(fs.write(bench.dir .. "/.env", ("CANARY='%s'\n"):format(CANARY), { mode = "0600" }))
    assert(exec.run({ "git", "init", "-q", bench.dir }))
    bench:recipe("leaky", RECIPE)
    bench:write("recipes/leaky.lua", assert(fs.read(bench.dir .. "/leaky.lua")))
    bench:write(
      "components/leak/component.lua",
      'return { api = 1, name = "leak", title = "L", summary = "S." }'
    )
    for action, safety in pairs({
      preflight = "observes",
      verify = "observes",
      deploy = "changes",
      teardown = "destroys",
    }) do
      local body = safety == "observes" and LOOK or ACT
      bench:write("components/leak/" .. action .. ".lua", ACTION:format(safety, body))
    end
    bench:write("script.lua", SCRIPT)
    bench:write("tests/r_spec.lua", "it('is', function() assert.is_true(true) end)\n")
    bench:write("broken.lua", "return { api = 1, name = 'broken', oops")
    looked, seen = 0, {}
  end)

  teardown(function()
    bench:pai({ "engine", "stop" })
    bench:remove()
  end)

  local function read(path)
    local f = io.open(path, "rb")
    local text = f and f:read("a")
    if f then
      f:close()
    end
    return text or ""
  end

  -- The arguments and the environment of all processes that descend from this one.
  local function look(root)
    local parents = {}
    for _, name in ipairs(fs.list("/proc") or {}) do
      local entry = type(name) == "table" and name.name or name
      if entry:match("^%d+$") then
        parents[entry] = read("/proc/" .. entry .. "/stat"):match("%) %u (%d+)")
      end
    end
    for pid in pairs(parents) do
      local up = pid
      while up and up ~= tostring(root) do
        up = parents[up]
      end
      if up then
        looked = looked + 1
        local cmdline, environ =
          read("/proc/" .. pid .. "/cmdline"), read("/proc/" .. pid .. "/environ")
        assert.is_nil(holds(cmdline), "in the arguments of a process")
        if environ:find("CANARY_SINK=1", 1, true) then
          seen.sink = seen.sink or environ:find(CANARY, 1, true) ~= nil
        else
          assert.is_nil(holds(environ), "in the environment of a process that is no sink")
          seen.other = seen.other or cmdline:find("# other", 1, true) ~= nil
        end
      end
    end
  end

  local function look_at_streams(argv, r)
    local what = "pai " .. table.concat(argv, " ")
    assert.is_nil(holds(r.stdout or ""), what .. ": standard output")
    assert.is_nil(holds(r.stderr or ""), what .. ": standard error")
  end

  -- Runs pai, looks at its processes meanwhile and at its streams afterwards. `talk` speaks to it
  -- over standard input.
  local function run(argv, talk)
    local proc = bench:start(argv, nil, talk and "pipe" or nil)
    if talk then
      talk(proc)
    end
    local r, e
    repeat
      look(proc.pid)
      for _, what in ipairs({ "sink", "other" }) do
        if seen[what] and not fs.exists(bench.dir .. "/seen-" .. what) then
          bench:write("seen-" .. what, "")
        end
      end
      r, e = proc:wait("20ms")
    until r or e.code ~= "ETIMEDOUT"
    r = r or e
    look_at_streams(argv, r)
    assert.is_nil(holds(tostring(e or "")), "pai " .. table.concat(argv, " "))
    return r
  end

  local function last_run()
    local names = {}
    for _, path in ipairs(fs.walk(bench.state .. "/runs")) do
      names[#names + 1] = path:match("^([^/]+)/journal.jsonl$")
    end
    table.sort(names)
    return assert(names[#names], "no run was made")
  end

  -- What is run of each command that pai lists.
  local COMMANDS <const> = {
    run = function()
      for _, how in ipairs(HOW) do
        for _, json in ipairs({ false, true }) do
          local argv = { "run", "./leaky.lua", "how=" .. how, "--yes" }
          argv[#argv + 1] = json and "--json" or nil
          local r = run(argv)
          local text = (r.stdout or "") .. (r.stderr or "")
          assert.is_truthy(text:find("%*%*%*"), how .. ": nothing was masked: " .. text)
        end
      end
    end,
    plan = { { "plan", "./leaky.lua" }, { "plan", "./leaky.lua", "--json" } },
    check = { { "check", "./leaky.lua" }, { "check", "./leaky.lua", "--json" } },
    resume = function()
      run({ "run", "./leaky.lua", "how=fail", "--yes" })
      run({ "resume", last_run(), "--yes" })
    end,
    list = { { "list" }, { "list", "--json" } },
    show = { { "show", "./leaky.lua" }, { "show", "./leaky.lua", "--json" } },
    preflight = { { "preflight", "leak" }, { "preflight", "leak", "--json" } },
    verify = { { "verify", "leak" }, { "verify", "leak", "--json" } },
    deploy = { { "deploy", "leak", "--allow-dirty" }, { "deploy", "leak", "--json" } },
    teardown = { { "teardown", "leak", "--yes" }, { "teardown", "leak" } },
    mcp = function()
      local said = {}
      run({ "mcp", "--allow-dirty" }, function(proc)
        local text, calls = agent()
        assert(proc:write(text))
        while calls > 0 do
          local line, e = proc:read_line("20ms")
          assert(
            line or type(e) == "table" and e.code == "ETIMEDOUT",
            "it ended before its answers"
          )
          look(proc.pid)
          said[#said + 1] = line
          calls = calls - (line and line:find('"id":', 1, true) and 1 or 0)
        end
        proc:close_stdin()
      end)
      local text = table.concat(said, "\n")
      assert.is_nil(holds(text), "pai mcp: standard output")
      assert.is_truthy(text:find("leaky_run", 1, true))
      assert.is_truthy(text:find("***", 1, true))
    end,
    completions = { { "completions", "bash" }, { "__complete", "--", "run", "./leaky.lua", "" } },
    skill = { { "skill", "export", "leaky", "--out", "skills" } },
    secret = function()
      run({ "secret", "list" })
      run({ "secret", "check", "CANARY", "--json" })
      -- It is refused, but its own arguments are the caller's doing.
      local bare = { "secret", "set", "CANARY", CANARY }
      look_at_streams({ "secret", "set", "CANARY" }, bench:pai(bare))
      run({ "secret", "set", "OTHER" }, function(proc)
        assert(proc:write("x" .. CANARY .. "\n"))
        proc:close_stdin()
      end)
      run({ "secret", "rm", "OTHER", "--yes" })
    end,
    scan = {
      { "scan", "shown" },
      { "scan", "shown", ".env", "--json" },
      { "scan", "shown", "--sarif" },
    },
    k8s = {
      { "k8s", "contexts", "--kubeconfig", "./shown" },
      { "k8s", "get", "pods", "--kubeconfig", "./shown" },
      { "k8s", "apply", "--context", "none", "./shown" },
    },
    runs = function()
      run({ "runs" })
      run({ "runs", "show", last_run() })
      run({ "runs", "show", last_run(), "--json" })
      run({ "runs", "report", last_run() })
      run({ "runs", "prune" })
    end,
    ui = function()
      run({ "ui", "--json" }, function(proc)
        local url = require("pai.json").decode((assert(proc:read_line("30s")))).url
        local base, token = url:match("^(.-)/%?token=(%x+)$")
        for _, path in ipairs({ "/api/runs", "/api/run?run=" .. last_run() }) do
          local r = assert(require("pai.http").request({ url = base .. path, bearer = token }))
          assert.is_nil(holds(r.body), "pai ui: " .. path)
        end
        look(proc.pid)
        proc:kill("SIGINT")
      end)
    end,
    osmo = {
      { "osmo", "list" },
      { "osmo", "validate", "./shown" },
      { "osmo", "submit", "./shown" },
    },
    engine = { { "engine", "start" }, { "engine", "status" }, { "engine", "stop" } },
    exec = {
      { "exec", "--", "cat", "shown" },
      { "exec", "--json", "--", "cat", "shown" },
      { "exec", "--", "sh", "-c", "cat shown >&2; env; kill -ABRT $$" },
      { "exec", "--", "sh", "-c", ". ./.env; echo $CANARY; no-such-program $CANARY" },
    },
    lua = {
      { "lua", "script.lua" },
      { "lua", "script.lua", "thread" },
      { "lua", "script.lua", "value" },
    },
    new = { { "new", "recipe", "fresh" }, { "new", "component", "fresh-box", "--json" } },
    lint = { { "lint", "./leaky.lua" }, { "lint", "./broken.lua" } },
    test = { { "test", "tests" } },
    doctor = { { "doctor" }, { "doctor", "--json" } },
    version = { { "version" } },
    help = { { "help" }, { "help", "run" } },
  }

  local function listed()
    local names = {}
    for line in bench:pai({ "help" }).stdout:match("\n\n(.-)\n\n"):gmatch("[^\n]+") do
      names[#names + 1] = line:match("^  (%l[%l%d-]*)  ")
    end
    assert.is_true(#names > 10)
    return names
  end

  it("is told by this test's own eyes", function()
    for i, text in ipairs(SHOWN) do
      assert.is_truthy(holds(text), "form " .. i)
    end
    assert.is_nil(holds("nothing " .. CANARY:sub(1, 10)))
  end)

  it("comes out of no command", function()
    for _, name in ipairs(listed()) do
      local commands = COMMANDS[name]
      assert.is_truthy(commands, "pai " .. name .. " is not known here: add it to COMMANDS")
      if type(commands) == "function" then
        commands()
      else
        for _, argv in ipairs(commands) do
          run(argv)
        end
      end
    end
    assert.is_true(looked > 100)
    assert.is_true(seen.sink, "the program that was given the secret was not looked at")
    assert.is_true(seen.other, "the program that was not given it was not looked at")
  end)

  it("is in no file", function()
    local own = { [".env"] = true, ["shown"] = true, ["lines"] = true }
    local count = 0
    for _, root in ipairs({ bench.dir, bench.state }) do
      for _, path in ipairs(fs.walk(root)) do
        if not (root == bench.dir and own[path]) then
          count = count + 1
          assert.is_nil(holds(path), "the name of a file")
          assert.is_nil(holds(read(root .. "/" .. path)), path)
        end
      end
    end
    assert.is_true(count > 40)
    assert.is_false(fs.exists(bench.dir .. "/out.txt"))
  end)
end)
