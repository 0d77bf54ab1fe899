-- Submits to a scripted service: what is sent, and what becomes of a lost answer.
local fs = require("pai.fs")
local json = require("pai.json")
local pai = require("pai")

local scripted = assert(loadfile(pai.root .. "/tests/spec/osmo/scripted.lua"))()

describe("the client of a service:", function()
  local s, routes, calls

  before_each(function()
    s = scripted.start()
    routes, calls = s.routes, s.calls
  end)
  after_each(function()
    s:finish()
  end)

  local function connect(opts)
    return s:connect(opts)
  end

  describe("a submit", function()
    local ANSWER <const> = {
      name = "flow-1",
      overview = "o",
      logs = "l",
      spec = json.null,
      dashboard_url = json.null,
      warnings = json.array({}),
    }

    -- A submit whose first answers are lost; `hits` says how many runs there then are, with its
    -- label or, from a service that knows no labels, without.
    local function lossy(lost, hits, old)
      local posts = 0
      routes["POST /api/pool/p/workflow"] = function(req)
        posts = posts + 1
        if posts <= lost then
          -- The connection ends in the middle of the answer.
          return {
            headers = { ["content-type"] = "application/json" },
            stream = function(w)
              w:write("{")
              error("cut")
            end,
          }
        end
        return { json = ANSWER, headers = { ["x-label"] = req.query.label[1] } }
      end
      routes["GET /api/workflow"] = function(req)
        local list = json.array({})
        local label = req.query.label and req.query.label[1]:match("^pai%-submit=(.*)$")
        for i = 1, hits(req, posts) do
          local labels = not old and label and { ["pai-submit"] = label } or nil
          list[i] = { name = "flow-" .. i, logs = "l", overview = "o", labels = labels }
        end
        return { json = { workflows = list, more_entries = false } }
      end
      return function()
        return posts
      end
    end

    local function submit(c)
      -- The embedded engine's rule: nobody waits out a deadline on this machine.
      c.target = "local"
      c.roots = {}
      return c:submit({ spec = scripted.SPEC, pool = "p" })
    end

    it("carries a label of its own by which it is found", function()
      local posts = lossy(0, function()
        return 0
      end)
      local c = connect()
      assert.equal("flow-1", submit(c).name)
      assert.equal(1, posts())
      local label = calls[1].query.label[1]
      assert.truthy(label:find("^pai%-submit=%x+$"))
      submit(c)
      assert.are_not.equal(label, calls[2].query.label[1])
    end)

    it("whose answer was lost is adopted when it got through", function()
      local posts = lossy(9, function(req)
        assert.truthy(req.query.label[1]:find("^pai%-submit="))
        return 1
      end)
      local answer = assert(submit(connect()))
      assert.equal("flow-1", answer.name)
      assert.is_true(answer.adopted)
      assert.equal(1, posts())
    end)

    it("whose answer was lost says so before it waits until nobody can still answer", function()
      local posts = lossy(9, function()
        return 1
      end)
      local heard = {}
      local c = connect({
        on_warning = function(text)
          heard[#heard + 1] = text
        end,
      })
      local answer = assert(c:submit({ spec = scripted.SPEC, pool = "p", request_timeout = 300 }))
      assert.same({ "flow-1", 1, 1 }, { answer.name, posts(), #heard })
      assert.matches(
        "^the answer to the submit was lost %(.+%): in %d+ ms it is looked for$",
        heard[1]
      )
    end)

    it("is found at the second look too", function()
      local looks = 0
      local posts = lossy(9, function()
        looks = looks + 1
        return looks >= 2 and 1 or 0
      end)
      assert.equal("flow-1", submit(connect()).name)
      assert.equal(2, looks)
      assert.equal(1, posts())
    end)

    it("is sent again when it did not get through", function()
      local posts = lossy(1, function()
        return 0
      end)
      assert.equal("flow-1", submit(connect()).name)
      assert.equal(2, posts())
      local looks = 0
      for _, req in ipairs(calls) do
        looks = looks + (req.method == "GET" and 1 or 0)
      end
      assert.equal(2, looks)
    end)

    it("that made two runs stops and names both", function()
      lossy(9, function()
        return 2
      end)
      local answer, e = submit(connect())
      assert.is_nil(answer)
      assert.equal("ECONFLICT", e.code)
      assert.truthy(e.message:find("flow-1 and flow-2", 1, true))
    end)

    it("is looked for by name, user and time where there are no labels", function()
      local asked
      lossy(9, function(req)
        if req.query.label then
          return 5
        end
        asked = req.query
        return 1
      end, true)
      assert.equal("flow-1", submit(connect()).name)
      assert.same({ "flow" }, asked.name)
      assert.truthy(asked.submitted_after[1]:find("^%d%d%d%d%-%d%d%-%d%dT"))
      assert.is_nil(asked.all_users)
      -- which a list leaves out unless it is asked for
      assert.matches("FAILED_SUBMISSION", table.concat(asked.statuses, " "), 1, true)
    end)

    it("gives up after a few times", function()
      local posts = lossy(99, function()
        return 0
      end)
      local answer, e = submit(connect())
      assert.is_nil(answer)
      assert.truthy(e)
      assert.equal(3, posts())
    end)

    it("that is refused is not sent again", function()
      local n = 0
      routes["POST /api/pool/p/workflow"] = function()
        n = n + 1
        return {
          status = 400,
          json = { message = "no", error_code = "USAGE", workflow_id = json.null },
        }
      end
      local answer, e = submit(connect())
      assert.is_nil(answer)
      assert.equal("USAGE", e.error_code)
      assert.equal(1, n)
    end)

    it("renders a template twice and puts local files in between", function()
      fs.write(s.dir .. "/run.sh", "echo local\n")
      local text = "workflow:\n  name: flow\n  tasks:\n  - name: t\n    image: alpine\n"
        .. "    command: [sh, /run.sh, '{{word}}']\n    files:\n    - path: /run.sh\n"
        .. "      localpath: run.sh\n"
      fs.write(s.dir .. "/flow.yaml", text)
      local bodies = {}
      routes["POST /api/pool/p/workflow"] = function(req)
        bodies[#bodies + 1] = { query = req.query, body = json.decode(req.body) }
        if req.query.dry_run and req.query.dry_run[1] == "True" then
          return {
            json = {
              name = "flow",
              overview = json.null,
              logs = json.null,
              spec = text:gsub("{{word}}", "hi"),
              dashboard_url = json.null,
              warnings = json.array({}),
            },
          }
        end
        return { json = ANSWER }
      end
      assert(connect():submit({
        file = s.dir .. "/flow.yaml",
        pool = "p",
        variables = { word = "hi" },
        labels = { who = "me" },
      }))
      assert.equal(2, #bodies)
      assert.equal(text, bodies[1].body.file)
      assert.same({ "True" }, bodies[1].query.dry_run)
      assert.same({ "word=hi" }, bodies[1].body.set_variables)
      assert.same({ "False" }, bodies[2].query.dry_run)
      assert.equal(text, bodies[2].body.uploaded_templated_spec)
      local doc = assert(require("pai.yaml").decode(bodies[2].body.file, { schema = "1.1" }))
      local file = doc.workflow.tasks[1].files[1]
      assert.equal("echo local\n", file.contents)
      assert.is_nil(file.localpath)
      assert.equal("who=me", bodies[2].query.label[1])
    end)
  end)
end)
