-- What the specs of pai.http share: tests in a task with a folder of their own, servers, secrets.
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local http = require("pai.http")
local json = require("pai.json")
local secret = require("pai.secret")
local serve = require("pai.serve")
local task = require("pai.task")

local M = {}

-- A test that runs in a task, with a folder of its own.
function M.it_runs(title, fn)
  it(title, function()
    M.dir = fs.tempdir({ prefix = "pai-http" })
    local ok, err = pcall(task.run, fn)
    fs.remove(M.dir, { recursive = true })
    if not ok then
      error(err, 0)
    end
  end)
end

function M.listen(handler, opts)
  opts = opts or {}
  opts.handler = handler
  local srv = assert(serve.listen(opts))
  return srv, "http://127.0.0.1:" .. srv:port()
end

function M.echo(req)
  return { json = { method = req.method, path = req.path, headers = req.headers, body = req.body } }
end

function M.new_secret(value)
  local path = fs.join(M.dir, "secret-" .. crypto.hex(4))
  fs.write(path, value, { mode = 384 })
  return assert(secret.from_file(path))
end

function M.failure(opts)
  local r, err = http.request(opts)
  assert.is_nil(r)
  assert.is_table(err)
  return err
end

-- A server that sends these pieces to every client, `pause` seconds after each, and then
-- closes. Gives its URL and its process, which dies with pai at the latest.
function M.raw_server(pieces, pause)
  local script = [[
import json, socket, sys, time
pieces, pause = json.load(sys.stdin), float(sys.argv[1])
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(50)
print(s.getsockname()[1], flush=True)
while True:
    c, _ = s.accept()
    try:
        c.recv(65536)
        for p in pieces:
            c.sendall(p.encode("latin-1"))
            time.sleep(pause)
    except OSError:
        pass
    c.close()
]]
  local argv = { "/usr/bin/python3", "-c", script, tostring(pause or 0) }
  local proc = assert(exec.start(argv, { stdin = json.encode(pieces) }))
  local port = assert(proc:read_line("10s"))
  return "http://127.0.0.1:" .. port, proc
end

return M
