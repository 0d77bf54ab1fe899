-- pai k8s as a person calls it, against a scripted server.
local api = assert(loadfile(pai.root .. "/tests/spec/k8s/api.lua", "t", _ENV))()
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local shapes = assert(loadfile(pai.root .. "/tests/spec/k8s/shapes.lua", "t", _ENV))()

local PODS <const> = "GET /api/v1/namespaces/default/pods"

local function pai_k8s(s, ...)
  return assert(exec.run({ pai.exe, "k8s", ... }, {
    env = { KUBECONFIG = s.dir .. "/config" },
    accept = "any",
    timeout = "60s",
  }))
end

local function column(name, priority)
  return { name = name, type = "string", priority = priority or 0 }
end

local function rows(all)
  local list = {}
  for i, state in ipairs({ "Running", "Pending", "Running" }) do
    list[i] = { cells = { "pod-" .. i, state, "10.0.0." .. i } }
    if all then
      list[i].object = { metadata = { namespace = "team-" .. i } }
    end
  end
  return list
end

local function tabled(req)
  local all = req.query.includeObject[1] == "Metadata"
  return {
    json = {
      kind = "Table",
      apiVersion = "meta.k8s.io/v1",
      metadata = { resourceVersion = "1" },
      columnDefinitions = { column("Name"), column("Status"), column("IP", 1) },
      rows = rows(all),
    },
  }
end

describe("pai k8s get", function()
  api.it("prints the server's table, filtered, and says which cluster it is", {
    [PODS] = tabled,
    ["GET /api/v1/pods"] = tabled,
  }, function(s)
    local r = pai_k8s(s, "get", "pods")
    assert.same({ 0, "NAME   STATUS\npod-1  Running\npod-2  Pending\npod-3  Running\n" }, {
      r.code,
      r.stdout,
    })
    assert.equal(("context scripted, %s, namespace default\n"):format(s.url), r.stderr)
    r = pai_k8s(s, "get", "po", "--where", "status!=Running", "--wide")
    assert.equal("NAME   STATUS   IP\npod-2  Pending  10.0.0.2\n", r.stdout)
    r = pai_k8s(s, "get", "pods", "--all", "--where", "STATUS=Pending")
    assert.equal("NAMESPACE  NAME   STATUS\nteam-2     pod-2  Pending\n", r.stdout)
    r = pai_k8s(s, "get", "pods", "--where", "COLOR=red")
    assert.same({ 2, "" }, { r.code, r.stdout })
    assert.truthy(r.stderr:find("the columns are Name, Status, IP", 1, true))
  end)

  api.it("prints objects as JSON, whole or picked", {
    [PODS] = shapes.pods({ shapes.pod("a") }, "1"),
    [PODS .. "/a"] = function()
      local pod = shapes.pod("a")
      pod.kind = "Pod"
      return pod
    end,
  }, function(s)
    local doc = assert(json.decode(pai_k8s(s, "get", "pods", "--json").stdout))
    assert.same({ "scripted", s.url, "Pod", 1 }, {
      doc.context,
      doc.server,
      doc.items[1].kind,
      #doc.items,
    })
    local r = pai_k8s(s, "get", "pods", "--json", "--pick", "metadata.name")
    assert.same({ { metadata = { name = "a" } } }, json.decode(r.stdout).items)
    r = pai_k8s(s, "get", "pod/a", "--json", "--pick", "status.phase")
    assert.same({ { status = { phase = "Pending" } } }, json.decode(r.stdout).items)
  end)

  api.it("says what is wrong in the server's words, also as JSON", {
    [PODS] = shapes.forbidden,
  }, function(s)
    local r = pai_k8s(s, "get", "pods")
    assert.equal(1, r.code)
    assert.truthy(r.stderr:find('user "jane" may not list pods', 1, true))
    r = pai_k8s(s, "get", "pods", "--json")
    assert.equal("EHTTP", json.decode(r.stdout).error.code)
    r = pai_k8s(s, "get")
    assert.same({ 2, true }, { r.code, r.stderr:find("missing KIND", 1, true) ~= nil })
    r = pai_k8s(s, "get", "pods", "--context", "scriptd")
    assert.same({ 2, true }, {
      r.code,
      r.stderr:find("did you mean 'scripted'", 1, true) ~= nil,
    })
  end)
end)

describe("pai k8s contexts", function()
  api.it("lists them", {}, function(s)
    local r = pai_k8s(s, "contexts", "--json")
    assert.same({ "scripted", "scripted" }, {
      json.decode(r.stdout).current,
      json.decode(r.stdout).contexts[1].name,
    })
    assert.truthy(pai_k8s(s, "contexts").stdout:find("* *scripted"))
  end)
end)

