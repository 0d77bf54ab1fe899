-- The published matrix is what a run gives, and holds wherever the text is cut.
local fs = require("pai.fs")
local matrix = dofile("docs/security_matrix.lua")

describe("the matrix of docs/security.md", function()
  it("is what a run gives", function()
    local text = assert(fs.read("docs/security.md"))
    assert.equal(matrix.insert(text), text, "run make security-matrix")
    assert.equal(30, #matrix.transforms)
    local _, shown = matrix.markdown():gsub("%*%*shown%*%*", "")
    assert.equal(6, shown) -- reversed, and half of it
  end)

  it("holds at every split", function()
    local count = 0
    for _, transform in ipairs(matrix.transforms) do
      for _, length in ipairs(matrix.lengths) do
        local value, text, may_stay = matrix.text(transform, length)
        local whole = matrix.masked(value, text)
        for cut = 0, #text + 2 do
          local out = matrix.masked(value, text, cut)
          assert.equal(whole, out, transform[1])
          assert.equal(matrix.gone(whole, may_stay), matrix.gone(out, may_stay))
          count = count + 1
        end
      end
    end
    assert.is_true(count > 3000)
  end)

  it("tells what is shown from what is masked", function()
    assert.is_true(matrix.gone("<***>", 4))
    assert.is_false(matrix.gone("<q7/R+***>", 4))
    assert.is_false(matrix.gone("<q7/R>", 4))
  end)
end)
