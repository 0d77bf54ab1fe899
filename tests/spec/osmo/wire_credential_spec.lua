-- Credentials, call by call, in the forms of upstream's own command line; and the keys of object
-- stores that stay on this machine (src/cli/credential.py).
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
    refused(2, "there is no SSH", "r", "--type", "SSH", "--payload-env", "k=MY_KEY")
    refused(2, "has no content", "r")
    refused(1, "has no 'token'", "r", "--type", "REGISTRY", "--payload-env", "token=MY_KEY")
    refused(1, "cannot be the name", "9x", "--payload-env", "k=MY_KEY")
    refused(2, "given twice", "x", "--payload-env", "k=MY_KEY", "k=MY_KEY")
    w:refused(1, "is no storage URI", data("https://s3.example.com"))
    w:refused(1, "addressing_style is", data("s3://b", { "addressing_style=none" }))
    for _, req in ipairs(w.srv.calls) do
      assert.not_equal("POST", req.method)
    end
  end)

  it("sends whatever the contract has for it", function()
    assert.same({}, wire.contract.unsent("credential"))
  end)
end)
