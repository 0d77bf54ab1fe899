-- What happens in the middle of a transfer: the key expires, the file changes, the disk fills, the
-- connection is cut or goes silent, the store asks for patience.
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local pai = require("pai")
local store = require("pai.store")
local task = require("pai.task")

local help = assert(loadfile(pai.root .. "/tests/spec/store/support.lua", "t", _ENV))()
local it_runs = help.it_runs

local MiB <const> = 1 << 20

local server

local function through(...)
  return help.through(server, ...)
end

local function direct(path)
  return help.direct(server, path)
end

local function failure(r, e)
  return help.failure({ server.key }, r, e)
end

local function is_part(req)
  return req.method == "PUT" and req.query.partNumber ~= nil
end

local EXPIRED <const> = { status = 400, body = "<Error><Code>ExpiredToken</Code></Error>" }

local function config(url, key, token)
  local entry = { access_key_id = server.id, access_key = key, session_token = token }
  entry.override_url = url
  help.write("conf/config.yaml", json.encode({ auth = { data = { ["s3://bucket"] = entry } } }))
  assert(fs.chmod(help.path("conf/config.yaml"), 384))
end

local function run(argv, more)
  local env = { OSMO_CONFIG_FILE_DIR = help.path("conf"), PAI_STATE = help.path("state") }
  env.HOME = help.dir
  for name, value in pairs(more or {}) do
    env[name] = value
  end
  return assert(exec.run(argv, { env = env, timeout = "5m", accept = "any" }))
end

local function data(...)
  return run({ pai.exe, "osmo", "data", ... })
end

