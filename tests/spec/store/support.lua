-- What the specs of pai.store share: a folder, keys that are made at run time, real servers and a
-- proxy before them that answers, slows down and cuts off as it is told.
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local s3_sign = require("pai.store.s3_sign")
local http = require("pai.http")
local json = require("pai.json")
local secret = require("pai.secret")
local serve = require("pai.serve")
local store = require("pai.store")
local task = require("pai.task")

local net = assert(loadfile(pai.root .. "/tests/peers/net.lua", "t", _ENV))()

local M = {}

---Declares a test that runs in a task, with a folder of its own and no settings of the caller's.
function M.it_runs(title, fn)
  it(title, function()
    M.dir = fs.tempdir({ prefix = "pai-store" })
    require("pai.state").set(M.dir .. "/state")
    local ok, e = pcall(task.run, fn)
    fs.remove(M.dir, { recursive = true })
    if not ok then
      error(e, 0)
    end
  end)
end

function M.path(name)
  return fs.join(M.dir, name)
end

function M.write(name, text)
  local path = M.path(name)
  assert(fs.mkdir(fs.dirname(path), { parents = true }))
  assert(fs.write(path, text, { sync = false }))
  return path
end

function M.handle(value)
  local path = M.path("secret-" .. crypto.hex(4))
  assert(fs.write(path, value, { mode = 384 }))
  return assert(secret.from_file(path))
end

