-- Lines of keys, found in source text that was written in many ways.
local locate = require("pai.recipe.locate")

describe("the locator", function()
  it("reads nested tables, lists and quoted keys", function()
    local lines = locate.lines([==[
-- a } brace in a comment
local other = { steps = 1 }
return {
  api = 1, name = "x }",
  doc = [[
  } not the end
  ]],
  ["tags"] = { "a" },
  steps = {
    { name = "a", run = function() if x then return { b = 1 } end end },
    {
      name = "b", after = { "a" },
      run = function()
        for _ = 1, 2 do repeat local t = { "}" } until t end
      end,
      bad = 1,
    },
  },
}
]==])
    assert.are.equal(4, lines.api)
    assert.are.equal(4, lines.name)
    assert.are.equal(5, lines.doc)
    assert.are.equal(8, lines.tags)
    assert.are.equal(10, lines["steps.1.run"])
    assert.are.equal(12, lines["steps.2.after.1"])
    assert.are.equal(16, lines["steps.2.bad"])
    assert.is_nil(lines["steps.1.b"])
  end)

  it("follows a table that is returned by its name", function()
    local lines = locate.lines("local r <const> = {\n  api = 1,\n}\nreturn r\n")
    assert.are.equal(2, lines.api)
  end)

  it("gives the nearest table around a key that is not written", function()
    local lines = locate.lines("return {\n  inputs = {\n    v = {},\n  },\n}\n")
    assert.are.equal(3, locate.line(lines, "inputs.v.type"))
    assert.are.equal(2, locate.line(lines, "inputs.w.type"))
    assert.are.equal(1, locate.line(lines, "steps"))
    assert.are.equal(1, locate.line(locate.lines("return make()"), "steps"))
  end)

  it("ends on text that is no Lua", function()
    for _, text in ipairs({
      "",
      "return {",
      "return { a = ",
      "{{{{",
      'return { a = "',
      "[[",
      "--[[",
    }) do
      assert.are.equal("table", type(locate.lines(text)))
    end
  end)
end)
