-- Every filter, test and global function of Jinja, with the arguments that people give it, against
-- Jinja itself. The list of names is Jinja's own: one that is new there fails here.
local json = require("pai.json")
local pai = require("pai")
local peer = assert(loadfile(pai.root .. "/tests/spec/osmo/peer.lua"))()
local template = require("pai.osmo.template")

-- What pai refuses by name: chance, and layout of prose and markup, which no workflow needs.
local REFUSED <const> = { pprint = 1, random = 1, urlize = 1, wordwrap = 1, xmlattr = 1 }

local FILTERS <const> = {
  abs = { "-3|abs", "2.5|abs", "-0.0|abs", "true|abs" },
  attr = { "'a'|attr('nope') is undefined", "d|attr('k') is defined" },
  batch = { "xs|batch(2)|list", "xs|batch(2, 'x')|list", "[]|batch(3)|list" },
  capitalize = { "'hELLO wORLD'|capitalize", "''|capitalize", "12|capitalize" },
  center = { "'ab'|center(7)", "'abc'|center(2)", "'ab'|center(width=5) ~ '|'" },
  count = { "xs|count", "'abc'|count", "d|count" },
  d = { "nope|d('x')", "''|d('x', true)" },
  default = {
    "nope|default",
    "nope|default('x')",
    "none|default('x')",
    "none|default('x', true)",
    "''|default('x', boolean=true)",
    "0|default(5, true)",
    "false|default(default_value=7, boolean=true)",
    "d.zz|default('x')",
    "d['zz'].y|default('x')",
  },
  dictsort = {
    "d|dictsort",
    "d|dictsort(reverse=true)",
    "{'B': 1, 'a': 2}|dictsort",
    "{'B': 1, 'a': 2}|dictsort(true)",
    "{'x': 3, 'y': 1}|dictsort(false, 'value')",
    "{'x': 3}|dictsort(by='nope')",
  },
  e = { "'<a href=\"x\">&\\'</a>'|e" },
  escape = { "'<b>&amp;'|escape", "5|escape" },
  filesizeformat = {
    "0|filesizeformat",
    "1|filesizeformat",
    "999|filesizeformat",
    "1000|filesizeformat",
    "13000000|filesizeformat",
    "1536|filesizeformat(true)",
    "1e15|filesizeformat(binary=true)",
  },
  first = { "xs|first", "'abc'|first", "[]|first|default('none')", "[]|first" },
  float = { "'2.5'|float", "'x'|float", "'x'|float(1.5)", "'x'|float(default=2)", "3|float" },
  forceescape = { "'<b>'|forceescape" },
  format = {
    "'%s-%05d'|format('a', 42)",
    "'%.2f%%'|format(12.345)",
    "'%(a)s'|format(a='b')",
    "'%x %o %e'|format(255, 8, 12345.678)",
    "'%s'|format",
    "'%d'|format('x')",
  },
  groupby = {
    "rows|groupby('g')|list",
    "rows|groupby('g', default='z')|map('first')|list",
    "rows|groupby(attribute='id')|map(attribute='grouper')|list",
    "[{'n': {'k': 'B'}}, {'n': {'k': 'a'}}]|groupby('n.k')|map(attribute=0)|list",
  },
  indent = {
    "'a\\nb'|indent",
    "'a\\n\\nb'|indent(2)",
    "'a\\n\\nb'|indent(2, true)",
    "'a\\n\\nb'|indent(2, true, true)",
    "'a\\nb'|indent(width='> ', first=true)",
    "'a\\nb\\n'|indent(blank=true)",
  },
  int = {
    "'42'|int",
    "'x'|int",
    "'x'|int(7)",
    "'0x1f'|int(0, 16)",
    "'1010'|int(base=2)",
    "'z'|int(base=36)",
    "3.9|int",
    "'3.9'|int",
    "true|int",
  },
  items = { "d|items|list", "{}|items|list", "nope|items|list" },
  join = {
    "xs|join",
    "xs|join(', ')",
    "rows|join('/', attribute='id')",
    "'abc'|join('-')",
    "d|join",
  },
  last = { "xs|last", "'abc'|last", "[]|last|default('none')" },
  length = { "xs|length", "d|length", "5|length" },
  list = { "'abc'|list", "d|list", "range(3)|list", "5|list" },
  lower = { "'ÄB'|lower", "5|lower" },
  map = {
    "xs|map('string')|list",
    "rows|map(attribute='id')|list",
    "rows|map(attribute='zz', default='-')|list",
    "['a', 'b']|map('upper')|join",
    "[[1, 2], [3]]|map('join', '+')|list",
    "rows|map('nope')|list",
  },
  max = {
    "xs|max",
    "['B', 'a']|max",
    "['B', 'a']|max(true)",
    "rows|max(attribute='id')",
    "[]|max",
    "[nope]|max",
  },
  min = {
    "xs|min",
    "['B', 'a']|min",
    "['B', 'a']|min(case_sensitive=true)",
    "[]|min is undefined",
  },
  reject = { "[1, 2, 3]|reject('odd')|list", "[0, 1]|reject|list", "xs|reject('gt', 1)|list" },
  rejectattr = {
    "rows|rejectattr('id', 'odd')|map(attribute='id')|list",
    "rows|rejectattr('g')|list",
  },
  replace = { "'aaa'|replace('a', 'b')", "'aaa'|replace('a', 'b', 2)", "5|replace(5, 6)" },
  reverse = { "xs|reverse|list", "'abc'|reverse", "range(3)|reverse|list", "5|reverse" },
  round = {
    "2.5|round",
    "3.5|round",
    "2.567|round(1)",
    "2.51|round(1, 'ceil')",
    "2.59|round(1, 'floor')",
    "1234|round(-2)",
    "2.5|round(0, 'nope')",
    "2.567|round(precision=2)|string",
  },
  safe = { "'<b>'|safe" },
  select = {
    "[1, 2, 3]|select('odd')|list",
    "[0, 1, '']|select|list",
    "xs|select('in', [1])|list",
  },
  selectattr = {
    "rows|selectattr('id')|list",
    "rows|selectattr('g', 'equalto', 'p')|map(attribute='id')|list",
    "rows|selectattr('id', 'in', [1, 3])|map(attribute='id')|list",
    "rows|selectattr('zz', 'defined')|list",
  },
  slice = { "range(7)|slice(3)|list", "range(7)|slice(3, 'x')|list", "[]|slice(2)|list" },
  sort = {
    "xs|sort",
    "['B', 'a', 'C']|sort",
    "['B', 'a', 'C']|sort(case_sensitive=true)",
    "rows|sort(attribute='g,id', reverse=true)|map(attribute='id')|list",
    "rows|sort(true, false, 'id')|first",
    "[1, 'a']|sort",
  },
  string = { "5|string", "true|string", "xs|string", "none|string", "2.50|string", "d|string" },
  striptags = { "'<p>a  <b>b</b> &amp; c</p>'|striptags", "'a < b'|striptags" },
  sum = { "xs|sum", "[]|sum", "rows|sum(attribute='id')", "[0.1, 0.2]|sum", "xs|sum(start=10)" },
  title = { "'hello wORLD foo-bar it\\'s'|title", "''|title" },
  tojson = {
    "d|tojson",
    "'<a>&\\''|tojson",
    "[1, 2.0, true, none]|tojson",
    "{'b': 1, 'a': [1, 2]}|tojson(2)",
    "{'b': {}, 'a': []}|tojson(indent=4)",
    "'ä'|tojson",
    "nope|tojson",
  },
  trim = { "'  a '|trim ~ '|'", "'xxaxx'|trim('x')", "'xya'|trim(chars='xy')" },
  truncate = {
    "'foo bar baz qux'|truncate(9)",
    "'foo bar baz qux'|truncate(9, true)",
    "'foo bar baz qux'|truncate(11)",
    "'foo bar baz qux'|truncate(11, false, '..')",
    "'foo bar baz qux'|truncate(9, leeway=0)",
    "'foo bar baz qux'|truncate(2)",
  },
  unique = {
    "['a', 'A', 'b']|unique|list",
    "['a', 'A']|unique(true)|list",
    "rows|unique(attribute='g')|map(attribute='id')|list",
  },
  upper = { "'straße'|upper", "none|upper" },
  urlencode = {
    "'a b/c&d=ä'|urlencode",
    "{'a': 1, 'b c': 'd&e'}|urlencode",
    "[['a', 1]]|urlencode",
  },
  wordcount = { "'a bb, c-d  e'|wordcount", "''|wordcount" },
}

