-- Checks of an Azure login, subscription and region, for gates. They share their questions, so that
-- a preflight of a dozen checks starts a handful of az. What can't be asked is `unknown`, with the
-- reason: no check is ever left without a verdict.
local err = require("pai.err")
local quota = require("pai.azure.quota")

local M = {}

---Roles that may make everything of a deployment, role assignments included.
local FULL <const> = { ["Owner"] = true }
local WORKS <const> = { ["Contributor"] = true }
local GRANTS <const> =
  { ["User Access Administrator"] = true, ["Role Based Access Control Administrator"] = true }

-- A check whose questions may fail: that is `unknown`, with az's own words and what to do.
local function check(name, expected, hint, look)
  return {
    name = name,
    expected = expected,
    hint = hint,
    timeout = "70s",
    run = function()
      local ok, answer = pcall(look)
      if ok then
        return answer
      elseif err.is(answer, "ECANCELED") then
        error(answer, 0)
      end
      local e = err.wrap(answer)
      return { state = "unknown", measured = "not known: " .. e.message, hint = e.hint or hint }
    end,
  }
end

---@param ctx pai.ctx
---@param az table
---@param opts { subscription: string?, location: string? }
---@return pai.azure.Checks
function M.new(ctx, az, opts)
  local questions = require("pai.azure.questions").new(ctx, az, opts)

  ---@class pai.azure.Checks
  ---@field questions pai.azure.Questions
  local checks = { questions = questions }

  -- Whoever asks further than the login first needs one that works.
  local function needs_account(look)
    return function()
      local account, why = questions:account()
      if not account then
        err.raise("ENOENT", "no subscription: " .. why)
      end
      return look(account)
    end
  end

  ---Somebody is logged in.
  ---@return table check
  function checks.login()
    local hint = "run az login; in a shell without a browser, pai deploy openclaw-azure-login; "
      .. "activate the eligible role (PIM) in the portal first"
    local one = check("Azure login", "logged in", hint, function()
      local account = questions:accounts()[1]
      local user = account.user and account.user.name or "somebody"
      return { state = "ok", measured = ("%s, tenant %s"):format(user, account.tenantId or "?") }
    end)
    local look = one.run
    function one.run()
      local answer = look()
      answer.state = answer.state == "unknown" and "red" or answer.state
      return answer
    end
    return one
  end

  ---The subscription that is meant is there and Enabled. No other one is chosen in its place.
  ---@return table check
  function checks.subscription()
    local hint = "pass subscription=ID of one that is Enabled: az account list --all --refresh; a "
      .. "guest may have to log in to the right tenant"
    return check("subscription", questions.subscription or "Enabled", hint, function()
      local account, why = questions:account()
      if not account then
        local names = {}
        for i, one in ipairs(questions:accounts()) do
          names[i] = ("%s (%s)"):format(one.name, one.state)
        end
        local there = table.concat(names, ", ")
        return { state = "red", measured = ("%s; there are: %s"):format(why, there) }
      end
      local measured = ("%s (%s), %s"):format(account.name, account.id, account.state)
      if account.state ~= "Enabled" then
        return { state = "red", measured = measured }
      elseif not questions.subscription then
        return {
          state = "warn",
          measured = measured .. ", the active one",
          hint = "pass subscription=" .. account.id .. " to be sure",
        }
      end
      return { state = "ok", measured = measured }
    end)
  end

  ---Resource providers are registered. Registering one changes the subscription and is asked for.
  ---@param namespaces string[]
  ---@return table check
  function checks.providers(namespaces)
    local hint = "activate the role (PIM), wait about a minute and look again"
    local wanted = ("%d Registered"):format(#namespaces)
    return check(
      "resource providers",
      wanted,
      hint,
      needs_account(function(account)
        local states, missing, unread = questions:providers(), {}, {}
        for _, namespace in ipairs(namespaces) do
          local state = states[namespace:lower()]
          if not state then
            unread[#unread + 1] = namespace
          elseif state ~= "Registered" then
            missing[#missing + 1] = ("%s: %s"):format(namespace, state)
          end
        end
        if #unread > 0 then
          return { state = "red", measured = "can't be read: " .. table.concat(unread, ", ") }
        elseif #missing > 0 then
          local first = missing[1]:match("^[^:]+")
          return {
            state = "red",
            measured = table.concat(missing, ", "),
            hint = (
              "it changes the subscription, so ask first: az provider register --namespace %s "
              .. "--subscription %s --wait"
            ):format(first, account.id),
          }
        end
        return { state = "ok", measured = wanted }
      end)
    )
  end

  ---The login may make resources and assign roles.
  ---@return table check
  function checks.roles()
    local wanted = "Owner, or Contributor and User Access Administrator"
    local hint = "activate the eligible role (PIM) in the portal, wait about a minute, look again"
    return check(
      "roles",
      wanted,
      hint,
      needs_account(function(account)
        local scope = "/subscriptions/" .. account.id
        local list = questions:ask({
          "role",
          "assignment",
          "list",
          "--assignee",
          account.user and account.user.name or "",
          "--scope",
          scope,
          "--include-inherited",
          "--include-groups",
        })
        local full, works, grants, names = false, false, false, {}
        for i, one in ipairs(list) do
          local role = one.roleDefinitionName
          full, works = full or FULL[role] == true, works or WORKS[role] == true
          grants = grants or GRANTS[role] == true
          names[i] = role
        end
        local fits = full or (works and grants)
        local measured = #names > 0 and table.concat(names, ", ") or "none"
        return { state = fits and "ok" or "red", measured = measured }
      end)
    )
  end

  ---The region is one of the subscription's.
  ---@return table check
  function checks.region()
    local hint = "az account list-locations shows the regions"
    return check(
      "region",
      questions.location,
      hint,
      needs_account(function()
        local wanted = questions.location:lower()
        for _, location in ipairs(questions:ask({ "account", "list-locations" })) do
          if location.name == wanted then
            return { state = "ok", measured = location.displayName or location.name }
          end
        end
        return { state = "red", measured = "not offered to this subscription" }
      end)
    )
  end

  ---AKS offers a version in the region, and not only with long-term support.
  ---@param version string "1.33" or "1.33.11"
  ---@return table check
  function checks.kubernetes(version)
    local hint = "az aks get-versions --location " .. tostring(questions.location)
    return check(
      "Kubernetes on AKS",
      version,
      hint,
      needs_account(function()
        local answer = questions:ask({ "aks", "get-versions", "--location", questions.location })
        local there = {}
        for _, one in ipairs(answer.values or {}) do
          there[#there + 1] = one.version
          local patch = one.patchVersions and one.patchVersions[version]
          if one.version == version or patch then
            local plans = one.capabilities and one.capabilities.supportPlan or {}
            if #plans == 1 and plans[1] == "AKSLongTermSupport" then
              return { state = "red", measured = version .. " with long-term support only" }
            end
            local preview = one.isPreview == true
            return {
              state = preview and "warn" or "ok",
              measured = preview and version .. " as a preview" or version,
            }
          end
        end
        table.sort(there)
        return { state = "red", measured = "not offered; there are: " .. table.concat(there, ", ") }
      end)
    )
  end

  ---Quota and offers of what a deployment asks for; see pai.azure.quota.
  ---@param pools pai.azure.Pool[]
  ---@param there { group: string, cluster: string }? what counts as used by this deployment
  ---@return table[] checks
  function checks.quota(pools, there)
    return quota.checks(questions, pools, there, function(name, expected, hint, look)
      return check(name, expected, hint, needs_account(look))
    end)
  end

  ---Services that ask for GPUs fit into a pool.
  ---@param pool pai.azure.Pool
  ---@param asked integer[] GPUs of each service
  ---@return table check
  function checks.gpu_fit(pool, asked)
    return quota.gpu_fit(questions, pool, asked, function(name, expected, hint, look)
      return check(name, expected, hint, needs_account(look))
    end)
  end

  return checks
end

return M
