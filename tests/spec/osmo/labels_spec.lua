-- Label selectors, against the verdicts of upstream's own code, and what they find.
local peer = dofile("tests/spec/osmo/peer.lua")
local json = require("pai.json")
local labels = require("pai.osmo.labels")

describe("label selectors", function()
  local lines = peer.case_lines("label-selectors.jsonl")

  it("are all there", function()
    assert.is_true(#lines >= 15)
  end)

  for _, line in ipairs(lines) do
    local case = assert(json.decode(line))
    it(("%s: %s"):format(case.id, case.selector), function()
      local selector, e = labels.selector(case.selector)
      if case.verdict == "ok" then
        assert(selector, e)
        assert.equal(case.key, selector.key)
        assert.same({ table.unpack(case.patterns) }, selector.patterns)
      else
        assert.is_nil(selector)
        assert.truthy(e.message:find(case.selector, 1, true))
      end
    end)
  end

  it("fold runs of stars and drop what comes twice", function()
    assert.same({ "a*" }, assert(labels.selector("k=a(*|**)")).patterns)
  end)

  it("stand for at most 32 patterns and 4096 bytes", function()
    assert.equal(32, #assert(labels.selector("k=(a|b)(a|b)(a|b)(a|b)(a|b)")).patterns)
    local selector, e = labels.selector("k=(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)")
    assert.is_nil(selector)
    assert.truthy(e.message:find("32", 1, true))
    selector, e = labels.selector("k=" .. ("a"):rep(4096))
    assert.is_nil(selector)
    assert.equal("ELIMIT", e.code)
  end)

  it("match whole values", function()
    local function matches(selector, value)
      return labels.matches(assert(labels.selector(selector)), { rig = value })
    end
    assert.is_true(matches("rig=north_*", "north_7"))
    assert.is_true(matches("rig=(north|south)_*", "south_"))
    assert.is_true(matches("rig=a.b", "a.b"))
    assert.is_false(matches("rig=a.b", "axb"))
    assert.is_false(matches("rig=north", "north_7"))
    assert.is_false(matches("rig=a-*", "aa"))
    assert.is_false(labels.matches(assert(labels.selector("rig=*")), {}))
  end)
end)

describe("label assignments", function()
  it("are split at the first =", function()
    local key, value = labels.assignment("a.b/team=arms")
    assert.equal("a.b/team", key)
    assert.equal("arms", value)
  end)

  it("are refused with the reason", function()
    for text, reason in pairs({
      ["team"] = "has no '='",
      ["te am=a"] = "is no label key",
      ["team="] = "is no value for the label 'team'",
      ["A.b/team=a"] = "lower-case DNS name",
      ["a/b/c=d"] = "is no label key",
      ["team=" .. ("v"):rep(64)] = "is no value",
    }) do
      local key, why = labels.assignment(text)
      assert.is_nil(key)
      assert.truthy(why:find(reason, 1, true), text .. ": " .. why)
    end
  end)
end)
