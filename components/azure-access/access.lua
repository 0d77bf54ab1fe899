-- The checks that preflight, deploy and verify share.
local versions = require("pai.shared.versions")

local M = {}

---Oldest az that all of this was tried with, as of 2026-05-26.
M.LOCK = { az = versions.tools.az }

local function tenant(checks, inp)
  local one = checks.subscription()
  return {
    name = "tenant",
    expected = inp.tenant,
    hint = "az login --tenant " .. inp.tenant,
    timeout = one.timeout,
    run = function()
      local ok, account = pcall(checks.questions.account, checks.questions)
      if not ok or not account then
        return { state = "unknown", measured = "not known without a subscription" }
      end
      local same = account.tenantId == inp.tenant
      return { state = same and "ok" or "red", measured = account.tenantId or "none" }
    end,
  }
end

---@param ctx pai.ctx
---@param inp table
---@return pai.azure.Checks
function M.checks(ctx, inp)
  return ctx.tools.az.checks({ subscription = inp.subscription, location = inp.location })
end

---Who acts, and where.
---@param ctx pai.ctx
---@param inp table
---@param checks pai.azure.Checks
---@return table[] list
function M.who(ctx, inp, checks)
  local list = {
    ctx.check.version("az", M.LOCK.az),
    checks.login(),
    checks.subscription(),
    checks.roles(),
    checks.region(),
  }
  if inp.tenant then
    list[#list + 1] = tenant(checks, inp)
  end
  return list
end

---All of it.
---@param ctx pai.ctx
---@param inp table
---@return table[] list
function M.all(ctx, inp)
  local checks = M.checks(ctx, inp)
  local list = M.who(ctx, inp, checks)
  list[#list + 1] = checks.providers(inp.providers)
  return list
end

return M
