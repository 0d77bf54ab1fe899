-- Looks into a managed database that only the cluster can reach: whether it answers, and whether it
-- holds tables. A Job asks; its password comes from a Secret that goes again. What can't be told is
-- an error at once: a new master key beside old tables would make them unreadable.
local err = require("pai.err")
local json = require("pai.json")
local lock = require("pai.osmo_deploy.lock")

local M = {}

local HELPER <const> = "osmo-db-ops"

local SCRIPT <const> = [[psql --no-password --tuples-only --no-align --command \
  "select count(*) from information_schema.tables where table_schema = 'public'" \
  > /dev/termination-log]]

local function job(namespace, db)
  return {
    apiVersion = "batch/v1",
    kind = "Job",
    metadata = { name = HELPER, namespace = namespace },
    spec = {
      backoffLimit = 2,
      activeDeadlineSeconds = 240,
      template = {
        metadata = { labels = { app = HELPER } },
        spec = {
          restartPolicy = "Never",
          containers = json.array({
            {
              name = "psql",
              image = lock.images.postgres,
              command = json.array({ "sh", "-ec", SCRIPT }),
              env = json.array({
                { name = "PGHOST", value = db.host },
                { name = "PGPORT", value = tostring(db.port or 5432) },
                { name = "PGUSER", value = db.user },
                { name = "PGDATABASE", value = db.name },
                { name = "PGCONNECT_TIMEOUT", value = "20" },
                {
                  name = "PGPASSWORD",
                  valueFrom = { secretKeyRef = { name = HELPER, key = "password" } },
                },
              }),
            },
          }),
        },
      },
    },
  }
end

-- What the Job's container wrote as its last word.
local function last_word(k, namespace)
  for _, pod in ipairs(k:list("pods", { namespace = namespace })) do
    if (pod.metadata.labels or {}).app == HELPER then
      for _, container in ipairs(pod.status and pod.status.containerStatuses or {}) do
        local ended = container.state and container.state.terminated
        if ended and ended.exitCode == 0 then
          return ended.message
        end
      end
    end
  end
end

---How many tables the database has.
---@param k pai.ctx.k8s
---@param conf pai.osmo_deploy.Conf with `db`
---@return integer tables
function M.tables(k, conf)
  local namespace = conf.namespaces.service
  k:delete("jobs", HELPER, { namespace = namespace, absent = true, wait = true, timeout = "2m" })
  k:apply({
    apiVersion = "v1",
    kind = "Secret",
    metadata = { name = HELPER, namespace = namespace },
    stringData = { password = conf.db.password },
  }, { force = true })
  k:create(job(namespace, conf.db))
  local labels = "job-name=" .. HELPER
  local ok, e = pcall(k.guarded, k, { namespace = namespace, labels = labels }, function()
    k:wait("jobs", HELPER, { namespace = namespace, ["for"] = "complete", timeout = "5m" })
  end)
  local said = ok and last_word(k, namespace)
  k:delete("secrets", HELPER, { namespace = namespace, absent = true })
  if not ok then
    error(e, 0) -- the Job stays: its log says why
  end
  local tables = math.tointeger(tonumber(said or ""))
  if not tables then
    err.raise("ESTATE", ("the database said '%s', not how many tables it has"):format(said or ""), {
      hint = "look at the log of the Job " .. HELPER .. " in " .. namespace,
    })
  end
  k:delete("jobs", HELPER, { namespace = namespace, absent = true })
  return tables
end

return M
