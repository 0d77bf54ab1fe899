-- The template engine: known answers, failures with their kind and line, bounds, and a comparison
-- with Jinja itself on generated templates.
local gen = dofile("tests/spec/osmo/template_gen.lua")
local peer = dofile("tests/spec/osmo/peer.lua")
local document = require("pai.osmo.document")
local json = require("pai.json")
local template = require("pai.osmo.template")
local value = require("pai.osmo.template_value")

-- Variables from YAML, as default-values have them.
local function variables(yaml)
  local out = {}
  local tree = assert(document.load(yaml))
  for _, key in ipairs(tree.keys) do
    out[key] = value.dict_get(tree, key)
  end
  return out
end

local function render(text, yaml)
  return template.render(text, variables(yaml or "{}"))
end

local function failure(text, yaml)
  local result, e = render(text, yaml)
  assert.is_nil(result)
  return e
end

local function check_all(list)
  for _, case in ipairs(list) do
    local result, e = render(case[1], case[3])
    assert.equal(case[2], result or ("FAILED " .. e.message), case[1])
  end
end

describe("expressions", function()
  it("print as Python does", function()
    check_all({
      {
        "{{ [1, 'two', none, true, 1.50, (1,), {'a': 1}] }}",
        "[1, 'two', None, True, 1.5, (1,), {'a': 1}]",
      },
      { "{{ 'it\\'s' }} {{ ['it\\'s', 'a\"b', '\\n'] }}", "it's [\"it's\", 'a\"b', '\\n']" },
      {
        "{{ 1e16 }} {{ 1e15 }} {{ 0.1 + 0.2 }} {{ 1e-5 }}",
        "1e+16 1000000000000000.0 0.30000000000000004 1e-05",
      },
      { "{{ 12345678901234567890 }}", "12345678901234567890" },
      { "{{ day }} {{ [day] }}", "2024-05-06 [datetime.date(2024, 5, 6)]", "day: 2024-05-06" },
      { "{{ d }}", "{'z': 1, 'a': {'k': [1]}}", "d: {z: 1, a: {k: [1]}}" },
    })
  end)

  it("follow Python's precedence and operators", function()
    check_all({
      { "{{ 2 + 3 * 4 ** 2 // 5 % 7 - -1 }}", "5" },
      { "{{ -2 ** 2 }} {{ 7 // -2 }} {{ -7 % 3 }} {{ 7 / 2 }}", "4 -4 2 3.5" },
      { "{{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 1 == 1.0 == true }}", "True False True" },
      { "{{ not 1 in [1] }} {{ 2 not in [1] }} {{ 'b' in 'abc' }}", "False True True" },
      { "{{ 'a' ~ 1 ~ none }} {{ 'ab' * 2 }} {{ [1] + [2] }}", "a1None abab [1, 2]" },
      { "{{ 0 or 'x' }} {{ 1 and '' }}.", "x ." },
      { "{{ 'a' if false }}|{{ 'a' if true else 'b' }}", "|a" },
      { "{{ 'abc'[1] }}{{ 'abc'[-1] }}{{ 'abcd'[1:3] }}{{ [1,2,3][::-1] }}", "bcbc[3, 2, 1]" },
    })
  end)

  it("find attributes, elements and methods", function()
    local yaml = "robot: {name: zed, arm: {joints: 6}, items: [a]}\n1: one"
    check_all({
      { "{{ robot.arm.joints }} {{ robot['name'] }} {{ robot['items'] }}", "6 zed ['a']", yaml },
      { "{% for k, v in robot.arm.items() %}{{ k }}={{ v }}{% endfor %}", "joints=6", yaml },
      { "{{ robot.get('x', 5) }} {{ 'a-b'.split('-')[1].upper() }}", "5 B", yaml },
      { "{% set l = [] %}{% set _ = l.append(3) %}{{ l }}", "[3]" },
      { "{{ m[1] }} {{ m[true] }}", "one one", "m: {1: one}" },
    })
  end)

  it("filter and test", function()
    check_all({
      { "{{ nope | default('d') }} {{ 0 | default(1) }} {{ '' | default(1, true) }}", "d 0 1" },
      { "{{ [3, 1, 2] | sort | join(', ') }} {{ 'ab' | upper | length }}", "1, 2, 3 2" },
      { "{{ {'b': 1, 'a': [true, none]} | tojson }}", '{"a": [true, null], "b": 1}' },
      {
        "{{ rows | selectattr('n', '>', 1) | map(attribute='n') | list }}",
        "[2, 3]",
        "rows: [{n: 1}, {n: 2}, {n: 3}]",
      },
      {
        "{{ 3 is odd }} {{ x is defined }} {{ 4 is divisibleby 2 }} {{ 'a' is string }}",
        "True False True True",
      },
      { "{{ '%05.2f|%-4s|' | format(3.14159, 'x') }}", "03.14|x   |" },
      { "{{ '{:>4}|{k:.1f}'.format('x', k=2) }}", "   x|2.0" },
      { "{{ 2.5 | round }} {{ 2.675 | round(2) }} {{ 7 | round(-1) }}", "2.0 2.67 10" },
    })
  end)
end)

