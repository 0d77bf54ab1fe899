local crypto = require("pai.crypto")
local fs = require("pai.fs")
local secret = require("pai.secret")

describe("pai.crypto", function()
  local dir

  before_each(function()
    dir = fs.tempdir({ prefix = "pai-crypto" })
  end)

  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  it("gives the digests of the standards' own examples", function()
    assert.equal(
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      crypto.sha256("abc")
    )
    assert.equal(crypto.sha256(""), crypto.digest("sha256", ""))
    assert.equal("d41d8cd98f00b204e9800998ecf8427e", crypto.digest("md5", ""))
    assert.equal("a9993e364706816aba3e25717850c26c9cd0d89d", crypto.digest("sha1", "abc"))
    assert.equal(64, #crypto.digest("sha512", "abc", { raw = true }))
    assert.error_matches(function()
      crypto.digest("sha257", "")
    end, 'no digest "sha257"')
  end)

  it("has the same SHA-256 as the executable, which loads no library for it", function()
    local digest = require("pai.digest")
    for _, len in ipairs({ 0, 1, 55, 56, 63, 64, 65, 1000, 100000 }) do
      local bytes = crypto.random(len)
      assert.equal(crypto.sha256(bytes), digest.sha256(bytes))
    end
    assert.error(function()
      digest.sha256({})
    end)
  end)

  it("gives the digest of a file, read in pieces", function()
    local path = fs.join(dir, "data")
    local text = ("0123456789abcdef"):rep(100000) .. "\0end"
    assert(fs.write(path, text))
    assert.equal(crypto.sha256(text), crypto.file_sha256(path))
    assert.equal(crypto.digest("sha1", text), crypto.file_digest("sha1", path))
    assert(fs.write(path, ""))
    assert.equal(crypto.sha256(""), crypto.file_sha256(path))
  end)

  it("says why a file has no digest, and does not wait on a FIFO", function()
    local value, err = crypto.file_sha256(fs.join(dir, "none"))
    assert.is_nil(value)
    assert.equal("ENOENT", err.code)
    assert.matches("none", err.message, 1, true)
    value, err = crypto.file_sha256(dir)
    assert.is_nil(value)
    assert.equal("EISDIR", err.code)
    assert(require("pai.exec").run({ "mkfifo", fs.join(dir, "fifo") }))
    value, err = crypto.file_sha256(fs.join(dir, "fifo"))
    assert.is_nil(value)
    assert.equal("EACCES", err.code)
  end)

  it("gives the HMACs of RFC 4231, with a string or a secret as the key", function()
    local text = "what do ya want for nothing?"
    local expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert.equal(expected, crypto.hmac("sha256", "Jefe", text))
    assert.equal(32, #crypto.hmac("sha256", "Jefe", text, { raw = true }))
    fs.write(fs.join(dir, "key"), "Jefe", { mode = 384 })
    local key = assert(secret.from_file(fs.join(dir, "key")))
    assert.equal(expected, crypto.hmac("sha256", key, text))
    assert.error(function()
      crypto.hmac("sha256", {}, text)
    end)
    assert.error(function()
      crypto.sha256(key)
    end)
  end)

  it("encodes base64 as RFC 4648 says", function()
    local cases = {
      [""] = "",
      f = "Zg==",
      fo = "Zm8=",
      foo = "Zm9v",
      foob = "Zm9vYg==",
      fooba = "Zm9vYmE=",
      foobar = "Zm9vYmFy",
      ["\255\239\190"] = "/+++",
    }
    for text, coded in pairs(cases) do
      assert.equal(coded, crypto.base64_encode(text))
      assert.equal(text, crypto.base64_decode(coded))
    end
    assert.equal("_--_-A", crypto.base64_encode("\255\239\191\248", { url = true }))
    assert.equal("\255\239\191\248", crypto.base64_decode("_--_-A", { url = true }))
    assert.equal("foobar", crypto.base64_decode("Zm9v\r\n YmFy\n"))
    assert.equal("f", crypto.base64_decode("Zg"))
  end)

  it("brings bytes of every length back", function()
    for len = 0, 70 do
      local bytes = crypto.random(len)
      assert.equal(len, #bytes)
      assert.equal(bytes, crypto.base64_decode(crypto.base64_encode(bytes)))
      local url = crypto.base64_encode(bytes, { url = true })
      assert.is_nil(url:find("[^%w_-]"))
      assert.equal(bytes, crypto.base64_decode(url, { url = true }))
    end
  end)

  it("refuses damaged base64", function()
    for _, text in ipairs({
      "Z",
      "Zg=",
      "Zg===",
      "Z===",
      "=",
      "Zh==",
      "Zm9=Zg",
      "Zm9v!",
      "Zg==Zg==",
      "_w==",
    }) do
      local value, err = crypto.base64_decode(text)
      assert.is_nil(value, text)
      assert.equal("EPARSE", err.code)
    end
    assert.is_nil(crypto.base64_decode("/w", { url = true }))
  end)

  it("makes random bytes, hex and version 4 UUIDs", function()
    assert.equal(16, #crypto.hex(8))
    assert.matches("^%x+$", crypto.hex(8))
    assert.not_equal(crypto.random(16), crypto.random(16))
    local seen = {}
    for _ = 1, 200 do
      local id = crypto.uuid()
      assert.matches("^%x%x%x%x%x%x%x%x%-%x%x%x%x%-4%x%x%x%-[89ab]%x%x%x%-%x+$", id)
      assert.equal(36, #id)
      assert.is_nil(seen[id])
      seen[id] = true
    end
    assert.error(function()
      crypto.random(-1)
    end)
  end)

  it("compares strings and secrets", function()
    assert.is_true(crypto.equal("abc", "abc"))
    assert.is_false(crypto.equal("abc", "abd"))
    assert.is_false(crypto.equal("abc", "abcd"))
    fs.write(fs.join(dir, "key"), "long enough", { mode = 384 })
    local key = assert(secret.from_file(fs.join(dir, "key")))
    assert.is_true(crypto.equal(key, "long enough"))
    assert.is_false(crypto.equal("long enougH", key))
    assert.error(function()
      crypto.equal("a", nil)
    end)
  end)

  it("refuses an option that it does not know", function()
    assert.error_matches(function()
      crypto.base64_encode("a", { pad = false })
    end, "unknown option 'pad'")
  end)
end)
