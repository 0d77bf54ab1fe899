-- Documents with secrets in them, which are made, sent, answered and read without their values ever
-- being Lua strings.
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local http = require("pai.http")
local json = require("pai.json")
local secret = require("pai.secret")
local yaml = require("pai.yaml")

local help = assert(loadfile(pai.root .. "/tests/spec/host/http_help.lua", "t", _ENV))()
local it_runs = help.it_runs
local listen = help.listen
local new_secret = help.new_secret

-- What a server gets, which is the one who may see it.
local function sent(opts)
  local body
  local srv, url = listen(function(req)
    body = req.body
    return { headers = { ["x-type"] = req.headers["content-type"] }, body = "ok" }
  end)
  opts.url = url
  local res = assert(http.request(opts))
  srv:close()
  return body, res.headers["x-type"]
end

describe("a document with secrets", function()
  it_runs("is written as JSON, whatever the secret holds", function()
    local value = 'quote " backslash \\ line\nend ü ' .. crypto.hex(8)
    local handle = new_secret(value)
    local sealed = json.seal({ a = handle, list = { 1, handle, true }, plain = "x" })
    assert.equal("***", tostring(sealed))
    local body = sent({ body = sealed })
    assert.same({ a = value, list = { 1, value, true }, plain = "x" }, json.decode(body))
  end)

  it_runs("is not written by encode, and raises for what JSON cannot hold", function()
    local handle = new_secret(crypto.hex(16))
    assert.has_error(function()
      json.encode({ a = handle })
    end)
    local ok, e = pcall(json.seal, { a = handle, b = print })
    assert.is_false(ok)
    assert.matches("cannot encode a function", tostring(e), 1, true)
    ok, e = pcall(json.seal, { handle, ("x"):rep(1 << 20) })
    assert.is_false(ok)
    assert.matches("1048576 bytes", tostring(e), 1, true)
    assert.equal("{}", json.encode({})) -- and the next one is as ever
  end)

  it_runs("is joined of texts and secrets", function()
    local value = crypto.hex(16)
    local joined = assert(secret.join({ "a: ", new_secret(value), "\n" }))
    assert.equal("a: " .. value .. "\n", (sent({ body = joined })))
    assert.has_error(function()
      secret.join({ "a", {} })
    end)
    local big, e = secret.join({ ("x"):rep(1 << 20), "y" })
    assert.is_nil(big)
    assert.equal("ELIMIT", e.code)
  end)

  it_runs("is read with some values kept secret", function()
    local value = crypto.hex(16)
    local path = fs.join(help.dir, "login.yaml")
    fs.write(path, "name: x\nlogin:\n  token: " .. value .. "\n  more: null\n", { mode = 384 })
    local doc = assert(
      yaml.decode(assert(secret.from_file(path)), { secret = { token = true, more = true } })
    )
    assert.equal("x", doc.name)
    assert.equal(json.null, doc.login.more)
    assert.is_true(doc.login.token:equals(new_secret(value)))
    local none, e = yaml.decode(new_secret("a: [" .. value), { secret = { a = true } })
    assert.is_nil(none)
    assert.equal("EPARSE", e.code)
    assert.is_nil(e.message:find(value, 1, true))
  end)

  it_runs("is sent as a form with every byte as it was", function()
    local value = "a&b=c+d/ é%" .. crypto.hex(8)
    local body, kind = sent({ form = { token = new_secret(value), grant = "x y" } })
    assert.equal("application/x-www-form-urlencoded", kind)
    local fields = {}
    for name, text in body:gmatch("([^&=]+)=([^&]*)") do
      fields[name] = text:gsub("%%(%x%x)", function(h)
        return string.char(tonumber(h, 16))
      end)
    end
    assert.same({ token = value, grant = "x y" }, fields)
    assert.has_error(function()
      http.request({ url = "http://127.0.0.1:1/", form = { a = "b" }, body = "c" })
    end)
    assert.has_error(function()
      http.request({ url = "http://127.0.0.1:1/", form = "a=b" })
    end)
  end)

  it_runs("is taken from an answer", function()
    local value = crypto.hex(16)
    local srv, url = listen(function(req)
      return req.path == "/no" and { status = 400, body = "no" } or { json = { token = value } }
    end)
    local res = assert(http.request({ url = url, secret = true }))
    assert.is_nil(res.body)
    local doc = yaml.decode(res.secret, { secret = { token = true } })
    assert.is_true(doc.token:equals(new_secret(value)))
    local none, e = http.request({ url = url .. "/no", secret = true })
    assert.is_nil(none)
    assert.equal("no", e.body)
    srv:close()
  end)
end)

describe("a JWT", function()
  it_runs("shows its claims, also when it is a secret", function()
    local function part(text)
      return crypto.base64_encode(text, { url = true })
    end
    local token = ("%s.%s.%s"):format(part("{}"), part('{"exp":12}'), part(crypto.random(8)))
    assert.equal('{"exp":12}', crypto.jwt_claims(token))
    assert.equal('{"exp":12}', crypto.jwt_claims(new_secret(token)))
    for _, text in ipairs({ "", "abc", "a.b", "a.!.c", ".." .. "x!" }) do
      local claims, e = crypto.jwt_claims(text)
      if claims ~= "" then
        assert.is_nil(claims)
        assert.equal("EPARSE", e.code)
      end
    end
  end)
end)
