-- What preflight, deploy and verify share.
local versions = require("pai.shared.versions")

local M = {}

---Oldest az that all of this was tried with, as of 2026-05-26.
M.LOCK = { az = versions.tools.az }

---The subscriptions of the login; nil and why when there is no login that works.
---@param ctx pai.ctx
---@param inp table
---@return table[]? accounts
---@return string? why
function M.accounts(ctx, inp)
  if not ctx.which("az") then
    return nil, "az is not on PATH"
  end
  local env = inp.config_dir and { AZURE_CONFIG_DIR = inp.config_dir }
  local list, e = ctx.tools.az.ask({ "account", "list", "--all" }, { env = env })
  if e then
    return nil, e.message
  elseif type(list) ~= "table" or #list == 0 then
    return nil, "not logged in"
  end
  return list
end

---The account that is wanted, of those that are Enabled.
---@param accounts table[]
---@param inp table
---@return table?
function M.wanted(accounts, inp)
  for _, account in ipairs(accounts) do
    local named = account.id == inp.subscription or account.name == inp.subscription
    if account.state == "Enabled" and (named or not inp.subscription) then
      return account
    end
  end
end

---Somebody is logged in and has the subscription.
---@param ctx pai.ctx
---@param inp table
---@return table check
function M.check(ctx, inp)
  return {
    name = "Azure login",
    expected = inp.subscription or "an Enabled subscription",
    hint = "no subscription: stop here and ask for access; a wrong tenant: pass tenant=",
    timeout = "70s",
    run = function()
      local accounts, why = M.accounts(ctx, inp)
      if not accounts then
        return { state = "red", measured = why }
      end
      local account = M.wanted(accounts, inp)
      if account then
        return { state = "ok", measured = ("%s (%s)"):format(account.name, account.id) }
      end
      local names = {}
      for i, one in ipairs(accounts) do
        names[i] = ("%s (%s)"):format(one.name, one.state)
      end
      return { state = "red", measured = "there are: " .. table.concat(names, ", ") }
    end,
  }
end

return M
