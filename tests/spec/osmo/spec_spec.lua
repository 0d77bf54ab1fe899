-- Reading OSMO specs: the parts that the public cases do not reach one by one, the client's plan,
-- and what a user is told.
local err = require("pai.err")
local fs = require("pai.fs")
local json = require("pai.json")
local spec = require("pai.osmo.spec")

local GRIP = [[
  - name: grip
    image: alpine:3.20
    command: [sh, -c, "true"]
]]

-- A spec with one task; extra lines go into the task.
local function one_task(extra, head)
  return "workflow:\n  name: pick\n" .. (head or "") .. "  tasks:\n" .. GRIP .. (extra or "")
end

local function refused(text, opts)
  local result, e = spec.submit(text, opts)
  assert.is_nil(result)
  return e
end

local function task_of(text, opts)
  return assert(spec.submit(text, opts)).groups[1].tasks[1]
end

describe("sections", function()
  it("are cut at column 0, and what comes before the first is dropped", function()
    local text = "# {{ nope }}\nversion: 9\nworkflow:\n  a: {{ x }}\ndefault-values:\n  x: 1\n"
    assert.equal("workflow:\n  a: 1", spec.render(text))
  end)

  it("are refused by name and line", function()
    local _, e = spec.render("workflow:\n  a: 1\nworkflw:\n")
    assert.equal(3, e.line)
    assert.truthy(e.message:find("unknown key 'workflw'", 1, true))
    assert.truthy(e.message:find("did you mean 'workflow'", 1, true))
    _, e = spec.render("workflow:\n  a: 1\nversion: 2\nworkflow:\n")
    assert.equal(4, e.line)
    assert.truthy(e.message:find("twice", 1, true))
    _, e = spec.render("version: 2\n")
    assert.truthy(e.message:find("no 'workflow:'", 1, true))
  end)

  it("take default-values only as a map", function()
    for text, http in pairs({ ["[1]"] = 400, ["7"] = 400, ["abc"] = 500, ["[ab]"] = 500 }) do
      local _, e = spec.render("workflow: {}\ndefault-values: " .. text .. "\n")
      assert.equal(http, e.http, text)
      assert.equal(2, e.line)
    end
    assert.equal("workflow: {}", spec.render("workflow: {}\ndefault-values:\n"))
  end)
end)

describe("variables", function()
  local function printed(set, set_string)
    return (spec.render("workflow: {{ [x] }}", { variables = set, string_variables = set_string }))
  end

  it("are cast as Python's int and float cast", function()
    for text, want in pairs({
      ["5"] = "5",
      ["007"] = "7",
      ["1_000"] = "1000",
      [" -3 "] = "-3",
      ["+4"] = "4",
      ["12345678901234567890"] = "12345678901234567890",
      ["1e3"] = "1000.0",
      [".5"] = "0.5",
      ["5."] = "5.0",
      ["nan"] = "nan",
      ["-Infinity"] = "-inf",
      ["1__0"] = "'1__0'",
      ["0x10"] = "'0x10'",
      ["true"] = "'true'",
      ["a=b"] = "'a=b'",
      [""] = "''",
    }) do
      assert.equal("workflow: [" .. want .. "]", printed({ "x=" .. text }), text)
    end
  end)

  it("given as text stay text and win", function()
    assert.equal("workflow: ['007']", printed({ "x=1" }, { "x=007" }))
  end)

  it("need a =", function()
    local _, e = spec.render("workflow: {}", { variables = { "x" } })
    assert.equal("USAGE", e.error_code)
    assert.truthy(e.message:find("'x' has no '='", 1, true))
  end)
end)

describe("tokens", function()
  it("pass the template engine without spaces only", function()
    local text = "workflow: '{{output}} {{input:a}} {{host:b}} {{workflow_id}} {{uuid}}'"
    assert.equal(text, spec.render(text))
    local e = refused(one_task('    args: ["{{ output }}"]\n'))
    assert.truthy(e.message:find("write {{output}}", 1, true))
    e = refused(one_task('    args: ["{{ input:0 }}"]\n'))
    assert.truthy(e.message:find("write {{input:NAME}}", 1, true))
  end)

  it("in a raw block become the name of the stand-in, as with upstream", function()
    local text = assert(spec.render("workflow: '{% raw %}{{output}}{% endraw %}'"))
    assert.equal("workflow: '{{hash160702279860470193229463034854783635053}}'", text)
  end)

  it("are replaced in every text of a task, with spaces allowed", function()
    local task = assert(spec.load(
      [[
workflow:
  name: cell
  groups:
  - name: g
    tasks:
    - name: a
      lead: true
      image: x
      command: ["{% raw %}{{ output }}/{{input:0}}{{ input:mine }}{% endraw %}"]
      inputs: [{url: "s3://b/c"}, {task: "run-7:mine"}]
      environment: {"{% raw %}K_{{ host:b }}{% endraw %}": "{{uuid}}", ID: "{{workflow_id}}"}
    - {name: b, image: alpine, command: [ls]}
]],
      { workflow_id = "cell-12", host = string.upper }
    )).groups[1].tasks[1]
    assert.equal("/osmo/data/output/{{hash", task.command[1]:sub(1, 24))
    assert.same({ K_B = "{{uuid}}", ID = "cell-12" }, task.environment)
  end)

  it("must leave a task that still fits the schema", function()
    local e = refused(one_task('    files: [{path: "{{output}}", contents: x}]\n'))
    assert.equal("tokens", e.stage)
    assert.equal(500, e.http)
    assert.truthy(e.message:find("/osmo/data/output", 1, true))
    e = refused(one_task('    checkpoint: [{path: /c, url: "s3://b/c", frequency: 400d}]\n'))
    assert.equal("tokens", e.stage)
  end)
end)

