-- Rules for secrets that only their surroundings tell: headers, URLs, flags, assignments. They come
-- last: what a rule with a form of its own found is theirs no more.
local p = require("pai.scan.parts")
local R, SEP <const> = p.R, p.SEP

local HASH <const> = p.ALNUM .. p.ALNUM:sub(1, 26):upper() .. "./"

local QUERY <const> = {}
for name in
  ("access_ refresh_ id_to token= api_ apik secret= x-amz-sig signature= key="):gmatch("%S+")
do
  p.add(QUERY, { "?" .. name, "&" .. name })
end

return {
  {
    id = "auth-header",
    severity = "high",
    description = "credential in an Authorization header",
    source = "RFC 9110, RFC 6750, RFC 7617",
    keywords = { "authorization" },
    pattern = [=[(?i:authorization)["']?[ ]{0,2}[:=][ ]{0,2}["']?(?i:bearer|basic|token)[ ]{1,4}]=]
      .. "([A-Za-z0-9._~+/=-]{16,4000})",
    entropy = 3.0,
    allow = "samples",
  },
  {
    id = "bearer-token",
    severity = "medium",
    description = "what follows the word Bearer",
    source = "RFC 6750",
    keywords = { "bearer " },
    pattern = "(?<![A-Za-z])(?i:bearer) {1,4}([A-Za-z0-9._~+/=-]{24,4000})",
    entropy = 3.6,
    allow = "names",
    check = "mixed",
  },
  {
    id = "api-key-header",
    severity = "high",
    description = "key in a header such as X-Api-Key",
    source = "Azure and NVIDIA API documentation: api-key headers",
    keywords = { "x-api-key", "api-key", "subscription-key", "x-auth-token", "x-goog-api-key" },
    pattern = [=[(?i:x-api-key|api-key|subscription-key|x-auth-token|x-goog-api-key)]=]
      .. [=[["']?[ ]{0,2}:[ ]{0,2}["']?([A-Za-z0-9._~+/=-]{16,4000})]=],
    entropy = 3.0,
    allow = "samples",
    check = "mixed",
  },
  {
    id = "session-cookie",
    severity = "medium",
    description = "session in a Cookie or Set-Cookie header",
    source = "RFC 6265",
    keywords = { "cookie:", 'cookie":', "cookie':" },
    pattern = [=[(?i:cookie)["']?: ?["']?(?:[A-Za-z0-9_.-]{1,60}=[^;"'\s]{0,200}; ?){0,12}?]=]
      .. "(?i:[a-z0-9_.-]{0,30}(?:sess(?:ion)?(?:id)?|sid|auth|token|jwt))"
      .. "=([A-Za-z0-9%._~+/=-]{20,4000})",
    entropy = 3.5,
    allow = "names",
    check = "mixed",
  },
  {
    id = "url-userinfo",
    severity = "high",
    description = "password in a URL",
    source = "RFC 3986: userinfo",
    keywords = p.before(p.ALNUM .. "+.-", "://"),
    pattern = [=[(?i:[a-z0-9+.-])://[^/\s:@"'<>]{0,64}:([^/\s@"'<>]{3,128})@[A-Za-z0-9.\[-]]=],
    allow = "samples",
  },
  {
    id = "url-token",
    severity = "medium",
    description = "token in the query of a URL",
    source = "RFC 6750, section 2.3",
    keywords = QUERY,
    pattern = "[?&](?i:access_token|refresh_token|id_token|token|api_key|apikey|secret"
      .. "|x-amz-signature|signature|key)=([A-Za-z0-9%._~+/-]{20,2000})",
    entropy = 3.6,
    allow = "names",
    check = "mixed",
  },
  {
    id = "device-login-code",
    severity = "medium",
    description = "code of a device login, valid for minutes",
    source = "RFC 8628; Azure CLI and GitHub CLI device logins",
    keywords = { "enter code", "enter the code", "one-time code", "user_code", "user code" },
    pattern = [=[(?i:enter (?:the )?code|one-time code|user[_ ]code)["']?[:= ]{1,3}["']?]=]
      .. "([A-Z0-9]{8,9}|[A-Z0-9]{4}-[A-Z0-9]{4})(?![A-Z0-9a-z-])",
    entropy = 2.0,
  },
  {
    id = "device-code",
    label = true,
    severity = "medium",
    description = "device code, which is exchanged for a token",
    source = "RFC 8628",
    keywords = { "device_code" },
    pattern = "(?i:device_code)" .. SEP .. "([A-Za-z0-9._-]{20,2000})" .. R,
    entropy = 3.3,
    allow = "names",
  },
  {
    id = "netrc-password",
    severity = "high",
    description = "password in a .netrc",
    source = "the GNU inetutils manual: .netrc",
    keywords = { "machine " },
    pattern = [=[(?i:machine)\s{1,4}[A-Za-z0-9.:-]{1,100}\s{1,8}login\s{1,4}\S{1,100}\s{1,8}]=]
      .. [=[password\s{1,4}([^\s"']{6,200})]=],
    entropy = 2.0,
    allow = "samples",
  },
  {
    id = "password-hash",
    severity = "medium",
    description = "password hash of htpasswd, shadow or a database",
    source = "crypt(5)",
    exact = true,
    keywords = p.join(
      { "$apr1$", "$2a$", "$2b$", "$2y$", "$y$j", "$argon2" },
      p.after("$5$", HASH),
      p.after("$6$", HASH)
    ),
    pattern = "(\\$(?:apr1\\$[./A-Za-z0-9]{1,8}\\$[./A-Za-z0-9]{22}"
      .. "|2[aby]\\$[0-9]{2}\\$[./A-Za-z0-9]{53}"
      .. "|[56]\\$(?:rounds=[0-9]{1,9}\\$)?[./A-Za-z0-9]{1,16}\\$[./A-Za-z0-9]{43,86}"
      .. "|y\\$j[./A-Za-z0-9]{1,8}\\$[./A-Za-z0-9]{8,40}\\$[./A-Za-z0-9]{43}"
      .. "|argon2(?:id|i|d)\\$v=[0-9]{2}\\$[a-z0-9=,]{6,40}\\$[A-Za-z0-9+/]{8,90}"
      .. "\\$[A-Za-z0-9+/]{20,90}))",
    entropy = 3.0,
  },
  {
    id = "cli-secret-flag",
    severity = "high",
    description = "secret in a command's arguments",
    source = "flags of docker, helm, az, kubectl and OSMO's installer",
    keywords = {
      "-password",
      "-docker-password",
      "-account-key",
      "-ngc-api-key",
      "-postgres-password",
      "-redis-password",
      "-client-secret",
      "-sas-token",
      "-secret-key",
      "-api-key",
      "-token",
    },
    pattern = "(?<![A-Za-z0-9_])-(?i:password|docker-password|account-key|ngc-api-key"
      .. "|postgres-password|redis-password|client-secret|sas-token|secret-key|api-key|token)"
      -- The name of a source of secrets, as pai itself takes it, is none.
      .. [=[(?:[ =])["']?(?!(?:env|file|dotenv|store|settings):)([^\s"'$<{`]{8,128})]=],
    entropy = 2.5,
    allow = "names",
  },
  {
    id = "from-literal",
    severity = "high",
    description = "value of a Kubernetes Secret in a command's arguments",
    source = "kubectl create secret generic --from-literal",
    keywords = { "--from-literal" },
    pattern = [=[--(?i:from-literal)[= ]["']?[A-Za-z0-9_.-]{1,64}=["']?([^\s"'$<{`]{8,256})]=],
    entropy = 3.0,
    allow = "names",
  },
  {
    id = "generic-assignment",
    label = true,
    severity = "medium",
    description = "high-entropy value beside a label such as password or token",
    source = "none: a label and a measure of randomness",
    keywords = {
      "passwd",
      "password",
      "passwor",
      "secret",
      "token",
      "api_key",
      "api-key",
      "apikey",
      "access_key",
      "access-key",
      "accesskey",
      "credential",
      "passphrase",
      "_pass",
    },
    pattern = "(?i:passw(?:or)?d|passphrase|_pass|secret|token|api[_-]?key|access[_-]?key"
      .. "|credential)"
      .. [=[[A-Za-z0-9_.-]{0,20}["']?[ ]{0,2}(?:=>|:=|=|:)[ ]{0,2}["']?]=]
      .. [=[([A-Za-z0-9_+/=.~!@#%^&*-]{12,256})(?=["'\s,;)\]}]|\z)]=],
    entropy = 3.6,
    entropy_short = 3.2,
    allow = "names",
    check = "mixed",
  },
}
