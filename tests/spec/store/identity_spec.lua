-- Keys that are asked for: web identities, containers, machines, programs, principals of Entra ID.
-- One server on loopback stands in for what gives keys; what takes them is real: the S3 server that
-- checks signatures, and Azurite with its OAuth, over TLS.
--
-- The shapes: AWS STS API Reference (AssumeRoleWithWebIdentity; JSON where it is asked for), AWS
-- SDKs reference guide ("Container credential provider", "Process credential provider"), EC2 User
-- Guide (IMDSv2, security credentials), Microsoft identity platform (client credentials flow, error
-- codes), "acquire an access token" of managed identities, App Service REST endpoint reference, az
-- account get-access-token reference.
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local pai = require("pai")
local serve = require("pai.serve")
local store = require("pai.store")
local task = require("pai.task")

local help = assert(loadfile(pai.root .. "/tests/spec/store/support.lua", "t", _ENV))()
local it_runs = help.it_runs

local server

-- What gives keys. `answers` by "METHOD /path" are values for JSON, or functions of the request;
-- whatever else is asked fails the test.
local function cloud(answers)
  local self = { seen = {}, strange = {} }
  self.srv = assert(serve.listen({
    handler = function(req)
      local what = req.method .. " " .. req.path
      self.seen[#self.seen + 1] = what
      local answer = answers[what]
      if type(answer) == "function" then
        answer = answer(req)
      end
      if not answer then
        self.strange[#self.strange + 1] = what
        return { status = 404 }
      end
      return answer.status and answer or { body = json.encode(answer) }
    end,
  }))
  self.url = "http://127.0.0.1:" .. self.srv:port()
  return self
end

local function run(env, ...)
  env.OSMO_CONFIG_FILE_DIR, env.HOME = help.path("conf"), help.dir
  env.PAI_STATE = help.path("state")
  local r = assert(exec.run({ pai.exe, "osmo", "data", ... }, {
    env = env,
    timeout = "2m",
    stdin = "null",
    accept = "any",
  }))
  for _, value in ipairs({ server.key, table.unpack(help.hidden or {}) }) do
    assert.is_nil((r.stdout .. r.stderr):find(value, 1, true))
  end
  return r
end

-- Lists an object of the S3 server, for which `env` must lead to its key.
local function list(env)
  env.AWS_ENDPOINT_URL_S3, env.AWS_REGION = server.url, "us-east-1"
  return run(env, "list", "s3://bucket/seen/")
end

local function works(env)
  local r = list(env)
  assert.equal("seen/a\n", r.stdout, r.stderr)
  assert.equal(0, r.code)
end

local function fails(env, pattern)
  local r = list(env)
  assert.equal(1, r.code)
  assert.matches(pattern, r.stderr)
  assert.is_nil(r.stderr:find("traceback"))
  return r
end

local function no_machine(more)
  local env = { AWS_EC2_METADATA_DISABLED = "true" }
  for name, value in pairs(more) do
    env[name] = value
  end
  return env
end

-- The key of the server as containers and machines give it.
local function given(more)
  local t = {
    Code = "Success",
    Type = "AWS-HMAC",
    AccessKeyId = server.id,
    SecretAccessKey = server.key,
    Token = "session-" .. crypto.hex(8),
    Expiration = os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() + 3600),
  }
  for name, value in pairs(more or {}) do
    t[name] = value
  end
  return t
end

describe("a key for s3", function()
  setup(function()
    task.run(function()
      server = help.s3()
      help.dir = server.dir
      help.write("first/seen/a", "1")
      assert(help.direct(server, ""):upload({ help.path("first/*") }))
    end)
  end)
  teardown(function()
    help.stop(server)
  end)

  it_runs("comes for the token of a web identity", function()
    local token = crypto.hex(30)
    help.hidden = { token }
    local file = help.write("token", token .. "\n")
    local form
    local name = "AssumeRoleWithWebIdentity"
    local sts = cloud({
      ["POST /"] = function(req)
        form = req.body
        assert.equal("application/json", req.headers.accept)
        local credentials = given()
        credentials.SessionToken, credentials.Token = credentials.Token, nil
        credentials.Expiration = os.time() + 3600.5
        return { [name .. "Response"] = { [name .. "Result"] = { Credentials = credentials } } }
      end,
    })
    local env = no_machine({
      AWS_WEB_IDENTITY_TOKEN_FILE = file,
      AWS_ROLE_ARN = "arn:aws:iam::1:role/r",
      AWS_ROLE_SESSION_NAME = "me",
      AWS_ENDPOINT_URL_STS = sts.url,
    })
    works(env)
    for _, part in ipairs({
      "Action=AssumeRoleWithWebIdentity",
      "Version=2011%-06%-15",
      "RoleArn=arn%%3Aaws%%3Aiam%%3A%%3A1%%3Arole%%2Fr",
      "RoleSessionName=me",
      "WebIdentityToken=" .. token,
    }) do
      assert.matches(part, form)
    end
    -- the same, said by a profile
    help.write(
      ".aws/config",
      ("[default]\nrole_arn = arn:x\nweb_identity_token_file = %s\n"):format(file)
    )
    works(no_machine({ AWS_ENDPOINT_URL_STS = sts.url }))
    -- refused, elsewhere than over TLS, without its file
    fs.remove(help.path(".aws/config"))
    sts.srv:close()
    sts = cloud({
      ["POST /"] = {
        status = 400,
        body = json.encode({
          Error = { Code = "ExpiredTokenException", Message = "Token expired" },
        }),
      },
    })
    env.AWS_ENDPOINT_URL_STS = sts.url
    fails(env, "no key by AWS_WEB_IDENTITY_TOKEN_FILE: it answered 400: Token expired")
    env.AWS_ENDPOINT_URL_STS = "http://127.0.0.1.sts.test"
    fails(env, "goes over https only")
    env.AWS_WEB_IDENTITY_TOKEN_FILE = help.path("nothing")
    env.AWS_ENDPOINT_URL_STS = sts.url
    fails(env, "no key by AWS_WEB_IDENTITY_TOKEN_FILE: .*nothing")
    assert.same({}, sts.strange)
    sts.srv:close()
  end)

  it_runs("comes from a container's service, with the token of a file", function()
    local token = crypto.hex(30)
    help.hidden = { token }
    local answer
    local ecs = cloud({
      ["GET /v1/credentials"] = function(req)
        assert.equal(token, req.headers.authorization)
        return answer
      end,
    })
    local env = no_machine({
      AWS_CONTAINER_CREDENTIALS_FULL_URI = ecs.url .. "/v1/credentials",
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE = help.write("token", token),
    })
    answer = given()
    works(env)
    env.AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE = nil
    env.AWS_CONTAINER_AUTHORIZATION_TOKEN = token
    works(env)
    answer = { message = "none of yours" }
    fails(env, "no key by AWS_CONTAINER_CREDENTIALS_FULL_URI: the answer holds none")
    answer = { status = 200, body = "<html>no</html>" }
    fails(env, "the answer is no JSON")
    answer = { status = 403, body = '{"message":"not you"}' }
    fails(env, "it answered 403: not you")
    env.AWS_CONTAINER_CREDENTIALS_FULL_URI = "http://keys.test/v1"
    fails(env, "over https only")
    assert.same({}, ecs.strange)
    ecs.srv:close()
  end)

  it_runs("comes from the role of a machine, last of all", function()
    local session = crypto.hex(20)
    help.hidden = { session }
    local role = "GET /latest/meta-data/iam/security-credentials/"
    local answers = {
      ["PUT /latest/api/token"] = function(req)
        assert.equal("21600", req.headers["x-aws-ec2-metadata-token-ttl-seconds"])
        return { status = 200, body = session }
      end,
      [role] = function(req)
        assert.equal(session, req.headers["x-aws-ec2-metadata-token"])
        return { status = 200, body = "my-role" }
      end,
      [role .. "my-role"] = function(req)
        assert.equal(session, req.headers["x-aws-ec2-metadata-token"])
        return given()
      end,
    }
    local imds = cloud(answers)
    local env = { AWS_EC2_METADATA_SERVICE_ENDPOINT = imds.url .. "/" }
    works(env)
    assert.equal(3, #imds.seen)
    -- the first version of the service knows no token
    answers["PUT /latest/api/token"] = { status = 404 }
    answers[role], answers[role .. "my-role"] = { status = 200, body = "my-role\n" }, given()
    works(env)
    -- a wrong key names the role
    answers[role .. "my-role"] = given({ SecretAccessKey = crypto.hex(20) })
    fails(env, "this machine, my%-role")
    -- a machine without a role, none, and one that may not be asked
    answers[role] = { status = 404 }
    fails(env, "no key for s3://bucket\n.*this machine's role")
    assert.same({}, imds.strange)
    imds.srv:close()
    fails(env, "no key for s3://bucket\n")
    fails(no_machine(env), "no key for s3://bucket\n")
    -- the files and the environment win
    works({ AWS_ACCESS_KEY_ID = server.id, AWS_SECRET_ACCESS_KEY = server.key })
  end)

  it_runs("is printed by a program of the profile", function()
    local key = help.write(
      "key",
      json.encode({
        Version = 1,
        AccessKeyId = server.id,
        SecretAccessKey = server.key,
      })
    )
    local function process(command)
      help.write(".aws/config", "[default]\ncredential_process = " .. command .. "\n")
      return no_machine({})
    end
    fs.rename(key, help.path("my key"))
    works(process(('cat "%s"'):format(help.path("my key"))))
    works(process(("cat %s"):format((help.path("my key"):gsub(" ", "\\ ")))))
    -- no shell: what would be one's is a name
    fails(process("cat $HOME/key"), "no key by credential_process .*HOME")
    fails(process("no-such-program-of-pai x"), "there is no program 'no%-such%-program%-of%-pai'")
    fails(process("echo '{}'"), "it printed no Version 1")
    fails(process("echo hello"), "no JSON")
    fails(process("cat 'open"), "is no command line")
  end)

  it_runs("that ends is asked for again, once for all who wait", function()
    local keys_ask = require("pai.store.keys_ask")
    local asked, ends, fail = 0, 3600, false
    local keys = { source = "test" }
    function keys.ask()
      asked = asked + 1
      task.sleep(5)
      if fail then
        require("pai.err").raise("EACCES", "not now")
      end
      return { access_key_id = tostring(asked), ends = os.time() + ends }
    end
    require("pai.async").each({ 1, 2, 3, 4 }, function()
      keys_ask.ready(keys)
    end)
    assert.same({ 1, "1" }, { asked, keys.access_key_id })
    keys.ends = os.time() + 60 -- soon
    keys_ask.ready(keys)
    assert.equal("2", keys.access_key_id)
    -- one that still lasts is better than none, one that has ended is none
    fail, keys.ends = true, os.time() + 60
    keys_ask.ready(keys)
    assert.equal("2", keys.access_key_id)
    keys.ends = os.time() - 1
    assert.is_false((pcall(keys_ask.ready, keys)))
    fail = false
    keys_ask.ready(keys)
    assert.equal("5", keys.access_key_id)
  end)

  it_runs("goes to no server that the caller does not allow", function()
    local place = require("pai.store.url").parse("s3://bucket/x")
    local function refuse(url)
      require("pai.err").raise("EACCES", "not allowed: " .. url)
    end
    local keys = require("pai.store.keys").find(place, nil, { machine = true, on_host = refuse })
    assert.is_function(keys.ask)
    local ok, e = pcall(keys.ask)
    assert.is_false(ok)
    assert.same({ "ENOKEYS", "no key for s3://bucket: not allowed: http://169.254.169.254" }, {
      e.code,
      e.message,
    })
  end)
end)

-- A token that Azurite takes: it looks at the claims and not at the signature.
local function token_of(lasts)
  local function part(value)
    return (crypto.base64_encode(json.encode(value)):gsub("=", ""):gsub("+", "-"):gsub("/", "_"))
  end
  local now = os.time()
  local claims = {
    aud = "https://storage.azure.com",
    iss = "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
    iat = now - 60,
    nbf = now - 60,
    exp = now + (lasts or 3600),
    oid = "23657296-5cd5-45b0-a809-d972a7f4dfe1",
    tid = "ab1f708d-50f6-404c-a006-d71b2ac7a606",
    jti = crypto.hex(8),
  }
  return table.concat({ part({ alg = "RS256", typ = "JWT" }), part(claims), crypto.hex(16) }, ".")
end

describe("an identity for azure", function()
  local azurite

  setup(function()
    task.run(function()
      azurite = help.azurite({ oauth = true })
      help.dir = azurite.dir
      local keys = { connection_string = help.handle(help.connection(azurite)) }
      local s = assert(store.open("azure://" .. azurite.account .. "/data", {
        keys = keys,
        ca_file = azurite.ca_file,
      }))
      s.driver:send("make the container", { method = "PUT", query = { restype = "container" } })
      help.write("first/a", "1")
      assert(s:upload({ help.path("first/*") }))
    end)
    server = azurite
  end)
  teardown(function()
    help.stop(azurite)
  end)

  -- What config.yaml says of the account: where it is, and no key.
  local function config()
    local path = help.write(
      "conf/config.yaml",
      json.encode({
        auth = { data = { ["azure://" .. azurite.account] = { override_url = azurite.url } } },
      })
    )
    assert(fs.chmod(path, 384))
  end

  local function data(env, ...)
    config()
    env.AWS_CA_BUNDLE = azurite.ca_file
    return run(env, ...)
  end

  local function listed(env)
    local r = data(env, "list", ("azure://%s/data/"):format(azurite.account))
    assert.equal("a\n", r.stdout, r.stderr)
    assert.equal(0, r.code)
  end

  local function refused(env, pattern)
    local r = data(env, "list", ("azure://%s/data/"):format(azurite.account))
    assert.equal(1, r.code)
    assert.matches(pattern, r.stderr)
  end

  it_runs("is a service principal's, by its secret or by a cluster's token", function()
    local token, proof = token_of(), crypto.hex(20)
    help.hidden = { token, proof }
    local form
    local answers = {
      ["POST /ten-ant/oauth2/v2.0/token"] = function(req)
        form = req.body
        return { token_type = "Bearer", expires_in = 3599, access_token = token }
      end,
    }
    local aad = cloud(answers)
    local env = {
      AZURE_AUTHORITY_HOST = aad.url .. "/",
      AZURE_TENANT_ID = "ten-ant",
      AZURE_CLIENT_ID = "me",
      AZURE_CLIENT_SECRET = proof,
    }
    listed(env)
    assert.matches("client_secret=" .. proof, form, 1, true)
    assert.matches("scope=https%%3A%%2F%%2Fstorage.azure.com%%2F.default", form)
    assert.matches("grant_type=client_credentials", form)
    env.AZURE_CLIENT_SECRET = nil
    env.AZURE_FEDERATED_TOKEN_FILE = help.write("federated", proof .. "\n")
    listed(env)
    assert.matches("client_assertion=" .. proof, form, 1, true)
    assert.matches("client_id=me", form, 1, true)
    assert.matches("client_assertion_type=urn%%3Aietf%%3Aparams%%3Aoauth", form)
    answers["POST /ten-ant/oauth2/v2.0/token"] = {
      status = 401,
      body = json.encode({
        error = "invalid_client",
        error_description = "AADSTS700024: the assertion has expired.\r\nTrace ID: 1",
      }),
    }
    refused(
      env,
      "FEDERATED_TOKEN_FILE: it answered 401: AADSTS700024: the assertion has expired.\n"
    )
    env.AZURE_AUTHORITY_HOST = "http://login.test"
    refused(env, "AZURE_AUTHORITY_HOST must be the https")
    env.AZURE_FEDERATED_TOKEN_FILE = nil
    env.AZURE_CLIENT_CERTIFICATE_PATH = "x"
    refused(env, "AZURE_CLIENT_CERTIFICATE_PATH is not supported")
    assert.same({}, aad.strange)
    aad.srv:close()
  end)

  it_runs("is the managed one of an app or a machine", function()
    local token, header = token_of(), crypto.hex(20)
    help.hidden = { token, header }
    local answers = {
      ["GET /msi/token"] = function(req)
        assert.equal(header, req.headers["x-identity-header"])
        assert.same({ "2019-08-01" }, req.query["api-version"])
        assert.same({ "https://storage.azure.com" }, req.query.resource)
        local ends = tostring(os.time() + 3600)
        return { access_token = token, expires_on = ends, token_type = "Bearer" }
      end,
      ["GET /metadata/identity/oauth2/token"] = function(req)
        assert.equal("true", req.headers.metadata)
        assert.same({ "mine" }, req.query.client_id)
        assert.same({ "2018-02-01" }, req.query["api-version"])
        return { access_token = token, expires_in = "3599", token_type = "Bearer" }
      end,
    }
    local azure = cloud(answers)
    listed({ IDENTITY_ENDPOINT = azure.url .. "/msi/token", IDENTITY_HEADER = header })
    local env = { AZURE_POD_IDENTITY_AUTHORITY_HOST = azure.url, AZURE_CLIENT_ID = "mine" }
    listed(env)
    assert.same({}, azure.strange)
    -- a machine that has none: its answer, and, with no az here, that there is no key
    env.PATH = help.dir
    answers["GET /metadata/identity/oauth2/token"] = {
      status = 400,
      body = json.encode({ error = "invalid_request", error_description = "Identity not found" }),
    }
    refused(env, "no key for azure://%w+: .*it answered 400: Identity not found")
    azure.srv:close()
    refused(env, "no key for azure://%w+\n.*AZURE_CLIENT_ID")
  end)

  it_runs("is who az is logged in as, where nothing else is", function()
    local token = token_of()
    help.hidden = { token }
    local az = help.write(
      "bin/az",
      ([[#!/bin/sh
echo "$*" >%s
cat %s
]]):format(help.path("argv"), help.path("answer"))
    )
    assert(fs.chmod(az, 493))
    help.write(
      "answer",
      json.encode({
        accessToken = token,
        expiresOn = "2026-01-01 00:00:00.000000",
        expires_on = os.time() + 3600,
        tokenType = "Bearer",
      })
    )
    local none = "http://127.0.0.1:" .. help.free_port()
    local env = { AZURE_POD_IDENTITY_AUTHORITY_HOST = none }
    env.PATH = help.path("bin") .. ":" .. os.getenv("PATH")
    listed(env)
    assert.equal(
      "account get-access-token --output json --resource https://storage.azure.com/\n",
      fs.read(help.path("argv"))
    )
    help.write("bin/az", "#!/bin/sh\necho 'ERROR: Please run az login' >&2\nexit 1\n")
    refused(env, "az account get%-access%-token: .*Please run az login")
  end)

  it_runs("is asked for again when the store refuses its token", function()
    local stale, good = token_of(-1800), token_of()
    local asked = 0
    local keys = {
      source = "test",
      override_url = azurite.url,
      ask = function()
        asked = asked + 1
        return { bearer = help.handle(asked == 1 and stale or good), ends = os.time() + 3600 }
      end,
    }
    local place = require("pai.store.url").parse(("azure://%s/data"):format(azurite.account))
    local driver = require("pai.store.azure").new(place, keys, { ca_file = azurite.ca_file })
    assert.equal("a", driver:list({ prefix = "" }).objects[1].key)
    assert.equal(2, asked)
    -- what Azure itself says of a token that has ended (Blob service error codes)
    local seen = {}
    local blobs = assert(serve.listen({
      handler = function(req)
        seen[#seen + 1] = req.headers.authorization
        if #seen == 1 then
          return { status = 401, headers = { ["x-ms-error-code"] = "InvalidAuthenticationInfo" } }
        end
        return { body = "<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>" }
      end,
    }))
    asked, keys.has = 0, nil
    keys.override_url = "http://127.0.0.1:" .. blobs:port()
    driver = require("pai.store.azure").new(place, keys, {})
    assert.same({}, driver:list({ prefix = "" }).objects)
    assert.same({ "Bearer " .. stale, "Bearer " .. good }, seen)
    blobs:close()
  end)
end)