local TESTS <const> = {
  ["!="] = { "rows|selectattr('id', '!=', 1)|list|length" },
  ["<"] = { "xs|select('<', 2)|list" },
  ["<="] = { "xs|select('<=', 2)|list" },
  ["=="] = { "xs|select('==', 2)|list" },
  [">"] = { "xs|select('>', 2)|list" },
  [">="] = { "xs|select('>=', 2)|list" },
  boolean = { "true is boolean", "1 is boolean" },
  callable = { "range is callable", "5 is callable", "d.get is callable" },
  defined = { "nope is defined", "d.zz is defined", "none is defined" },
  divisibleby = { "6 is divisibleby 3", "7 is divisibleby(num=3)", "6 is divisibleby 0" },
  eq = { "1 is eq 1.0", "'a' is eq('b')" },
  equalto = { "1 is equalto true" },
  escaped = { "'a' is escaped" },
  even = { "2 is even", "2.5 is even", "'x' is even" },
  ["false"] = { "false is false", "0 is false" },
  filter = { "'upper' is filter", "'nope' is filter" },
  float = { "2.0 is float", "2 is float" },
  ge = { "2 is ge 2" },
  greaterthan = { "3 is greaterthan 2" },
  gt = { "3 is gt 3", "'a' is gt 3" },
  ["in"] = { "1 is in xs", "'a' is in 'abc'", "'a' is in d", "1 is in 5" },
  integer = { "2 is integer", "true is integer", "2.0 is integer" },
  iterable = { "xs is iterable", "'a' is iterable", "5 is iterable" },
  le = { "2 is le 1" },
  lessthan = { "1 is lessthan 2" },
  lower = { "'ab1' is lower", "'aB' is lower", "5 is lower" },
  lt = { "1 is lt 1" },
  mapping = { "d is mapping", "xs is mapping" },
  ne = { "1 is ne 2" },
  none = { "none is none", "nope is none", "0 is none" },
  number = { "1 is number", "true is number", "'1' is number" },
  odd = { "3 is odd", "-3 is odd" },
  sameas = { "none is sameas none", "1 is sameas true", "xs is sameas xs" },
  sequence = { "xs is sequence", "'a' is sequence", "5 is sequence", "d is sequence" },
  string = { "'a' is string", "5 is string" },
  test = { "'odd' is test", "'nope' is test" },
  ["true"] = { "true is true", "1 is true" },
  undefined = { "nope is undefined", "n is undefined" },
  upper = { "'AB' is upper", "'' is upper" },
}

