-- Stored workflows, call by call, in the forms of upstream's own command line (src/cli/app.py).
local fs = require("pai.fs")
local json = require("pai.json")
local pai = require("pai")

local wire = assert(loadfile(pai.root .. "/tests/spec/osmo/wire.lua"))()

local FLOW <const> = "workflow: {name: x}\n"

describe("pai osmo app", function()
  local w

  before_each(function()
    w = wire.start()
    fs.write(w.dir .. "/flow.yaml", FLOW)
  end)
  after_each(function()
    w:finish()
  end)

  it("stores a workflow, and new versions of it", function()
    local route = "POST /api/app/user/{n}"
    local null = { json = json.null }
    for _, words in ipairs({
      { "app", "create", "train", "flow.yaml", "--description", "d e" },
      { "app", "create", "train", "-f", "flow.yaml", "-d", "d e" },
    }) do
      w:sends(words, route, null, "POST /api/app/user/train?description=d e")
      assert.equal(FLOW, w.srv:body())
    end
    route = "PATCH /api/app/user/{n}"
    local answer = { json = { name = "train", version = 2 } }
    for _, words in ipairs({ "app update train flow.yaml", "app update train --file flow.yaml" }) do
      local out = w:sends(words, route, answer, "PATCH /api/app/user/train")
      assert.equal("app train is stored as version 2\n", out)
      assert.equal(FLOW, w.srv:body())
    end
    local n = #w.srv.calls
    w:refused(2, "opens no editor", "app update train")
    w:refused(2, "its number from the service", "app update train:3 flow.yaml")
    w:refused(2, "nothing.yaml", "app create train nothing.yaml")
    assert.equal(n, #w.srv.calls)
  end)

  it("lists them, and shows one with its versions", function()
    local list = {
      json = {
        apps = {
          { name = "a", owner = "bob", latest_version = 3, created_date = "2026-01-02T03:04:05" },
          { name = "b", owner = "eve", latest_version = 1, description = "d" },
        },
        more_entries = false,
      },
    }
    local route = "GET /api/app"
    local out = w:sends(
      "app list -u bob eve -n tra -c 5 --offset 2 -o asc",
      route,
      list,
      "GET /api/app?limit=5&name=tra&offset=2&order=DESC&users=bob&users=eve"
    )
    assert.matches("b%s+eve%s+1%s+%-%s+d\na%s+bob%s+3%s+2026%-01%-02 03:04:05%s+%-\n$", out)
    w:sends("app list -a -t json", route, list, "GET /api/app?all_users=True&order=DESC")
    w:refused(2, "not both", "app list -a -u bob")
    local info = {
      json = {
        uuid = "u",
        owner = "bob",
        description = "trains\nit",
        versions = { { version = 3, status = "READY", created_by = "bob" } },
      },
    }
    route = "GET /api/app/user/{n}"
    out = w:sends(
      "app info a:3 -c 2 -o asc",
      route,
      info,
      "GET /api/app/user/a?limit=2&order=ASC&version=3"
    )
    assert.matches("Description%s+trains it\n", out)
    assert.matches("3%s+READY%s+%-%s+bob\n", out)
    w:sends("app info a --json", route, info, "GET /api/app/user/a?order=DESC")
  end)

  it("shows what a workflow is for and which variables it takes", function()
    local text = "workflow:\n  name: '{{n}}'\ndefault-values:\n  n: x # the name\n  epochs: 3\n"
    w.srv.answers["GET /api/app/user/{n}"] =
      { json = { uuid = "u", description = "trains it", versions = json.array({}) } }
    local route = "GET /api/app/user/{n}/spec"
    local out =
      w:sends("app show a:2", route, { body = text }, "GET /api/app/user/a/spec?version=2")
    assert.equal("GET /api/app/user/a", w.srv:last(2))
    assert.matches("^trains it\n\n.*\n  n: x # the name\n  epochs: 3\n$", out)
    local answer = json.decode((w:good("app show a --json")))
    assert.same({ n = "x", epochs = 3 }, answer.default_values)
    out = w:sends("app show a", route, { body = FLOW }, "GET /api/app/user/a/spec")
    assert.matches("it takes no variables\n", out, 1, true)
    assert.is_nil(json.decode((w:good("app show a --json"))).default_values)
    assert.equal(FLOW, (w:good("app spec a")))
  end)

  it("deletes and renames only when that is meant", function()
    local route = "DELETE /api/app/user/{n}"
    local answer = { json = { versions = { 1 } } }
    w:sends("app delete old:1 --force", route, answer, "DELETE /api/app/user/old?version=1")
    w:sends("app delete old -a -f", route, answer, "DELETE /api/app/user/old?all_versions=True")
    route = "POST /api/app/user/{n}/rename"
    w:sends("app rename train old -f", route, { json = "old" }, "POST /api/app/user/train/rename")
    assert.equal("old", w.srv:body())
    local n = #w.srv.calls
    w:refused(3, "Delete version 1 of old needs --force", "app delete old:1")
    w:refused(3, "Delete all versions of old needs --force", "app delete old --all")
    w:refused(3, "Rename train to old needs --force", "app rename train old")
    w:refused(2, "which version", "app delete old")
    w:refused(2, "not both", "app delete old:1 --all")
    w:refused(2, "cannot be renamed", "app rename train:1 old -f")
    assert.equal(n, #w.srv.calls)
  end)

  it("sends whatever the contract has for it", function()
    assert.same({}, wire.contract.unsent("app"))
  end)
end)