describe("statements", function()
  it("loop", function()
    check_all({
      {
        "{% for i in range(1, 7, 2) %}{{ loop.index0 }}{{ i }}{{ ',' if not loop.last }}"
          .. "{% endfor %}",
        "01,13,25",
      },
      { "{% for i in [] %}x{% else %}none{% endfor %}", "none" },
      { "{% for i in [1, 2, 3] if i != 2 %}{{ loop.length }}{{ i }}{% endfor %}", "2123" },
      { "{% for a, b in [(1, 2), (3, 4)] %}{{ a + b }}{% endfor %}", "37" },
      {
        "{% for i in 'ab' %}{{ loop.cycle('x', 'y') }}{{ loop.previtem is defined }}{% endfor %}",
        "xFalseyTrue",
      },
      {
        "{% for n in t recursive %}{{ n.k }}{% if n.c is defined %}({{ loop(n.c) }}){% endif %}"
          .. "{% endfor %}",
        "a(b)",
        "t: [{k: a, c: [{k: b}]}]",
      },
    })
  end)

  it("set names in the scope that Jinja sets them in", function()
    check_all({
      {
        "{% set n = 0 %}{% for i in [1, 2] %}{% set n = n + i %}{{ n }}{% endfor %}{{ n }}",
        "120",
      },
      {
        "{% set s = namespace(n=0) %}{% for i in [1, 2] %}{% set s.n = i %}{% endfor %}{{ s.n }}",
        "2",
      },
      { "{% if true %}{% set a = 1 %}{% endif %}{{ a }}", "1" },
      { "{% set a, b = 1, 2 %}{{ b }}{% set c %}x{{ a }}{% endset %}{{ c }}", "2x1" },
      { "{% with a = 5 %}{{ a }}{% endwith %}{{ a is defined }}", "5False" },
      {
        "{% macro m(a, b=2) %}<{{ a }}{{ b }}{{ varargs }}>{% endmacro %}{{ m(1, 3, 4) }}",
        "<13(4,)>",
      },
      {
        "{% macro m() %}[{{ caller(2) }}]{% endmacro %}{% call(x) m() %}{{ x }}{% endcall %}",
        "[2]",
      },
      { "{% filter upper %}a{{ 'b' }}{% endfilter %}", "AB" },
    })
  end)

  it("control white space, skip comments, keep raw text", function()
    check_all({
      { "a  {{- ' b ' -}}  c", "a b c" },
      { "a\n{%- if true +%}\n b {%+ endif -%}\n c", "a\n b c" },
      { "x{# {{ nope }} #}y{#- z -#} w", "xyw" },
      { "{% raw %}{{ a }}{% b %}{% endraw %}{%- raw -%} c {%- endraw -%}  d", "{{ a }}{% b %}cd" },
      { "a\r\nb\rc\n\n", "a\nb\nc\n" },
      { "{{-5}} } }} %}", "5 } }} %}" },
    })
  end)
end)

describe("failures", function()
  it("carry kind, line and whether upstream calls them the user's", function()
    for text, want in pairs({
      ["a\n\n{{ nope }}"] = { "UndefinedError", 3, true, "'nope' is undefined" },
      ["{{ a.b }}"] = { "UndefinedError", 1, true, "'int object' has no attribute 'b'" },
      ["\n{% if x %}"] = { "TemplateSyntaxError", 2, true, "'if' is not closed" },
      ["x\n{% foo %}"] = { "TemplateSyntaxError", 2, true, "unknown tag 'foo'" },
      ["{{ 1 + }}"] = { "TemplateSyntaxError", 1, true, "unexpected" },
      ["{{ 'a }}"] = { "TemplateSyntaxError", 1, true, "unexpected char" },
      ["\n{{ (1] }}"] = { "TemplateSyntaxError", 2, true, "unexpected ']'" },
      ["{# a"] = { "TemplateSyntaxError", 1, true, "Missing end of comment" },
      ["{% raw %}a"] = { "TemplateSyntaxError", 1, true, "Missing end of raw" },
      ["\n\n{{ 1 | nope }}"] = { "TemplateAssertionError", 3, true, "No filter named 'nope'" },
      ["{{ 'a' | urlize }}"] = { "TemplateAssertionError", 1, true, "'urlize' is not supported" },
      ["{{ 'a' + 1 }}"] = { "TypeError", 1, true, "concatenate" },
      ["{% for i in 5 %}{% endfor %}"] = { "TypeError", 1, true, "not iterable" },
      ["{% include 'x' %}"] = { "TypeError", 1, true, "has no others" },
      ["\n{{ 1 / 0 }}"] = { "ZeroDivisionError", 2, false, "division by zero" },
      ["{{ range(100001) }}"] = { "OverflowError", 1, false, "range too big" },
      ["{% set a, b = [1] %}"] = { "ValueError", 1, false, "not enough values" },
      ["{{ 2 ** 64 }}"] = { "OverflowError", 1, false, "64 bits" },
    }) do
      local e = failure(text, "a: 1\nx: 1")
      assert.same(
        { want[1], want[2], want[3] },
        { e.kind, e.line, e.user_mistake },
        text .. ": " .. e.message
      )
      assert.truthy(e.message:find(want[4], 1, true), text .. ": " .. e.message)
    end
  end)

  it("of an unknown filter in a branch wait until the branch is taken", function()
    assert.equal("", render("{% if false %}{{ 1 | nope }}{% endif %}"))
    assert.equal("TemplateRuntimeError", failure("{% if true %}{{ 1 | nope }}{% endif %}").kind)
  end)

  it("keep private names out of reach", function()
    for _, text in ipairs({ "{{ ''.__class__ }}", "{{ {}.__init__ }}", "{{ x._private }}" }) do
      assert.is_true(failure(text, "x: [1]").user_mistake)
    end
  end)
end)