local GLOBALS <const> = {
  cycler = {
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.current }}{{ c.next() }}{{ c.next() }}",
  },
  dict = { "{{ dict(a=1, b='x') }}{{ dict([['k', 2]], z=3) }}{{ dict() }}" },
  joiner = { "{% set j = joiner('; ') %}{% for i in xs %}{{ j() }}{{ i }}{% endfor %}" },
  lipsum = { "{{ lipsum is callable }}" }, -- what it says is chance
  namespace = {
    "{% set s = namespace(n=0) %}{% for i in xs %}{% set s.n = s.n + i %}{% endfor %}{{ s.n }}",
  },
  range = {
    "{{ range(3)|list }}{{ range(5, 1, -2)|list }}{{ range(0)|list }}{{ range(2, 4)|length }}",
    "{{ range(100001) }}",
    "{{ range() }}",
    "{{ range(1, 5, 0) }}",
  },
}

local VARIABLES <const> = [[{"n": 3, "xs": [3, 1, 2], "d": {"k": "v", "a": 1},
  "rows": [{"id": 1, "g": "p"}, {"id": 2, "g": "q"}, {"id": 3, "g": "p"}]}]]

-- Letters with and without case, of the alphabets that pai knows; some change their length.
local CASE <const> = {
  { 0x20, 0x17F },
  { 0x1CD, 0x1DC },
  { 0x1DE, 0x1EE },
  { 0x1F8, 0x21F },
  { 0x370, 0x3CE },
  { 0x400, 0x52F },
  { 0x531, 0x556 },
  { 0x561, 0x586 },
  { 0x5D0, 0x5EA },
  { 0x1E00, 0x1E95 },
  { 0x1E9E, 0x1EFF },
  { 0x4E00, 0x4E10 },
  { 0xFF01, 0xFF5E },
}
-- Old Greek letters among them that are left as they are.
local LEFT <const> = "[ͺͰͱͲͳͶͷͿͻͼͽΐΰ\u{345}]"

