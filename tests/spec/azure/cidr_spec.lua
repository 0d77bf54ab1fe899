-- Networks are compared as networks, not as texts.
local cidr = require("pai.cidr")

describe("pai.cidr", function()
  local function p(text)
    return assert(cidr.parse(text))
  end

  it("reads networks and addresses", function()
    assert.are.same(
      { base = 0xCB007100, bits = 24, text = "203.0.113.0/24", exact = false },
      p("203.0.113.77/24")
    )
    assert.are.equal("203.0.113.4/32", p("203.0.113.4").text)
    assert.are.equal("0.0.0.0/0", p("0.0.0.0/0").text)
    for _, bad in ipairs({
      "",
      "garbage",
      "203.0.113",
      "203.0.113.4/33",
      "203.0.113.4/",
      "203.0.113.4/x",
      "203.0.113.256/24",
      "203.0.113.4.5",
      "203.00.113.4",
      "2001:db8::/32",
      "YOUR_IP/32",
      "203.0.113.4/32\n",
    }) do
      local network, why = cidr.parse(bad)
      assert.is_nil(network, bad)
      assert.is_truthy(why:find("'", 1, true))
    end
  end)

  it("knows what is inside of what", function()
    assert.is_false(cidr.contains(p("203.0.113.40/32"), p("203.0.113.4/32")))
    assert.is_true(cidr.contains(p("203.0.113.0/24"), p("203.0.113.4")))
    assert.is_false(cidr.contains(p("203.0.113.4"), p("203.0.113.0/24")))
    assert.is_true(cidr.overlaps(p("192.168.4.0/24"), p("192.168.0.0/16")))
    assert.is_false(cidr.overlaps(p("10.0.0.0/16"), p("192.168.0.0/16")))
    assert.is_true(cidr.is_private(p("172.20.1.0/24")))
    assert.is_false(cidr.is_private(p("203.0.113.4")))
  end)

  it("adds and never takes away", function()
    local all, added = cidr.union({ "198.51.100.7/32", "203.0.113.0/24" }, {
      "203.0.113.9/32",
      "192.0.2.1/32",
    })
    assert.are.same({ "198.51.100.7/32", "203.0.113.0/24", "192.0.2.1/32" }, all)
    assert.are.same({ "192.0.2.1/32" }, added)
  end)

  it("holds to arithmetic for random networks", function()
    math.randomseed(7)
    for _ = 1, 500 do
      local bits, inner = math.random(0, 32), math.random(0, 32)
      local address = math.random(0, 0xFFFFFFFF)
      local function text(n, b)
        return ("%d.%d.%d.%d/%d"):format(n >> 24, n >> 16 & 255, n >> 8 & 255, n & 255, b)
      end
      local outer, other = p(text(address, bits)), p(text(math.random(0, 0xFFFFFFFF), inner))
      local first, last = other.base, other.base + (1 << (32 - inner)) - 1
      local low, high = outer.base, outer.base + (1 << (32 - bits)) - 1
      assert.are.equal(low <= first and last <= high, cidr.contains(outer, other))
      assert.are.equal(low <= last and first <= high, cidr.overlaps(outer, other))
    end
  end)
end)