describe("in the middle of a transfer", function()
  setup(function()
    server = task.run(help.s3)
  end)
  teardown(function()
    help.stop(server)
  end)

  it_runs("the key expires: what has arrived is kept for a new one", function()
    local path = help.big("file", 41 * MiB) -- 6 parts
    local expired, parts, given_up = true, 0, false
    local s, proxy = through(function(req)
      given_up = given_up or req.method == "DELETE"
      if is_part(req) then
        parts = parts + 1
        return expired and parts > 3 and EXPIRED or nil
      elseif req.method == "GET" and req.headers.range then
        parts = parts + 1
        return expired and parts > 3 and EXPIRED or nil
      end
    end, "expired")
    local e = failure(s:upload({ path }))
    assert.same({ "EACCES", "ExpiredToken", false }, { e.code, e.store_code, given_up })
    assert.matches("with a new key the same command goes on", e.hint)
    expired, parts = false, 0
    assert.equal(17 * MiB, assert(s:upload({ path })).moved)
    assert.equal(3, parts)
    expired, parts = true, 0
    e = failure(s:download(help.path("out")))
    assert.equal("EACCES", e.code)
    assert.matches("with a new key", e.hint)
    expired, parts = false, 0
    assert(s:download(help.path("out")))
    assert.equal(3, parts)
    assert.equal(help.sum(path), help.sum(help.path("out/file")))
    proxy.srv:close()
  end)

  it_runs("the key expires, and its file has a new one by then", function()
    local path = help.big("file", 41 * MiB)
    local old, new = crypto.hex(30), crypto.hex(30)
    local parts, refused, tokens = 0, 0, {}
    local proxy
    proxy = help.proxy(server.url, function(req)
      local token = req.headers["x-amz-security-token"]
      tokens[#tokens + 1] = token
      if is_part(req) then
        parts = parts + 1
        if parts == 4 then -- whatever hands out keys has done so
          config(proxy.url, server.key, new)
        end
        if parts >= 4 and token == old then
          refused = refused + 1
          return EXPIRED
        end
      end
    end)
    config(proxy.url, server.key, old)
    local r = data("upload", "s3://bucket/renewed", path, "--json")
    assert.equal(0, r.code, r.stderr)
    assert.is_true(refused > 0)
    assert.same({ old, new }, { tokens[1], tokens[#tokens] })
    for _, value in ipairs({ old, new }) do
      assert.is_nil((r.stdout .. r.stderr):find(value, 1, true))
    end
    assert(direct("renewed"):download(help.path("out")))
    assert.equal(help.sum(path), help.sum(help.path("out/file")))
    -- the same key again is not tried again
    refused = 0
    config(proxy.url, server.key, old)
    parts = 4
    r = data("upload", "s3://bucket/renewed", path, "--parallel", "1")
    assert.equal(1, r.code)
    assert.equal(1, refused)
    assert.matches("the session has expired", r.stderr)
    proxy.srv:close()
  end)

  it_runs("the file changes: the upload fails, and parts are not put together", function()
    for name, size in pairs({ small = MiB, large = 25 * MiB }) do
      local path = help.big(name, size)
      local s, proxy = through(function(req)
        if req.method == "PUT" then
          assert(fs.append(path, "more"))
        end
      end, "changing")
      local e = failure(s:upload({ path }))
      assert.equal("ECHANGED", e.code)
      assert.matches(path .. " has changed", e.message, 1, true)
      assert.same({}, fs.list(help.path("state/uploads")) or {})
      if name == "large" then
        assert.is_false((direct("changing/large"):exists()))
      end
      proxy.srv:close()
      -- it becomes shorter
      help.big(name, size)
      s, proxy = through(function(req)
        if req.method == "PUT" then
          assert(fs.write(path, "short", { sync = false }))
        end
      end, "shorter")
      e = failure(s:upload({ path }))
      assert.equal("ECHANGED", e.code)
      proxy.srv:close()
    end
  end)

  -- A shell that fills its disk in memory when the store has been asked for the first part.
  local FILL <const> = [[
"$@" &
while [ ! -e MARK/asked ]; do sleep 0.05; done
head -c 20000000 /dev/zero >/mnt/fill 2>/dev/null
touch MARK/full
wait $!
code=$?
ls /mnt
[ $code = 1 ] || exit 99
rm /mnt/fill
"$@" && sha256sum </mnt/out/file
]]

  it_runs("the disk fills up: it is said, nothing has a name, and it goes on later", function()
    local path = help.big("file", 9 * MiB)
    assert(direct("full"):upload({ path }))
    local gets = 0
    local proxy = help.proxy(server.url, function(req)
      if req.method == "GET" and req.headers.range then
        gets = gets + 1
        help.write("asked", "")
        for _ = 1, 6000 do
          if fs.exists(help.path("full")) then
            break
          end
          task.sleep(10)
        end
      end
    end)
    config(proxy.url, server.key)
    -- Runs the script with a disk of so many bytes at /mnt; its arguments are a download to there.
    local function with_disk(size, script)
      local argv =
        { "bwrap", "--die-with-parent", "--dev-bind", "/", "/", "--size", tostring(size) }
      for _, word in ipairs({ "--tmpfs", "/mnt", "--", "sh", "-c", script, "sh", pai.exe }) do
        argv[#argv + 1] = word
      end
      local url = "s3://bucket/full/"
      for _, word in ipairs({ "osmo", "data", "download", url, "/mnt/out", "--parallel", "1" }) do
        argv[#argv + 1] = word
      end
      return run(argv)
    end
    local r = with_disk(12 * MiB, (FILL:gsub("MARK", help.dir)))
    assert.equal(0, r.code, r.stdout .. r.stderr)
    assert.matches("No space left on device", r.stderr)
    assert.matches(help.sum(path), r.stdout, 1, true)
    assert.is_true(gets <= 4, gets) -- a full disk is no reason to ask again
    -- too little from the beginning on: nothing is asked for
    gets = 0
    r = with_disk(5 * MiB, '"$@"; ls /mnt')
    assert.matches("has room for %d+ bytes, 9437184 are to come", r.stderr)
    assert.same({ "", 0 }, { r.stdout, gets })
    proxy.srv:close()
  end)

  -- Passes bytes on to the server, but on the first N connections cuts off what is sent.
  local CUTTER <const> = [[
import socket, sys, threading
to, cut, after = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
door = socket.create_server(("127.0.0.1", 0))
print(door.getsockname()[1], flush=True)
def pump(a, b, limit):
    seen = 0
    try:
        while data := a.recv(65536):
            seen += len(data)
            if limit and seen > limit:
                break
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
while True:
    a, _ = door.accept()
    b = socket.create_connection(("127.0.0.1", to))
    cut -= 1
    limit = after if cut >= 0 else 0
    threading.Thread(target=pump, args=(a, b, limit), daemon=True).start()
    threading.Thread(target=pump, args=(b, a, 0), daemon=True).start()
]]

  it_runs("the connection is cut while bytes go up: they are sent again", function()
    local path = help.big("file", 20 * MiB)
    local port = server.url:match("%d+$")
    local cutter =
      assert(exec.start({ "/usr/bin/python3", "-c", CUTTER, port, "3", tostring(2 * MiB) }))
    local url = "http://127.0.0.1:" .. assert(cutter:read_line("60s"))
    local opts = { keys = help.keys(server, url), parallel = 2, retry_wait_ms = 1 }
    local s = assert(store.open("s3://bucket/cutup", opts))
    assert(s:upload({ path }))
    assert(direct("cutup"):download(help.path("out")))
    assert.equal(help.sum(path), help.sum(help.path("out/file")))
    cutter:kill("KILL")
    cutter:wait("10s")
  end)

  it_runs("nothing comes any more: the rest is asked for again", function()
    local path = help.big("file", 3 * MiB)
    assert(direct("stall"):upload({ path }))
    local over, gets = task.event(), 0
    local s, proxy = through(function(req)
      if req.method ~= "GET" or not req.headers.range then
        return
      end
      gets = gets + 1
      return gets == 1 and help.cut_after(MiB, function()
        over:wait()
      end) or nil
    end, "stall/")
    s.driver.wire.stall = 1000
    local seen = {}
    assert(s:download(help.path("out"), {
      on_progress = function(p)
        seen[p.bytes] = true
      end,
    }))
    over:set()
    assert.is_true(seen[MiB], "what has come of a part is told of")
    assert.equal(2, gets)
    assert.equal(help.sum(path), help.sum(help.path("out/file")))
    proxy.srv:close()
  end)

  it_runs("the store is away: OSMO_S3_TIMEOUT says how long that may be", function()
    local asked = 0
    local proxy = help.proxy(server.url, function()
      asked = asked + 1
      return asked <= 2 and { status = 503 } or nil
    end)
    config(proxy.url, server.key)
    local argv = { pai.exe, "osmo", "data", "list", "s3://bucket/away/" }
    local more = { OSMO_S3_MAX_RETRY_COUNT = "0" }
    local r = run(argv, more)
    assert.same({ 1, 1 }, { r.code, asked })
    more.OSMO_S3_TIMEOUT, asked = "5m", 0
    r = run(argv, more)
    assert.same({ 0, 3 }, { r.code, asked }, r.stderr)
    proxy.srv:close()
  end)

  it_runs("the store asks for patience: it is given what it asked for, within reason", function()
    local pauses, sleep = {}, task.sleep
    local values = { "7", "3600", os.date("!%a, %d %b %Y %H:%M:%S GMT", os.time() + 30), "soon" }
    local s, proxy = through(function(req)
      local after = values[req.n]
      return after
        and {
          status = 429,
          headers = { ["retry-after"] = after },
          body = "<Error><Code>SlowDown</Code></Error>",
        }
    end, "patience/")
    local me = coroutine.running()
    task.sleep = function(ms) -- luacheck: ignore
      if coroutine.running() ~= me then
        return sleep(ms)
      end
      pauses[#pauses + 1] = ms
    end
    local ok, e = pcall(s.list, s)
    task.sleep = sleep -- luacheck: ignore
    assert(ok, e)
    assert.same({ 7000, 60000 }, { pauses[1], pauses[2] })
    assert.is_true(pauses[3] > 7000 and pauses[3] <= 30000, pauses[3])
    assert.is_true(pauses[4] < 1000, pauses[4])
    proxy.srv:close()
  end)
end)
