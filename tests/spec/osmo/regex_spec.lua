-- Python's regular expressions: the same ones are refused, and the others match the same.
local peer = dofile("tests/spec/osmo/peer.lua")
local regex = require("pai.osmo.regex")

local SCRIPT = [==[
import json, re, sys, warnings
warnings.simplefilter("ignore")
job = json.load(sys.stdin)
results = []
for pattern in job["patterns"]:
    try:
        compiled = re.compile(pattern)
    except Exception as e:
        results.append({"error": str(e)})
        continue
    found = []
    for text in job["texts"]:
        match, search = compiled.match(text), compiled.search(text)
        found.append([match.end() if match else -1, search.start() if search else -1,
            search.end() if search else -1])
    results.append({"found": found})
json.dump(results, sys.stdout)
]==]

local PIECES = {
  "a",
  "b",
  ".",
  "*",
  "+",
  "?",
  "{2}",
  "{2,1}",
  "{,3}",
  "{",
  "}",
  "[a-z]",
  "[^a]",
  "[",
  "]",
  "(",
  "(",
  ")",
  ")",
  "|",
  "^",
  "$",
  "\\d",
  "\\w",
  "\\b",
  "\\1",
  "\\2",
  "\\q",
  "\\x41",
  "\\",
  "(?:",
  "(?P<n>",
  "(?P=n)",
  "(?=",
  "(?!",
  "(?<=",
  "(?<!",
  "(?i)",
  "(?i:",
  "(?#c)",
  "(?>",
  "(?(1)",
  "\\Z",
  "[\\d-z]",
  "[z-a]",
  "\\.",
  "-",
  "é",
  "[]a]",
  "??",
  "*+",
  "\\0",
  "\\012",
  "{1,}",
  "(?-i:",
  "x",
}
local TEXTS = { "", "a", "ab", "aab", "b1", "xaab\n", "é-a.", "A", "aaa bbb", "0", "z-a]" }

-- Characters up to a byte.
local function characters(text, byte)
  return utf8.len(text, 1, byte)
end

describe("regular expressions", function()
  it("agree with Python's", function()
    local state, patterns = 11, {}
    local function random(n)
      state = (state * 1103515245 + 12345) % 2147483648
      return (state >> 8) % n + 1
    end
    for i = 1, 4000 do
      local parts = {}
      for k = 1, random(7) do
        parts[k] = PIECES[random(#PIECES)]
      end
      patterns[i] = table.concat(parts)
    end
    local good = 0
    for i, want in ipairs(peer.ask(SCRIPT, { patterns = patterns, texts = TEXTS })) do
      local compiled, e = regex.compile(patterns[i])
      assert.equal(
        want.error == nil,
        compiled ~= nil,
        patterns[i] .. ": " .. tostring(want.error or e)
      )
      for k, found in ipairs(want.found or {}) do
        local text = TEXTS[k]
        local last = compiled:match(text)
        local first, to = compiled:search(text)
        assert.same(found, {
          last and characters(text, last) or -1,
          first and characters(text, first - 1) or -1,
          to and characters(text, to) or -1,
        }, patterns[i] .. " on " .. text)
      end
      good = good + (compiled and 1 or 0)
    end
    assert.is_true(good > 500 and good < 3500, good .. " are good")
  end)

  it("say what is wrong, and where", function()
    for pattern, reason in pairs({
      ["a(b"] = "missing ), unterminated subpattern at position 3",
      ["*a"] = "nothing to repeat at position 0",
      ["[z-a]"] = "bad character range",
      ["a\\"] = "bad escape (end of pattern)",
      ["(?<=a+)b"] = "look-behind requires fixed-width pattern",
    }) do
      local compiled, e = regex.compile(pattern)
      assert.is_nil(compiled)
      assert.truthy(e.message:find(reason, 1, true), e.message)
    end
  end)

  it("end when they take too long", function()
    local compiled = assert(regex.compile("(a+)+$"))
    local ok, e = pcall(compiled.match, compiled, ("a"):rep(40) .. "b")
    assert.is_false(ok)
    assert.equal("ELIMIT", e.code)
  end)

  it("go through long texts", function()
    local text = ("x"):rep(300000) .. "END"
    assert.equal(#text, assert(regex.compile(".*END")):match(text))
    assert.equal(300001, (assert(regex.compile("END$")):search(text)))
  end)

  it("take bytes that are not UTF-8", function()
    assert.equal(3, assert(regex.compile("a.c")):match("a\xffc"))
  end)
end)
