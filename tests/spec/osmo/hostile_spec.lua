-- Hostile specs: a good one with values of other types, binary, dates, tabs, aliases, depth, bytes
-- that are no text, in many places. Each gets a verdict; a refusal is a message that can be printed
-- and, but for what concerns the whole text, names a line.
local spec = require("pai.osmo.spec")

local GOOD <const> = [[
version: 2
workflow:
  name: flow
  labels: {a: b}
  timeout: {exec_timeout: 1h, queue_timeout: 10m}
  resources:
    default: {cpu: 1, gpu: 0, memory: 1Gi, storage: 1Gi, nodesExcluded: [n]}
  groups:
  - name: g
    barrier: true
    tasks:
    - name: t
      lead: true
      image: alpine
      command: [sh, -c, "echo hi"]
      args: [a, 1]
      environment: {A: b}
      inputs: [{url: "s3://b/x", regex: ".*"}]
      outputs: [{url: "s3://b/y"}]
      files: [{path: /a, contents: hello}]
      credentials: {c: /m}
      exitActions: {COMPLETE: "1-3"}
      checkpoint: [{path: /x, url: "s3://b/z", frequency: 10s}]
      kpis: [{index: a, path: b}]
      resource: default
    - {name: u, image: alpine, command: [x]}
default-values: {k: 1}
]]

local VALUES <const> = {
  "null",
  "true",
  "1",
  "1.5",
  "-1",
  ".inf",
  ".nan",
  "2024-01-02",
  "2024-01-02 03:04:05",
  "12:30:45",
  "!!binary aGVsbG8=",
  "!!binary '%%%'",
  "[]",
  "{}",
  "[[[]]]",
  "{1: 2}",
  "{null: 1}",
  "{[a]: 1}",
  "{? {a: b} : c}",
  "''",
  '"\\0"',
  '"\\ud800"',
  "!!python/object:os.system x",
  "!!set {a, b}",
  "!!omap [a: 1]",
  "!foo bar",
  "&x [*x]",
  "*nope",
  "<<",
  "{<<: {a: 1}}",
  "017",
  "1e400",
  "99999999999999999999999",
  "|\n        text\n",
  "a: b: c",
  "[a",
  "'a",
  "@a",
  "- a",
  "{{x}}",
  "{% if %}",
  "{{ 1/0 }}",
  "{{host:zz}}",
  ("x"):rep(5000),
  ("["):rep(500),
  ("{a: "):rep(300),
  "\xff\xfe",
  "\xc3",
  "caf\xc3\xa9",
  "\xe2\x80\xa8",
  "\xef\xbb\xbf",
  "\0",
  "\t",
  "\27[31m",
}

local WHOLE <const> = {
  "",
  "\0",
  "workflow:",
  "workflow: 1",
  "workflow:\n  - a",
  "workflow: &a {name: *a}",
  ("workflow: {a: "):rep(5000),
  "workflow: {" .. ("a: &x [1], "):rep(1000) .. "}",
  "\xff\xfew\0o\0r\0k\0",
  "workflow:\n  name: " .. ("x"):rep(1000000),
  "---\nworkflow: 1\n---\nworkflow: 2",
  "%YAML 1.2\n---\nworkflow: 1",
  "default-values: 1\nworkflow: {}",
  "default-values: {a: &x [*x]}\nworkflow: {}",
}

-- A list of nine aliases of the one before, and so on: 9^8 items.
local function bomb()
  local parts = { "&a0 [x]" }
  for i = 1, 8 do
    parts[i + 1] = ("&a%d [%s]"):format(i, ("*a%d,"):format(i - 1):rep(9))
  end
  return "workflow: [" .. table.concat(parts, ", ") .. "]\n"
end

-- About the text as a whole.
local NO_LINE <const> = { "must be a map with", "is not UTF-8 text", "workflow" }

local function check(text, what)
  for _, name in ipairs({ "submit", "load" }) do
    local result, e = spec[name](text, {
      path = "flow.yaml",
      offline = true,
      read = function()
        return nil, { code = "ENOENT", message = "no such file" }
      end,
    })
    if not result then
      local m = e.message
      assert(e.code == "ESPEC" and utf8.len(m), what)
      assert(#m < 4000, what .. m)
      assert(not m:find("[%z\1-\8\11-\31\127]"), what .. m)
      for _, trace in ipairs({ "%.lua:%d", "traceback", "userdata", "table: 0x", "attempt to" }) do
        assert(not m:find(trace), what .. m)
      end
      local whole = e.line == nil and not m:find("flow.yaml:%d")
      for _, words in ipairs(whole and NO_LINE or {}) do
        whole = whole and not m:find(words, 1, true)
      end
      assert(not whole, what .. m)
    end
  end
end

describe("a hostile spec", function()
  local state

  local function rnd(n)
    state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
    return (state >> 33) % n + 1
  end

  -- What is done to a line.
  local MUTATIONS <const> = {
    function(line, v)
      return (line:gsub(":%s[^:]*\n$", function()
        return ": " .. v .. "\n"
      end))
    end,
    function(line, v)
      return line:match("^%s*") .. v .. ": 1\n"
    end,
    function()
      return ""
    end,
    function(line)
      return "\t" .. line
    end,
    function(line, v)
      local at = rnd(#line)
      return line:sub(1, at - 1) .. v .. line:sub(at)
    end,
  }

  -- How the whole is written.
  local FORMS <const> = {
    function(text)
      return (text:gsub("\n", "\r\n"))
    end,
    function(text)
      return "\xef\xbb\xbf" .. text
    end,
    function(text)
      return (text:gsub("\n", "\r"))
    end,
  }

  it("gets a verdict, or a message with its line", function()
    assert(spec.submit(GOOD, { offline = true }))
    local lines = {}
    for line in GOOD:gmatch("[^\n]*\n") do
      lines[#lines + 1] = line
    end
    for seed = 1, 400 do
      state = seed
      local copy = table.move(lines, 1, #lines, 1, {})
      for _ = 1, rnd(2) do
        local at, v = rnd(#copy), VALUES[rnd(#VALUES)]
        if copy[at] ~= "" then
          copy[at] = MUTATIONS[math.max(1, rnd(8) - 3)](copy[at], v)
        end
      end
      local text = table.concat(copy)
      local form = FORMS[rnd(6)]
      check(form and form(text) or text, ("seed %d: "):format(seed))
    end
  end)

  it("that is hardly one, too deep, too large or its own part is refused", function()
    for i, text in ipairs(WHOLE) do
      check(text, ("text %d: "):format(i))
    end
    check(bomb(), "aliases: ")
  end)

  it("is not repeated as a terminal would take it, and not in full", function()
    local tasks = "tasks: [{name: t, image: a, command: [x]}]}"
    local _, e = spec.submit('workflow: {name: "\\0\\e[31m", ' .. tasks, { path = "f" })
    assert.matches("'\\x00\\x1b[31m' is no name", e.message, 1, true)
    _, e =
      spec.submit("workflow: {name: " .. ("\xc3\xa9"):rep(3000) .. ", " .. tasks, { path = "f" })
    assert.is_true(#e.message < 2500)
    assert.truthy(utf8.len(e.message))
    -- a key that is no number is one all the same
    _, e = spec.submit("workflow: {name: a, .nan: 1, " .. tasks, { path = "f" })
    assert.matches("f:1: .*nan", e.message)
  end)
end)
