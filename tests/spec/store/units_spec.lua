-- The parts of pai.store that need no server: URLs, XML, patterns, signatures, checksums.
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local task = require("pai.task")

local help = assert(loadfile(pai.root .. "/tests/spec/store/support.lua", "t", _ENV))()
local it_runs = help.it_runs

describe("a storage URL", function()
  local url = require("pai.store.url")

  it("is taken apart as OSMO's client does", function()
    local function parts(text)
      local p = assert(url.parse(text))
      return { p.profile, p.bucket, p.key, p.folder, p.base }
    end
    assert.same({ "s3://b", "b", "x/y", false, "s3://b" }, parts("s3://b/x/y"))
    assert.same({ "s3://b", "b", "", true, "s3://b" }, parts("s3://b"))
    assert.same({ "gs://b", "b", "x/", true, "gs://b" }, parts("gs://b/x/"))
    assert.same({ "swift://h/a", "c", "x", false, "swift://h/a/c" }, parts("swift://h/a/c/x"))
    assert.same({ "tos://h/b", "b", "x", false, "tos://h/b" }, parts("tos://h/b/x"))
    assert.same({ "azure://a", "c", "x", false, "azure://a/c" }, parts("azure://a/c/x"))
    local p = assert(url.parse("file:///a//b/"))
    assert.same({ "a/b/", true, nil }, { p.key, p.folder, p.profile })
  end)

  it("is refused by name when it is none", function()
    for text, why in pairs({
      ["ftp://b/x"] = "no storage scheme",
      ["s3://"] = "must have the form",
      ["s3:///x"] = "must have the form",
      ["azure://a"] = "must have the form",
      ["swift://h/a"] = "must have the form",
      ["s3://b/x;y"] = "must have the form",
      ["s3://b/../x"] = "holds '..'",
      ["file://host/x"] = "absolute path",
      ["file:///a/../b"] = "holds '..'",
      ["s3://b/\n"] = "control characters",
    }) do
      local p, e = url.parse(text)
      assert.is_nil(p, text)
      assert.equal("EINVAL", e.code)
      assert.is_truthy(e.message:find(why, 1, true), e.message)
    end
  end)

  it("that is a signed web address is not repeated", function()
    local value = crypto.hex(16)
    local p, e = url.parse("https://b.example/x?X-Amz-Signature=" .. value)
    assert.is_nil(p)
    assert.is_nil(e.message:find(value, 1, true))
  end)
end)

describe("XML", function()
  local xml = require("pai.store.xml")

  it("is read as stores write it", function()
    local root = assert(xml.parse([[<?xml version="1.0"?>
<R xmlns="http://x/"><!-- c --><E/><K a="b">a&amp;b &lt;&#233;&#x41;&unknown;</K>
<L><K>1</K><K>2</K></L></R>]]))
    assert.equal("R", root.name)
    assert.equal("a&b <éA&unknown;", xml.text(root, "K"))
    assert.equal("2", xml.child(root, "L")[2].text)
    assert.equal("", xml.text(root, "E"))
    assert.is_nil(xml.text(root, "none"))
    local text = "<&>\"'\r x"
    assert.equal(text, xml.text(xml.parse("<a><b>" .. xml.escape(text) .. "</b></a>"), "b"))
  end)

  it("that is cut, crossed, too deep or none is refused", function()
    for _, body in ipairs({
      "",
      "text",
      "<a><b></a>",
      "<a>",
      "</a>",
      "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
      ("<a>"):rep(100),
    }) do
      local root, e = xml.parse(body)
      assert.is_nil(root, body)
      assert.equal("EPARSE", e.code)
    end
  end)
end)

