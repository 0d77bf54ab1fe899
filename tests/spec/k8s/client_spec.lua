local api = assert(loadfile(pai.root .. "/tests/spec/k8s/api.lua", "t", _ENV))()
local fs = require("pai.fs")
local json = require("pai.json")
local secret = require("pai.secret")
local shapes = dofile(pai.root .. "/tests/spec/k8s/shapes.lua")

local PODS <const> = "GET /api/v1/namespaces/default/pods"

describe("what a server refuses", function()
  api.it("names verb, resource, place and who", {
    [PODS] = shapes.forbidden,
    ["GET /api/v1/nodes/x"] = shapes.forbidden_one,
  }, function(_, c)
    local list, e = c:list("pods")
    assert.is_nil(list)
    assert.same({ "EHTTP", 403, "Forbidden" }, { e.code, e.http, e.reason })
    assert.equal('user "jane" may not list pods in the namespace "default"', e.message)
    assert.same({ "jane", "list", "pods", "default" }, {
      e.denied.user,
      e.denied.verb,
      e.denied.resource,
      e.denied.namespace,
    })
    assert.truthy(e.hint:find('verbs ["list"]', 1, true))
    local _, one = c:get("no", "x")
    assert.equal('user "jane" may not get nodes "x" in the whole cluster', one.message)
  end)

  api.it("is told apart by its reason", {
    ["GET /api/v1/namespaces/default/pods/x"] = shapes.not_found,
    ["POST /api/v1/namespaces/default/configmaps"] = shapes.exists,
    ["POST /api/v1/namespaces/default/pods"] = shapes.invalid,
  }, function(_, c)
    local _, e = c:get("pod", "x")
    assert.same({ 404, "NotFound", false }, { e.http, e.reason, e.retryable })
    _, e = c:create({ apiVersion = "v1", kind = "ConfigMap", metadata = { name = "c" } })
    assert.same({ 409, "AlreadyExists" }, { e.http, e.reason })
    _, e = c:create({ apiVersion = "v1", kind = "Pod", metadata = { name = "p" } })
    assert.equal('Pod "p" is invalid: spec.containers[0].image: Required value', e.message)
  end)

  api.it("is readable when it is no Status", {
    [PODS] = function(_, n)
      return n == 1 and { status = 400, body = "<html>bad gateway\nmore" } or { body = "{" }
    end,
  }, function(_, c)
    local _, e = c:list("pods")
    assert.same({ 400, "<html>bad gateway" }, { e.http, e.message })
    _, e = c:list("pods")
    assert.equal("EPROTO", e.code)
  end)
end)

