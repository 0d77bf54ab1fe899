-- Documents that hold secrets: opened and made without a value ever being a Lua string.
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local secret = require("pai.secret")
local yaml = require("pai.yaml")

local function opened(text)
  local dir = assert(fs.tempdir())
  assert(fs.write(dir .. "/s", text, { mode = "0600" }))
  local handle = assert(secret.from_file(dir .. "/s"))
  fs.remove(dir, { recursive = true })
  return handle
end

local value = crypto.hex(16)

describe("a document with secrets in it", function()
  it("gives handles for what stands at and below the named keys", function()
    local doc = assert(yaml.decode(
      opened(([[
name: plain
token: %s
number: {password: 12345678}
data: {a: %s, list: [%s, {b: true}], none: null, empty: ""}
after: 1
]]):format(value, value, value)),
      { secret = { token = true, password = true, data = true } }
    ))
    assert.same({ "plain", 1 }, { doc.name, doc.after })
    local same = opened(value)
    for _, handle in ipairs({ doc.token, doc.data.a, doc.data.list[1] }) do
      assert.equal("userdata", type(handle))
      assert.is_true(handle:equals(same))
    end
    assert.equal(8, doc.number.password:len())
    assert.equal("***", tostring(doc.data.list[2].b))
    assert.equal(require("pai.json").null, doc.data.none)
    assert.equal("", doc.data.empty)
    assert.is_nil(require("pai.mask").text("x " .. value):find(value, 1, true))
  end)

  it("may be JSON, and text instead of a handle", function()
    local doc = assert(yaml.decode(('{"a":{"token":"%s\\n"}}'):format(value), {
      secret = { token = true },
    }))
    assert.equal(#value + 1, doc.a.token:len())
    assert.equal("x", assert(yaml.decode(opened("k: x"))).k)
  end)

  it("does not quote what is wrong in it", function()
    local doc, e = yaml.decode(opened("token: [" .. value), { secret = { token = true } })
    assert.is_nil(doc)
    assert.equal("EPARSE", e.code)
    assert.is_nil(tostring(e.message):find(value, 1, true))
  end)
end)

describe("base64 of a secret", function()
  it("is a secret both ways", function()
    local handle = opened(value)
    local coded = crypto.base64_encode(handle)
    assert.is_true(coded:equals(opened(crypto.base64_encode(value))))
    assert.is_true(crypto.base64_decode(coded):equals(handle))
    local bad, e = crypto.base64_decode(opened("not base64!"))
    assert.same({ nil, "EPARSE" }, { bad, e.code })
  end)
end)

describe("secret.join", function()
  it("makes one secret of texts and secrets", function()
    local whole = assert(secret.join({ '{"key":"', opened(value), '"}' }))
    assert.is_true(whole:equals(opened('{"key":"' .. value .. '"}')))
    assert.equal(0, assert(secret.join({})):len())
  end)

  it("refuses what is neither, and what is too large", function()
    assert.has_error(function()
      secret.join({ "a", 1 })
    end)
    local big, e = secret.join({ ("x"):rep(1 << 20), ("y"):rep(1 << 20) })
    assert.same({ nil, "ELIMIT" }, { big, e.code })
  end)
end)
