-- Against the run's target: --target URL, OSMO_URL or the login.
local MINIMUM <const> = { 6, 3 }

-- What a pool can still give, as OSMO counts: by quota and by what is free.
local function effective(pool)
  local usage = type(pool.resource_usage) == "table" and pool.resource_usage or nil
  local quota = usage and tonumber(usage.quota_free)
  local free = usage and tonumber(usage.total_free)
  return quota and free and math.min(quota, free), quota, free
end

return {
  summary = "Asks OSMO's service for its version and its pools, with the login that is there.",
  safety = "observes",
  needs = { hosts = { "@osmo" } },
  steps = {
    {
      name = "service",
      checks = function(ctx)
        return {
          {
            name = "service",
            expected = (">= %d.%d"):format(MINIMUM[1], MINIMUM[2]),
            hint = "pai osmo login URL; is the port-forward up? pai verify osmo-k8s",
            run = function()
              local v = ctx.osmo:version()
              local major, minor = tonumber(v.major) or 0, tonumber(v.minor) or 0
              local fits = major > MINIMUM[1] or (major == MINIMUM[1] and minor >= MINIMUM[2])
              local measured = ("%s.%s.%s at %s"):format(v.major, v.minor, v.revision, ctx.target)
              return { state = fits and "ok" or "red", measured = measured }
            end,
          },
          {
            name = "pools",
            expected = "one ONLINE",
            hint = "look at the backend operator's pods, or ask for access to a pool",
            run = function()
              local online, others = {}, {}
              for name, pool in pairs(ctx.osmo:pools()) do
                local gpus, quota, free = effective(pool)
                local about = gpus and (": %d GPUs"):format(gpus) or ""
                if quota == 0 and (free or 0) > 0 then
                  about = (": no quota, %d GPUs free for priority LOW"):format(free)
                end
                local list = pool.status == "ONLINE" and online or others
                list[#list + 1] = name .. (list == online and about or " " .. tostring(pool.status))
              end
              table.sort(online)
              table.sort(others)
              if #online == 0 then
                local seen = #others > 0 and table.concat(others, ", ") or "none"
                return { state = "red", measured = seen }
              end
              return { state = "ok", measured = table.concat(online, ", ") }
            end,
          },
        }
      end,
    },
  },
}
