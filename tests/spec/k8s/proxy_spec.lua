-- Asking a Service through the API server: what it says is an answer, a refusal on the way is not.
local api = assert(loadfile(pai.root .. "/tests/spec/k8s/api.lua", "t", _ENV))()
local shapes = assert(loadfile(pai.root .. "/tests/spec/k8s/shapes.lua", "t", _ENV))()

local PATH <const> = "GET /api/v1/namespaces/n/services/s:8000/proxy/v1/health/ready"
local ASK <const> = { namespace = "n", port = 8000, path = "/v1/health/ready" }

describe("a Service, through the API server,", function()
  api.it("answers", { [PATH] = { status = 200, body = "up" } }, function(_, c)
    assert.same({ 200, "up" }, { c:proxy("s", ASK) })
  end)

  api.it("may say no, or not be there", {
    [PATH] = { status = 404, body = "page not found" },
    ["GET /api/v1/namespaces/n/services/t:8000/proxy/v1/health/ready"] = shapes.status(
      404,
      "NotFound",
      'services "t" not found',
      { name = "t", kind = "services" }
    ),
  }, function(_, c)
    assert.equal(404, (c:proxy("s", ASK)))
    local status, said = c:proxy("t", ASK)
    assert.same({ 404, 'services "t" not found' }, { status, said })
  end)

  api.it("is not reached by who may not", { [PATH] = shapes.forbidden }, function(_, c)
    local status, e = c:proxy("s", ASK)
    assert.is_nil(status)
    assert.equal("Forbidden", e.reason)
  end)

  api.it("needs a port and a path", {}, function(_, c)
    local status, e = c:proxy("s", { port = 8000 })
    assert.same({ nil, "EINVAL" }, { status, e.code })
  end)
end)
