-- Credentials, access tokens and users, call by call, in the forms of upstream's own command line;
-- and the keys of object stores that stay on this machine (src/cli/credential.py).
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local json = require("pai.json")
local pai = require("pai")
local yaml = require("pai.yaml")

local wire = assert(loadfile(pai.root .. "/tests/spec/osmo/wire.lua"))()

local LIST <const>, SET <const>, DELETE <const> =
  "GET /api/credentials", "POST /api/credentials/{n}", "DELETE /api/credentials/{n}"

describe("pai osmo credential", function()
  local w, key

  before_each(function()
    w = wire.start()
    key = 'quote " and \\ ' .. crypto.hex(16)
    w.srv.answers[LIST] = { json = { credentials = json.array({}) } }
    w.srv.answers[SET] = { json = json.null }
    fs.write(w.dir .. "/key", key .. "\n", { mode = 384 })
    w.env.MY_KEY = key
  end)
  after_each(function()
    w:finish()
  end)

  local function config()
    return yaml.decode((assert(fs.read(w.dir .. "/osmo/config.yaml"))), { schema = "1.1" })
  end

  local function data(endpoint, more)
    local words = { "credential", "set", "store", "--type", "DATA", "--payload" }
    words[#words + 1] = "endpoint=" .. endpoint
    table.move(more or {}, 1, #(more or {}), #words + 1, words)
    for _, word in ipairs({ "access_key_id=id", "--payload-env", "access_key=MY_KEY" }) do
      words[#words + 1] = word
    end
    return words
  end

  it("sets the three types, whose values are read where they are", function()
    local all = ""
    local function run(words, stdin)
      local out, said = w:good(words, stdin)
      all = all .. out .. said
      assert.equal("application/json", w.srv.calls[#w.srv.calls].headers["content-type"])
      return w.srv:body()
    end
    assert.same(
      { generic_credential = { credential = { token = key, other = key } } },
      run("credential set hf --payload-env token=MY_KEY --payload-file other=key")
    )
    assert.equal("POST /api/credentials/hf", w.srv:last())
    assert.same(
      { registry_credential = { registry = "nvcr.io", username = "$oauthtoken", auth = key } },
      run(
        "credential set nvcr --type registry --payload registry=nvcr.io username=$oauthtoken "
          .. "--payload-file auth=key"
      )
    )
    assert.is_false(fs.exists(w.dir .. "/osmo/config.yaml"))
    assert.same({
      data_credential = {
        endpoint = "s3://bucket",
        access_key_id = "id",
        access_key = key,
        region = "r",
      },
    }, run(data("s3://bucket/", { "region=r" })))
    assert.same(
      { generic_credential = { credential = { k = key } } },
      run("credential set piped --payload-file k=- --json", key .. "\n")
    )
    assert.is_nil(all:find(key, 1, true))
    assert.is_nil(all:find(key:sub(-16), 1, true))
  end)

  it("keeps the keys of an object store here, in upstream's form", function()
    local out = w:good(data("s3://bucket/", { "region=eu-1" }))
    assert.matches("osmo/config.yaml", out, 1, true)
    local path = w.dir .. "/osmo/config.yaml"
    assert.equal(384, fs.stat(path).mode)
    assert.same({
      auth = {
        data = { ["s3://bucket"] = { access_key_id = "id", access_key = key, region = "eu-1" } },
      },
    }, config())
    -- as upstream writes it: a region that is not given is null, the rest is left out
    w:good(data("azure://account", {
      "override_url=http://127.0.0.1:1",
      "addressing_style=path",
    }))
    local entry = config().auth.data["azure://account"]
    assert.equal(json.null, entry.region)
    assert.equal("http://127.0.0.1:1", entry.override_url)
    assert.equal("path", entry.addressing_style)
    assert.equal(key, config().auth.data["s3://bucket"].access_key)
    -- block style, keys sorted: what yaml.dump gives, so that line tools find it
    local text = fs.read(path)
    assert.matches("^auth:\n  data:\n    azure://account:\n      access_key: ", text)
    assert.same(
      { "config.yaml", "config.yaml.lock", "login.yaml" },
      (function()
        local names = {}
        for _, e in ipairs(assert(fs.list(w.dir .. "/osmo"))) do
          names[#names + 1] = type(e) == "table" and e.name or e
        end
        table.sort(names)
        return names
      end)()
    )
  end)

  it("leaves what else is in the file as it was", function()
    local other = crypto.hex(16)
    local path = w.dir .. "/osmo/config.yaml"
    local before = ([[
# a comment is lost, as it is with upstream's client
auth:
  data:
    gs://theirs: {access_key_id: "yes", access_key: %s, region: null}
  more: [1, 2.5, true, {a: b}]
empty: {}
text: |
  two
  lines
3: a number
token: %s
]]):format(other, other)
    fs.write(path, before, { mode = 420 }) -- others may read it: mended
    local want = yaml.decode(before, { schema = "1.1" })
    w:good(data("s3://b"))
    assert.equal(384, fs.stat(path).mode)
    local got = config()
    assert.equal(key, got.auth.data["s3://b"].access_key)
    got.auth.data["s3://b"] = nil
    assert.same(want, got)
    assert.equal("yes", got.auth.data["gs://theirs"].access_key_id)
    -- a link stays one
    fs.rename(path, w.dir .. "/elsewhere.yaml")
    assert(fs.symlink("../elsewhere.yaml", path))
    w:good(data("s3://c"))
    assert.equal("../elsewhere.yaml", fs.readlink(path))
    assert.equal(key, config().auth.data["s3://c"].access_key)
  end)

  it("sends nothing when the file here cannot be changed", function()
    local path = w.dir .. "/osmo/config.yaml"
    for _, text in ipairs({ "auth: [", "auth: [1]\n", "- 1\n", "auth: {data: text}\n" }) do
      fs.write(path, text, { mode = 384 })
      w:refused(1, "config.yaml", data("s3://b"))
      assert.equal(text, fs.read(path))
    end
    assert.equal(0, #w.srv.calls)
    -- an empty one, or one without keys, is fine
    for _, text in ipairs({ "", "auth:\n", "other: 1\n" }) do
      fs.write(path, text, { mode = 384 })
      w:good(data("s3://b"))
      assert.equal(key, config().auth.data["s3://b"].access_key)
    end
  end)

  it("changes nothing here when the service refuses the keys", function()
    w.srv.answers[SET] =
      { status = 400, json = { message = "no access", error_code = "CREDENTIAL" } }
    w:refused(1, "no access", data("s3://b"))
    assert.is_false(fs.exists(w.dir .. "/osmo/config.yaml"))
  end)

  it("deletes a credential, and the keys here that it was for", function()
    w:good(data("s3://bucket"))
    w:good(data("gs://other"))
    w.srv.answers[DELETE] = {
      json = {
        credentials = { { cred_name = "store", cred_type = "DATA", profile = "s3://bucket" } },
      },
    }
    local out = w:sends(
      "credential delete store",
      DELETE,
      w.srv.answers[DELETE],
      "DELETE /api/credentials/store"
    )
    assert.equal("credential store is deleted\n", out)
    assert.same({ "gs://other" }, require("pai.text").keys(config().auth.data))
    -- one that has no keys here, and no file at all
    w:good("credential delete store")
    fs.remove(w.dir .. "/osmo/config.yaml")
    w:good("credential delete store")
    assert.is_false(fs.exists(w.dir .. "/osmo/config.yaml"))
    w.srv.answers[DELETE] = {
      json = { credentials = { { cred_name = "hf", cred_type = "GENERIC", profile = json.null } } },
    }
    w:good("credential delete hf")
  end)

  it("takes the old keys away when a credential is replaced", function()
    w:good(data("s3://old"))
    w.srv.answers[LIST] = {
      json = {
        credentials = { { cred_name = "store", cred_type = "DATA", profile = "s3://old" } },
      },
    }
    w.srv.answers[DELETE] = w.srv.answers[LIST]
    local words = data("s3://new")
    w:refused(1, "--replace", words)
    words[#words + 1] = "--replace"
    w:good(words)
    assert.same({ "s3://new" }, require("pai.text").keys(config().auth.data))
  end)

  it("says of keys in a list whether this machine has them", function()
    w:good(data("s3://here"))
    local list = {
      json = {
        credentials = {
          { cred_name = "a", cred_type = "DATA", profile = "s3://here" },
          { cred_name = "b", cred_type = "DATA", profile = "s3://there" },
          { cred_name = "c", cred_type = "GENERIC", profile = json.null },
        },
      },
    }
    local out = w:sends("credential list", LIST, list, "GET /api/credentials")
    assert.matches("a%s+DATA%s+s3://here%s+yes\n", out)
    assert.matches("b%s+DATA%s+s3://there%s+no\n", out)
    assert.matches("c%s+GENERIC%s+%-%s+%-\n", out)
    -- upstream has the option before the command
    out = w:sends("credential --format-type json list", LIST, list, "GET /api/credentials")
    assert.equal(3, #json.decode(out).credentials)
  end)

  it("refuses a secret on the command line, and what cannot be a credential", function()
    w.env.MY_KEY = crypto.hex(16)
    local function refused(code, what, ...)
      w:refused(code, what, { "credential", "set", ... })
    end
    refused(2, "seen on the command line", "hf", "--payload", "token=abc")
    refused(2, "seen on the command line", "r", "--type", "REGISTRY", "--payload", "auth=abc")
    refused(1, "needs 'auth'", "r", "--type", "REGISTRY", "--payload", "registry=x")
    refused(1, "no type", "r", "--type", "SSH", "--payload-env", "k=MY_KEY")
    refused(1, "is empty", "r")
    refused(1, "has no 'token'", "r", "--type", "REGISTRY", "--payload-env", "token=MY_KEY")
    refused(1, "cannot be the name", "9x", "--payload-env", "k=MY_KEY")
    refused(2, "given twice", "x", "--payload-env", "k=MY_KEY", "k=MY_KEY")
    w:refused(1, "is no storage URI", data("https://s3.example.com"))
    w:refused(1, "addressing_style is", data("s3://b", { "addressing_style=none" }))
    for _, req in ipairs(w.srv.calls) do
      assert.not_equal("POST", req.method)
    end
  end)
end)

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

  it("is, with credentials and tokens, whatever the contract has for an account", function()
    assert.same({}, wire.contract.unsent("account"))
  end)
end)