describe("pai k8s apply", function()
  local path = "/api/v1/namespaces/default/configmaps/c"
  local routes = {
    ["GET /api/v1/namespaces/team"] = shapes.not_found,
    ["PATCH /api/v1/namespaces/team"] = { status = 201, json = shapes.namespace },
    ["GET " .. path] = shapes.not_found,
    ["PATCH " .. path] = function(req)
      return req.query.fieldManager[1] == "other" and shapes.apply_conflict
        or { status = 201, json = { kind = "ConfigMap", metadata = { name = "c" } } }
    end,
  }
  api.it("applies files in the order that they need, and names the context", routes, function(s)
    local file = s.dir .. "/app.yaml"
    assert(fs.write(
      file,
      [[
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {on: "yes"}
---
---
apiVersion: v1
kind: List
items: [{apiVersion: v1, kind: Namespace, metadata: {name: team}}]
]]
    ))
    local r = pai_k8s(s, "apply", file)
    assert.equal(3, r.code)
    assert.truthy(r.stderr:find("USER_INPUT_REQUIRED: --context (one of: scripted", 1, true))
    assert.equal(0, #s.seen)
    r = pai_k8s(s, "apply", "--context", "scripted", file)
    assert.same({ 0, "Namespace team created\nConfigMap c created\n" }, { r.code, r.stdout })
    assert.same({ ["true"] = "yes" }, json.decode(s.seen[4].body).data) -- YAML 1.1, as kubectl
    r = pai_k8s(s, "apply", "--context", "scripted", file, "--manager", "other")
    assert.equal(1, r.code)
    assert.truthy(r.stderr:find('.data.a is owned by "pai" (1 applied before)', 1, true))
    assert.truthy(r.stderr:find("--force-conflicts", 1, true))
  end)

  api.it("refuses files that hold no objects before it sends anything", {}, function(s)
    for text, part in pairs({
      ["just text"] = "no object",
      ["a: 1"] = "no kind",
      ["a: [\n"] = "line",
    }) do
      assert(fs.write(s.dir .. "/bad.yaml", text))
      local r = pai_k8s(s, "apply", "--context", "scripted", s.dir .. "/bad.yaml")
      assert.same({ 1, true }, { r.code, r.stderr:find(part, 1, true) ~= nil })
    end
    assert.equal(2, pai_k8s(s, "apply", "--context", "scripted", s.dir .. "/none.yaml").code)
  end)
end)

describe("pai k8s delete", function()
  local path = "/api/v1/namespaces/default/pods/x"
  api.it("wants a yes", {
    ["GET " .. path] = function(_, n)
      local pod = shapes.pod("x")
      pod.kind = "Pod"
      return n == 1 and pod or shapes.not_found
    end,
    ["DELETE " .. path] = { json = { kind = "Status", status = "Success" } },
  }, function(s)
    local r = pai_k8s(s, "delete", "--context", "scripted", "pod", "x")
    assert.same({ 3, 0 }, { r.code, #s.seen })
    r = pai_k8s(s, "delete", "--context", "scripted", "pod/x", "--yes", "--no-wait", "--json")
    assert.equal("deleting", json.decode(r.stdout).deleted[1].outcome)
    r = pai_k8s(s, "delete", "--context", "scripted", "pod/x", "--yes", "--absent-ok")
    assert.same({ 0, "pod x absent\n" }, { r.code, r.stdout })
    r = pai_k8s(s, "delete", "--context", "scripted", "pod/x", "--yes", "--propagation", "no")
    assert.equal(2, r.code)
  end)
end)

describe("pai k8s wait, watch and logs", function()
  local pod = shapes.pod("p")
  pod.kind = "Pod"
  local function up(n)
    local ready = shapes.pod("p", tostring(n), {
      phase = "Running",
      conditions = { { type = "Ready", status = "True" } },
    })
    ready.kind = "Pod"
    return ready
  end
  api.it("say what they see", {
    [PODS] = function(req)
      if req.query.watch then
        return api.stream({ { type = "MODIFIED", object = up(8) } }, function(w)
          while not w:gone() do
            require("pai.task").sleep("20ms")
          end
        end)
      end
      return shapes.pods({ pod }, "7")
    end,
    [PODS .. "/p/log"] = api.stream({ "2026-01-01T00:00:01Z hello\n" }),
  }, function(s)
    local r = pai_k8s(s, "wait", "pod", "p", "--timeout", "30s")
    assert.same({ 0, "pod p: ready\n" }, { r.code, r.stdout })
    assert.truthy(r.stderr:find("pod p: Pending\npod p: Running\n", 1, true))
    r = pai_k8s(s, "wait", "pod", "p", "--for", "condition=Nope", "--timeout", "5s")
    assert.equal(1, r.code)
    assert.truthy(r.stderr:find("last seen: Running", 1, true))
    local watch = assert(exec.start({ pai.exe, "k8s", "watch", "pods" }, {
      env = { KUBECONFIG = s.dir .. "/config" },
      stderr = "null",
    }))
    assert.equal("ADDED pods p: Pending", (watch:read_line("60s")))
    assert.equal("MODIFIED pods p: Running", (watch:read_line("60s")))
    watch:stop()
    assert.equal(0, pai_k8s(s, "watch", "pods", "--timeout", "1s").code)
    assert.equal("hello\n", pai_k8s(s, "logs", "p").stdout)
    assert.equal("hello", json.decode(pai_k8s(s, "logs", "pod/p", "--json").stdout).line)
    assert.equal(2, pai_k8s(s, "logs", "p", "--tail", "x").code)
    assert.equal(2, pai_k8s(s, "wait", "pod", "p", "--for", "nonsense").code)
  end)
end)
