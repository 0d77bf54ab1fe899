local mask = require("pai.mask")

-- What the stream gives for these pieces, and the rest, divided by "|".
local function feed(m, ...)
  local out = {}
  for i, piece in ipairs({ ... }) do
    out[i] = m:feed(piece)
  end
  out[#out + 1] = m:finish()
  return table.concat(out, "|")
end

local function of(...)
  local m = mask.new()
  for _, value in ipairs({ ... }) do
    assert.is_true(m:add(value))
  end
  return m
end

describe("pai.mask", function()
  it("masks a value cut at every place", function()
    local value = "cut-me-anywhere"
    local text = "before " .. value .. " after"
    for cut = 0, #text do
      local m = of(value)
      local out = feed(m, text:sub(1, cut), text:sub(cut + 1))
      assert.equal("before *** after", (out:gsub("|", "")))
    end
  end)

  it("shows at once what cannot become a value", function()
    local m = of("progress-token")
    assert.equal("Password: ", m:feed("Password: "))
    assert.equal(0, m:held())
    assert.equal("...", m:feed("...pro"))
    assert.equal(3, m:held())
    assert.equal("pro", m:feed("gr"):sub(1, 0) .. m:feed("amme"):sub(1, 3))
    assert.equal(0, m:held())
  end)

  it("shows a mask before it knows where it ends", function()
    local m = of("abcdef", "abcdefghij")
    assert.equal("***", m:feed("abcdef"))
    assert.equal(0, m:held())
    assert.equal("", m:feed("ghi"))
    assert.equal(3, m:held())
    assert.equal("ghiX", m:feed("X"))
    assert.equal("***", m:feed("abcdefghij"))
    assert.equal("", m:finish())
  end)

  it("makes one mask of overlapping, nested and touching values", function()
    assert.equal("<***>|", feed(of("abcdef", "defghi"), "<abcdefghi>"))
    assert.equal("<***>|", feed(of("cdefgh", "abcdefghij"), "<abcdefghij>"))
    assert.equal("<***>|", feed(of("abcdef"), "<abcdefabcdef>"))
    assert.equal("***|||", feed(of("abcdef"), "abcdef", "abcdef", ""))
    assert.equal("***|-|***|", feed(of("abcdef"), "abcdef", "-", "abcdef"))
  end)

  it("finds the encodings", function()
    local value = 'p/w "ä" & 1+1=2'
    local m = of(value)
    for _, form in ipairs({
      value,
      "702f772022c3a422202620312b313d32",
      "702F772022C3A422202620312B313D32",
      "p%2Fw%20%22%C3%A4%22%20%26%201%2B1%3D2",
      "p%2fw%20%22%c3%a4%22%20%26%201%2b1%3d2",
      "p%2Fw+%22%C3%A4%22+%26+1%2B1%3D2",
      'p/w \\"ä\\" & 1+1=2',
      'p/w \\"\\u00e4\\" & 1+1=2',
      'p\\/w \\"ä\\" & 1+1=2',
      'p/w \\"ä\\" \\u0026 1+1=2',
    }) do
      assert.equal("[***", m:feed("[" .. form):sub(1, 4), form)
      m:finish()
    end
  end)

  it("finds base64 whatever stands before and after it", function()
    local ok, crypto = pcall(require, "pai.crypto")
    assert.is_true(ok, tostring(crypto))
    for len = 8, 12 do
      local value = ("k9#Xq2$Vw7!Zp4"):sub(1, len)
      local m = of(value)
      for before = 0, 5 do
        for after = 0, 5 do
          for _, url in ipairs({ true, false }) do
            local left_of, right_of = ("\xfb\xff?"):rep(2), ("\xfb\xff>"):rep(2)
            local text = left_of:sub(1, before) .. value .. right_of:sub(1, after)
            local masked = m:feed(crypto.base64_encode(text, { url = url })) .. m:finish()
            assert.matches("***", masked, 1, true)
            -- What stays beside the mask holds at most two bits of the value at either end.
            local left, right = masked:match("^(.-)%*%*%*(.*)$")
            assert.is_true(#left <= (before * 8 + 5) // 6 and #right <= (after * 8 + 5) // 6 + 3)
          end
        end
      end
    end
  end)

  it("refuses what would blank ordinary output", function()
    local m = mask.new()
    for _, value in ipairs({ "", "a", "{", "\n", "test", "docker", "PASSWORD", "------" }) do
      local ok, why = m:add(value)
      assert.is_false(ok)
      assert.is_string(why)
    end
    assert.equal("a { test docker ------|", feed(m, "a { test docker ------"))
  end)

  it("takes values while text flows, and twice", function()
    local m = of("first-value-here")
    assert.equal("a ", m:feed("a first-"))
    m:add("first-other-one")
    m:add("first-other-one")
    assert.equal("*** b", m:feed("other-one b"))
  end)

  it("masks bytes that are no text", function()
    local value = "\1\0\2\255\254\0\253"
    assert.equal("\3***\3|", feed(of(value), "\3" .. value .. "\3"))
  end)

  it("agrees with a slow masker on random texts", function()
    math.randomseed(5)
    local function letter()
      return ("ab~"):sub(math.random(3), -1):sub(1, 1)
    end
    for _ = 1, 300 do
      local values, text = {}, {}
      for i = 1, math.random(4) do
        local bytes = {}
        for k = 1, math.random(6, 12) do
          bytes[k] = letter()
        end
        values[i] = table.concat(bytes)
      end
      for i = 1, math.random(60) do
        local v = values[math.random(#values)]
        text[i] = math.random(3) == 1 and v:sub(1, math.random(#v)) or letter()
      end
      text = table.concat(text)
      local m, covered = mask.new(), {}
      for _, v in ipairs(values) do
        local from = m:add(v) and text:find(v, 1, true)
        while from do
          for k = from, from + #v - 1 do
            covered[k] = true
          end
          from = text:find(v, from + 1, true)
        end
      end
      local want, got = {}, {}
      for k = 1, #text do
        want[#want + 1] = not covered[k] and text:sub(k, k) or not covered[k - 1] and "***" or ""
        got[k] = m:feed(text:sub(k, k))
      end
      got[#got + 1] = m:finish()
      assert.equal(table.concat(want), table.concat(got))
    end
  end)

  it("looks for what is registered with the process", function()
    assert.equal("nothing here", mask.text("nothing here"))
    assert.is_false(mask.find("nothing here"))
  end)

  it("raises for a caller's mistakes", function()
    assert.error_matches(function()
      mask.new():feed(nil)
    end, "string expected")
    assert.error(function()
      mask.new():add({})
    end)
  end)
end)
