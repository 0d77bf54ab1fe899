-- Configurations of a service and their history, call by call, in the forms of upstream's own
-- command line (src/cli/config.py).
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local json = require("pai.json")
local pai = require("pai")

local wire = assert(loadfile(pai.root .. "/tests/spec/osmo/wire.lua"))()

local HISTORY <const> = "GET /api/configs/history"
local CONFIG <const> = "GET /api/configs/{t}"

describe("pai osmo config", function()
  local w

  before_each(function()
    w = wire.start()
  end)
  after_each(function()
    w:finish()
  end)

  local ENTRY <const> = {
    config_type = "POOL",
    name = "gpu",
    revision = 7,
    username = "alice",
    created_at = "2026-01-02T03:04:05.123",
    description = "more\ntime",
    tags = { "b", "a" },
  }

  it("shows a configuration, or a part of it by names and indices", function()
    local pools = {
      json = { pools = { gpu = { name = "gpu", list = { "x", { name = "n", v = 1 } } } } },
    }
    local function shown(words, answer, expected)
      return json.decode((w:sends(words, CONFIG, answer, expected)))
    end
    local want = pools.json.pools.gpu
    for _, words in ipairs({ "config show POOL pools gpu", "config show pool gpu --json" }) do
      assert.same(want, shown(words, pools, "GET /api/configs/pool"))
    end
    assert.same(
      pools.json,
      shown("config show POOL -v", pools, "GET /api/configs/pool?verbose=True")
    )
    assert.same("x", shown("config show pool gpu list 0", pools, "GET /api/configs/pool"))
    assert.same(1, shown("config show pool gpu list n v", pools, "GET /api/configs/pool"))
    local roles = { json = { { name = "r1" }, { name = "r2", v = false } } }
    assert.same(
      { name = "r2", v = false },
      shown("config show role r2", roles, "GET /api/configs/role")
    )
    w:refused(2, "has no 'x'", "config show role r2 x")
    w:refused(2, "has no '2'", "config show role 2")
    w:refused(2, "is not TYPE[:REVISION]", "config show pools")
    w:refused(2, "as they are now", "config show role -v")
    w:refused(2, "as they are now", "config show pool:3 -v")
  end)

  it("shows a revision", function()
    local answer = { json = { configs = { { revision = 3, data = { limit = 5 } } } } }
    local out = w:sends(
      "config show WORKFLOW:3 limit",
      HISTORY,
      answer,
      "GET /api/configs/history?config_types=WORKFLOW&omit_data=False&revision=3"
    )
    assert.equal("5", (out:gsub("%s+$", "")))
    w.srv.answers[HISTORY] = { json = { configs = json.array({}) } }
    w:refused(2, "no revision 9 of WORKFLOW", "config show workflow:9")
  end)

  it("lists what there is, and what was changed", function()
    local answer = { json = { configs = { ENTRY } } }
    w.srv.answers[HISTORY] = function(req)
      assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d$", req.query.at_timestamp[1])
      req.query.at_timestamp = nil
      return answer
    end
    local out = w:good("config list")
    assert.matches("POOL%s+gpu%s+7%s+alice%s+2026%-01%-02 03:04:05%s+a,b%s+more time\n", out)
    assert.equal(9, #w.srv.calls[1].query.config_types)
    assert.same({ "True" }, w.srv.calls[1].query.omit_data)
    w.env.TZ = "America/Los_Angeles"
    w:sends(
      "config history POOL -n gpu -r 7 --tags a b -o 1 -c 5 --created-after 2026-01-01 "
        .. "--created-before 2026-02-01T12:30:00 --fit-width",
      HISTORY,
      answer,
      "GET /api/configs/history?config_types=POOL&created_after=2026-01-01T08:00:00"
        .. "&created_before=2026-02-01T20:30:00&limit=5&name=gpu&offset=1&omit_data=True"
        .. "&order=DESC&revision=7&tags=a&tags=b"
    )
    local two = { json = { configs = { ENTRY, { config_type = "ROLE", revision = 1 } } } }
    out = w:sends(
      "config history --at-timestamp 2026-07-01 --order asc -t json",
      HISTORY,
      two,
      "GET /api/configs/history?at_timestamp=2026-07-01T07:00:00&omit_data=True&order=DESC"
    )
    assert.equal("ROLE", json.decode(out).configs[1].config_type)
    w:refused(
      2,
      "does not go with",
      "config history --at-timestamp 2026-01-01 --created-after 2026-01-01"
    )
    w:refused(2, "a day or a time", "config history --created-after 2026-01-01T1:2:3")
  end)

  it("shows what differs between revisions", function()
    local route = "GET /api/configs/diff"
    local answer = {
      json = { first_data = { a = 1, b = "x" }, second_data = { a = 2, b = "x" } },
    }
    w.srv.answers[HISTORY] = { json = { configs = { { revision = 9 } } } }
    local out = w:sends(
      "config diff POOL:3 pool:5",
      route,
      answer,
      "GET /api/configs/diff?config_type=POOL&first_revision=3&second_revision=5"
    )
    assert.matches("--- POOL:3\n+++ POOL:5\n", out, 1, true)
    assert.matches('-  "a": 1', out, 1, true)
    assert.matches('+  "a": 2', out, 1, true)
    out = w:sends(
      "config diff pool:3 --json",
      route,
      answer,
      "GET /api/configs/diff?config_type=POOL&first_revision=3&second_revision=9"
    )
    assert.equal("GET /api/configs/history?config_types=POOL&limit=1&order=DESC", w.srv:last(2))
    assert.equal(9, json.decode(out).second)
    answer.json.second_data.a = 1
    out = w:good("config diff pool:3")
    assert.equal("POOL:3 and POOL:9 do not differ\n", out)
    w:refused(2, "cannot be compared", "config diff pool:3 role:4")
  end)

  it("goes back, tags and deletes", function()
    w:sends(
      { "config", "rollback", "SERVICE:4", "--description", "old limits", "--tags", "a", "b" },
      "POST /api/configs/history/rollback",
      { json = json.null },
      "POST /api/configs/history/rollback"
    )
    local body =
      { config_type = "SERVICE", revision = 4, description = "old limits", tags = { "a", "b" } }
    assert.same(body, w.srv:body())
    w.srv.answers[HISTORY] = { json = { configs = { { revision = 9 } } } }
    local route = "POST /api/configs/history/{t}/revision/{r}/tags"
    for words, revision in pairs({
      ["config tag BACKEND:5 --set foo --delete x y"] = 5,
      ["config tag BACKEND -s foo -d x y"] = 9,
    }) do
      local path = "POST /api/configs/history/backend/revision/%d/tags"
      w:sends(words, route, { json = json.null }, path:format(revision))
      assert.same({ set_tags = { "foo" }, delete_tags = { "x", "y" } }, w.srv:body())
    end
    w:sends(
      "config delete SERVICE:12",
      "DELETE /api/configs/history/{t}/revision/{r}",
      { json = json.null },
      "DELETE /api/configs/history/service/revision/12"
    )
    w:sends(
      "config delete POOL old -d unused -t a b",
      "DELETE /api/configs/{t}/{n}",
      { json = json.null },
      "DELETE /api/configs/pool/old"
    )
    assert.same({ description = "unused", tags = { "a", "b" } }, w.srv:body())
    w:refused(2, "missing --description", "config delete pool old")
    w:refused(2, "missing --description", "config rollback pool:3")
    w:refused(2, "is not TYPE:REVISION", "config rollback pool")
    w:refused(2, "not both", "config delete pool:3 old")
    w:refused(2, "missing NAME", "config delete pool")
    w:refused(2, "missing --set", "config tag pool:3")
  end)

  it("makes the roles that upstream's client makes", function()
    local route = "PUT /api/configs/{t}/{n}"
    local answer = { json = json.null }
    w:sends(
      "config set ROLE osmo-gpu pool --description x",
      route,
      answer,
      "PUT /api/configs/role/osmo-gpu"
    )
    local role = w.srv:body().configs
    assert.same({ { actions = { "workflow:*" }, resources = { "pool/gpu*" } } }, role.policies)
    w:sends(
      "config set role b BACKEND --field k8s --description x --tags t",
      route,
      answer,
      "PUT /api/configs/role/b"
    )
    role = w.srv:body().configs
    assert.same({ "internal:Operator", "pool:List", "config:Read" }, role.policies[1].actions)
    assert.same({ "backend/k8s" }, role.policies[1].resources)
    w:refused(2, "only roles", "config set pool p pool --description x")
    w:refused(2, "is named osmo-POOL", "config set role p pool --description x")
    w:refused(2, "missing --field", "config set role p backend --description x")
    w:refused(2, "a pool or a backend", "config set role p user --description x")
  end)

  describe("writes from a file", function()
    local function write(value)
      fs.write(w.dir .. "/new.json", json.encode(value), { mode = 384 })
    end

    -- What is there, what the file says, and what is sent.
    local function update(words, old, new, expected)
      w.srv.answers[CONFIG] = { json = old }
      write(new)
      local method = expected:match("^%u+")
      local named = select(2, words:gsub("%S+", "")) > 3
      local route = method .. (named and " /api/configs/{t}/{n}" or " /api/configs/{t}")
      local full = words .. " -f new.json --description why --tags a"
      w:sends(full, route, { json = json.null }, expected)
      local body = w.srv:body()
      assert.equal("why", body.description)
      assert.same({ "a" }, body.tags)
      return body
    end

    it("only what differs, where the service puts that into what is there", function()
      local old = { a = 1, b = { c = 2, d = { 1, 2 } }, e = json.null, secret = "****" }
      local new = { a = 1, b = { c = 3, d = { 1, 2 } }, e = true, secret = "****" }
      local body = update("config update SERVICE", old, new, "PATCH /api/configs/service")
      assert.same({ b = { c = 3 }, e = true }, body.configs_dict)
      body = update(
        "config update POOL gpu",
        { pools = { gpu = { x = 1, list = { 1 } } } },
        { x = 1, list = { 2 } },
        "PATCH /api/configs/pool/gpu"
      )
      assert.same({ list = { 2 } }, body.configs_dict)
    end)

    it("whole fields of a backend, and the whole of what is written as one", function()
      local body = update(
        "config update BACKEND k8s",
        { backends = { { name = "k8s", s = { a = 1, b = 2 }, t = 1 } } },
        { name = "k8s", s = { a = 1, b = 3 }, t = 1 },
        "POST /api/configs/backend/k8s"
      )
      assert.same({ s = { a = 1, b = 3 } }, body.configs)
      body = update(
        "config update role",
        { { name = "r" } },
        { { name = "r", v = 1 } },
        "PUT /api/configs/role"
      )
      assert.same({ { name = "r", v = 1 } }, body.configs)
      body = update(
        "config update pool",
        { pools = { a = {} } },
        { pools = { a = { b = 1 } } },
        "PUT /api/configs/pool"
      )
      assert.same({ a = { b = 1 } }, body.configs)
      body = update(
        "config update RESOURCE_VALIDATION",
        {},
        { r = { 1 } },
        "PUT /api/configs/resource_validation"
      )
      assert.same({ r = { 1 } }, body.configs_dict)
      body = update(
        "config update pod_template t",
        { t = {} },
        { spec = 1 },
        "PUT /api/configs/pod_template/t"
      )
      assert.same({ spec = 1 }, body.configs)
    end)

    it("a secret without showing it, and nothing when nothing differs", function()
      local key = "key-" .. crypto.hex(16)
      local old = { store = { access_key = "*****", endpoint = "s3://b" } }
      local new = { store = { access_key = key, endpoint = "s3://b" } }
      local body = update("config update workflow", old, new, "PATCH /api/configs/workflow")
      assert.same({ store = { access_key = key } }, body.configs_dict)
      write(old)
      w.srv.calls = {}
      local out, said = w:good("config update workflow -f new.json -d why")
      assert.matches("nothing was sent", out, 1, true)
      assert.is_nil((out .. said):find(key, 1, true))
      assert.equal("GET /api/configs/workflow", w.srv:last())
      assert.equal(1, #w.srv.calls)
    end)

    it("nothing that cannot be written", function()
      write({})
      w.srv.answers[CONFIG] = { json = { pools = {} } }
      w:refused(2, "there is no POOL 'x'", "config update pool x -f new.json -d why")
      w:refused(2, "missing --file", "config update pool x -d why")
      w:refused(2, "missing --description", "config update pool x -f new.json")
      w:refused(2, "has no names", "config update service x -f new.json -d why")
      w:refused(2, "by name only", "config update backend -f new.json -d why")
      w:refused(2, "cannot be changed", "config update pool:3 x -f new.json -d why")
      w:refused(2, "nope.json", "config update pool x -f nope.json -d why")
      fs.write(w.dir .. "/new.json", "{")
      w:refused(1, "new.json: ", "config update pool x -f new.json -d why")
    end)
  end)

  it("sends whatever the contract has for it", function()
    assert.same({}, wire.contract.unsent("config"))
  end)
end)
