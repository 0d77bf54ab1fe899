-- What is Azure's own: shared access signatures, blocks that an interrupted upload left, MD5 of
-- ranges, errors. The server is Azurite, which checks signatures.
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local pai = require("pai")
local store = require("pai.store")
local task = require("pai.task")

local help = assert(loadfile(pai.root .. "/tests/spec/store/support.lua", "t", _ENV))()
local it_runs = help.it_runs

local MiB <const> = 1 << 20

local server

local function open(path, keys, more)
  local opts = { keys = keys, retry_wait_ms = 1 }
  for name, value in pairs(more or {}) do
    opts[name] = value
  end
  return assert(store.open(("azure://%s/%s"):format(server.account, path), opts))
end

local function own(url)
  return { connection_string = help.handle(help.connection(server, url)) }
end

-- A shared access signature for the whole account, as the service's documents describe it.
local function sas(permissions)
  local expiry = os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() + 3600)
  local version = "2021-12-02"
  local text = table.concat({
    server.account,
    permissions,
    "b",
    "sco",
    "",
    expiry,
    "",
    "https,http",
    version,
    "",
    "",
  }, "\n")
  local raw = crypto.hmac("sha256", crypto.base64_decode(server.key), text, { raw = true })
  local signature = require("pai.store.s3_sign").encode(crypto.base64_encode(raw))
  return ("sv=%s&ss=b&srt=sco&sp=%s&se=%s&spr=https,http&sig=%s"):format(
    version,
    permissions,
    expiry:gsub(":", "%%3A"),
    signature
  ),
    signature
end

local function failure(r, e, ...)
  return help.failure({ server.key, ... }, r, e)
end

