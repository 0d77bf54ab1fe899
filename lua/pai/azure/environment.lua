-- Variables that az and Terraform need to find the user's login, proxy and certificates; a child
-- gets nothing else of pai's environment.
local M = {}

local PASSED <const> = {
  "AZURE_CONFIG_DIR",
  "HTTP_PROXY",
  "HTTPS_PROXY",
  "NO_PROXY",
  "http_proxy",
  "https_proxy",
  "no_proxy",
  "REQUESTS_CA_BUNDLE",
  "SSL_CERT_FILE",
  "TF_CLI_CONFIG_FILE",
  "TF_PLUGIN_CACHE_DIR",
}

---The environment of a child.
---@param more table<string, any>? comes before what is passed on
---@return table<string, any>
function M.of(more)
  local env = {}
  for _, name in ipairs(PASSED) do
    env[name] = os.getenv(name)
  end
  for name, value in pairs(more or {}) do
    env[name] = value
  end
  return env
end

return M