describe("the normalised spec", function()
  local result

  setup(function()
    result = assert(spec.submit(
      [[
workflow:
  name: line
  labels: {team: arms}
  timeout: {exec_timeout: 90m}
  resources:
    default: {cpu: 2, memory: 4096}
    big: {gpu: 1, topology: [{key: rack}]}
  tasks:
  - {name: mine, image: pai.local/mine, command: [dig]}
  - name: smelt
    image: alpine
    command: [heat, 1, 2.50]
    resource: big
    inputs: [{task: mine, regex: ".*\\.ore"}, {url: "file:///data/in"}, {task: "old-3:coal"}]
    outputs: [{url: "s3://b/out"}]
    files: [{path: /a, contents: 5}, {path: /b, base64: true, contents: AAEC}]
    environment: {N: 1.50, B: true}
    exitActions: {FAIL: "7", complete: "1,5-9"}
    credentials: {hub: {TOKEN: key}}
]],
      {
        env = { "N=cli", "X=a=b" },
        pool = { topology_keys = { { key = "rack" } }, max_exec_timeout = "1h" },
      }
    ))
  end)

  it("has name, labels, timeouts and resources", function()
    assert.equal("line", result.name)
    assert.equal("line-1", result.workflow_id)
    assert.same({ team = "arms" }, result.labels)
    assert.same({ exec_timeout = 5400 }, result.timeout)
    assert.same({ exec_timeout = 3600, queue_timeout = 60 * 86400 }, result.timeout_effective)
    assert.same({ cpu = 2, memory = "4.0Ki" }, result.resources.default)
    assert.equal("rack", result.resources.big.topology[1].key)
  end)

  it("has groups that say what they wait for", function()
    assert.same({ "mine-group", "smelt-group" }, { result.groups[1].name, result.groups[2].name })
    assert.same({ "mine-group" }, { table.unpack(result.groups[2].needs) })
    assert.is_true(result.groups[2].tasks[1].lead)
  end)

  it("has inputs by index, with task, run, url and regex", function()
    local inputs = result.groups[2].tasks[1].inputs
    assert.same({ index = 0, task = "mine", from_task = "mine", regex = ".*\\.ore" }, inputs[1])
    assert.same({ index = 1, url = "file:///data/in", regex = "" }, inputs[2])
    assert.same(
      { index = 2, task = "old-3:coal", from_task = "coal", from_workflow = "old-3", regex = "" },
      inputs[3]
    )
  end)

  it("has texts where texts are wanted", function()
    local task = result.groups[2].tasks[1]
    assert.same({ "heat", "1", "2.5" }, { table.unpack(task.command) })
    assert.same({ N = "cli", B = "True", X = "a" }, task.environment)
    assert.same({ path = "/a", contents = "5", base64 = false }, task.files[1])
    assert.is_true(task.files[2].base64)
    assert.same({ hub = { TOKEN = "key" } }, task.credentials)
    assert.same({ N = "cli", X = "a" }, result.groups[1].tasks[1].environment)
    assert.same({}, task_of(one_task()).environment, "nothing stays from the spec before")
  end)

  it("has exit actions in order, with their ranges", function()
    local task = result.groups[2].tasks[1]
    assert.same({ FAIL = "7", complete = "1,5-9" }, task.exitActions)
    assert.same({
      { action = "FAIL", ranges = { { 7, 7 } } },
      { action = "COMPLETE", ranges = { { 1, 1 }, { 5, 9 } } },
    }, task.exit_actions)
  end)

  it("is JSON, with lists as lists", function()
    local again = assert(json.decode(json.encode(result)))
    assert.is_true(json.is_array(again.groups[1].tasks[1].args))
    assert.is_true(json.is_array(again.groups[1].needs))
  end)
end)

