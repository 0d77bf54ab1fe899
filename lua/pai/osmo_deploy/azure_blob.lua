-- A storage account as OSMO's storage: a container, and the account's key inside of a connection
-- string, which is a handle from end to end.
local secret = require("pai.secret")

local M = {}

M.CONTAINER = "osmo-workflows"

---OSMO's SDK reads azure://ACCOUNT/CONTAINER, and not az://CONTAINER@ACCOUNT.
---@param account string
---@return string
function M.base_url(account)
  return ("azure://%s/%s"):format(account, M.CONTAINER)
end

---OSMO's credential for it.
---@param given { account: string, key: pai.secret.handle, region: string, suffix: string? }
---@return table<string, string|pai.secret.handle>
function M.credential(given)
  return {
    access_key_id = given.account,
    access_key = assert(secret.join({
      ("DefaultEndpointsProtocol=https;AccountName=%s;AccountKey="):format(given.account),
      given.key,
      ";EndpointSuffix=" .. (given.suffix or "core.windows.net"),
    })),
    endpoint = M.base_url(given.account),
    region = given.region,
  }
end

return M