describe("a credential", function()
  api.it("that ended is renewed once and the request repeated", {
    [PODS] = function(req, n)
      if n == 1 then
        return shapes.unauthorized
      end
      return req.headers.authorization and shapes.pods({}, "1") or shapes.unauthorized
    end,
  }, function(s)
    fs.write(s.dir .. "/token", "first-" .. s.token, { mode = "0600" })
    s:write_config("{tokenFile: token}")
    local c = s:connect()
    assert.same({}, { table.unpack(assert(c:list("pods"))) })
    assert.equal("Bearer first-" .. s.token, s.seen[2].headers.authorization)
    assert.equal(2, #s.seen)
  end)

  api.it("that stays wrong is an error, not a loop", { [PODS] = shapes.unauthorized }, function(s)
    fs.write(s.dir .. "/token", s.token, { mode = "0600" })
    s:write_config("{tokenFile: token}")
    local _, e = s:connect():list("pods")
    assert.same({ 401, "Unauthorized", 2 }, { e.http, e.reason, #s.seen })
    assert.truthy(e.hint:find("log in", 1, true))
  end)
end)

describe("a server that is busy", function()
  local busy = { status = 429, headers = { ["Retry-After"] = "0" }, body = "Too many requests" }
  api.it("is asked again, also to create", {
    ["POST /api/v1/namespaces/default/configmaps"] = function(_, n)
      return n < 3 and busy or { status = 201, json = { kind = "ConfigMap", metadata = {} } }
    end,
    [PODS] = function(_, n)
      return n < 2 and busy or shapes.pods({}, "1")
    end,
  }, function(s, c)
    assert(c:create({ apiVersion = "v1", kind = "ConfigMap", metadata = { name = "c" } }))
    assert.equal(3, #s.seen)
    assert(c:list("pods"))
  end)
end)

describe("a list", function()
  local function page(req)
    local token = req.query.continue and req.query.continue[1]
    if not token then
      return shapes.pods({ shapes.pod("a"), shapes.pod("b") }, "10", "two")
    end
    return shapes.pods({ shapes.pod("c") }, "10", nil)
  end
  local function names(items)
    local list = {}
    for i, item in ipairs(items) do
      list[i] = item.metadata.name
    end
    return table.concat(list, " ")
  end

  api.it("comes in pages and says what its items are", { [PODS] = page }, function(s, c)
    local items = assert(c:list("pods", { labels = "app=x" }))
    assert.same({ "a b c", "10", "Pod", "v1" }, {
      names(items),
      items.version,
      items[3].kind,
      items[3].apiVersion,
    })
    assert.same({ "500", "app=x", "two" }, {
      s.seen[1].query.limit[1],
      s.seen[2].query.labelSelector[1],
      s.seen[2].query.continue[1],
    })
  end)

  api.it("that expires midway is read again, at last in one piece", {
    [PODS] = function(req)
      if req.query.continue then
        return shapes.expired
      end
      return req.query.limit and page(req)
        or shapes.pods({ shapes.pod("a"), shapes.pod("z") }, "11")
    end,
  }, function(s, c)
    assert.equal("a z", names(assert(c:list("pods"))))
    assert.equal(5, #s.seen)
  end)

  api.it("takes only what is wanted of each item", { [PODS] = page }, function(_, c)
    local items = assert(c:list("pods", { pick = { "metadata.name", "status.phase" } }))
    assert.same({ { metadata = { name = "c" }, status = { phase = "Pending" } }, "a b c" }, {
      items[3],
      names(items),
    })
  end)

  api.it("gives its pages away and says when it starts anew", {
    [PODS] = function(req, n)
      return n == 2 and shapes.expired or page(req)
    end,
  }, function(_, c)
    local told = {}
    assert(c:list("pods", {
      on_page = function(items, first)
        told[#told + 1] = (first and "new:" or "") .. names(items)
      end,
    }))
    assert.same({ "new:a b", "new:a b", "c" }, told)
  end)
end)

describe("server-side apply", function()
  local cm =
    { apiVersion = "v1", kind = "ConfigMap", metadata = { name = "c" }, data = { a = "1" } }
  local path = "/api/v1/namespaces/default/configmaps/c"
  local function stored(version)
    return { kind = "ConfigMap", metadata = { name = "c", resourceVersion = version } }
  end
  api.it("says what it did", {
    ["GET " .. path] = function(_, n)
      return n == 1 and shapes.not_found or stored(n == 2 and "5" or "6")
    end,
    ["PATCH " .. path] = function(_, n)
      return { status = n == 1 and 201 or 200, json = stored(n == 1 and "5" or "6") }
    end,
  }, function(s, c)
    assert.equal("created", select(2, c:apply(cm)))
    assert.equal("configured", select(2, c:apply(cm)))
    assert.equal("unchanged", select(2, c:apply(cm, { manager = "team", force = true })))
    local first, last = s.seen[2], s.seen[6]
    assert.equal("application/apply-patch+yaml", first.headers["content-type"])
    assert.same({ "pai", "team", "true" }, {
      first.query.fieldManager[1],
      last.query.fieldManager[1],
      last.query.force[1],
    })
    assert.same(cm, json.decode(first.body))
  end)

  api.it("says who owns the field that it may not change", {
    ["GET " .. path] = stored("5"),
    ["PATCH " .. path] = shapes.apply_conflict,
  }, function(_, c)
    local _, e = c:apply(cm, { manager = "other" })
    assert.same({
      "Conflict",
      { { field = ".data.a", manager = "pai" } },
    }, {
      e.reason,
      e.conflicts,
    })
    assert.equal('the server refuses the apply: .data.a is owned by "pai"', e.message)
  end)

  api.it("refuses what cannot be applied before it asks", {}, function(_, c)
    local _, e = c:apply({ apiVersion = "v1", kind = "ConfigMap", metadata = {} })
    assert.equal("EINVAL", e.code)
    _, e = c:apply({ kind = "ConfigMap" })
    assert.equal("EINVAL", e.code)
    _, e = c:apply(cm and {
      apiVersion = "v1",
      kind = "ConfigMap",
      metadata = { name = "c", namespace = "a" },
    }, { namespace = "b" })
    assert.truthy(e.message:find("is for the namespace a, not b", 1, true))
  end)
end)

describe("the values of a Secret", function()
  local path = "/api/v1/namespaces/default/secrets/s"
  api.it("go out as handles and are never asked for", {
    ["GET " .. path] = shapes.not_found,
    ["PATCH " .. path] = { status = 201, json = shapes.secret_metadata },
  }, function(s, c)
    fs.write(s.dir .. "/value", "the-value-" .. s.token, { mode = "0600" })
    local handle = assert(secret.from_file(s.dir .. "/value"))
    assert(c:apply({
      apiVersion = "v1",
      kind = "Secret",
      metadata = { name = "s" },
      stringData = { key = handle, plain = "text" },
      data = { kept = "AAAA", other = handle },
    }))
    local sent = s.seen[2]
    local value = require("pai.crypto").base64_encode("the-value-" .. s.token)
    assert.same({ key = value, plain = "dGV4dA==", kept = "AAAA", other = value }, {
      key = json.decode(sent.body).data.key,
      plain = json.decode(sent.body).data.plain,
      kept = json.decode(sent.body).data.kept,
      other = json.decode(sent.body).data.other,
    })
    for _, req in ipairs(s.seen) do
      assert.truthy(req.headers.accept:find("PartialObjectMetadata", 1, true))
    end
  end)

  api.it("may stand nowhere else", {
    ["GET /api/v1/namespaces/default/configmaps/c"] = shapes.not_found,
  }, function(_, c)
    local _, e = c:apply({
      apiVersion = "v1",
      kind = "ConfigMap",
      metadata = { name = "c" },
      data = { key = secret.generate(16) },
    })
    assert.equal("EINVAL", e.code)
    assert.truthy(e.hint:find("Secret only", 1, true))
  end)

  local plain = "value-" .. require("pai.crypto").hex(12)
  api.it("are opened as handles", {
    ["GET " .. path] = {
      kind = "Secret",
      apiVersion = "v1",
      metadata = { name = "s" },
      data = { key = require("pai.crypto").base64_encode(plain), empty = "" },
    },
  }, function(s, c)
    local values = assert(c:secret("s"))
    fs.write(s.dir .. "/same", plain, { mode = "0600" })
    assert.is_true(values.key:equals(assert(secret.from_file(s.dir .. "/same"))))
    assert.equal("***", tostring(values.key))
    assert.is_nil(values.empty)
    assert.is_nil(require("pai.mask").text("it is " .. plain):find(plain, 1, true))
  end)
end)

describe("resources", function()
  local nim = "/apis/apps.nvidia.com/v1alpha1"
  local groups = {
    kind = "APIGroupList",
    groups = {
      {
        name = "apps.nvidia.com",
        versions = { { groupVersion = "apps.nvidia.com/v1alpha1", version = "v1alpha1" } },
        preferredVersion = { groupVersion = "apps.nvidia.com/v1alpha1", version = "v1alpha1" },
      },
      {
        name = "broken.example",
        versions = { { groupVersion = "broken.example/v1", version = "v1" } },
        preferredVersion = { groupVersion = "broken.example/v1", version = "v1" },
      },
    },
  }
  local routes = {
    ["GET /api/v1"] = shapes.core,
    ["GET /apis"] = groups,
    ["GET " .. nim] = shapes.nim_group,
    ["GET /apis/broken.example/v1"] = { status = 400, body = "no" },
    ["GET " .. nim .. "/namespaces/default/nimservices"] = { json = { items = {} } },
  }
  api.it("are found by every name that they have", routes, function(s, c)
    for _, word in ipairs({ "nimservices", "NIMService", "nimservices.apps.nvidia.com" }) do
      assert.equal("nimservices", assert(c:resource(word)).name)
    end
    local before = #s.seen
    assert.equal("deployments", assert(c:resource("deploy")).name)
    assert.equal(before, #s.seen) -- known without asking
    assert(c:list("nimservice.apps"))
    local _, e = c:resource("nimservces")
    assert.equal("ENOENT", e.code)
    assert.truthy(e.message:find("did you mean 'nimservices'", 1, true))
    assert.truthy(e.message:find("no answer for broken.example/v1", 1, true))
  end)

  api.it("of an object are asked for by its version only", {
    ["GET " .. nim] = shapes.nim_group,
    ["GET /apis/none.example/v1"] = shapes.not_found,
  }, function(s, c)
    local r = assert(c:resource({ apiVersion = "apps.nvidia.com/v1alpha1", kind = "NIMService" }))
    assert.equal("nimservices", r.name)
    assert(c:resource({ apiVersion = "apps.nvidia.com/v1alpha1", kind = "NIMService" }))
    assert.equal(1, #s.seen)
    local _, e = c:resource({ apiVersion = "none.example/v1", kind = "Thing" })
    assert.same({ "ENOENT", "NoKind" }, { e.code, e.reason })
  end)

  api.it("come in one answer where the server has that form", {
    ["GET /api/v1"] = shapes.core,
    ["GET /apis"] = {
      kind = "APIGroupDiscoveryList",
      items = {
        {
          metadata = { name = "apps.nvidia.com" },
          versions = {
            {
              version = "v1alpha1",
              resources = {
                {
                  resource = "nimservices",
                  responseKind = { group = "", version = "", kind = "NIMService" },
                  scope = "Namespaced",
                  singularResource = "nimservice",
                  verbs = { "get" },
                },
              },
            },
          },
        },
      },
    },
  }, function(s, c)
    local r = assert(c:resource("nimservice"))
    assert.same({ "nimservices", "apps.nvidia.com", "v1alpha1", true }, {
      r.name,
      r.group,
      r.version,
      r.namespaced,
    })
    assert.equal(2, #s.seen)
    assert.truthy(s.seen[2].headers.accept:find("APIGroupDiscoveryList", 1, true))
  end)
end)

describe("a cluster", function()
  api.it("is known by its URL and the uid of kube-system", {
    ["GET /api/v1/namespaces/kube-system"] = shapes.namespace,
  }, function(s, c)
    assert.same({ context = "scripted", server = s.url, uid = shapes.namespace.metadata.uid }, {
      context = assert(c:identity()).context,
      server = c:identity().server,
      uid = c:identity().uid,
    })
    assert.equal(1, #s.seen)
  end)

  api.it("says what the user may do", {
    ["POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"] = {
      status = 201,
      json = shapes.access,
    },
  }, function(s, c)
    assert.is_false(c:can("list", "pods"))
    local attributes = json.decode(s.seen[1].body).spec.resourceAttributes
    assert.same({ "list", "pods", "default" }, {
      attributes.verb,
      attributes.resource,
      attributes.namespace,
    })
  end)

  it("that is not there is named by its context", function()
    require("pai.task").run(function()
      local s = api.start({})
      s.server:close()
      local _, e = s.client:list("pods", { timeout = "2s" })
      assert.is_true(e.code == "ENETWORK" or e.code == "ETIMEDOUT")
      assert.truthy(e.hint:find("'scripted'", 1, true))
      fs.remove(s.dir, { recursive = true })
    end)
  end)
end)

describe("delete", function()
  local path = "/api/v1/namespaces/default/pods/x"
  local pod = shapes.pod("x")
  pod.kind = "Pod"
  api.it("is of the very object, and waits for its end", {
    ["GET " .. path] = pod,
    ["DELETE " .. path] = { kind = "Status", code = 200, status = "Success" },
    ["GET /api/v1/namespaces/default/pods"] = function(req)
      if req.query.watch then
        return api.stream({ { type = "DELETED", object = pod } })
      end
      return shapes.pods({ pod }, "3")
    end,
  }, function(s, c)
    assert.equal("deleted", assert(c:delete("pod", "x", { wait = true })))
    local body = json.decode(s.seen[2].body)
    assert.same({ "Background", "uid-x" }, { body.propagationPolicy, body.preconditions.uid })
  end)

  api.it("tells the server what becomes of what the object owns", {
    ["GET " .. path] = pod,
    ["DELETE " .. path] = { kind = "Status", code = 200, status = "Success" },
  }, function(s, c)
    for _, how in ipairs({ "Foreground", "Background", "Orphan" }) do
      assert(c:delete("pod", "x", { propagation = how }))
      assert.equal(how, json.decode(s.seen[#s.seen].body).propagationPolicy)
    end
  end)

  api.it("of what is not there is an answer when that is fine", {
    ["GET " .. path] = shapes.not_found,
  }, function(_, c)
    assert.equal("absent", assert(c:delete("pod", "x", { absent = true })))
    local _, e = c:delete("pod", "x")
    assert.equal("NotFound", e.reason)
  end)
end)

describe("what is asked once", function()
  local EVICTION <const> = "POST /api/v1/namespaces/team/pods/web-x/eviction"
  local NEEDS <const> = "The disruption budget web needs 2 healthy pods and has 2 currently"
  local HELD <const> = shapes.status(
    429,
    "TooManyRequests",
    "Cannot evict pod as it would violate the pod's disruption budget."
  )
  HELD.details = { causes = json.array({ { reason = "DisruptionBudget", message = NEEDS } }) }

  api.it("is an eviction, which says what budget holds the pod", {
    ["GET /api/v1"] = {
      json = {
        kind = "APIResourceList",
        groupVersion = "v1",
        resources = json.array({
          { name = "pods", kind = "Pod", namespaced = true },
          { name = "pods/eviction", kind = "Eviction", group = "policy", version = "v1beta1" },
        }),
      },
    },
    [EVICTION] = function(_, n)
      return n == 1 and { status = 429, json = HELD }
        or n == 2 and shapes.not_found
        or { status = 201, json = { kind = "Status", status = "Success" } }
    end,
  }, function(a, c)
    local opts = { namespace = "team", uid = "u-1" }
    local gone, e = c:evict("web-x", opts)
    assert.is_nil(gone)
    assert.same({ "TooManyRequests", 1 }, { e.reason, a.count[EVICTION] })
    assert.same({ { name = "web", message = NEEDS } }, e.budgets)
    gone, e = c:evict("web-x", opts)
    assert.is_nil(gone)
    assert.same({ "NotFound" }, { e.reason, e.budgets })
    assert.is_true(c:evict("web-x", opts))
    assert.same({
      apiVersion = "policy/v1beta1",
      kind = "Eviction",
      metadata = { name = "web-x", namespace = "team" },
      deleteOptions = { preconditions = { uid = "u-1" } },
    }, json.decode(a.seen[4].body))
  end)

  api.it("is a look at health, if told so", {
    ["GET /readyz"] = { status = 503, body = "away" },
  }, function(a, c)
    assert.same({ 503, "away" }, { c:raw("/readyz", { once = true }) })
    assert.equal(1, #a.seen)
  end)
end)