describe("messages", function()
  local function check(text, line, ...)
    local e = refused(text, { path = "flow.yaml" })
    assert.equal(line, e.line, e.message)
    for _, part in ipairs({ ... }) do
      assert.truthy(e.message:find(part, 1, true), e.message)
    end
    return e
  end

  it("name file, line, member and remedy", function()
    check(
      one_task("    argz: [x]\n"),
      7,
      "flow.yaml:7: ",
      "workflow.tasks.0.argz",
      "did you mean 'args'"
    )
    check(one_task("    args: [x, true]\n"), 7, "workflow.tasks.0.args.1", "put it in quotes")
    check(one_task("    args: null\n"), 7, "leave the key out")
    check(
      "workflow:\n  name: p\n  tasks:\n  - name: a\n    image: b\n    command: ls -l\n",
      6,
      "[ls -l]"
    )
    check(one_task(nil, "  resources:\n    default:\n      memory: 4GB\n"), 5, "write 4Gi")
    check(one_task(nil, "  timeout: {exec_timeout: 1h30m}\n"), 3, "PT1H30M")
    check(one_task("    image2: x\n    cacheSize: 150%\n"), 7, "image2")
    check(one_task("    inputs:\n    - {url: 's3://b', task: a}\n"), 8, "not both")
    check(
      one_task("    outputs:\n    - url: ftp://x/y\n"),
      8,
      "use s3, gs, swift, tos, azure or file"
    )
    check(one_task("    environment: {DAY: 2024-05-06}\n"), 7, "a date: put it in quotes")
    check(one_task("    inputs: [{task: grap}]\n"), 7, "no task 'grap' (did you mean 'grip'?)")
  end)

  it("show all complaints, and list the members once", function()
    local e = check(
      "workflow:\n  name: 1a\n  tasks:\n  - {name: b, command: [ls]}\n  x: 1\n",
      2,
      "is missing"
    )
    assert.same({ "workflow.name", "workflow.tasks.0.image", "workflow.x" }, e.at)
    assert.equal("pick", refused(one_task("    argz: [x]\n")).name)
  end)

  it("find their way back through the template", function()
    local text = [[
# a comment
default-values:
  n: 2
workflow:
  name: fan
  tasks:
  {% for i in range(n) %}
  - name: arm{{ i }}
    image: alpine
    command: [echo, {{ i }}]
    imag: x
  {% endfor %}
]]
    local e = check(text, 11, "workflow.tasks.0.imag: unknown key", "workflow.tasks.1.imag")
    assert.same({ "workflow.tasks.0.imag", "workflow.tasks.1.imag" }, e.at)
    check(text:gsub("imag: x", "args: ['{{ nn }}']"), 11, "'nn' is undefined (did you mean 'n'?)")
    check(text:gsub("imag: x", "args: [ {{output}} ]"), 11, "must be in quotes")
    check(text:gsub("n: 2", "n: [2"), 4, "default-values is not YAML")
  end)

  it("say so when the second rendering is what fails", function()
    local e =
      check(one_task('    args: ["{% raw %}{{.Names}}{% endraw %}"]\n'), 7, "rendered once more")
    assert.equal(2, e.render)
  end)

  it("tell tabs from spaces", function()
    check(one_task("    args:\t[x]\n"), 7, "a tab", "YAML wants spaces")
    check("workflow:\n  name: a\n  x: [http://h/a?b=1]\n", 3, "put the text in quotes")
  end)
end)

