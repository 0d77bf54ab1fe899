-- YAML as Python holds and writes it: key order and types, what PyYAML refuses, and a dump that is
-- PyYAML's to the byte. PyYAML itself is the judge.
local peer = dofile("tests/spec/osmo/peer.lua")
local document = require("pai.osmo.document")
local json = require("pai.json")
local value = require("pai.osmo.template_value")
local yaml_dump = require("pai.osmo.yaml_dump")

-- The document as Python would print it.
local function python(text)
  return value.repr(assert(document.load(text)))
end

describe("documents", function()
  it("keep the order and the type of keys", function()
    for text, want in pairs({
      ["z: 1\na: 2\nm: {y: 1, b: 2}\n"] = "{'z': 1, 'a': 2, 'm': {'y': 1, 'b': 2}}",
      ["1: a\n'2': b\n2.5: c\n'3.5': d\n"] = "{1: 'a', '2': 'b', 2.5: 'c', '3.5': 'd'}",
      ["yes: a\n'no': b\n~: c\n'null': d\n"] = "{True: 'a', 'no': 'b', None: 'c', 'null': 'd'}",
      ['{"b": 1, "a": 2}'] = "{'b': 1, 'a': 2}",
    }) do
      assert.equal(want, python(text))
    end
  end)

  it("keep dates and whole numbers of any size", function()
    local text = "a: 2024-05-06\nb: 12345678901234567890\nc: [-98765432109876543210, 1e+30]\n"
    assert.equal(
      "{'a': datetime.date(2024, 5, 6), 'b': 12345678901234567890, "
        .. "'c': [-98765432109876543210, '1e+30']}",
      python(text)
    )
  end)

  it("know the line of every entry", function()
    local tree = assert(document.load("a:\n- x\n- b: 1\n  c:\n    d: 2\n"))
    assert.equal(5, document.line(tree, { "a", 1, "c", "d" }))
    assert.equal(3, document.line(tree, { "a", 1, "missing" }))
    assert.is_nil(document.line(tree, { "missing" }))
    assert.same({ "a", 1, "c", "d" }, document.path_at(tree, 5))
    assert.same({ "a", 0 }, document.path_at(tree, 2))
  end)

  it("name the line of an error", function()
    local tree, e = document.load("a: 1\n b: 2\n")
    assert.is_nil(tree)
    assert.equal(2, e.line)
  end)
end)

local LOAD = [==[
import json, sys, yaml
results = []
for text in json.load(sys.stdin):
    try:
        results.append({"value": repr(yaml.safe_load(text))})
    except Exception as e:
        results.append({"error": type(e).__name__})
json.dump(results, sys.stdout)
]==]

-- Pieces that put tabs, question marks and brackets where they matter.
local BASES = {
  "a: 1\nb: |\n  x\ty\n  \tz\nc: 2\n",
  "a: |\n  \tfirst\n  second\nb: [x]\n",
  "- a: >-\n    \tt\n    x\n  b: 2\n",
  'a: "x\ty?"\nb: [\'q\t?\', "r?"]\n',
  "a: [1, b?c, 2]\n",
  "a:\tb\n",
  "a: b\t\n",
  "a: b # c\td?\n",
  "a: b\n  {c? d\n  e\nf: [g]\n",
  "a: don't? [x\nb: 'y'\n",
  "a: &x |\n  [b?\n  \tc\nd: {e: f}\n",
  "url: http://h/x?y=1\nb: {c: d}\n",
  "- [a, 'b''c?', \"d\\\"?\"]\n- {e: f}\n",
  "a: 'two\n  lines\t?\n  [x'\nb: [c]\n",
  "? a\n: b\n",
}

describe("texts with tabs and question marks", function()
  it("are taken and refused as PyYAML does", function()
    local texts, pieces = {}, { "\t", " ", "\n", '"', "'", "- ", ": ", "[", "]", "?", "," }
    local state = 7
    local function random(n)
      state = (state * 1103515245 + 12345) % 2147483648
      return (state >> 8) % n + 1
    end
    for _ = 1, 1500 do
      local text = BASES[random(#BASES)]
      if random(3) > 1 then
        local at = random(#text + 1)
        text = text:sub(1, at - 1) .. pieces[random(#pieces)] .. text:sub(at)
      end
      texts[#texts + 1] = text
    end
    local wrong, refused = {}, 0
    for i, want in ipairs(peer.ask(LOAD, texts)) do
      local tree = document.load(texts[i])
      refused = refused + (want.error and 1 or 0)
      if (tree == nil) ~= (want.error ~= nil) then
        wrong[#wrong + 1] = ("%q: %s"):format(texts[i], want.error or want.value)
      elseif tree ~= nil then
        assert.equal(want.value, value.repr(tree), texts[i])
      end
    end
    assert.is_true(refused > 100 and refused < 1400)
    -- libyaml alone decides on a few odd ones
    assert.is_true(#wrong <= 6, table.concat(wrong, "\n"))
    for _, base in ipairs(BASES) do
      for _, line in ipairs(wrong) do
        assert.is_nil(line:find(("%q"):format(base), 1, true), line)
      end
    end
  end)
end)

local DUMP = [==[
import json, random, sys, yaml
random.seed(json.load(sys.stdin))
words = ["a", "b c", "x: y", "#h", "- z", "it's", 'say "q"', "", "  lead", "trail ", "l1\nl2",
  "l1\n\nl3\n", "tab\there", "\u00e9\u4e2d", "yes", "123", "1.5", "null", "~", "2024-05-06",
  "{{ a }}",
  "{% if x %}", "a" * 90, "word " * 30, "long text with 'quotes' and words " * 5, "a\n b", "a \nb",
  "echo \"hi\" # c\n  indented\n", "k:v", "?x", "? x", ":", "=", "<<", "!t", "&a", "*a", "%d", "@x",
  "`", "|", "1:30", "0x1f", "1_000", "\n", "\n\na", "---x", "...", "\u00e9 " * 40, "trail\\n" * 12,
  "\u2028", "a\u00a0b", "1e3", "-", ".5", "on", "a " * 60 + "\n" + "b " * 60, "\u201cq\u201d " * 30]
def make(depth):
    r = random.random()
    if depth <= 0 or r < .55:
        return random.choice(words)
    if r < .62:
        return random.choice([1, -5, 0, 2.5, 1e20, 1e-7, float("inf"), True, False, None])
    if r < .8:
        return [make(depth - 1) for _ in range(random.randint(0, 3))]
    keys = words + ["k1", "k2", "w" * 130]
    return {random.choice(keys): make(depth - 1) for _ in range(random.randint(0, 4))}
json.dump([yaml.dump({"root": make(3), "n": make(2)}) for _ in range(600)], sys.stdout)
]==]

describe("dumped documents", function()
  it("are PyYAML's to the byte", function()
    for i, text in ipairs(peer.ask(DUMP, 20240506)) do
      assert.equal(text, yaml_dump.dump(assert(document.load(text))), "document " .. i)
    end
  end)

  it("keep what a key is", function()
    local text = "'1': a\n2: b\n"
    assert.equal(text, yaml_dump.dump(assert(document.load(text))))
  end)

  it("are plain data again", function()
    local tree = assert(document.load(json.encode({ a = json.array({}), b = { c = "x\ny" } })))
    assert.equal("a: []\nb:\n  c: 'x\n\n    y'\n", yaml_dump.dump(tree))
  end)
end)
