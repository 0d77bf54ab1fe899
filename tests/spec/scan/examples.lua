-- Texts that a rule of pai scan finds and texts that it must not find, made at run time: nothing in
-- this file looks like a credential. `M.rules[id]` gives { yes, no }, lists of functions of a
-- generator g, where g(class, n) gives n random characters. The secret is what stands between
-- "\1" and "\2" (all of it if they are absent); the marks are taken out before it is scanned.
local M = {}

local LOWER <const> = "abcdefghijklmnopqrstuvwxyz"
local DIGITS <const> = "0123456789"
local CLASSES <const> = {
  lower = LOWER,
  digits = DIGITS,
  hex = DIGITS .. "abcdef",
  letters = LOWER .. LOWER:upper(),
  alnum = LOWER .. LOWER:upper() .. DIGITS,
  lowernum = LOWER .. DIGITS,
  uppernum = LOWER:upper() .. DIGITS,
  base32 = LOWER:upper() .. "234567",
  b64 = LOWER .. LOWER:upper() .. DIGITS .. "+/",
  url = LOWER .. LOWER:upper() .. DIGITS .. "-_",
}

local BASE64 <const> = LOWER:upper() .. LOWER .. DIGITS .. "+/"

---Base64 without a library, so that examples can be made anywhere.
---@param s string
---@return string
function M.base64(s)
  local parts = {}
  for i = 1, #s, 3 do
    local a, b, c = s:byte(i, i + 2)
    local v = a << 16 | (b or 0) << 8 | (c or 0)
    local four = {}
    for k = 0, 3 do
      local d = v >> 18 - 6 * k & 63
      four[k + 1] = BASE64:sub(d + 1, d + 1)
    end
    parts[#parts + 1] = table.concat(four, "", 1, b and (c and 4 or 3) or 2)
      .. ("="):rep(c and 0 or b and 1 or 2)
  end
  return table.concat(parts)
end

---A generator of random characters that always gives the same ones for a seed.
---@param seed integer
---@return fun(class: string, n: integer): string
function M.generator(seed)
  local state = seed * 2 + 1
  local function number(n)
    state = state * 6364136223846793005 + 1442695040888963407
    return (state >> 33) % n
  end
  return function(class, n)
    local set, out = CLASSES[class], {}
    for i = 1, n do
      local k = number(#set) + 1
      out[i] = set:sub(k, k)
    end
    return table.concat(out)
  end
end

local function url64(s)
  return (M.base64(s):gsub("%+", "-"):gsub("/", "_"):gsub("=", ""))
end

-- The checksum that GitHub and npm put at a token's end.
local function with_checksum(prefix, body)
  local crc = 0xffffffff
  for i = 1, #body do
    crc = crc ~ body:byte(i)
    for _ = 1, 8 do
      crc = crc >> 1 ~ (0xedb88320 & -(crc & 1))
    end
  end
  crc = ~crc & 0xffffffff
  local set, out = DIGITS .. LOWER:upper() .. LOWER, ""
  for _ = 1, 6 do
    out = set:sub(crc % 62 + 1, crc % 62 + 1) .. out
    crc = crc // 62
  end
  return prefix .. body .. out
end

local function pem(g, kind, lines)
  local body = {}
  for i = 1, lines do
    body[i] = g("b64", 64)
  end
  local dashes = ("-"):rep(5)
  return ("%sBEGIN %s%s\n%s\n%sEND %s%s"):format(
    dashes,
    kind,
    dashes,
    table.concat(body, "\n"),
    dashes,
    kind,
    dashes
  )
end

local function ngc_raw(g)
  local guid = { g("alnum", 8), g("alnum", 4), g("alnum", 4), g("alnum", 4), g("alnum", 12) }
  return g("alnum", 26) .. ":" .. table.concat(guid, "-")
end

local function jwt(g, exp)
  local payload = ('{"sub":"%s","exp":%d}'):format(g("alnum", 12), exp or 4102444800)
  return url64('{"alg":"RS256","typ":"JWT"}') .. "." .. url64(payload) .. "." .. g("url", 86)
end

-- A rule of the form before .. secret .. after, with texts that must not be found.
local function rule(before, secret, after, no)
  local yes = function(g)
    return before .. "\1" .. secret(g) .. "\2" .. (after or "\n")
  end
  local texts = {}
  for i, text in ipairs(no) do
    texts[i] = type(text) == "function" and text or function()
      return text
    end
  end
  return { yes = { yes }, no = texts }
end

-- A token of one prefix and n random characters; the prefix alone, a placeholder and one letter
-- repeated are no secrets.
local function prefixed(prefix, class, n, tail)
  return rule(
    "value " .. prefix:sub(1, 0),
    function(g)
      return prefix .. g(class, n) .. (tail and tail(g) or "")
    end,
    nil,
    {
      "the prefix " .. prefix .. " alone\n",
      prefix .. "YOUR_TOKEN_HERE\n",
      prefix .. ("x"):rep(n) .. "\n",
      prefix .. ("*"):rep(n) .. "\n",
    }
  )
end

local function b64(n, tail)
  return function(g)
    return g("b64", n) .. tail
  end
end

local function of(class, n, tail)
  return function(g)
    return g(class, n) .. (tail or "")
  end
end

M.rules = {
  ["private-key-block"] = {
    yes = {
      function(g)
        return "key:\n\1" .. pem(g, "RSA PRIVATE" .. " KEY", 12) .. "\2\n"
      end,
      function(g)
        return "\1" .. pem(g, "OPENSSH PRIVATE" .. " KEY", 6) .. "\2\n"
      end,
      function()
        return "\1" .. ("-"):rep(5) .. "BEGIN EC PRIVATE" .. " KEY" .. ("-"):rep(5) .. "\2\n"
      end,
    },
    no = {
      function(g)
        return pem(g, "CERTIFICATE", 8)
      end,
      function(g)
        return pem(g, "PUBLIC KEY", 4)
      end,
      function()
        return pem(function()
          return "..."
        end, "PRIVATE" .. " KEY", 1)
      end,
      function()
        return 'if s == "' .. ("-"):rep(5) .. "BEGIN PRIVATE" .. " KEY" .. ("-"):rep(5) .. '" then'
      end,
    },
  },
  ["putty-private-key"] = rule(
    "PuTTY-User-Key-File-2: ssh-rsa\nEncryption: none\nComment: k\nPublic-Lines: 1\nAAAAB3\n"
      .. "Private-Lines: 2\n",
    function(g)
      return g("b64", 64) .. "\n" .. g("b64", 64) .. "\n"
    end,
    "Private-MAC: 0\n",
    { "PuTTY-User-Key-File-2: ssh-rsa\nPrivate-Lines: <n>\n" }
  ),
  ["age-secret-key"] = prefixed("AGE-SECRET-KEY-" .. "1", "uppernum", 58),
  ["dockerconfigjson-b64"] = rule(
    ".dockerconfigjson: ",
    function(g)
      local auth = M.base64("$oauthtoken:" .. g("alnum", 40))
      return M.base64('{"auths":{"nvcr.io":{"auth":"' .. auth .. '"}}}')
    end,
    nil,
    {
      function()
        return M.base64('{"auths":{"nvcr.io":{}},"credsStore":"desktop","more":"words and words"}')
      end,
    }
  ),
  ["osmo-mek-b64"] = rule(
    "mek: ",
    function(g)
      return M.base64('{"k":"' .. g("b64", 43) .. '=","kid":"key1","kty":"oct"}')
    end,
    nil,
    {
      function()
        return "mek: "
          .. M.base64('{"k":"<master key goes here>","kid":"key1","kty":"oct","use":""}')
      end,
    }
  ),
  ["private-key-b64"] = rule(
    "data: ",
    function(g)
      return M.base64(pem(g, "EC PRIVATE" .. " KEY", 3))
    end,
    nil,
    {
      function(g)
        return "certificate-authority-data: " .. M.base64(pem(g, "CERTIFICATE", 6))
      end,
    }
  ),
  ["jwt"] = rule("id_token ", jwt, nil, {
    function(g)
      return "ey" .. g("alnum", 20) .. ".ey" .. g("alnum", 30) .. "." .. g("alnum", 30)
    end,
    function(g)
      return url64('{"alg":"none"}') .. "." .. url64('{"sub":"' .. g("alnum", 9) .. '"}')
    end,
  }),
  ["nvidia-api-key"] = prefixed("nvapi" .. "-", "url", 64),
  ["nvidia-api-key-loose"] = prefixed("nvapi" .. "-", "alnum", 50),
  ["ngc-legacy-key"] = rule("NGC: ", function(g)
    return M.base64(ngc_raw(g))
  end, nil, { of("hex", 84), of("alnum", 84) }),
  ["ngc-legacy-raw"] = rule("NGC ", ngc_raw, nil, { of("hex", 63), "a:b-c-d-e-f\n" }),
  ["osmo-mek-jwk"] = rule('{"kid":"a","k":"', b64(43, "="), '","kty":"oct"}', {
    '{"kty":"RSA","n":"' .. "0vx7" .. '","e":"AQAB"}',
    '{"k":"short"}',
  }),
  ["osmo-token"] = rule("OSMO_ACCESS_TOKEN=", of("url", 43), nil, {
    "accountTokenSecret: osmo-operator-token\n",
    "refresh_token: null\n",
    "osmo_token: ${OSMO_TOKEN}\n",
  }),
  ["docker-auth"] = rule('{"auths":{"r":{"auth": "', function(g)
    return M.base64("user" .. ":" .. g("alnum", 24))
  end, '"}}}', { '{"auth": true}', '{"auth": ""}', '{"auth":"bm90aGluZyBoZXJlIGF0IGFsbA=="}' }),
  ["kubeadm-bootstrap-token"] = rule("token: ", function(g)
    return g("lowernum", 5) .. "3." .. g("lowernum", 15) .. "7"
  end, nil, { "token: abcdef.<16 characters>\n", "token: settings.access\n" }),
  ["kubeconfig-client-key"] = rule("    client-key-data: ", b64(120, "=="), nil, {
    "client-key-data: REDACTED\n",
    "client-key-data: DATA+OMITTED\n",
  }),
  ["kubeconfig-user-token"] = rule(
    "users:\n- name: a\n  user:\n    token: ",
    of("alnum", 32),
    nil,
    {
      "users:\n- name: a\n  user:\n    token: REDACTED-BY-SOMEBODY-ELSE\n",
      "users:\n- user:\n    tokenFile: /var/run/token\n",
    }
  ),
  ["kubernetes-secret-data"] = rule(
    "data:\n  value: ",
    function(g)
      return M.base64("nvapi" .. "-" .. g("url", 64))
    end,
    nil,
    {
      function(g)
        return "data:\n  value: " .. M.base64("nvapi" .. "- and more words " .. g("digits", 20))
      end,
      function()
        return "data:\n  value: " .. M.base64("https://osmo.example.org/path/of/no/secret")
      end,
    }
  ),
  ["terraform-state-secret"] = rule('"primary_access_key": "', of("alnum", 40), '",', {
    '"primary_access_key": null,',
    '"admin_password": "${var.password}",',
    '"client_secret": "<sensitive>",',
  }),
  ["terraform-cloud-token"] = rule("token ", function(g)
    return g("alnum", 14) .. ".atlas" .. "v1." .. g("alnum", 67)
  end, nil, { "xxxxxxxxxxxxxx.atlas" .. "v1.zzzzzzzzzzz\n" }),

  ["azure-storage-key"] = rule(
    "k ",
    function(g)
      return g("b64", 76) .. "+A" .. "St" .. g("b64", 5) .. "A=="
    end,
    nil,
    {
      function(g)
        return "integrity sha512-" .. g("b64", 86) .. "=="
      end,
    }
  ),
  ["azure-cosmos-key"] = rule("k ", function(g)
    return g("b64", 76) .. "AC" .. "Db" .. g("b64", 5) .. "w=="
  end, nil, { b64(86, "==") }),
  ["azure-batch-key"] = rule("k ", function(g)
    return g("b64", 76) .. "+A" .. "Ba" .. g("b64", 5) .. "g=="
  end, nil, { b64(86, "==") }),
  ["azure-apim-key"] = rule("k ", function(g)
    return g("b64", 76) .. "AP" .. "IM" .. g("b64", 5) .. "Q=="
  end, nil, { "APIM is API Management\n" }),
  ["azure-redis-key"] = rule("k ", function(g)
    return g("b64", 33) .. "Az" .. "CaB" .. g("b64", 5) .. "="
  end, nil, { b64(43, "=") }),
  ["azure-messaging-key"] = rule("k ", function(g)
    return g("b64", 33) .. "+A" .. "Eh" .. g("b64", 6) .. "="
  end, nil, { b64(43, "=") }),
  ["azure-iot-key"] = rule("k ", function(g)
    return g("b64", 33) .. "AI" .. "oT" .. g("b64", 6) .. "="
  end, nil, { "AIoT devices\n" }),
  ["azure-acr-key"] = rule("k ", function(g)
    return g("b64", 42) .. "+A" .. "CRB" .. g("b64", 5)
  end, nil, { b64(52, "") }),
  ["azure-search-key"] = rule("k ", function(g)
    return g("alnum", 42) .. "Az" .. "SeC" .. g("alnum", 5)
  end, nil, { of("alnum", 52) }),
  ["azure-function-key"] = rule("k ", function(g)
    return g("url", 44) .. "Az" .. "Fu" .. g("url", 5) .. "A=="
  end, nil, { of("url", 53, "A==") }),
  ["azure-cask-key"] = rule("k ", function(g)
    return g("alnum", 52)
      .. "JQ"
      .. "QJ99"
      .. g("alnum", 1)
      .. "B"
      .. g("alnum", 16)
      .. "x"
      .. g("alnum", 7)
  end, nil, { of("alnum", 84) }),
  ["azure-devops-pat"] = rule("pat ", function(g)
    return g("alnum", 76) .. "AZ" .. "DO" .. g("alnum", 4)
  end, nil, { of("alnum", 84) }),
  ["azure-client-secret"] = rule("secret ", function(g)
    return g("alnum", 3) .. "8" .. "Q~" .. g("alnum", 34)
  end, nil, { "the fragment a8" .. "Q~b\n" }),
  ["azure-b64-88-key"] = rule('account_key: "', b64(86, "=="), '"', {
    function(g)
      return "integrity: " .. g("b64", 86) .. "=="
    end,
  }),
  ["azure-connection-string"] = rule(
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=",
    b64(64, "="),
    ";EndpointSuffix=core.windows.net",
    {
      "AccountName=a;AccountKey=$KEY\n",
      "InstrumentationKey=00000000-0000-0000-0000-000000000000\n",
    }
  ),
  ["azure-sas-signature"] = rule("https://a.blob/c?sv=2024-01-01&se=2027&sig=", function(g)
    return g("alnum", 43) .. "%3D"
  end, nil, { "https://a.blob/c?sv=1&sig=$SIG\n", "https://a.blob/c?sig=abcde\n" }),
  ["azure-cognitive-key-32"] = rule("AZURE_OPENAI_API_KEY=", of("hex", 32), nil, {
    function(g)
      return g("hex", 32) .. "  file.tar\n"
    end,
  }),
  ["entra-refresh-token"] = rule("rt ", function(g)
    return "1." .. "A" .. g("url", 70) .. ".Ag" .. g("url", 300)
  end, nil, { "version 1." .. "Alpha of it\n" }),
  ["aws-access-key-id"] = rule("id ", function(g)
    return "AK" .. "IA" .. g("base32", 16)
  end, nil, { "AK" .. "IA" .. "IOSFODNN7" .. "EXAMPLE\n", "arn:aws:iam::123456789012:user/a\n" }),
  ["aws-secret-key"] = rule("aws_secret_access_key = ", b64(40, ""), nil, {
    "aws_secret_access_key = $SECRET\n",
    function(g)
      return "commit " .. g("hex", 40) .. "\n"
    end,
  }),
  ["s3-secret"] = rule("minio_root_secret: ", b64(40, ""), nil, { "minio_secret: ${SECRET}\n" }),
  ["aws-session-token"] = rule("t ", function(g)
    return "IQ" .. "oJ" .. g("b64", 300) .. "=="
  end, nil, { "IQ" .. "oJ is a prefix\n" }),
  ["aws-bedrock-key"] = rule("t ", function(g)
    return "AB" .. "SK" .. g("b64", 128)
  end, nil, { "AB" .. "SK is a prefix\n" }),
  ["gcp-api-key"] = prefixed("AI" .. "za", "url", 35),
  ["gcp-oauth-client-secret"] = prefixed("GOC" .. "SPX-", "url", 28),
  ["gcp-access-token"] = prefixed("ya" .. "29.", "url", 120),
  ["gcp-refresh-token"] = prefixed("1/" .. "/0", "url", 60),
  ["gcp-service-account-key-id"] = rule('"private_key_id": "', of("hex", 40), '"', {
    '"private_key_id": "<id>"',
  }),

  ["huggingface-token"] = prefixed("hf" .. "_", "letters", 34),
  ["github-token"] = rule("t ", function(g)
    return with_checksum("gh" .. "p_", g("alnum", 30))
  end, nil, { "gh" .. "p_ is a prefix\n", "gh" .. "p_" .. ("x"):rep(36) .. "\n" }),
  ["github-fine-grained-token"] = prefixed("github" .. "_pat_", "alnum", 82),
  ["gitlab-token"] = prefixed("gl" .. "pat-", "url", 20),
  ["gitlab-service-token"] = prefixed("gl" .. "rt-", "url", 20),
  ["dockerhub-token"] = prefixed("dckr" .. "_pat_", "url", 27),
  ["slack-token"] = prefixed("xo" .. "xb-", "alnum", 48),
  ["slack-webhook"] = rule("https://hooks.slack." .. "com/services/", function(g)
    return "T" .. g("uppernum", 9) .. "/B" .. g("uppernum", 9) .. "/" .. g("alnum", 24)
  end, nil, { "https://hooks.slack." .. "com/services/T00/B00/x\n" }),
  ["teams-webhook"] = rule("https://a.webhook.office." .. "com/webhookb2/", function(g)
    local guid = g("hex", 8) .. "-" .. g("hex", 4) .. "-4a11-8b22-" .. g("hex", 12)
    return guid .. "@" .. guid .. "/IncomingWebhook/" .. g("hex", 32) .. "/" .. guid
  end, nil, { "https://a.webhook.office." .. "com/webhookb2/<id>\n" }),
  ["discord-webhook"] = rule(
    "https://discord.com/api/webhooks/123456789012345678/",
    of("url", 68),
    nil,
    { "https://discord.com/api/webhooks/ID/TOKEN\n" }
  ),
  ["anthropic-key"] = prefixed("sk-" .. "ant-api03-", "url", 95),
  ["openrouter-key"] = prefixed("sk-" .. "or-v1-", "hex", 64),
  ["openai-anthropic-key"] = prefixed("sk-" .. "proj-", "alnum", 48),
  ["groq-key"] = prefixed("gs" .. "k_", "alnum", 52),
  ["xai-key"] = prefixed("xa" .. "i-", "alnum", 80),
  ["perplexity-key"] = prefixed("pp" .. "lx-", "alnum", 48),
  ["replicate-token"] = prefixed("r" .. "8_", "alnum", 37),
  ["wandb-key"] = rule("WANDB_API_KEY=", of("hex", 40), nil, { "WANDB_API_KEY=$KEY\n" }),
  ["vault-token"] = prefixed("hv" .. "s.", "url", 95),
  ["npm-token"] = rule("t ", function(g)
    return with_checksum("np" .. "m_", g("alnum", 30))
  end, nil, { "npm_config_registry_of_somebody_and_more\n" }),
  ["npmrc-auth"] = rule("//npm.local/:_authToken=", function(g)
    return g("hex", 8) .. "-" .. g("hex", 24)
  end, nil, { "//npm.local/:_authToken=${NPM_TOKEN}\n" }),
  ["pypi-token"] = prefixed("pypi" .. "-AgE", "url", 150),
  ["rubygems-key"] = prefixed("rubygems" .. "_", "hex", 48),
  ["stripe-key"] = prefixed("sk_" .. "live_", "alnum", 24),
  ["sendgrid-key"] = rule("k ", function(g)
    return "S" .. "G." .. g("url", 22) .. "." .. g("url", 43)
  end, nil, { "S" .. "G.name.of.a.class\n" }),
  ["twilio-token"] = rule("TWILIO_AUTH_TOKEN=", of("hex", 32), nil, { "TWILIO_AUTH_TOKEN=$T\n" }),
  ["datadog-key"] = rule("DD_API_KEY=", of("hex", 32), nil, { "DD_API_KEY=${DD}\n" }),
  ["newrelic-key"] = prefixed("NR" .. "AK-", "uppernum", 27),
  ["grafana-token"] = prefixed("gl" .. "sa_", "alnum", 32, function(g)
    return "_" .. g("hex", 8)
  end),
  ["grafana-cloud-token"] = prefixed("gl" .. "c_eyJ", "alnum", 100),
  ["databricks-token"] = prefixed("da" .. "pi", "hex", 32),
  ["digitalocean-token"] = prefixed("do" .. "p_v1_", "hex", 64),
  ["pulumi-token"] = prefixed("pu" .. "l-", "hex", 40),
  ["doppler-token"] = prefixed("dp" .. ".pt.", "alnum", 43),
  ["tailscale-key"] = prefixed("ts" .. "key-auth-", "alnum", 12, function(g)
    return "CNTRL-" .. g("alnum", 32)
  end),
  ["linear-key"] = prefixed("lin" .. "_api_", "alnum", 40),
  ["notion-token"] = rule("t ", function(g)
    return "nt" .. "n_" .. g("digits", 11) .. g("alnum", 35)
  end, nil, { "nt" .. "n_ is a prefix\n" }),
  ["postman-key"] = prefixed("PM" .. "AK-", "hex", 24, function(g)
    return "-" .. g("hex", 34)
  end),
  ["sentry-token"] = prefixed("sntr" .. "yu_", "hex", 64),
  ["shopify-token"] = prefixed("shp" .. "at_", "hex", 32),
  ["onepassword-token"] = prefixed("ops" .. "_eyJ", "alnum", 300),
  ["telegram-bot-token"] = rule("bot ", function(g)
    return "7" .. g("digits", 7) .. ":A" .. "A" .. g("url", 33)
  end, nil, { "12:34:AA:56\n" }),

  ["auth-header"] = rule("Authorization: Bearer ", of("alnum", 40), nil, {
    "Authorization: Bearer $TOKEN\n",
    "Authorization: Bearer <token>\n",
    "Authorization: Bearer {{ token }}\n",
  }),
  ["bearer-token"] = rule("sends Bearer ", of("alnum", 40), nil, {
    "bearer of good news that everyone likes\n",
    "Bearer <token>\n",
  }),
  ["api-key-header"] = rule("X-Api-Key: ", of("alnum", 32), nil, {
    "X-Api-Key: $KEY\n",
    "api-key: your-key-goes-in-here\n",
  }),
  ["session-cookie"] = rule("Cookie: theme=dark; sessionid=", of("alnum", 32), nil, {
    "Cookie: theme=dark; sessionid=abc\n",
  }),
  ["url-userinfo"] = rule("postgresql://osmo:", of("alnum", 20), "@db.local:5432/osmo", {
    "git@host.example:path/of/repository\n",
    "http://host.example:8080/path\n",
    "postgres://user:$PASSWORD@db/x\n",
    "postgres://user:<password>@db/x\n",
  }),
  ["url-token"] = rule("https://a.b/c?access_token=", of("alnum", 40), nil, {
    "https://a.b/c?access_token=TOKEN\n",
    "https://a.b/c?key=value&token=12\n",
  }),
  ["device-login-code"] = rule("open the page and enter the code ", function(g)
    return g("uppernum", 7) .. "7Q"
  end, " to go on", { "enter the code <code> to go on\n", "enter the code below\n" }),
  ["device-code"] = rule('{"device_code": "', of("alnum", 60), '"}', {
    '{"device_code": "<code>"}',
    "device_code: urn:ietf:params:oauth\n",
  }),
  ["netrc-password"] = rule("machine git.local login ci password ", of("alnum", 16), nil, {
    "machine git.local login ci password $PASSWORD\n",
  }),
  ["password-hash"] = rule("root:", function(g)
    return "$" .. "6$" .. g("alnum", 12) .. "$" .. g("alnum", 86)
  end, ":19000:0:99999:7:::", { "root:*:19000:0\n", "costs $" .. "2b or not 2b\n" }),
  ["cli-secret-flag"] = rule("helm registry login --password ", of("alnum", 30), nil, {
    "helm login --password $PASSWORD\n",
    "docker login --password-stdin\n",
    "tool --token <token>\n",
  }),
  ["from-literal"] = rule(
    "kubectl create secret generic a --from-literal=db-password=",
    of("alnum", 24),
    nil,
    {
      "--from-literal=db-password=$PASSWORD\n",
      "--from-literal=path=/var/run/secrets\n",
      "--from-literal=name=osmo-operator-token\n",
    }
  ),
  ["generic-assignment"] = rule("POSTGRES_PASSWORD=", of("alnum", 24), nil, {
    "passwordSecretName: osmo-postgres-credentials\n",
    "token_file=/var/run/secrets/token\n",
    "max_tokens: 123456789012345\n",
    "password: changeme-changeme\n",
    "secret_id: 01234567-89ab-4cde-8f01-23456789abcd\n",
    "token = lexer.next_token(self.stream)\n",
  }),
}

---A text without its marks, and where the secret stands in it.
---@param marked string
---@return string text
---@return integer first
---@return integer last
function M.unmark(marked)
  local from, to = marked:find("\1", 1, true), marked:find("\2", 1, true)
  if not from then
    return marked, 1, #marked
  end
  return marked:gsub("[\1\2]", ""), from, to - 2
end

---A text in which a rule finds something.
---@param id string
---@param g fun(class: string, n: integer): string
---@return string text
---@return integer first
---@return integer last
function M.positive(id, g)
  local yes = M.rules[id].yes
  return M.unmark(yes[1](g))
end

return M
