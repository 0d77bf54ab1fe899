-- Keys for S3 where OSMO's config.yaml has none, in the order of the AWS SDKs: the environment, a
-- web identity (IRSA), the files of the AWS command line with a program of theirs, a container's
-- credentials (ECS, EKS Pod Identity), and the role of an EC2 machine.
--
-- Sources: AWS SDKs and Tools Reference Guide (settings, "Standardized credential providers"), AWS
-- STS API Reference (AssumeRoleWithWebIdentity), EC2 User Guide (instance metadata, IMDSv2).
local ask = require("pai.store.keys_ask")
local err = require("pai.err")
local files = require("pai.store.keys_file")
local fs = require("pai.fs")
local settings = require("pai.store.settings")

local env = settings.env

local M = {}

-- Settings of a profile that name a way to a key which pai does not go.
local ELSEWHERE <const> = { "sso_session", "sso_start_url", "role_arn" }

local EXPORT <const> = "aws configure export-credentials --profile %s --format env prints a key "
  .. "for the environment; without --format it can be another profile's credential_process"

-- Where a container's and a machine's own services are.
local CONTAINER <const> = "http://169.254.170.2"
local MACHINE <const> = "http://169.254.169.254"

local DIRECT <const> = { "SecretAccessKey", "Token", "SessionToken" }

local function aws_file(name, fallback)
  return env(name) or (env("HOME") and env("HOME") .. "/.aws/" .. fallback)
end