describe("the client's plan", function()
  it("leaves a plain file to one call, as PyYAML writes it", function()
    local plan = assert(spec.client('workflow:\r\n  name: "p"\r\n  tasks: []\r\nversion: 2\r\n'))
    assert.is_false(plan.templated)
    assert.is_nil(plan.template)
    assert.equal("p", plan.name)
    assert.equal("version: 2\nworkflow:\n  name: p\n  tasks: []\n", plan.text)
  end)

  it("asks for a dry run of a template, and keeps the original", function()
    local text = "workflow:\n  name: '{{ x }}'\n"
    local plan = assert(spec.client(text, {
      render = function(raw)
        assert.equal(text, raw)
        return "workflow: {name: seven, tasks: []}"
      end,
    }))
    assert.is_true(plan.templated)
    assert.equal(text, plan.template)
    assert.equal("workflow:\n  name: seven\n  tasks: []\n", plan.text)
  end)

  it("gives on what the dry run failed with", function()
    local mine = err.new("EHTTP", "no such pool", { http = 400 })
    local plan, e = spec.client("workflow: '{{ x }}'", {
      render = function()
        return nil, mine
      end,
    })
    assert.is_nil(plan)
    assert.equal(mine, e)
  end)

  it("takes local files in from beside the spec", function()
    local asked = {}
    local plan =
      assert(spec.client(one_task("    files:\n    - {path: /a, localpath: sub/a.sh}\n"), {
        dir = "/specs",
        read = function(path)
          asked[#asked + 1] = path
          return "#!/bin/sh\r\necho 'hi'\n"
        end,
      }))
    assert.same({ "/specs/sub/a.sh" }, asked)
    assert.truthy(
      plan.text:find("contents: '#!/bin/sh\n\n        echo ''hi''\n", 1, true),
      plan.text
    )
    assert.is_nil(plan.text:find("localpath", 1, true))
  end)

  it("fails on what upstream's client fails on", function()
    local function fails(text, part, opts)
      local plan, e = spec.client(text, opts)
      assert.is_nil(plan)
      assert.equal("client", e.stage)
      assert.truthy(e.message:find(part, 1, true), e.message)
      return e
    end
    fails("", "must be a map")
    fails("workflow: 7", "must be a map")
    fails("a: [", "not YAML")
    fails("workflow: \xff", "not UTF-8")
    fails(one_task("    files: 5\n"), "must be a list")
    local both = "    files:\n    - {path: /a, localpath: x, contents: y}\n"
    assert.equal(8, fails(one_task(both), "both contents and localpath").line)
    local none = fails(one_task("    files:\n    - {path: /a, localpath: nope.sh}\n"), "nope.sh", {
      dir = "/nowhere",
    })
    assert.equal(8, none.line)
  end)

  it("renders what localpath takes in, quotes and all", function()
    local function submit(contents)
      return spec.submit(one_task("    files:\n    - {path: /a, localpath: a.sh}\n"), {
        variables = { "x=1" },
        read = function()
          return contents
        end,
      })
    end
    assert.equal("1\n", assert(submit("{{ x }}\n")).groups[1].tasks[1].files[1].contents)
    -- in single quotes of YAML the template's own quotes are doubled
    local result, e = submit("{{ {'a': x}['a'] }}\n")
    assert.is_nil(result)
    assert.equal("template", e.stage)
    assert.truthy(e.message:find("workflow.tasks.0.files.0.contents", 1, true), e.message)
  end)
end)

describe("a dry run", function()
  it("gives the rendered YAML with sorted keys and merged labels, unchecked", function()
    local text = "workflow:\n  name: {{ n }}\n  bogus: yes\ndefault-values: {n: a}\n"
    local result = assert(spec.dry_run(text, { labels = { "team=arms" } }))
    assert.equal("a", result.name)
    assert.equal("workflow:\n  bogus: true\n  labels:\n    team: arms\n  name: a\n", result.text)
  end)

  it("fails on labels", function()
    local result, e = spec.dry_run("workflow: {name: a, labels: {1: x}}")
    assert.is_nil(result)
    assert.equal("labels", e.stage)
    assert.equal("a", e.name)
    assert.truthy(e.message:find("label key 1 must be text", 1, true))
    result, e = spec.dry_run("workflow: {name: a}", { labels = { "x" } })
    assert.is_nil(result)
    assert.truthy(e.message:find("has no '='", 1, true))
  end)
end)

describe("file URLs", function()
  local text = one_task("    inputs: [{url: 'file:///data/in'}]\n")

  it("are pai's extension, and can be switched off", function()
    assert.equal("file:///data/in", task_of(text).inputs[1].url)
    assert.equal("data", refused(text, { file_urls = false }).stage)
  end)

  it("must be absolute", function()
    for _, url in ipairs({ "file://data/in", "file:data", "file:///", "file:////x" }) do
      local e = refused(one_task(("    outputs: [{url: '%s'}]\n"):format(url)))
      assert.equal("data", e.stage, url)
    end
  end)
end)

describe("validate_file", function()
  local dir

  before_each(function()
    dir = fs.tempdir({ prefix = "pai-spec-" })
  end)
  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  it("checks a file and what lies beside it", function()
    fs.write(fs.join(dir, "go.sh"), "echo {{output}}\n")
    local path = fs.join(dir, "flow.yaml")
    fs.write(path, one_task("    files:\n    - {path: /go.sh, localpath: go.sh}\n"))
    local result = assert(spec.validate_file(path))
    assert.equal("echo /osmo/data/output\n", result.groups[1].tasks[1].files[1].contents)
    fs.write(path, one_task("    files:\n    - {path: /go.sh, localpath: no.sh}\n"))
    local none, e = spec.validate_file(path)
    assert.is_nil(none)
    assert.truthy(e.message:find(path .. ":8: workflow.tasks.0.files.0", 1, true), e.message)
  end)

  it("says when there is no such file", function()
    local result, e = spec.validate_file(fs.join(dir, "none.yaml"))
    assert.is_nil(result)
    assert.equal("ENOENT", e.code)
  end)
end)
