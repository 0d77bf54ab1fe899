-- Access tokens and users, call by call, in the forms of upstream's own command line.
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local json = require("pai.json")
local pai = require("pai")

local wire = assert(loadfile(pai.root .. "/tests/spec/osmo/wire.lua"))()

describe("pai osmo token", function()
  local w

  before_each(function()
    w = wire.start()
  end)
  after_each(function()
    w:finish()
  end)

  it("writes a token to a file and nowhere else", function()
    local value = crypto.base64_encode(crypto.random(32), { url = true })
    local all = ""
    for file, who in pairs({ tok = "", other = "bob" }) do
      local base = who == "" and "/api/auth/access_token" or "/api/auth/user/bob/access_token"
      local route = who == "" and "POST /api/auth/access_token/{n}"
        or "POST /api/auth/user/{u}/access_token/{n}"
      local words = { "token", "set", "ci", "--output", file, "-e", "2027-01-01", "-d", "for CI" }
      for _, word in ipairs(who == "" and {} or { "--user", who }) do
        words[#words + 1] = word
      end
      table.move({ "--roles", "a", "b" }, 1, 3, #words + 1, words)
      local out, said = w:sends(
        words,
        route,
        { json = value },
        ("POST %s/ci?description=for CI&expires_at=2027-01-01&roles=a&roles=b"):format(base)
      )
      all = all .. out .. said
      assert.equal(value, fs.read(w.dir .. "/" .. file))
      assert.equal(384, fs.stat(w.dir .. "/" .. file).mode)
    end
    assert.is_nil(all:find(value, 1, true))
    w:refused(2, "already there", "token set ci --output tok")
    w:refused(2, "missing --output", "token set ci")
    w:refused(2, "--expires-at", "token set ci --output t2 -e soon")
    w:refused(1, "cannot be the name", { "token", "set", "--output", "t2", "--", "-x-" })
    w.srv.answers["POST /api/auth/access_token/{n}"] =
      { status = 400, json = { message = "too long", error_code = "USER" } }
    w:refused(1, "too long", "token set ci --output t3")
    for _, file in ipairs({ "t2", "t3" }) do
      assert.is_false(fs.exists(w.dir .. "/" .. file))
    end
  end)

  it("lists, shows and deletes them", function()
    local tokens = {
      json = {
        {
          token_name = "ci",
          expires_at = "2999-01-01T00:00:00",
          roles = { "a" },
          description = "d",
        },
        { token_name = "old", expires_at = "2020-01-01T00:00:00", roles = json.array({}) },
      },
    }
    local route = "GET /api/auth/access_token"
    local out = w:sends("token list", route, tokens, route)
    assert.matches("ci%s+2999%-01%-01 00:00:00%s+active%s+a%s+d\n", out)
    assert.matches("old%s+2020%-01%-01 00:00:00%s+expired", out)
    out = w:sends(
      "token list -u bob -t json",
      "GET /api/auth/user/{u}/access_token",
      tokens,
      "GET /api/auth/user/bob/access_token"
    )
    assert.equal("ci", json.decode(out).tokens[1].token_name)
    out = w:sends("token roles ci", "GET /api/auth/access_token/{n}/roles", {
      json = {
        roles = { { role_name = "r", assigned_by = "x", assigned_at = "2026-01-01T00:00:00" } },
      },
    }, "GET /api/auth/access_token/ci/roles")
    assert.matches("r%s+x%s+2026%-01%-01 00:00:00\n", out)
    local null = { json = json.null }
    route = "DELETE /api/auth/access_token/{n}"
    w:sends("token delete ci", route, null, "DELETE /api/auth/access_token/ci")
    route = "DELETE /api/auth/user/{u}/access_token/{n}"
    w:sends("token delete ci --user bob", route, null, "DELETE /api/auth/user/bob/access_token/ci")
  end)
end)

describe("pai osmo user", function()
  local w
  local BOB <const> = {
    id = "bob",
    created_at = "2026-01-01T00:00:00",
    roles = { { role_name = "osmo-user", assigned_by = "x", assigned_at = "2026-02-01T00:00:00" } },
  }

  before_each(function()
    w = wire.start()
  end)
  after_each(function()
    w:finish()
  end)

  it("lists accounts page by page, and who ever submitted", function()
    local route = "GET /api/auth/user"
    local out = w:sends(
      "user list -p b -r x y -c 5",
      route,
      { json = { total_results = 1, users = { BOB } } },
      "GET /api/auth/user?count=5&id_prefix=b&roles=x&roles=y"
    )
    assert.matches("bob%s+2026%-01%-01 00:00:00\n", out)
    w.srv.calls = {}
    w.srv.answers[route] = function(req)
      local from, users = tonumber((req.query.start_index or { "1" })[1]), json.array({})
      for i = from, math.min(from + tonumber(req.query.count[1]) - 1, 1700) do
        users[#users + 1] = { id = "u" .. i }
      end
      return { json = { total_results = 1700, users = users } }
    end
    local answer = json.decode((w:good("user list --count 5000 --json")))
    assert.equal(1700, #answer.users)
    assert.equal("u1700", answer.users[1700].id)
    assert.equal("GET /api/auth/user?count=1000&start_index=1001", w.srv:last())
    assert.equal(2, #w.srv.calls)
    w.srv.answers[route] = { status = 403, body = "access denied" }
    w:refused(1, "--submitted", "user list")
    local users = { json = { "x", "y" } }
    out = w:sends("user list --submitted", "GET /api/users", users, "GET /api/users")
    assert.matches("\nx%s+%-\ny%s+%-\n$", out)
    w:refused(2, "names only", "user list --submitted -c 5")
  end)

  it("shows, makes, changes and deletes them", function()
    local one = "GET /api/auth/user/{u}"
    local out = w:sends("user get bob", one, { json = BOB }, "GET /api/auth/user/bob")
    assert.matches("osmo%-user%s+x%s+2026%-02%-01", out)
    w:sends("user create bob -r a b", "POST /api/auth/user", { json = BOB }, "POST /api/auth/user")
    assert.same({ id = "bob", roles = { "a", "b" } }, w.srv:body())
    w.srv.answers["POST /api/auth/user/{u}/roles"] = { json = {} }
    w.srv.answers["DELETE /api/auth/user/{u}/roles/{r}"] = { json = json.null }
    out = w:good("user update bob --add-roles a b --remove-roles c -t json")
    assert.equal("bob", json.decode(out).id)
    assert.equal("POST /api/auth/user/bob/roles", w.srv:last(4))
    assert.same({ role_name = "b" }, json.decode(w.srv.calls[#w.srv.calls - 2].body))
    assert.equal("DELETE /api/auth/user/bob/roles/c", w.srv:last(2))
    w:refused(2, "missing --add-roles", "user update bob")
    w:refused(3, "needs --force", "user delete bob")
    local route = "DELETE /api/auth/user/{u}"
    w:sends("user delete bob -f", route, { json = json.null }, "DELETE /api/auth/user/bob")
  end)

  it("is, with tokens, whatever the contract has for an account", function()
    assert.same({}, wire.contract.unsent("account"))
  end)
end)
