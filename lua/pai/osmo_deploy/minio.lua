-- MinIO in the cluster as OSMO's storage: its credentials, and the bucket. The bucket is made by a
-- Job that takes the credentials from a Secret and hands them to mc on its standard input. Where
-- that MinIO comes from is in minio_server.lua.
local err = require("pai.err")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local lock = require("pai.osmo_deploy.lock")
local secret = require("pai.secret")
local secrets = require("pai.osmo_deploy.secrets")
local server = require("pai.osmo_deploy.minio_server")

local M = {}

M.NAMESPACE = server.NAMESPACE
M.BUCKET = "osmo-workflows"
local ABSENT <const> = { "NotFound" }
local HELPER <const> = "osmo-bucket-setup"

-- config.env of the addon: export MINIO_ROOT_USER="...". It becomes a file for as long as it takes.
local function from_addon(values, dir)
  local text = values["config.env"]
  if not text then
    return nil
  end
  local path = dir .. "/config.env"
  local r, e = exec.run({ "cat" }, { stdin = text, stdout = { file = path, mode = 384 } })
  if not r then
    error(e, 0)
  end
  local handles, why = secret.from_dotenv(path)
  fs.remove(path)
  if not handles then
    error(why, 0)
  end
  return handles.MINIO_ROOT_USER, handles.MINIO_ROOT_PASSWORD
end

---User and password of the MinIO in the cluster: of MicroK8s' addon, else the Secret minio-root.
---@param k pai.ctx.k8s
---@param dir string a private folder
---@return pai.secret.handle user
---@return pai.secret.handle password
function M.credentials(k, dir)
  local where = { namespace = M.NAMESPACE, accept = ABSENT }
  local addon = k:secret(server.ADDON, where)
  local user, password
  if addon then
    user, password = from_addon(addon, dir)
  end
  if not user then
    local root = k:secret(server.ROOT, where) or {}
    user, password = root["root-user"], root["root-password"]
  end
  if not user or not password then
    err.raise("ENOENT", "no MinIO credentials in the namespace " .. M.NAMESPACE, {
      hint = ("the Secret %s wants root-user and root-password"):format(server.ROOT),
    })
  end
  return user, password
end

---The URL of MinIO inside of the cluster. The addon's Service has port 80, others 9000.
---@param k pai.ctx.k8s
---@return string
function M.endpoint(k)
  local service = k:get("services", "minio", { namespace = M.NAMESPACE, accept = ABSENT })
  local port = service and service.spec.ports and service.spec.ports[1]
  if not port then
    err.raise("ENOENT", "there is no Service minio in " .. M.NAMESPACE, {
      hint = "MicroK8s' minio addon makes it, or pai deploy osmo-k8s where there is none",
    })
  end
  return ("http://minio.%s.svc.cluster.local:%d"):format(M.NAMESPACE, port.port)
end

local SCRIPT <const> = [[printf '%s\n%s\n' "$MINIO_USER" "$MINIO_PASSWORD" |
  mc alias set osmo "$MINIO_URL" && mc mb --ignore-existing "osmo/$BUCKET"]]

local function job(endpoint)
  local function from(variable, key)
    return { name = variable, valueFrom = { secretKeyRef = { name = HELPER, key = key } } }
  end
  return {
    apiVersion = "batch/v1",
    kind = "Job",
    metadata = { name = HELPER, namespace = M.NAMESPACE },
    spec = {
      backoffLimit = 4,
      activeDeadlineSeconds = 300,
      template = {
        spec = {
          restartPolicy = "Never",
          containers = json.array({
            {
              name = "mc",
              image = lock.images.mc,
              command = json.array({ "sh", "-ec", SCRIPT }),
              env = json.array({
                from("MINIO_USER", "user"),
                from("MINIO_PASSWORD", "password"),
                { name = "MINIO_URL", value = endpoint },
                { name = "BUCKET", value = M.BUCKET },
              }),
            },
          }),
        },
      },
    },
  }
end

---Makes the bucket and waits for it; what was made for that goes again.
---@param k pai.ctx.k8s
---@param user pai.secret.handle
---@param password pai.secret.handle
---@return string endpoint
function M.bucket(k, user, password)
  local endpoint = M.endpoint(k)
  local where = { namespace = M.NAMESPACE, absent = true, wait = true, timeout = "2m" }
  k:delete("jobs", HELPER, where)
  k:apply({
    apiVersion = "v1",
    kind = "Secret",
    metadata = { name = HELPER, namespace = M.NAMESPACE },
    stringData = { user = user, password = password },
  }, { force = true })
  k:create(job(endpoint))
  local labels = "job-name=" .. HELPER
  local ok, e = pcall(k.guarded, k, { namespace = M.NAMESPACE, labels = labels }, function()
    local opts = { namespace = M.NAMESPACE, ["for"] = "complete", timeout = "6m" }
    k:wait("jobs", HELPER, opts)
  end)
  k:delete("secrets", HELPER, { namespace = M.NAMESPACE, absent = true })
  if not ok then
    error(e, 0) -- the Job stays: its log says why
  end
  k:delete("jobs", HELPER, { namespace = M.NAMESPACE, absent = true })
  return endpoint
end

---Whether OSMO has the credentials of this very MinIO. Those of the addon are not compared: they
---lie in a script, and it does not change them.
---@param k pai.ctx.k8s
---@param conf pai.osmo_deploy.Conf
---@return boolean
function M.is_current(k, conf)
  if server.whose(k) == "addon" then
    return secrets.has_storage(k, conf)
  end
  local root = k:secret(server.ROOT, {
    namespace = M.NAMESPACE,
    accept = ABSENT,
    keys = { "root-password" },
  })
  local password = root and root["root-password"]
  return password ~= nil and secrets.storage_has(k, conf, password)
end

---OSMO's credential for it.
---@param user pai.secret.handle
---@param password pai.secret.handle
---@param endpoint string
---@return table<string, string|pai.secret.handle>
function M.credential(user, password, endpoint)
  return {
    access_key_id = user,
    access_key = password,
    endpoint = "s3://" .. M.BUCKET,
    region = "us-east-1",
    override_url = endpoint,
    addressing_style = "path",
  }
end

return M