local SCRIPT <const> = [==[
import json, sys
import jinja2, jinja2.defaults, jinja2.sandbox
job = json.load(sys.stdin)
results = []
for text in job["templates"]:
    environment = jinja2.sandbox.SandboxedEnvironment(undefined=jinja2.StrictUndefined)
    try:
        results.append({"text": environment.from_string(text).render(json.loads(job["variables"]))})
    except Exception as e:
        results.append({"why": type(e).__name__ + ": " + str(e)})
names = {k: sorted(v) for k, v in (
    ("filters", jinja2.defaults.DEFAULT_FILTERS),
    ("tests", jinja2.defaults.DEFAULT_TESTS),
    ("globals", jinja2.defaults.DEFAULT_NAMESPACE))}
json.dump({"results": results, "names": names}, sys.stdout)
]==]

-- Variables as default-values have them.
local function variables()
  local value = require("pai.osmo.template_value")
  local tree, out = assert(require("pai.osmo.document").load(VARIABLES)), {}
  for _, key in ipairs(tree.keys) do
    out[key] = value.dict_get(tree, key)
  end
  return out
end

describe("what Jinja brings along", function()
  local texts, names, answers = {}, {}, nil
  for what, groups in pairs({ filters = FILTERS, tests = TESTS, globals = GLOBALS }) do
    names[what] = {}
    for name, list in pairs(groups) do
      names[what][name] = true
      for _, text in ipairs(list) do
        texts[#texts + 1] = what == "globals" and text or "{{ " .. text .. " }}"
      end
    end
  end
  table.sort(texts)

  setup(function()
    answers = peer.ask(SCRIPT, { templates = json.array(texts), variables = VARIABLES })
  end)

  for i, text in ipairs(texts) do
    it("is pai's, too: " .. text, function()
      local want = answers.results[i]
      local result, e = template.render(text, variables())
      if want.text then
        assert.equal(want.text, result or ("FAILED " .. e.message))
      else
        assert.is_nil(result, want.why)
      end
    end)
  end

  it("knows capitals and small letters as Python does", function()
    local letters = {}
    for _, range in ipairs(CASE) do
      for code = range[1], range[2] do
        local c = utf8.char(code)
        if not LEFT:find(c, 1, true) and c ~= '"' and c ~= "\\" then
          letters[#letters + 1] = c
        end
      end
    end
    local words = {
      "straße übung",
      "ΟΔΥΣΣΕΑ",
      "ÉCOLE d'été",
      "жук ЖУК",

      "éa-öb",
      "中é",
    }
    table.move(words, 1, #words, #letters + 1, letters)
    local forms = {}
    for i, c in ipairs(letters) do
      local q = '"' .. c .. '"'
      forms[i] = ("{{ [%s.upper(), %s.lower(), %s.swapcase(), (%s ~ 'x').capitalize(), "):format(
        q,
        q,
        q,
        q
      ) .. ("(%s ~ 'x').title(), %s.isupper(), %s.islower(), %s|upper]|join('|') }}"):format(
        q,
        q,
        q,
        q
      )
    end
    local want = peer.ask(SCRIPT, { templates = json.array(forms), variables = "{}" }).results
    for i, form in ipairs(forms) do
      assert.equal(want[i].text, (template.render(form, {})), letters[i])
    end
  end)

  it("is all here", function()
    for what, list in pairs(answers.names) do
      for _, name in ipairs(list) do
        local known = names[what][name] or (what == "filters" and REFUSED[name])
        assert.is_truthy(known, ("nothing tries %s of Jinja's %s"):format(name, what))
      end
    end
  end)

  it("is refused by name where pai has not got it", function()
    for name in pairs(REFUSED) do
      local result, e = template.render("{{ 'a'|" .. name .. " }}", {})
      assert.is_nil(result)
      assert.matches(("The filter '%s' is not supported"):format(name), e.message, 1, true)
    end
  end)
end)
