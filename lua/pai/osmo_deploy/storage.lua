-- Where OSMO keeps what is lasting: Secrets and the master key, the databases in the cluster, and
-- the storage of workflows, which is MinIO or a storage account of Azure.
local ctx_fs = require("pai.run.ctx_fs")
local secrets = require("pai.osmo_deploy.secrets")
local stores = require("pai.osmo_deploy.stores")

local M = {}

local ABSENT <const> = { "NotFound" }

local function add_minio(deploy, kit)
  local server = require("pai.osmo_deploy.minio_server")

  ---Whose MinIO the cluster has; see minio_server.lua.
  ---@param conf pai.osmo_deploy.Conf
  ---@return "addon"|"existing"|"own"|"install"|nil
  ---@return string? why
  function deploy.minio_whose(conf)
    return server.whose(kit.cluster(conf))
  end

  function deploy.minio_ready(conf)
    return server.ready(kit.cluster(conf))
  end

  ---Installs MinIO, or mends the one that pai installed.
  ---@param conf pai.osmo_deploy.Conf
  function deploy.minio(conf)
    kit.act("minio")
    server.ensure(kit.cluster(conf))
  end

  ---Whether nothing of a MinIO that pai installed is there.
  ---@param conf pai.osmo_deploy.Conf
  ---@return boolean
  function deploy.minio_gone(conf)
    return #server.left(kit.cluster(conf)) == 0
  end

  ---Deletes the MinIO that pai installed, and what workflows wrote into it.
  ---@param conf pai.osmo_deploy.Conf
  function deploy.delete_minio(conf)
    kit.act("delete_minio")
    server.remove(kit.cluster(conf))
  end

  function deploy.bucket_ready(conf)
    return require("pai.osmo_deploy.minio").is_current(kit.cluster(conf), conf)
  end

  ---The bucket in that MinIO, and OSMO's credentials for it.
  ---@param conf pai.osmo_deploy.Conf
  function deploy.bucket(conf)
    kit.act("bucket")
    local minio = require("pai.osmo_deploy.minio")
    local k = kit.cluster(conf)
    local user, password = minio.credentials(k, kit.ctx.fs.tempdir())
    local endpoint = minio.bucket(k, user, password)
    secrets.storage(k, conf, minio.credential(user, password, endpoint))
    return { base_url = "s3://" .. minio.BUCKET, endpoint = endpoint }
  end
end

local function add_azure(deploy, kit)
  local blob = require("pai.osmo_deploy.azure_blob")

  ---Whether a storage account is OSMO's storage, with the key that it has now.
  ---@param conf pai.osmo_deploy.Conf
  ---@param given { account: string, key: pai.secret.handle, region: string }
  ---@return boolean
  function deploy.azure_blob_ready(conf, given)
    local key = blob.credential(given).access_key
    return secrets.storage_has(kit.cluster(conf), conf, key)
  end

  function deploy.azure_blob(conf, given)
    kit.act("azure_blob")
    secrets.storage(kit.cluster(conf), conf, blob.credential(given))
  end

  ---@param account string
  ---@return string base_url
  function deploy.azure_url(account)
    return blob.base_url(account)
  end

  ---How many tables a managed database has.
  ---@param conf pai.osmo_deploy.Conf
  ---@return integer
  function deploy.database_tables(conf)
    kit.act("database_tables")
    return require("pai.osmo_deploy.database").tables(kit.cluster(conf), conf)
  end
end

---Adds what is done with all that.
---@param deploy pai.osmo_deploy
---@param kit pai.osmo_deploy.Kit
function M.add(deploy, kit)
  function deploy.secrets_ready(conf)
    return secrets.complete(kit.cluster(conf), conf)
  end

  ---Makes the Secrets and the master key that are missing; what is there stays.
  ---@param conf pai.osmo_deploy.Conf
  function deploy.secrets(conf)
    kit.act("secrets")
    secrets.ensure(kit.cluster(conf), conf)
  end

  ---Whether the credentials of a storage are there.
  ---@param conf pai.osmo_deploy.Conf
  ---@return boolean
  function deploy.storage_ready(conf)
    return secrets.has_storage(kit.cluster(conf), conf)
  end

  ---Whether the master key is in the cluster.
  ---@param conf pai.osmo_deploy.Conf
  ---@return boolean
  function deploy.has_mek(conf)
    local opts =
      { namespace = conf.namespaces.service, accept = ABSENT, pick = { "metadata.name" } }
    return kit.cluster(conf):get("configmaps", secrets.MEK, opts) ~= nil
  end

  ---Writes the master key to a file for its owner only.
  ---@param conf pai.osmo_deploy.Conf
  ---@param path string
  ---@return boolean exported false when there is none
  function deploy.export_mek(conf, path)
    path = ctx_fs.path(kit.env, path)
    ctx_fs.check_change(kit.env, "ctx.osmo_deploy.export_mek", path)
    return secrets.export_mek(kit.cluster(conf), conf, path)
  end

  function deploy.stores_ready(conf)
    return stores.ready(kit.cluster(conf), conf.namespaces.service)
  end

  ---PostgreSQL and Redis in the cluster.
  ---@param conf pai.osmo_deploy.Conf
  function deploy.stores(conf)
    kit.act("stores")
    stores.ensure(kit.cluster(conf), conf.namespaces.service)
  end

  add_minio(deploy, kit)
  add_azure(deploy, kit)
end

return M
