-- What pai changes, call by call, in the forms of upstream's own command line: runs, the profile,
-- and what is submitted (contract.lua says where the forms are from).
local fs = require("pai.fs")
local json = require("pai.json")
local pai = require("pai")

local wire = assert(loadfile(pai.root .. "/tests/spec/osmo/wire.lua"))()

local FLOW <const> =
  "workflow:\n  name: flow\n  tasks:\n  - name: t\n    image: a\n    command: [x]\n"

describe("pai osmo changes", function()
  local w

  before_each(function()
    w = wire.start()
  end)
  after_each(function()
    w:finish()
  end)

  it("runs: cancel", function()
    local route = "POST /api/workflow/{id}/cancel"
    local answer = { json = { name = "a-1" } }
    local expected = "POST /api/workflow/a-1/cancel?force=True&message=wrong & late"
    w:sends({ "cancel", "a-1", "--message", "wrong & late", "--force" }, route, answer, expected)
    local out = w:sends(
      { "cancel", "a-1", "-f", "-m", "wrong & late", "-t", "json" },
      route,
      answer,
      expected
    )
    assert.same({ { name = "a-1", canceled = true } }, json.decode(out).workflows)
    -- of several, one that cannot be
    w.srv.answers[route] = function(req)
      if req.args[1] == "a-2" then
        return { status = 400, json = { message = "is finished", error_code = "USER" } }
      end
      return answer
    end
    local code, said
    code, out, said = w:run("cancel a-1 a-2 a-3")
    assert.equal(1, code)
    assert.equal(2, select(2, out:gsub("being canceled", "")))
    assert.matches("a-2: is finished", said, 1, true)
  end)

  it("runs: restart, in the pool where it was", function()
    w.srv.answers["GET /api/workflow/{id}"] =
      { json = { name = "a-1", status = "FAILED", pool = "q", groups = json.array({}) } }
    local route = "POST /api/pool/{p}/workflow/{id}/restart"
    local answer = { json = { name = "a-2" } }
    local out = w:sends("restart a-1", route, answer, "POST /api/pool/q/workflow/a-1/restart")
    assert.equal("a-2\n", out)
    assert.equal("GET /api/workflow/a-1?skip_groups=True", w.srv:last(2))
    w:sends("restart a-1 -p r", route, answer, "POST /api/pool/r/workflow/a-1/restart")
    assert.equal("", w.srv.calls[#w.srv.calls].body or "")
  end)

  it("runs: tags", function()
    local route = "POST /api/workflow/{id}/tag"
    local answer = { json = json.null }
    local expected = "POST /api/workflow/a-1/tag?add=x&add=y&remove=z&remove=v"
    for _, words in ipairs({
      "tag a-1 --add x --add y --remove z --remove v",
      "workflow tag -w a-1 -a x y -r z v",
    }) do
      w:sends(words, route, answer, expected)
      assert.equal("", w.srv.calls[#w.srv.calls].body or "")
    end
    w:refused(2, "all that follows", "tag --add x a-1")
    w:refused(2, "missing --add", "tag a-1")
    assert.equal(2, #w.srv.calls)
  end)

  it("the profile", function()
    local route = "POST /api/profile/settings"
    local answer = { json = json.null }
    w:sends("profile set pool gpu", route, answer, "POST /api/profile/settings")
    assert.same({ pool = "gpu" }, w.srv:body())
    w:good("profile set notifications slack false")
    assert.same({ slack_notification = false }, w.srv:body())
    w:good("profile set notifications email true")
    assert.same({ email_notification = true }, w.srv:body())
    w:refused(2, "email or slack", "profile set notifications fax true")
    w:refused(2, "what is to be set", "profile set name bob")
  end)

  it("whatever the contract has for it", function()
    assert.same({}, wire.contract.unsent("change"))
  end)
end)

describe("pai osmo submits", function()
  local w

  local function label_of(req)
    local labels = {}
    for _, v in ipairs(req.query.label or {}) do
      if not v:find("^pai%-submit=%x+$") then
        labels[#labels + 1] = v
      end
    end
    req.query.label = #labels > 0 and labels or nil
  end

  before_each(function()
    w = wire.start()
    w.srv.answers["POST /api/pool/{p}/workflow"] = function(req)
      label_of(req)
      local dry = req.query.dry_run and req.query.dry_run[1] == "True"
      local text = req.body ~= "" and json.decode(req.body).file or nil
      return {
        json = {
          name = dry and "flow" or "flow-1",
          spec = dry and text:gsub("{{word}}", "hi") or json.null,
          logs = not dry and "http://x/logs" or json.null,
          warnings = json.array({}),
        },
      }
    end
    w.srv.answers["GET /api/profile/settings"] =
      { json = { profile = { pool = "mine" }, pools = { "mine" }, roles = {} } }
  end)
  after_each(function()
    w:finish()
  end)

  it("a plain file with one call, that has no dry_run", function()
    fs.write(w.dir .. "/f.yaml", FLOW)
    for _, words in ipairs({
      {
        "submit",
        "f.yaml",
        "--set",
        "n=1",
        "--set",
        "e=a=b",
        "--set-string",
        "s=007",
        "--set-env",
        "A=1",
        "--set-env",
        "B=x y",
        "--label",
        "team=red",
        "--label",
        "x=y",
        "--priority",
        "high",
      },
      -- as upstream's users write it: several values behind one flag, then the file
      {
        "workflow",
        "submit",
        "--label",
        "team=red",
        "--label=x=y",
        "--set-string",
        "s=007",
        "--set-env",
        "A=1",
        "B=x y",
        "--priority",
        "HIGH",
        "-t",
        "text",
        "--set",
        "n=1",
        "e=a=b",
        "f.yaml",
      },
    }) do
      w.srv.calls = {}
      w:good(words)
      assert.equal(
        "POST /api/pool/mine/workflow?env_vars=A=1&env_vars=B=x y&label=team=red&label=x=y"
          .. "&priority=HIGH",
        w.srv:last()
      )
      local body = w.srv:body()
      assert.same({ "n=1", "e=a=b" }, body.set_variables)
      assert.same({ "s=007" }, body.set_string_variables)
      assert.is_nil(body.uploaded_templated_spec)
      assert.equal(2, #w.srv.calls)
    end
  end)

  it("a template with two calls, and keeps the template", function()
    local template = FLOW:gsub("%[x%]", "['{{word}}']")
    fs.write(w.dir .. "/f.yaml", template)
    w:good("submit f.yaml --pool p --set word=hi")
    assert.equal("POST /api/pool/p/workflow?dry_run=True", w.srv:last(2))
    assert.equal("POST /api/pool/p/workflow?dry_run=False", w.srv:last())
    assert.equal(template, json.decode(w.srv.calls[1].body).file)
    assert.equal(template, w.srv:body().uploaded_templated_spec)
    assert.matches("- hi", w.srv:body().file, 1, true)
  end)

  it("a dry run and a validation", function()
    fs.write(w.dir .. "/f.yaml", FLOW)
    assert.equal(FLOW, (w:good("submit f.yaml -p p --dry-run")))
    assert.equal("POST /api/pool/p/workflow?dry_run=True", w.srv:last())
    w:good("validate f.yaml -p p --target osmo")
    assert.equal("POST /api/pool/p/workflow?validation_only=True", w.srv:last())
    fs.write(w.dir .. "/g.yaml", (FLOW:gsub("%[x%]", "['{{word}}', '{{other}}']")))
    w:good("validate g.yaml --pool p --target osmo --set word=hi n=1 --set-string other=1 o=2")
    assert.equal("POST /api/pool/p/workflow?dry_run=True&validation_only=True", w.srv:last(2))
    assert.equal("POST /api/pool/p/workflow?dry_run=False&validation_only=True", w.srv:last())
    assert.same({ "word=hi", "n=1" }, w.srv:body().set_variables)
    assert.same({ "other=1", "o=2" }, w.srv:body().set_string_variables)
  end)

  it("a run once more, by its id and with no body", function()
    assert.equal("flow-1\n", (w:good("submit flow-7 --pool p --set-env A=1")))
    assert.equal("POST /api/pool/p/workflow?env_vars=A=1&workflow_id=flow-7", w.srv:last())
    assert.equal("", w.srv.calls[#w.srv.calls].body or "")
    w:refused(2, "--set has no meaning", "submit flow-7 --set a=1")
  end)

  it("a stored workflow, as its client does", function()
    w.srv.answers["GET /api/app/user/{n}"] =
      { json = { uuid = "u-1", versions = { { version = 4 } } } }
    w.srv.answers["GET /api/app/user/{n}/spec"] = { body = FLOW }
    local out = w:sends(
      "app submit train -p p --priority low -l . --set a=1 b=2",
      "POST /api/pool/{p}/workflow",
      function(req)
        label_of(req)
        return { json = { name = "x-1", warnings = { "careful" } } }
      end,
      "POST /api/pool/p/workflow?app_uuid=u-1&app_version=4&priority=LOW"
    )
    assert.equal("x-1\n", out)
    assert.same({ "a=1", "b=2" }, w.srv:body().set_variables)
    assert.equal("GET /api/app/user/train?limit=1", w.srv:last(3))
    assert.equal("GET /api/app/user/train/spec", w.srv:last(2))
  end)

  it("nothing when a mistake can be seen before", function()
    fs.write(w.dir .. "/f.yaml", FLOW)
    w:refused(2, "pai has no rsync", "submit f.yaml --rsync a:b")
    w:refused(2, "pai has no rsync", "app submit train --rsync a:b")
    w:refused(2, "--timeout is a time", "submit f.yaml --wait --timeout soon")
    w:refused(2, "missing FILE", "submit --set a=1 b=2")
    assert.equal(0, #w.srv.calls)
  end)

  it("whatever the contract has for it", function()
    assert.same({}, wire.contract.unsent("submit"))
  end)
end)
