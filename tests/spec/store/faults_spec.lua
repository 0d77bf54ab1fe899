-- Stores that are slow, busy, cut off, damaged or unwilling: a proxy before the real server.
local crypto = require("pai.crypto")
local fs = require("pai.fs")
local store = require("pai.store")
local task = require("pai.task")

local help = assert(loadfile(pai.root .. "/tests/spec/store/support.lua", "t", _ENV))()
local it_runs = help.it_runs

local MiB <const> = 1 << 20

local server

local function through(...)
  return help.through(server, ...)
end

local function direct(path)
  return help.direct(server, path)
end

local function count(proxy, pattern)
  local n = 0
  for _, line in ipairs(proxy.seen) do
    n = n + (line:find(pattern) and 1 or 0)
  end
  return n
end

local function failure(r, e)
  return help.failure({ server.key }, r, e)
end

local function is_part(req)
  return req.method == "PUT" and req.query.partNumber ~= nil
end

describe("a store that", function()
  setup(function()
    server = task.run(help.s3)
  end)
  teardown(function()
    help.stop(server)
  end)

  it_runs("is busy is asked again, a few times", function()
    for _, status in ipairs({ 429, 500, 502, 503, 504 }) do
      local s, proxy = through(function(req)
        if req.n <= 3 then
          return { status = status, body = "<Error><Code>SlowDown</Code></Error>" }
        end
      end, "busy/")
      assert(s:list())
      assert.equal(4, proxy.n)
      proxy.srv:close()
    end
    local s, proxy = through(function()
      return { status = 503, headers = { ["retry-after"] = "0" } }
    end, "busy/", { retries = 2 })
    local e = failure(s:list())
    assert.same({ "EHTTP", 503, true, 3 }, { e.code, e.http, e.retryable, proxy.n })
    proxy.srv:close()
  end)

  it_runs("refuses the key is asked once, and the error names where the key came from", function()
    for _, status in ipairs({ 401, 403 }) do
      local s, proxy = through(function()
        return { status = status, body = "<Error><Code>AccessDenied</Code></Error>" }
      end, "no/")
      local e = failure(s:list())
      assert.same({ "EACCES", status, 1 }, { e.code, e.http, proxy.n })
      assert.matches("AccessDenied", e.message)
      assert.matches("the caller's keys", e.hint)
      proxy.srv:close()
    end
    local keys = help.keys(server)
    keys.access_key = help.handle(crypto.hex(20))
    local e = failure(assert(store.open("s3://bucket", { keys = keys })):list())
    assert.same({ "EACCES", "SignatureDoesNotMatch" }, { e.code, e.store_code })
    keys.access_key_id = "NOBODY"
    e = failure(assert(store.open("s3://bucket", { keys = keys })):list())
    assert.same({ "EACCES", "InvalidAccessKeyId" }, { e.code, e.store_code })
    keys = help.keys(server)
    e = failure(assert(store.open("s3://nobucket", { keys = keys })):list())
    assert.same({ "ENOENT", "NoSuchBucket" }, { e.code, e.store_code })
    local ok
    ok, e = direct("x"):check()
    assert.is_true(ok, e)
  end)

  it_runs("is gone is an error that may pass", function()
    local keys = help.keys(server, "http://127.0.0.1:" .. help.free_port())
    local s = assert(store.open("s3://bucket", { keys = keys, retries = 2, retry_wait_ms = 1 }))
    local e = failure(s:list())
    assert.same({ "ENETWORK", true }, { e.code, e.retryable })
  end)

  it_runs("cuts off a download is asked for the rest", function()
    local path = help.big("file", 3 * MiB)
    assert(direct("cut"):upload({ path }))
    local ranges = {}
    local s, proxy = through(function(req)
      if req.method ~= "GET" then
        return
      end
      ranges[#ranges + 1] = req.headers.range
      return #ranges == 1 and help.cut_after(MiB) or nil
    end, "cut/", { retries = 1 })
    assert(s:download(help.path("out")))
    assert.equal(help.sum(path), help.sum(help.path("out/file")))
    assert.equal("bytes=0-3145727", ranges[1])
    local from = tonumber(ranges[2]:match("^bytes=(%d+)%-3145727$"))
    assert.is_true(from > 0 and from <= MiB, ranges[2])
    assert.equal(2, #ranges)
    proxy.srv:close()
  end)

  it_runs("sends other bytes leaves no file behind", function()
    help.big("d/small", MiB)
    help.big("d/large", 17 * MiB)
    assert(direct("bad"):upload({ help.path("d/*") }))
    for _, name in ipairs({ "small", "large" }) do
      local s, proxy = through(function(req)
        return req.method == "GET"
          and function(whole)
            local other = string.char((whole.body:byte(5001) or 0x7f) ~ 1)
            whole.body = whole.body:sub(1, 5000) .. other .. whole.body:sub(5002)
            return whole
          end
      end, "bad/")
      local e = failure(s:download(help.path("out"), { include = { name } }))
      assert.equal("ECHECKSUM", e.code)
      assert.same({}, fs.list(help.path("out")))
      assert(s:download(help.path("out"), { include = { name }, no_checksum = true }))
      fs.remove(help.path("out"), { recursive = true })
      proxy.srv:close()
    end
  end)

  it_runs("does not know ranges is refused, not written into the middle", function()
    help.big("file", 17 * MiB)
    assert(direct("whole"):upload({ help.path("file") }))
    local s, proxy = through(function(req)
      return req.method == "GET"
        and function(whole)
          whole.status = 200
          return whole
        end
    end, "whole/")
    local e = failure(s:download(help.path("out")))
    assert.equal("EPROTO", e.code)
    assert.is_false(fs.exists(help.path("out/file")))
    proxy.srv:close()
  end)

  it_runs("gets another version meanwhile is an error", function()
    help.big("file", 17 * MiB)
    assert(direct("new"):upload({ help.path("file") }))
    local gets = 0
    local s, proxy = through(function(req)
      gets = gets + (req.method == "GET" and 1 or 0)
      if gets == 4 then -- the listing, a part, and now: what S3 answers to If-Match
        assert.is_truthy(req.headers["if-match"])
        return { status = 412, body = "<Error><Code>PreconditionFailed</Code></Error>" }
      end
    end, "new/")
    local e = failure(s:download(help.path("out")))
    assert.equal("ECHANGED", e.code)
    assert.same({}, fs.list(help.path("out")))
    proxy.srv:close()
  end)

  it_runs("receives other bytes than were sent is sent them again", function()
    help.big("file", MiB)
    local s, proxy = through(function(req)
      if req.method == "PUT" and req.n == 1 then
        req.body = "~" .. req.body:sub(2)
      end
    end, "sent")
    assert(s:upload({ help.path("file") }))
    assert.is_true(count(proxy, "^PUT") >= 2)
    assert(direct("sent/file"):download(help.path("out")))
    assert.equal(help.sum(help.path("file")), help.sum(help.path("out/file")))
    proxy.srv:close()
  end)

  it_runs("goes on with an upload in parts, and begins anew when it is forgotten", function()
    local path = help.big("file", 41 * MiB) -- 6 parts
    local mode, parts, begun = "fail", 0, 0
    local s, proxy = through(function(req)
      begun = begun + (req.query.uploads and 1 or 0)
      if is_part(req) then
        parts = parts + 1
        if mode == "fail" and parts > 3 then
          return { status = 503 }
        elseif mode == "forgotten" and parts == 1 then
          return { status = 404, body = "<Error><Code>NoSuchUpload</Code></Error>" }
        end
      end
    end, "again", { retries = 0 })
    failure(s:upload({ path }))
    mode, parts = "good", 0
    local r = assert(s:upload({ path }))
    assert.same({ 3, 1 }, { parts, begun })
    assert.equal(41 * MiB - 24 * MiB, r.moved)
    assert.same({}, fs.list(help.path("state/uploads")))
    -- once more, and now the store has forgotten it
    mode, parts = "fail", 0
    failure(s:upload({ path }))
    mode, parts, begun = "forgotten", 0, 0
    assert(s:upload({ path }))
    assert.same({ 7, 1 }, { parts, begun })
    assert(direct("again/file"):download(help.path("out")))
    assert.equal(help.sum(path), help.sum(help.path("out/file")))
    proxy.srv:close()
  end)

  it_runs("has parts of a file that has changed since gets all of it anew", function()
    local path = help.big("file", 25 * MiB)
    local mode, parts = "fail", 0
    local s, proxy = through(function(req)
      if is_part(req) then
        parts = parts + 1
        if mode == "fail" and parts > 2 then
          return { status = 503 }
        end
      end
    end, "changed", { retries = 0 })
    failure(s:upload({ path }))
    help.big("file", 25 * MiB)
    mode, parts = "good", 0
    assert(s:upload({ path }))
    assert.equal(4, parts)
    proxy.srv:close()
  end)

  it_runs("refuses an upload for good keeps no parts and no record", function()
    local path = help.big("file", 25 * MiB)
    local given_up = false
    local s, proxy = through(function(req)
      given_up = given_up or (req.method == "DELETE" and req.query.uploadId ~= nil)
      if is_part(req) then
        return { status = 403, body = "<Error><Code>AccessDenied</Code></Error>" }
      end
    end, "denied")
    local e = failure(s:upload({ path }))
    assert.equal("EACCES", e.code)
    assert.is_true(given_up)
    assert.same({}, fs.list(help.path("state/uploads")))
    proxy.srv:close()
  end)

  it_runs("says 200 and fails to put the parts together is asked again", function()
    local path = help.big("file", 17 * MiB)
    local tries = 0
    local s, proxy = through(function(req)
      if req.method == "POST" and req.query.uploadId then
        tries = tries + 1
        if tries == 1 then
          return { body = "<Error><Code>InternalError</Code></Error>" }
        end
      end
    end, "together")
    assert(s:upload({ path }))
    assert.equal(2, tries)
    proxy.srv:close()
  end)

  it_runs("puts the parts together and loses the answer has done it once", function()
    local path = help.big("file", 17 * MiB)
    local etags, tries = {}, 0
    local s, proxy = through(function(req)
      if is_part(req) then
        return function(whole)
          etags[tonumber(req.query.partNumber[1])] = whole.headers.etag:match("%x+")
          return whole
        end
      elseif req.method == "POST" and req.query.uploadId then
        tries = tries + 1
        if tries > 1 then
          return { status = 404, body = "<Error><Code>NoSuchUpload</Code></Error>" }
        end
        return function()
          return { status = 500 }
        end
      elseif req.method == "HEAD" and tries > 1 then
        -- as S3 writes it; this server gives the MD5 of the whole
        local etag = '"' .. require("pai.store.sums").etag(etags) .. '"'
        return { headers = { etag = etag } }
      end
    end, "lost")
    assert(s:upload({ path }))
    assert.equal(2, tries)
    assert.is_true(assert(direct("lost/file"):exists()))
    proxy.srv:close()
  end)

  it_runs("is one of gs, swift or tos is spoken to in the same way", function()
    help.write("d/a", "1")
    help.write("d/b", "2")
    local places = { "gs://bucket/", "swift://host/account/bucket/", "tos://host/bucket/" }
    for _, place in ipairs(places) do
      local keys = help.keys(server)
      keys.region = nil
      keys.addressing_style = "path"
      local s = assert(store.open(place .. "same", { keys = keys }))
      assert.equal(2, assert(s:upload({ help.path("d/*") })).files)
      assert.same({ "same/a", "same/b" }, { s:list()[1].key, s:list()[2].key })
      assert.equal(2, assert(s:delete()).deleted)
      assert.is_false(s:exists())
    end
  end)

  it_runs("is in another region is asked there", function()
    local s, proxy = through(function(req)
      if not (req.headers.authorization or ""):find("/eu-9/", 1, true) then
        return {
          status = 400,
          headers = { ["x-amz-bucket-region"] = "eu-9" },
          body = "<Error><Code>AuthorizationHeaderMalformed</Code></Error>",
        }
      end
      return { body = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>" }
    end, "region/")
    assert(s:list())
    assert.equal(2, proxy.n)
    proxy.srv:close()
  end)

  it_runs("has another time is asked with that one", function()
    local stamps = {}
    local s, proxy = through(function(req)
      stamps[#stamps + 1] = req.headers["x-amz-date"]
      if req.n == 1 then
        return {
          status = 403,
          headers = { date = os.date("!%a, %d %b %Y %H:%M:%S GMT", os.time() + 7200) },
          body = "<Error><Code>RequestTimeTooSkewed</Code></Error>",
        }
      end
      return { body = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>" }
    end, "time/")
    assert(s:list())
    local function seconds(stamp)
      local y, mo, d, h, mi, sec = stamp:match("^(%d%d%d%d)(%d%d)(%d%d)T(%d%d)(%d%d)(%d%d)Z$")
      return os.time({ year = y, month = mo, day = d, hour = h, min = mi, sec = sec })
    end
    local ahead = seconds(stamps[2]) - seconds(stamps[1])
    assert.is_true(ahead >= 7199 and ahead < 7800, ahead)
    proxy.srv:close()
  end)

  it_runs("has many keys is read page by page, and must say how to go on", function()
    local page = "<R><EncodingType>url</EncodingType><Contents><Key>p/%s</Key><Size>1</Size>"
      .. "</Contents><IsTruncated>%s</IsTruncated>%s</R>"
    local s, proxy = through(function(req)
      local token = req.query["continuation-token"]
      if not token then
        local next_token = "<NextContinuationToken>t+/=</NextContinuationToken>"
        return { body = page:format("a%26b+c", "true", next_token) }
      elseif token[1] == "t+/=" then
        return { body = page:format("z%2B", "false", "") }
      end
    end, "p/")
    local entries = assert(s:list({ recursive = true }))
    assert.same({ "p/a&b c", "p/z+" }, { entries[1].key, entries[2].key })
    proxy.srv:close()
    s, proxy = through(function()
      return { body = page:format("a", "true", "") }
    end, "p/")
    assert.equal("EPROTO", failure(s:list({ recursive = true })).code)
    proxy.srv:close()
    s, proxy = through(function()
      return { body = "<html>" }
    end, "p/")
    assert.equal("EPROTO", failure(s:list()).code)
    proxy.srv:close()
  end)

  it_runs("has keys that are no file names gives the others", function()
    local page = "<R>%s<IsTruncated>false</IsTruncated></R>"
    local one = "<Contents><Key>u/%s</Key><Size>0</Size></Contents>"
    local keys = { "../up", "a//b", "./x", "good", "folder/" }
    local body = ""
    for _, key in ipairs(keys) do
      body = body .. one:format(key)
    end
    local s, proxy = through(function(req)
      if req.method == "HEAD" then
        return { status = 404 }
      end
      return { body = page:format(body) }
    end, "u/")
    local r = assert(s:download(help.path("out")))
    assert.same({ "u/../up", "u/a//b", "u/./x" }, r.left_out)
    assert.same({ "good" }, fs.walk(help.path("out")))
    assert.is_false(fs.exists(help.path("up")))
    proxy.srv:close()
  end)

  it_runs("cannot delete some of them says which", function()
    help.write("d/1", "")
    help.write("d/2", "")
    assert(direct("del"):upload({ help.path("d/*") }))
    local s, proxy = through(function(req)
      if req.query.delete then
        local one = "<Error><Key>del/2</Key><Code>AccessDenied</Code></Error>"
        return { body = "<DeleteResult>" .. one .. "</DeleteResult>" }
      end
    end, "del")
    local e = failure(s:delete())
    assert.equal("EDELETE", e.code)
    assert.matches("1 of 2", e.message)
    assert.same({ { key = "del/2", code = "AccessDenied" } }, e.failed)
    proxy.srv:close()
    -- a store without that request is sent one a key
    s, proxy = through(function(req)
      return req.query.delete and { status = 501 }
    end, "del")
    assert.equal(2, assert(s:delete()).deleted)
    assert.equal(2, count(proxy, "^DELETE"))
    assert.same({}, direct("del"):list())
    proxy.srv:close()
  end)
end)