describe("an azure store", function()
  setup(function()
    task.run(function()
      server = help.azurite()
      help.dir = server.dir
      open("container", own()).driver:send("make the container", {
        method = "PUT",
        query = { restype = "container" },
      })
    end)
  end)
  teardown(function()
    help.stop(server)
  end)

  it_runs("is used with a shared access signature, which nobody sees", function()
    local text = sas("rwdlac")
    local keys = {
      connection_string = help.handle(
        ("BlobEndpoint=%s;SharedAccessSignature=%s"):format(server.url, text)
      ),
    }
    help.big("d/big", 17 * MiB)
    help.write("d/small", "12")
    local s = open("container/sas", keys)
    assert.equal(2, assert(s:upload({ help.path("d") })).files)
    assert.equal(2, #assert(s:list({ recursive = true })))
    assert(s:download(help.path("out")))
    assert.equal(help.sum(help.path("d/big")), help.sum(help.path("out/d/big")))
    assert.is_true(assert(s:check()))
    assert.equal(2, assert(s:delete()).deleted)
    -- what it does not allow is refused, and the error holds no part of it
    local signature
    text, signature = sas("rl")
    keys = {
      connection_string = help.handle(
        ("BlobEndpoint=%s;SharedAccessSignature=%s"):format(server.url, text)
      ),
    }
    s = open("container/sas", keys)
    local r, e = s:upload({ help.path("d/small") })
    e = failure(r, e, signature)
    assert.equal("EACCES", e.code)
    assert.equal("EACCES", failure(nil, select(2, s:check({ "WRITE" })), signature).code)
    assert.is_true(assert(s:check({ "LIST", "READ" })))
    assert.is_nil(require("pai.mask").text("x " .. signature):find(signature, 1, true))
  end)

  it_runs("may be an account, whose key is checked", function()
    local function at(keys, account)
      return store.open("azure://" .. server.account, { keys = keys, account = account })
    end
    assert.is_true(assert(at(own(), true)):check())
    assert.equal("EINVAL", select(2, at(own(), true):check({ "LIST" })).code)
    assert.equal("EINVAL", select(2, at(own())).code)
    local wrong = crypto.base64_encode(crypto.random(64))
    local keys = {
      connection_string = help.handle(
        ("AccountName=%s;AccountKey=%s;BlobEndpoint=%s"):format(server.account, wrong, server.url)
      ),
    }
    local _, e = at(keys, true):check()
    assert.equal("EACCES", failure(nil, e, wrong).code)
  end)

  it_runs("with a wrong key, another container or a damaged string is a clear error", function()
    local wrong = crypto.base64_encode(crypto.random(64))
    local e = failure(
      nil,
      select(
        2,
        open("container", {
          connection_string = help.handle(
            ("AccountName=%s;AccountKey=%s;BlobEndpoint=%s"):format(
              server.account,
              wrong,
              server.url
            )
          ),
        }):list()
      ),
      wrong
    )
    assert.equal("EACCES", e.code)
    assert.matches("the caller's keys", e.hint)
    e = failure(open("nocontainer/x/", own()):list())
    assert.same({ "ENOENT", "ContainerNotFound" }, { e.code, e.store_code })
    e = failure(open("container/none", own()):download(help.path("out")))
    assert.equal("ENOENT", e.code)
    e = failure(open("container", {
      account_key = help.handle("no*base64*at all"),
      override_url = server.url:match("^http://[^/]+"),
    }):list())
    assert.equal("EPARSE", e.code)
  end)

  it_runs("gets only the blocks that it does not have", function()
    local path = help.big("file", 41 * MiB) -- 6 blocks
    local hold, blocks = true, 0
    local proxy = help.proxy(server.url, function(req)
      if req.query.comp and req.query.comp[1] == "block" then
        blocks = blocks + 1
        if hold and blocks > 3 then
          return { status = 503 }
        end
      end
    end)
    local through = proxy.url .. "/" .. server.account
    local s = open("container/rest", own(through), { parallel = 1, retries = 0 })
    local e = failure(s:upload({ path }))
    assert.same({ "EHTTP", 503 }, { e.code, e.http })
    assert.is_nil((open("container/rest/file", own()):stat()))
    hold, blocks = false, 0
    local r = assert(s:upload({ path }))
    assert.same({ 3, 17 * MiB }, { blocks, r.moved })
    assert(open("container/rest", own()):download(help.path("out")))
    assert.equal(help.sum(path), help.sum(help.path("out/file")))
    proxy.srv:close()
  end)

  it_runs("that sends other bytes is asked again for that range", function()
    local path = help.big("file", 9 * MiB)
    assert(open("container/bad", own()):upload({ path }))
    local damaged, gets = false, 0
    local proxy = help.proxy(server.url, function(req)
      if req.method == "GET" and req.headers["x-ms-range"] then
        gets = gets + 1
        return function(whole)
          if not damaged then
            damaged = true
            whole.body = "~" .. whole.body:sub(2)
          end
          return whole
        end
      end
    end)
    local s = open("container/bad/", own(proxy.url .. "/" .. server.account), { parallel = 1 })
    assert(s:download(help.path("out")))
    assert.equal(help.sum(path), help.sum(help.path("out/file")))
    assert.is_true(damaged)
    proxy.srv:close()
  end)

  it_runs("that cuts off a range is asked for it again", function()
    local path = help.big("file", 5 * MiB)
    assert(open("container/cut", own()):upload({ path }))
    local gets = 0
    local proxy = help.proxy(server.url, function(req)
      if req.method == "GET" and req.headers["x-ms-range"] then
        gets = gets + 1
        return gets == 1 and help.cut_after(MiB) or nil
      end
    end)
    local s = open("container/cut/", own(proxy.url .. "/" .. server.account), { parallel = 1 })
    assert(s:download(help.path("out")))
    assert.equal(3, gets)
    assert.equal(help.sum(path), help.sum(help.path("out/file")))
    proxy.srv:close()
  end)

  it_runs("whose time is another one is asked with that one", function()
    local dates = {}
    local proxy = help.proxy(server.url, function(req)
      dates[#dates + 1] = req.headers["x-ms-date"]
      return {
        status = #dates == 1 and 403 or 200,
        headers = {
          ["x-ms-error-code"] = #dates == 1 and "AuthenticationFailed" or nil,
          date = os.date("!%a, %d %b %Y %H:%M:%S GMT", os.time() + 7200),
        },
        body = #dates > 1 and "<EnumerationResults><Blobs/></EnumerationResults>" or "",
      }
    end)
    local s = open("container/x/", own(proxy.url .. "/" .. server.account))
    assert.same({}, assert(s:list()))
    local wire = require("pai.store.wire")
    assert.is_true(wire.ahead(dates[2]) - wire.ahead(dates[1]) > 7000)
    proxy.srv:close()
  end)

  it_runs("whose signature ends in the middle is used with the next one", function()
    local path = help.big("file", 25 * MiB) -- 4 blocks
    local old, new = sas("rl"), sas("rwdlac")
    local refused, proxy = 0, nil
    local function config(text)
      local entry = {
        access_key_id = server.account,
        access_key = ("BlobEndpoint=%s/%s;SharedAccessSignature=%s"):format(
          proxy.url,
          server.account,
          text
        ),
      }
      local doc = { auth = { data = { ["azure://" .. server.account] = entry } } }
      help.write("conf/config.yaml", require("pai.json").encode(doc))
      assert(fs.chmod(help.path("conf/config.yaml"), 384))
    end
    proxy = help.proxy(server.url, function(req)
      if req.query.sp and req.query.sp[1] == "rl" and req.method == "PUT" then
        refused = refused + 1
        config(new)
        return { status = 403, headers = { ["x-ms-error-code"] = "AuthenticationFailed" } }
      end
    end)
    config(old)
    local url = ("azure://%s/container/renewed"):format(server.account)
    local r = assert(exec.run({ pai.exe, "osmo", "data", "upload", url, path }, {
      env = {
        OSMO_CONFIG_FILE_DIR = help.path("conf"),
        PAI_STATE = help.path("state"),
        HOME = help.dir,
      },
      timeout = "5m",
      accept = "any",
    }))
    assert.equal(0, r.code, r.stderr)
    assert.is_true(refused > 0)
    assert(open("container/renewed", own()):download(help.path("out")))
    assert.equal(help.sum(path), help.sum(help.path("out/file")))
    proxy.srv:close()
  end)

  it_runs("is read page by page", function()
    for i = 1, 5 do
      help.write("d/" .. i, "")
    end
    local s = open("container/pages", own())
    assert(s:upload({ help.path("d/*") }))
    local keys, token = {}, nil
    repeat
      local page = s.driver:list({ prefix = "pages/", limit = 2, token = token })
      assert.is_true(#page.objects <= 2)
      for _, object in ipairs(page.objects) do
        keys[#keys + 1] = object.key
      end
      token = page.token
    until not token
    assert.same({ "pages/1", "pages/2", "pages/3", "pages/4", "pages/5" }, keys)
  end)
end)