describe("bounds", function()
  it("end what takes too long", function()
    local loops = "{% for i in range(99999) %}{% for k in range(99999) %}{% endfor %}{% endfor %}"
    assert.equal("TimeoutError", failure(loops).kind)
    local e =
      select(2, template.render("{% for i in range(50) %}x{% endfor %}", {}, { max_steps = 40 }))
    assert.equal("TimeoutError", e.kind)
  end)

  it("end what takes too much memory", function()
    for _, text in ipairs({
      "{{ 'x' * 999999999999 }}",
      "{{ [0] * 99999999 }}",
      "{% set v = namespace(x='b') %}{% for i in range(60) %}{% set v.x = v.x ~ v.x %}{% endfor %}",
      "{{ '%999999999d' % 1 }}",
      "{% for i in range(3000) %}{{ 'x' * 10000000 }}{% endfor %}",
      "{{ 'a'.center(999999999) }}",
      "{{ 'aaaa'.replace('a', 'b' * 30000000) }}",
    }) do
      assert.equal("MemoryError", failure(text).kind, text)
    end
  end)

  it("end what calls itself, or nests, without end", function()
    assert.equal("RecursionError", failure("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").kind)
    local e = failure("{{ " .. ("("):rep(5000) .. "1" .. (")"):rep(5000) .. " }}")
    assert.equal("TemplateSyntaxError", e.kind)
    e = failure("{{ " .. ("not "):rep(5000) .. "1 }}")
    assert.equal("TemplateSyntaxError", e.kind)
    assert.equal("RecursionError", failure("{% set l = [] %}{% set _ = l.append(l) %}{{ l }}").kind)
  end)
end)

describe("the line map", function()
  it("leads from a line of the output to its line in the template", function()
    local text = "a:\n{% for i in [1, 2] %}\n- x{{ i }}\n{%- endfor %}\n{# c\n #}b: |\n  1\n"
    local result, lines = render(text)
    assert.equal("a:\n\n- x1\n- x2\nb: |\n  1", result)
    assert.same({ 1, 2, 3, 3, 6, 7 }, lines)
  end)
end)

local SCRIPT = [==[
import json, sys, jinja2, jinja2.sandbox
job = json.load(sys.stdin)
results = []
for text in job["templates"]:
    environment = jinja2.sandbox.SandboxedEnvironment(undefined=jinja2.StrictUndefined)
    try:
        rendered = environment.from_string(text).render(json.loads(job["variables"]))
        results.append({"text": rendered})
    except Exception as e:
        user = isinstance(e, (jinja2.exceptions.TemplateError, TypeError, MemoryError))
        results.append({"user": user, "why": type(e).__name__ + ": " + str(e)})
json.dump(results, sys.stdout)
]==]

describe("generated templates", function()
  local FIRST, COUNT = 60000, 2000

  it("render, or fail, as with Jinja", function()
    local texts = {}
    for i = 1, COUNT do
      texts[i] = gen.template(FIRST + i)
    end
    local want = peer.ask(SCRIPT, { templates = json.array(texts), variables = gen.variables })
    local rendered = 0
    for i, text in ipairs(texts) do
      local result, e = render(text, gen.variables)
      local shown = ("seed %d: %s\n"):format(FIRST + i, text)
      if want[i].text then
        rendered = rendered + 1
        assert.equal(want[i].text, result or ("FAILED " .. e.message), shown)
      else
        assert.is_nil(result, shown .. want[i].why)
        assert.equal(want[i].user, e.user_mistake, shown .. want[i].why .. " / " .. e.message)
      end
    end
    -- the generator is no good if hardly anything renders, or everything does
    assert.is_true(rendered > COUNT / 5 and rendered < COUNT * 4 / 5, rendered .. " rendered")
  end)
end)
