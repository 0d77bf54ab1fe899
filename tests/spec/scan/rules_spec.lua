-- The rules of pai scan, each against texts that it finds and texts that it must not find.
local examples = dofile("tests/spec/scan/examples.lua")
local scan = require("pai.scan")

local rules = require("pai.scan.rules").all()
local all = assert(scan.compile(rules))

local ROUNDS <const> = 20

local function ids_of(result)
  local list = {}
  for i, finding in ipairs(result.findings) do
    list[i] = finding.rule
  end
  return table.concat(list, " ")
end

describe("the rules", function()
  it("are at least sixty, each told in full", function()
    local seen = {}
    assert.is_true(#rules >= 60)
    for _, rule in ipairs(rules) do
      assert.is_nil(seen[rule.id], rule.id)
      seen[rule.id] = true
      assert.is_truthy(({ high = 1, medium = 1, low = 1 })[rule.severity], rule.id)
      assert.is_true(#rule.description > 8 and #rule.source >= 8, rule.id)
      assert.is_truthy(#rule.keywords > 0 or rule.runs, rule.id)
    end
  end)

  it("have examples, and examples have rules", function()
    local known = {}
    for _, rule in ipairs(rules) do
      known[rule.id] = true
      local example = examples.rules[rule.id]
      assert.is_truthy(example, rule.id .. " has no examples")
      assert.is_true(#example.yes > 0 and #example.no > 0, rule.id)
    end
    for id in pairs(examples.rules) do
      assert.is_true(known[id], id .. " is no rule")
    end
  end)

  it("repeat nothing without an end", function()
    for _, rule in ipairs(rules) do
      local bare = rule.pattern:gsub("%[=?%]?[^%]]*%]", "C"):gsub("\\.", "x")
      assert.is_nil(bare:find("[%w%)][*+][^+]"), rule.id)
    end
  end)
end)

for _, rule in ipairs(rules) do
  local example = examples.rules[rule.id] or { yes = {}, no = {} }
  describe("the rule " .. rule.id, function()
    it("finds what it is for, exactly, and takes it away", function()
      for n, yes in ipairs(example.yes) do
        for seed = 1, ROUNDS do
          local text, first, last = examples.unmark(yes(examples.generator(seed * 1009 + n)))
          local result = assert(all:text(text, { redact = true }))
          local found
          for _, finding in ipairs(result.findings) do
            found = found or (finding.rule == rule.id and finding)
          end
          if found then
            assert.equal(first - 1, found.offset, rule.id)
            assert.equal(last, found.end_offset, rule.id)
            local mark = ("[REDACTED:%s:%s]"):format(rule.id, found.fingerprint:sub(1, 8))
            assert.equal(text:sub(1, first - 1) .. mark, result.redacted:sub(1, first - 1 + #mark))
          end
          example.found = (example.found or 0) + (found and 1 or 0)
        end
      end
      -- random text may hold a word, or too little of what makes it random
      assert.is_true(example.found >= #example.yes * ROUNDS * 0.9, tostring(example.found))
    end)

    it("passes over what only looks like it", function()
      local alone = assert(scan.compile({ rule, rule.check == "nested" and rules[1] or nil }))
      for n, no in ipairs(example.no) do
        for seed = 1, ROUNDS do
          local text = no(examples.generator(seed * 2003 + n))
          assert.equal("", ids_of(assert(alone:text(text))), ("%s, text %d"):format(rule.id, n))
          assert.equal("", ids_of(assert(alone:text(text .. "\n"))))
        end
      end
    end)
  end)
end