---A file of so many bytes that differ from part to part.
function M.big(name, size)
  local block = crypto.random(1 << 20)
  local path = M.path(name)
  assert(fs.mkdir(fs.dirname(path), { parents = true }))
  assert(fs.write(path, "", { sync = false }))
  local at = 0
  while at < size do
    local text = ("%016d"):format(at) .. block:sub(17)
    assert(fs.append(path, text:sub(1, math.min(#text, size - at))))
    at = at + #text
  end
  return path
end

---The SHA-256 of a file.
function M.sum(path)
  return assert(crypto.file_sha256(path))
end

M.free_port = net.free_ports

---Ends a server that `M.s3` and the like started.
function M.stop(server)
  task.run(function()
    server.proc:kill("KILL")
    server.proc:wait("10s")
    fs.remove(server.dir, { recursive = true })
  end)
end

---An S3 server that checks signatures, with a bucket named "bucket".
---@return table server {url, id, key (text), keys (for pai.store), proc, dir}
function M.s3()
  local dir = fs.tempdir({ prefix = "pai-s3" })
  local id, key = "ID" .. crypto.hex(8):upper(), crypto.hex(20)
  local peer = pai.root .. "/tests/peers/store/s3.js"
  local proc = assert(exec.start({ "node", "--openssl-legacy-provider", peer }, {
    stdin = json.encode({ dir = dir, buckets = { "bucket", "other" }, id = id, key = key }),
  }))
  local port = assert(proc:read_line("120s"), "the S3 server did not start")
  return { url = "http://127.0.0.1:" .. port, id = id, key = key, proc = proc, dir = dir }
end

---OpenStack Swift with its S3 API, which checks signatures, and a container named "bucket". The
---account is AUTH_test; `virtual` is its address where the bucket's name stands in the host's.
---@param region string? the only one that it takes (us-east-1)
---@param domains string[]? hosts below which names of buckets are looked for (store.localhost)
---@return table server as of M.s3
function M.swift(region, domains)
  local dir = fs.tempdir({ prefix = "pai-swift" })
  local id, key = "test:AUTH_test", crypto.hex(20)
  local peer = pai.root .. "/tests/peers/store/openstack.py"
  local proc = assert(exec.start({ "/usr/bin/python3", peer }, { stdin = "pipe" }))
  assert(proc:write(json.encode({
    dir = dir,
    buckets = { "bucket" },
    id = id,
    key = key,
    region = region,
    domain = table.concat(domains or { "store.localhost" }, ","),
  }) .. "\n"))
  local port = assert(proc:read_line("120s"), "Swift did not start")
  return {
    url = "http://127.0.0.1:" .. port,
    virtual = "http://store.localhost:" .. port,
    port = port,
    id = id,
    key = key,
    proc = proc,
    dir = dir,
  }
end

---Keys of an S3 server for pai.store.
function M.keys(server, url)
  return {
    access_key_id = server.id,
    access_key = M.handle(server.key),
    override_url = url or server.url,
    region = "us-east-1",
  }
end

---Azurite with an account whose key is made here.
---@param opts {oauth: boolean?}? oauth: over TLS, where it takes tokens, too
function M.azurite(opts)
  local dir = fs.tempdir({ prefix = "pai-azurite" })
  local account, key = "pai" .. crypto.hex(4), crypto.base64_encode(crypto.random(64))
  local port = net.free_ports()
  local oauth = opts and opts.oauth
  local tls = {}
  if oauth then
    net.certificate(dir)
    tls = { "--oauth", "basic", "--cert", dir .. "/cert.pem", "--key", dir .. "/key.pem" }
  end
  local proc = assert(exec.start({
    pai.root .. "/vendor/npm/node_modules/.bin/azurite-blob",
    "--blobHost",
    "127.0.0.1",
    "--blobPort",
    tostring(port),
    "--location",
    dir,
    "--silent",
    "--skipApiVersionCheck",
    "--disableTelemetry",
    table.unpack(tls),
  }, { env = { AZURITE_ACCOUNTS = account .. ":" .. key }, stdout = "null", stderr = "null" }))
  local server = {
    url = (oauth and "https://localhost:%d/%s" or "http://127.0.0.1:%d/%s"):format(port, account),
    ca_file = oauth and dir .. "/cert.pem" or nil,
    account = account,
    key = key,
    proc = proc,
    dir = dir,
  }
  for _ = 1, 1200 do
    if http.request({ url = server.url, ca_file = server.ca_file, accept = "any" }) then
      return server
    end
    task.sleep(100)
  end
  error("Azurite did not start")
end

---The connection string of an account.
function M.connection(server, url)
  return ("DefaultEndpointsProtocol=http;AccountName=%s;AccountKey=%s;BlobEndpoint=%s"):format(
    server.account,
    server.key,
    url or server.url
  )
end

-- The target of a request as pai.store writes it: the server of these tests gives it decoded.
local function target_of(req)
  local query = {}
  for name, values in pairs(req.query) do
    query[name] = values[1]
  end
  local text = s3_sign.query(query)
  return s3_sign.encode(req.path, true) .. (text ~= "" and "?" .. text or "")
end

---A proxy before a server. `plan(req)` may answer in place of the server, or return a function that
---makes the answer of the server's; req.n counts from 1.
---@return table proxy {url, seen, srv}
function M.proxy(target, plan)
  local proxy = { seen = {}, n = 0 }
  proxy.srv = assert(serve.listen({
    max_body = 64 << 20,
    handler = function(req)
      proxy.n = proxy.n + 1
      req.n = proxy.n
      proxy.seen[#proxy.seen + 1] = req.method .. " " .. req.path
      local answer = plan(req)
      if type(answer) == "table" then
        return answer
      end
      local headers = {}
      for name, value in pairs(req.headers) do
        if name ~= "host" and name ~= "content-length" and name ~= "connection" then
          headers[name] = value
        end
      end
      headers.host = req.headers.host
      local r, e = http.request({
        url = target:match("^https?://[^/]+") .. target_of(req),
        method = req.method,
        headers = headers,
        body = (req.body ~= "" or req.method == "PUT" or req.method == "POST") and req.body or nil,
        accept = "any",
        timeout = "2m",
      })
      if not r then
        return { status = 502, body = e.message }
      end
      r.headers["content-length"], r.headers["transfer-encoding"] = nil, nil
      r.headers.connection, r.headers.date = nil, nil
      local whole = { status = r.status, headers = r.headers, body = r.body }
      return answer and answer(whole) or whole
    end,
  }))
  proxy.url = "http://127.0.0.1:" .. proxy.srv:port()
  return proxy
end

---Opens a path of the bucket of an S3 server through a proxy.
---@return pai.store.Store store
---@return table proxy
function M.through(server, plan, path, more)
  local proxy = M.proxy(server.url, plan)
  local opts = { keys = M.keys(server, proxy.url), parallel = 1, retry_wait_ms = 1 }
  for name, value in pairs(more or {}) do
    opts[name] = value
  end
  return assert(store.open("s3://bucket/" .. path, opts)), proxy
end

---The same without one.
function M.direct(server, path)
  return assert(store.open("s3://bucket/" .. path, { keys = M.keys(server) }))
end

---For `plan`: an answer that ends after so many bytes, when `before_end` has returned.
function M.cut_after(bytes, before_end)
  return function(whole)
    return {
      status = 206,
      headers = whole.headers,
      stream = function(w)
        w:write(whole.body:sub(1, bytes))
        if before_end then
          before_end()
        end
        error("cut off")
      end,
    }
  end
end

---The error of a call that must fail; none of the secrets is in it.
function M.failure(secrets, r, e)
  assert.is_nil(r)
  for _, value in ipairs(secrets) do
    assert.is_nil((e.message .. (e.hint or "")):find(value, 1, true))
  end
  return e
end

return M
