-- From kubeconfig files to a server that checks certificates.
local exec = require("pai.exec")
local fs = require("pai.fs")
local task = require("pai.task")

local dir, peer, port

local function openssl(...)
  assert(exec.run({ "openssl", ... }, { cwd = dir, timeout = "60s" }))
end

local function certificate(name, subject, extension)
  assert(fs.write(dir .. "/" .. name .. ".ext", extension))
  local key, csr = name .. ".key", name .. ".csr"
  openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", key, "-out", csr)
  local ca = { "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial" }
  local argv = { "x509", "-req", "-days", "2", "-in", csr, "-out", name .. ".crt" }
  table.move(ca, 1, #ca, #argv + 1, argv)
  table.move({ "-extfile", name .. ".ext" }, 1, 2, #argv + 1, argv)
  openssl(table.unpack(argv))
end

setup(function()
  task.run(function()
    dir = assert(fs.tempdir({ prefix = "pai-k8s" }))
    local out = { "-keyout", "ca.key", "-out", "ca.crt" }
    local argv = { "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2" }
    table.move({ "-subj", "/CN=test-ca" }, 1, 2, #argv + 1, argv)
    table.move(out, 1, 4, #argv + 1, argv)
    openssl(table.unpack(argv))
    certificate("server", "/CN=server", "subjectAltName=DNS:api.test,IP:127.0.0.1\n")
    certificate("jane", "/CN=jane", "extendedKeyUsage=clientAuth\n")
    peer = assert(exec.start({ "node", pai.root .. "/tests/spec/k8s/tls_peer.js", dir }))
    port = assert(peer:read_line("60s"))
  end)
end)

teardown(function()
  task.run(function()
    peer:stop()
    fs.remove(dir, { recursive = true })
  end)
end)

local function config(name, cluster, user, more)
  local path = dir .. "/" .. name
  assert(fs.write(
    path,
    ([[
apiVersion: v1
kind: Config
current-context: ctx
clusters: [{name: c, cluster: {server: "https://127.0.0.1:%s"%s}}]
users: [{name: u, user: %s}]
contexts: [{name: ctx, context: {cluster: c, user: u, namespace: team}}]
%s]]):format(port, cluster, user or "{}", more or ""),
    { mode = "0600" }
  ))
  return path
end

local function connect(path, opts)
  opts = opts or {}
  opts.kubeconfig = path
  return require("pai.k8s.client").connect(opts)
end

local function it_runs(title, fn)
  it(title, function()
    task.run(fn)
  end)
end

local function base64(name)
  return (require("pai.crypto").base64_encode(assert(fs.read(dir .. "/" .. name))))
end

describe("a client certificate", function()
  it_runs("comes from files beside the kubeconfig", function()
    local c = assert(
      connect(
        config(
          "files",
          ", certificate-authority: ca.crt",
          "{client-certificate: jane.crt, client-key: jane.key}"
        )
      )
    )
    assert.same({ "ctx", "team" }, { c.context, c.namespace })
    local seen = assert(c:version())
    assert.same({ true, "jane" }, { seen.authorized, seen.user })
  end)

  it_runs("comes from the kubeconfig itself, and its key is a handle", function()
    local c = assert(
      connect(
        config(
          "data",
          ", certificate-authority-data: " .. base64("ca.crt"),
          ("{client-certificate-data: %s, client-key-data: %s}"):format(
            base64("jane.crt"),
            base64("jane.key")
          )
        )
      )
    )
    assert.same({ true, "jane" }, { c:version().authorized, c:version().user })
    assert.equal("userdata", type(c.target.request.tls.key))
  end)

  it_runs("that cannot be read is an error before anything is sent", function()
    local path = config(
      "broken",
      ", certificate-authority: ca.crt",
      "{client-certificate: server.crt, client-key: ca.crt}"
    )
    local _, e = assert(connect(path)):version()
    assert.same({ "ENETWORK", false }, { e.code, e.retryable })
    path = config("half", "", "{client-certificate: jane.crt}")
    _, e = connect(path)
    assert.truthy(e.message:find("without its key", 1, true))
    path = config("nokey", "", "{client-certificate: jane.crt, client-key: none.key}")
    _, e = connect(path)
    assert.truthy(e.message:find("client-key of the user 'u'", 1, true))
  end)
end)

describe("the server's certificate", function()
  it_runs("is checked against the CA of the kubeconfig", function()
    local c = assert(connect(config("noca", "")))
    local value, e = c:version()
    assert.is_nil(value)
    assert.is_true(e.tls)
    assert.truthy(e.hint:find("certificate authority", 1, true))
  end)

  it_runs("is not checked only where the file says so, and that is known", function()
    local c = assert(connect(config("insecure", ", insecure-skip-tls-verify: true")))
    assert.is_true(c.target.insecure)
    assert(c:version())
    local _, e =
      connect(config("both", ", insecure-skip-tls-verify: true, certificate-authority: ca.crt"))
    assert.equal("EPARSE", e.code)
  end)

  it_runs("may have another name: tls-server-name", function()
    local ca = ", certificate-authority: ca.crt, tls-server-name: "
    local seen = assert(assert(connect(config("name", ca .. "api.test"))):version())
    assert.same({ "api.test", "127.0.0.1:" .. port }, { seen.sni, seen.host })
    local _, e = assert(connect(config("wrong", ca .. "other.test"))):version()
    assert.is_true(e.tls)
  end)
end)

describe("a kubeconfig", function()
  it_runs("is merged from a list, the first file wins, and missing ones are passed over", function()
    local kubeconfig = require("pai.k8s.kubeconfig")
    config("one", ", certificate-authority: ca.crt")
    local other = dir .. "/two"
    assert(fs.write(
      other,
      [[
current-context: second
clusters:
- {name: c, cluster: {server: "https://other"}}
- {name: d, cluster: {server: "https://d"}}
contexts: [{name: second, context: {cluster: d}}]
]]
    ))
    local list = table.concat({ dir .. "/absent", dir .. "/one", other }, ":")
    local script = dir .. "/merged.lua"
    assert(fs.write(
      script,
      [[
local config = assert(require("pai.k8s.kubeconfig").load())
print(config.current, config.clusters.c.server, config.clusters.d.server, #config.files)
]]
    ))
    local res = assert(exec.run({ pai.exe, "lua", script }, { env = { KUBECONFIG = list } }))
    assert.equal(("ctx\thttps://127.0.0.1:%s\thttps://d\t2\n"):format(port), res.stdout)
    local loaded = assert(kubeconfig.load(other))
    local _, e = kubeconfig.context(loaded, "secnd")
    assert.truthy(e.message:find("did you mean 'second'", 1, true))
    assert.equal("default", assert(kubeconfig.context(loaded, "second")).namespace)
  end)

  it_runs("that is damaged says where", function()
    local path = dir .. "/damaged"
    local ftp = "clusters: [{name: c, cluster: {server: 'ftp://x'}}]\n"
    for text, code in pairs({
      ["a: [\nb"] = "EPARSE",
      ["- 1"] = "EPARSE",
      ["clusters: 1"] = "EPARSE",
      ["clusters: [{cluster: {}}]"] = "EPARSE",
      ["contexts: [{name: x, context: {cluster: none}}]\ncurrent-context: x"] = "EUSAGE",
      [ftp .. "contexts: [{name: x, context: {cluster: c}}]\ncurrent-context: x"] = "EPARSE",
    }) do
      assert(fs.write(path, text))
      local c, e = connect(path)
      assert.same({ nil, code, text }, { c, e and e.code, text })
    end
    local _, e = connect(dir .. "/nowhere")
    assert.equal("ENOENT", e.code)
  end)
end)

describe("in a pod", function()
  it_runs("the service account is used", function()
    local sa = dir .. "/sa"
    fs.mkdir(sa)
    fs.write(sa .. "/ca.crt", assert(fs.read(dir .. "/ca.crt")))
    local token = require("pai.crypto").hex(16)
    fs.write(sa .. "/token", token, { mode = "0600" })
    fs.write(sa .. "/namespace", "team-a\n")
    local c = assert(connect(dir .. "/one", {
      context = "in-cluster",
      service_account = sa,
      service_host = "127.0.0.1",
      service_port = port,
    }))
    assert.same({ "in-cluster", "team-a" }, { c.context, c.namespace })
    assert.equal("Bearer " .. token, assert(c:version()).token)
    local _, e = connect(dir .. "/one", { context = "in-cluster", service_account = dir .. "/no" })
    assert.truthy(e.message:find("no pod of a cluster", 1, true))
  end)
end)

describe("an exec plugin", function()
  local function plugin(script, more)
    assert(fs.write(dir .. "/plugin", "#!/bin/sh\n" .. script, { mode = "0755" }))
    return config(
      "exec",
      ", certificate-authority: ca.crt",
      ("{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./plugin, %s}}"):format(
        more or "args: [login], env: [{name: PART, value: partpartpart}]"
      )
    )
  end
  local function answer(fields)
    return (
      [[printf '{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1",]]
      .. [["status":{%s}}'
]]
    ):format(fields)
  end

  it_runs("gives a token, once until it ends", function()
    local c = assert(
      connect(
        plugin(
          [[
echo run >>]]
            .. dir
            .. [[/runs
]]
            .. answer([["token":"%s-%s","expirationTimestamp":"2199-01-01T00:00:00Z"]]):gsub(
              "'\n$",
              '\' "$PART" "$1"\n'
            )
        )
      )
    )
    assert.equal("Bearer partpartpart-login", assert(c:version()).token)
    assert(c:version())
    assert.equal("run\n", assert(fs.read(dir .. "/runs")))
  end)

  it_runs("is run again when its token has ended", function()
    fs.write(dir .. "/runs", "")
    local c = assert(
      connect(
        plugin(
          "echo run >>"
            .. dir
            .. "/runs\n"
            .. answer([["token":"tokentoken","expirationTimestamp":"2001-01-01T00:00:00Z"]])
        )
      )
    )
    assert(c:version())
    assert(c:version())
    assert.equal("run\nrun\n", assert(fs.read(dir .. "/runs")))
  end)

  it_runs("may give a certificate", function()
    local c = assert(connect(plugin(([[
/usr/bin/python3 - <<'END'
import json
read = lambda name: open("%s/" + name).read()
print(json.dumps({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1",
  "status": {"clientCertificateData": read("jane.crt"), "clientKeyData": read("jane.key")}}))
END
]]):format(dir))))
    assert.equal("jane", assert(c:version()).user)
  end)

  it_runs("that fails or prints nonsense is an error that names it", function()
    local _, e = assert(connect(plugin("echo please log in >&2; exit 3"))):version()
    assert.equal("EAUTH", e.code)
    assert.truthy(e.message:find("please log in", 1, true))
    for script, part in pairs({
      ["echo hello"] = "printed no ExecCredential",
      ['echo \'{"kind":"ExecCredential","apiVersion":"v1"}\''] = "no ExecCredential of",
      [answer("")] = "gave no token",
      [answer('"clientCertificateData":"x"')] = "gave no token",
    }) do
      local _, why = assert(connect(plugin(script))):version()
      assert.same({ "EPROTO", true }, { why.code, why.message:find(part, 1, true) ~= nil })
    end
    _, e = assert(connect(plugin("true", "interactiveMode: Always"))):version()
    assert.truthy(e.message:find("terminal", 1, true))
  end)
end)