describe("a filter", function()
  local filter = require("pai.store.filter")
  local function kept(opts, names)
    local meant, out = filter.new(opts), {}
    for _, name in ipairs(names) do
      out[#out + 1] = meant(name) and name or nil
    end
    return out
  end
  local names = { "a.mp4", "d/a.mp4", "d/e/b.txt", "d/e/.x", "q[1].txt" }

  it("takes patterns and a regular expression", function()
    assert.same(names, kept({}, names))
    assert.same({ "a.mp4", "d/a.mp4" }, kept({ include = { "*.mp4" } }, names))
    assert.same({ "d/a.mp4" }, kept({ include = { "d/*" } }, names))
    assert.same({ "d/a.mp4", "d/e/b.txt", "d/e/.x" }, kept({ include = { "d/**" } }, names))
    assert.same({ "d/e/b.txt" }, kept({ include = { "**/b.txt" } }, names))
    assert.same({ "a.mp4", "d/a.mp4" }, kept({ include = { "**/a.mp4" } }, names))
    assert.same({ "a.mp4", "q[1].txt" }, kept({ exclude = { "d/**" } }, names))
    assert.same({ "d/e/b.txt" }, kept({ include = { "[ab].*" }, exclude = { "?.mp4" } }, names))
    assert.same({ "d/a.mp4", "d/e/b.txt", "d/e/.x" }, kept({ regex = "d/" }, names))
    assert.same({ "d/e/b.txt" }, kept({ regex = ".*txt$", include = { "d/**" } }, names))
  end)

  it("refuses what is none", function()
    for _, opts in ipairs({ { regex = "(" }, { include = { "" } }, { exclude = { 1 } } }) do
      assert.has_error(function()
        filter.new(opts)
      end)
    end
  end)
end)

describe("checksums", function()
  local sums = require("pai.store.sums")

  it_runs("of parts come to the ETag of S3, however the file arrives", function()
    local text = crypto.random(100000)
    local path = help.write("data", text)
    local function md5(s)
      return crypto.digest("md5", s, { raw = true })
    end
    local whole =
      md5(md5(text:sub(1, 40000)) .. md5(text:sub(40001, 80000)) .. md5(text:sub(80001)))
    local expected = whole:gsub(".", function(c)
      return ("%02x"):format(c:byte())
    end) .. "-3"
    for _, steps in ipairs({ { 100000 }, { 1, 39999, 40000, 40001, 99999, 100000 } }) do
      local walker = sums.walker(path, 40000)
      for _, upto in ipairs(steps) do
        walker:advance(upto)
      end
      assert.equal(expected, walker:etag())
    end
    assert.is_true(sums.same({ size = 100000, etag = expected, part_size = 40000 }, path, 100000))
    assert.is_false(sums.same({ size = 100000, etag = expected:gsub("^.", "x", 1) }, path, 99))
    assert.is_nil(sums.same({ size = 100000, etag = "0x8DB" }, path, 100000))
    assert.is_nil(sums.same({ size = 100000, etag = crypto.hex(16), opaque = true }, path, 100000))
    assert.is_true(sums.same({ size = 100000, etag = crypto.digest("md5", text) }, path, 100000))
  end)
end)

-- What botocore, which is not of our making, makes of the same requests.
local JUDGE <const> = [[
import json, sys, datetime, botocore.auth
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
doc = json.load(sys.stdin)
class Clock(datetime.datetime):
    @classmethod
    def utcnow(cls):
        return datetime.datetime(2026, 1, 2, 3, 4, 5)
    @classmethod
    def now(cls, tz=None):
        return cls.utcnow()
botocore.auth.datetime.datetime = Clock
out = []
for r in doc["requests"]:
    req = AWSRequest(method=r["method"], url=r["url"], headers=r["headers"], data=b"")
    req.context["signing"] = {"disable_double_encoding": True}
    auth = S3SigV4Auth(Credentials(doc["id"], doc["key"], r.get("token")), "s3", r["region"])
    auth.payload = lambda request: r["payload"]
    auth.add_auth(req)
    out.append(req.headers["Authorization"])
json.dump(out, sys.stdout)
]]

describe("a SigV4 signature", function()
  local s3_sign = require("pai.store.s3_sign")

  it_runs("is that of botocore, for odd names, queries and session tokens", function()
    local id, key, token = "ID" .. crypto.hex(4), crypto.hex(20), crypto.hex(30)
    local keys = { access_key_id = id, access_key = help.handle(key) }
    local with_token =
      { access_key_id = id, access_key = keys.access_key, session_token = help.handle(token) }
    local cases = {}
    for _, name in ipairs({ "a", "a b/c+d", "ü/%41&=?#", "~tilde-._", "a//b", "(x)*'!", "" }) do
      for _, query in ipairs({
        {},
        { uploads = "" },
        { prefix = name, ["list-type"] = "2", delimiter = "/" },
        { partNumber = 10, uploadId = "a/b+c=" },
      }) do
        cases[#cases + 1] = { path = "/bucket/" .. s3_sign.encode(name, true), query = query }
      end
    end
    local requests, ours = {}, {}
    for i, case in ipairs(cases) do
      local payload = i % 2 == 0 and s3_sign.UNSIGNED or crypto.sha256("x" .. i)
      local headers = { ["content-md5"] = "x", ["x-amz-meta-pai-part"] = "  8  388 " }
      local who = i % 3 == 0 and with_token or keys
      local query = s3_sign.query(case.query)
      -- 2026-01-02 03:04:05 UTC
      local signed = s3_sign.headers({
        method = "PUT",
        host = "host.example:8443",
        path = case.path,
        query = query,
        headers = headers,
        payload = payload,
      }, who, "eu-1", 1767323045)
      ours[i] = signed.authorization
      headers["content-md5"] = nil -- botocore would sign it, which is as good
      headers["X-Amz-Content-SHA256"] = payload
      requests[i] = {
        method = "PUT",
        url = "https://host.example:8443" .. case.path .. (query ~= "" and "?" .. query or ""),
        headers = headers,
        payload = payload,
        region = "eu-1",
        token = who == with_token and token or nil,
      }
    end
    local r = assert(exec.run({ "/usr/bin/python3", "-c", JUDGE }, {
      stdin = json.encode({ id = id, key = key, requests = requests }),
      timeout = "2m",
    }))
    local theirs = json.decode(r.stdout)
    for i = 1, #cases do
      assert.equal(theirs[i], ours[i], requests[i].url)
    end
  end)

  it("is left out for a store that is open to everybody", function()
    local headers = { accept = "x" }
    assert.same(
      headers,
      s3_sign.headers({ headers = headers, method = "GET" }, { anonymous = true }, "r", 0)
    )
  end)
end)

describe("a transfer's progress", function()
  local progress = require("pai.cli.data_progress")

  it("is a line with rate and time left", function()
    local half = {
      bytes = 512 << 20,
      total = 1 << 30,
      files = 1,
      count = 2,
      rate = 8 << 20,
      left = 64,
    }
    local line = progress.line(half)
    assert.equal(
      "[##########----------]  50%  512.0 MiB of 1.0 GiB  1/2 files    8.0 MiB/s  1:04 left",
      line
    )
    -- a narrow terminal keeps what matters most
    for columns, expected in pairs({
      [79] = "[#######--------]  50%  512.0 MiB of 1.0 GiB  1/2 files    8.0 MiB/s  1:04 left",
      [68] = " 50%  512.0 MiB of 1.0 GiB  1/2 files    8.0 MiB/s  1:04 left",
      [57] = " 50%  512.0 MiB of 1.0 GiB    8.0 MiB/s  1:04 left",
      [40] = " 50%    8.0 MiB/s  1:04 left",
      [20] = " 50%    8.0 MiB/s  1:04 left",
    }) do
      assert.equal(expected, progress.line(half, columns))
    end
    line = progress.line({ bytes = 0, total = 0, files = 0, count = 0, rate = 0 })
    assert.matches("100%%        0 B of 0 B", line)
  end)

  it("knows the rate of what moved, not of what was there", function()
    local meter = require("pai.store.meter")
    local seen = {}
    local m = meter.new(function(p)
      seen[#seen + 1] = p
    end)
    m:expect(100)
    m:expect(50)
    m:add(100, true)
    m:done("a", true)
    m:add(50)
    m:done("b")
    assert.same({ 150, 50 }, { m.bytes, m.moved })
    local last = seen[#seen]
    assert.same({ "b", 2, 2, 150 }, { last.file, last.files, last.count, last.total })
    assert.is_true(seen[1].skipped)
  end)

  it("counts what is under way, never backwards, and never more than there is", function()
    local meter = require("pai.store.meter")
    local flying, seen, now, time = 0, {}, 0, task.now
    task.now = function() -- luacheck: ignore
      return now
    end
    local m = meter.new(function(p)
      seen[#seen + 1] = p.bytes
    end, function()
      return flying
    end)
    local function tell(bytes, add)
      flying, now = bytes, now + 1000
      if add then
        m:add(add)
      else
        m:tell()
      end
    end
    m:expect(100)
    tell(30)
    assert.equal(30, m:rate())
    tell(0) -- a part has ended and is not counted yet
    tell(0, 40)
    tell(90)
    m:add(-40, true) -- all of it again
    tell(10)
    task.now = time -- luacheck: ignore
    assert.same({ 30, 30, 40, 100, 10 }, seen)
  end)
end)

-- Runs Lua in a pai of its own, with this environment only.
local function in_child(text, env)
  local path = help.write("child.lua", text)
  env.HOME = env.HOME or help.dir
  local r, e = exec.run({ pai.exe, "lua", path }, { env = env, timeout = "1m" })
  return json.decode((r or e).stdout or "") or error((r or e).stderr)
end

local FIND <const> = [[
local json, url = require("pai.json"), require("pai.store.url")
local place = url.parse("%s")
local ok, keys = pcall(require("pai.store.keys").find, place)
local function value(v)
  return type(v) == "userdata" and require("pai.digest").sha256 and { secret = v:len() } or v
end
local out = {}
for k, v in pairs(ok and keys or { code = keys.code, message = keys.message, hint = keys.hint }) do
  out[k] = type(v) ~= "function" and value(v) or nil
end
io.write(json.encode(out))
]]

local function find(url, env)
  return in_child(FIND:format(url), env or {})
end

describe("keys", function()
  it_runs("come from config.yaml by profile", function()
    local secret = crypto.hex(20)
    help.write(
      "conf/config.yaml",
      ([[
auth:
  data:
    s3://b: { access_key_id: me, access_key: %s, region: eu-2, override_url: "http://127.0.0.1:1" }
    azure://acc/: { access_key_id: acc, access_key: AccountKey=%s }
]]):format(secret, secret)
    )
    fs.chmod(help.path("conf/config.yaml"), 384)
    local env = { OSMO_CONFIG_FILE_DIR = help.path("conf"), AWS_ACCESS_KEY_ID = "other" }
    env.AWS_SECRET_ACCESS_KEY = crypto.hex(10)
    local keys = find("s3://b/x", env)
    assert.same(
      { "me", "eu-2", { secret = 40 } },
      { keys.access_key_id, keys.region, keys.access_key }
    )
    assert.same({ secret = 51 }, find("azure://acc/c/x", env).access_key)
    -- no entry: the environment, for s3 only
    assert.equal("other", find("s3://else", env).access_key_id)
    -- an entry without a key has settings for the key that is found elsewhere
    help.write(
      "bare/config.yaml",
      "auth: { data: { s3://b: { region: eu-4 }, gs://b: { region: x } } }"
    )
    fs.chmod(help.path("bare/config.yaml"), 384)
    env.OSMO_CONFIG_FILE_DIR = help.path("bare")
    keys = find("s3://b", env)
    assert.same({ "other", "eu-4" }, { keys.access_key_id, keys.region })
    assert.matches("has no access_key", find("gs://b", env).message, 1, true)
    env.OSMO_CONFIG_FILE_DIR = help.path("conf")
    local none = find("gs://else", env)
    assert.equal("ENOKEYS", none.code)
    assert.matches("config.yaml", none.hint, 1, true)
    fs.chmod(help.path("conf/config.yaml"), 420)
    assert.equal("EACCES", find("s3://b/x", env).code)
    help.write("conf/config.yaml", "auth: [" .. secret .. "]\n")
    fs.chmod(help.path("conf/config.yaml"), 384)
    local bad = find("s3://b/x", env)
    assert.equal("EPARSE", bad.code)
    assert.is_nil(bad.message:find(secret, 1, true))
  end)

  it_runs("come from the files of the AWS command line, and other ways are named", function()
    local secret = crypto.hex(20)
    local id = "aws_access_key_id = file\n"
    local path = help.write(
      ".aws/credentials",
      "[default]\n" .. id .. "aws_secret_access_key = " .. secret .. "\n[r]\nrole_arn = x\n"
    )
    fs.chmod(path, 384)
    help.write(".aws/config", "[default]\nregion = eu-3\n[profile s]\nsso_start_url = x\n")
    local keys = find("s3://b")
    assert.same({ "file", "eu-3" }, { keys.access_key_id, keys.region })
    for profile, what in pairs({ r = "role_arn", s = "sso_start_url" }) do
      local e = find("s3://b", { AWS_PROFILE = profile })
      assert.equal("ENOTSUP", e.code)
      assert.matches(what, e.message, 1, true)
      assert.matches("export-credentials --profile " .. profile, e.hint, 1, true)
    end
    -- a role that is to be taken on with a key is not replaced by the key
    help.write(".aws/config", "[default]\nrole_arn = x\nsource_profile = default\n")
    assert.equal("ENOTSUP", find("s3://b").code)
  end)

  it_runs("for azure come from the environment", function()
    local secret = crypto.hex(20)
    assert.same(
      { secret = 40 },
      find("azure://a/c", { AZURE_STORAGE_CONNECTION_STRING = secret }).access_key
    )
    local env = { AZURE_STORAGE_ACCOUNT = "a", AZURE_STORAGE_KEY = secret }
    assert.same({ secret = 40 }, find("azure://a/c", env).account_key)
    assert.equal("ENOKEYS", find("azure://else/c", env).code)
    -- what names an identity is asked when the key is needed first; what names it badly is refused
    env = { AZURE_CLIENT_ID = "x", AZURE_TENANT_ID = "t", AZURE_CLIENT_SECRET = secret }
    assert.equal("AZURE_CLIENT_SECRET", find("azure://a/c", env).source)
    env.AZURE_CLIENT_SECRET, env.AZURE_CLIENT_CERTIFICATE_PATH = nil, "x"
    assert.equal("ENOTSUP", find("azure://a/c", env).code)
    env = { IDENTITY_ENDPOINT = "http://127.0.0.1:1", IMDS_ENDPOINT = "http://127.0.0.1:1" }
    assert.equal("ENOTSUP", find("azure://a/c", env).code)
  end)

  it_runs("that a caller gives must be handles", function()
    local store = require("pai.store")
    local function open(keys)
      return select(2, store.open("s3://b", { keys = keys }))
    end
    local text = crypto.hex(10)
    local e = open({ access_key_id = "x", access_key = text })
    assert.equal("EINVAL", e.code)
    assert.is_nil(e.message:find(text, 1, true))
    local key = help.handle(text)
    assert.matches("not known", open({ access_key_id = "x", accesskey = key }).message)
    local wrong = { access_key_id = "x", access_key = key, addressing_style = "odd" }
    assert.matches("addressing_style", open(wrong).message)
    wrong = { access_key_id = "x", access_key = key, override_url = "ftp://x" }
    assert.matches("override_url", open(wrong).message)
    assert.matches("access_key_id", open({ access_key = key }).message)
  end)
end)

describe("where requests go", function()
  local store = require("pai.store")

  it_runs("follows scheme, region and addressing style", function()
    local key = help.handle(crypto.hex(10))
    local function at(url, more)
      local keys = { access_key_id = "x", access_key = key }
      for k, v in pairs(more or {}) do
        keys[k] = v
      end
      local d = assert(store.open(url, { keys = keys })).driver
      return d.endpoint .. d.path
    end
    assert.equal("https://bu-cket.s3.eu-1.amazonaws.com", at("s3://bu-cket", { region = "eu-1" }))
    assert.equal("https://s3.eu-1.amazonaws.com/a.b", at("s3://a.b", { region = "eu-1" }))
    local path = { region = "cn-1", addressing_style = "path" }
    assert.equal("https://s3.cn-1.amazonaws.com.cn/bucket", at("s3://bucket", path))
    local own = { override_url = "http://127.0.0.1:80/" }
    assert.equal("http://127.0.0.1/bucket", at("s3://bucket", own))
    own.addressing_style = "virtual"
    assert.equal("http://bucket.127.0.0.1", at("s3://bucket", own))
    assert.equal("https://storage.googleapis.com/bucket", at("gs://bucket"))
    assert.equal("https://store.example/con", at("swift://store.example/acc/con"))
    local tos = "tos://tos-s3-cn-x.example.com/bucket/k"
    assert.equal("https://bucket.tos-s3-cn-x.example.com", at(tos))
    local d = assert(store.open(tos, { keys = { access_key_id = "x", access_key = key } })).driver
    assert.equal("cn-x", d.where.region)
  end)

  it_runs("for azure is what the connection string says", function()
    local key = crypto.base64_encode(crypto.random(32))
    local function at(text, account)
      local s, e = store.open(("azure://%s/con"):format(account or "acc"), {
        keys = { connection_string = help.handle(text) },
      })
      return s and s.driver.endpoint or e.code
    end
    local basic = "AccountName=acc;AccountKey=" .. key
    assert.equal("https://acc.blob.core.windows.net", at(basic))
    assert.equal("https://acc.blob.x.example", at(basic .. ";EndpointSuffix=x.example"))
    assert.equal("http://127.0.0.1:1/acc", at(basic .. ";BlobEndpoint=http://127.0.0.1:1/acc/"))
    assert.equal("EINVAL", at(basic, "other"))
    assert.equal("EINVAL", at("AccountName=acc"))
    assert.equal("EINVAL", at("no connection string"))
    assert.equal("ENOTSUP", at("UseDevelopmentStorage=true"))
  end)
end)