-- The settings of the profile that is meant, in the order in which they win.
local function profile_settings(profile)
  local found, names = {}, { "aws_secret_access_key", "aws_session_token" }
  local path = aws_file("AWS_SHARED_CREDENTIALS_FILE", "credentials")
  local config = aws_file("AWS_CONFIG_FILE", "config")
  local sections = {}
  if config and fs.exists(config) then
    local doc = files.read(config, "ini", names)
    sections[#sections + 1] = doc["profile " .. profile] or doc[profile]
  end
  if path and fs.exists(path) and files.is_private(path) then
    sections[#sections + 1] = files.read(path, "ini", names)[profile]
  end
  for _, section in ipairs(sections) do
    for key, value in pairs(type(section) == "table" and section or {}) do
      found[key] = value
    end
  end
  return found, path or config
end

-- The words of a command line, as a shell takes them apart, without its other powers.
local function words_of(text)
  local words, word, quote = {}, nil, nil
  local at = 1
  while at <= #text do
    local c = text:sub(at, at)
    if c == "\\" and quote ~= "'" and at < #text then
      at = at + 1
      word = (word or "") .. text:sub(at, at)
    elseif c == quote then
      quote = nil
    elseif not quote and (c == "'" or c == '"') then
      quote, word = c, word or ""
    elseif not quote and c:find("%s") then
      words[#words + 1], word = word, nil
    else
      word = (word or "") .. c
    end
    at = at + 1
  end
  words[#words + 1] = word
  return not quote and words or nil
end

-- An answer in the form that programs, containers and machines give.
local function direct(what, value)
  local id, key = value.AccessKeyId, value.SecretAccessKey
  if type(id) ~= "string" or type(key) ~= "userdata" then
    err.raise("EPROTO", ("no key by %s: the answer holds none"):format(what))
  end
  local token = value.SessionToken or value.Token
  return {
    access_key_id = id,
    access_key = key,
    session_token = type(token) == "userdata" and token or nil,
    ends = ask.moment(value.Expiration),
  }
end

local function by_program(profile, command)
  local what = ("credential_process of the AWS profile '%s'"):format(profile)
  local argv = words_of(command)
  if not argv or #argv == 0 then
    err.raise("EINVAL", what .. " is no command line")
  end
  return {
    source = what,
    ask = function()
      local value = ask.program(what, argv, DIRECT)
      if not value then
        err.raise("ENOKEYS", ("no key by %s: there is no program '%s'"):format(what, argv[1]))
      elseif value.Version ~= 1 then
        err.raise("EPROTO", ("no key by %s: it printed no Version 1"):format(what))
      end
      return direct(what, value)
    end,
  }
end

local function session_name()
  return env("AWS_ROLE_SESSION_NAME") or "pai-" .. require("pai.crypto").hex(8)
end

-- Of the region, as the SDKs ask it now; what the environment names in its place wins.
local function sts(region)
  local url = settings.url("AWS_ENDPOINT_URL_STS") or settings.url("AWS_ENDPOINT_URL")
  if url then
    return url
  elseif not region then
    return "https://sts.amazonaws.com"
  end
  local tail = region:find("^cn%-") and ".cn" or ""
  return ("https://sts.%s.amazonaws.com%s"):format(region, tail)
end

local IDENTITY <const> = "AssumeRoleWithWebIdentity"

-- A token in a file, such as a Kubernetes service account's, for the key of a role.
local function by_web_identity(what, token_file, role, region, on_host)
  local url = sts(region)
  if not ask.is_safe(url) then
    err.raise("EINVAL", ("the token of %s goes over https only"):format(what))
  end
  local credentials = IDENTITY .. "Response." .. IDENTITY .. "Result.Credentials."
  local secrets = { credentials .. "SecretAccessKey", credentials .. "SessionToken" }
  return {
    source = what,
    region = region,
    ask = function()
      local token = files.token(what, token_file)
      local value = ask.document(what, {
        url = url,
        method = "POST",
        form = {
          Action = IDENTITY,
          Version = "2011-06-15",
          RoleArn = role,
          RoleSessionName = session_name(),
          WebIdentityToken = token,
        },
        headers = { accept = "application/json" },
        on_host = on_host,
      }, secrets)[IDENTITY .. "Response"]
      value = type(value) == "table" and value[IDENTITY .. "Result"]
      value = type(value) == "table" and value.Credentials
      return direct(what, type(value) == "table" and value or {})
    end,
  }
end

local function from_files(region, on_host)
  local profile = env("AWS_PROFILE") or "default"
  local found, path = profile_settings(profile)
  region = region or found.region
  local file, role = found.web_identity_token_file, found.role_arn
  local keys
  if file and role then
    local what = ("web_identity_token_file of the AWS profile '%s'"):format(profile)
    keys = by_web_identity(what, file, role, region, on_host)
  elseif found.aws_secret_access_key and not role then
    keys = {
      access_key_id = found.aws_access_key_id,
      access_key = found.aws_secret_access_key,
      session_token = found.aws_session_token,
      source = ("%s, profile %s"):format(path, profile),
    }
  else
    for _, key in ipairs(ELSEWHERE) do
      if found[key] then
        err.raise("ENOTSUP", ("the AWS profile '%s' uses %s"):format(profile, key), {
          hint = EXPORT:format(profile),
        })
      end
    end
    keys = found.credential_process and by_program(profile, found.credential_process)
  end
  if keys then
    keys.region, keys.profile_endpoint = region, found.endpoint_url
  end
  return keys
end

-- The address of a container's credentials, and whether it is one that may be asked.
local function container_url()
  local relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
  if relative then
    return CONTAINER .. relative, true
  end
  local full = env("AWS_CONTAINER_CREDENTIALS_FULL_URI")
  local known = full
    and (
      ask.is_safe(full)
      or full:find("^http://169%.254%.170%.[23][:/]")
      or full:find("^http://169%.254%.170%.[23]$")
      or full:find("^http://%[fd00:ec2::23%]")
    )
  return full, known
end

local function by_container(on_host)
  local url, known = container_url()
  if not url then
    return nil
  end
  local what = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
      and "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
    or "AWS_CONTAINER_CREDENTIALS_FULL_URI"
  if not known then
    err.raise("EINVAL", what .. " names a host that is asked for keys over https only")
  end
  return {
    source = what,
    ask = function()
      local file = env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
      local token = file and files.token(what, file)
        or files.from_env("AWS_CONTAINER_AUTHORIZATION_TOKEN")
      local value = ask.document(what, {
        url = url,
        headers = { authorization = token },
        probe = url:find("^http://") ~= nil,
        timeout = "10s",
        on_host = on_host,
      }, DIRECT)
      return direct(what, value)
    end,
  }
end

-- Statuses of a machine that knows the first version of its service only.
local OLD <const> = { [403] = true, [404] = true, [405] = true }

---The key of this EC2 machine's role.
---@param on_host (fun(url: string))?
---@return pai.store.Asked? keys nil when this is no such machine, or it has no role
function M.machine(on_host)
  if (env("AWS_EC2_METADATA_DISABLED") or ""):lower() == "true" then
    return nil
  end
  local base = (settings.url("AWS_EC2_METADATA_SERVICE_ENDPOINT") or MACHINE):gsub("/+$", "")
  local function send(opts)
    opts.url, opts.probe, opts.on_host = base .. opts.url, true, on_host
    return ask.send(opts)
  end
  local r, e = send({
    url = "/latest/api/token",
    method = "PUT",
    headers = { ["x-aws-ec2-metadata-token-ttl-seconds"] = "21600" },
    secret = true,
  })
  if not r and not OLD[e.status] then
    return nil
  end
  local headers = { ["x-aws-ec2-metadata-token"] = r and r.secret or nil }
  local path = "/latest/meta-data/iam/security-credentials/"
  r = send({ url = path, headers = headers })
  local role = r and r.body:match("^%s*([%w+=,.@_-]+)%s*$")
  if not role then
    return nil
  end
  local what = "the role of this machine"
  r, e = send({ url = path .. role, headers = headers, secret = true })
  if not r then
    error(ask.refusal(what, e), 0)
  end
  local keys = direct(what, ask.members(what, r.secret, DIRECT))
  keys.from = ("%s, %s"):format(what, role)
  return keys
end

---Finds a key. Raises ENOTSUP for a way that pai does not have.
---@param _ pai.store.Place
---@param on_host (fun(url: string))?
---@return pai.store.Keys? keys nil when the environment and the files name no way
function M.find(_, on_host)
  local id, key = env("AWS_ACCESS_KEY_ID"), files.from_env("AWS_SECRET_ACCESS_KEY")
  if id and key then
    return {
      access_key_id = id,
      access_key = key,
      session_token = files.from_env("AWS_SESSION_TOKEN"),
      source = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    }
  end
  local region = env("AWS_REGION") or env("AWS_DEFAULT_REGION")
  local file, role = env("AWS_WEB_IDENTITY_TOKEN_FILE"), env("AWS_ROLE_ARN")
  if file and role then
    return by_web_identity("AWS_WEB_IDENTITY_TOKEN_FILE", file, role, region, on_host)
  end
  return from_files(region, on_host) or by_container(on_host)
end

return M
