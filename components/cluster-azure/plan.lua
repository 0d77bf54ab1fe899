-- Terraform's plans as steps: made and kept, shown line by line, approved by the digest of their
-- file, and applied exactly. What is left of an approved plan after a kill goes on; anything that
-- was not approved stops.
local M = {}

-- Losing one of these loses data, or names that everything else hangs on.
local STATEFUL <const> = {
  azurerm_resource_group = true,
  azurerm_kubernetes_cluster = true,
  azurerm_postgresql_flexible_server = true,
  azurerm_postgresql_flexible_server_database = true,
  azurerm_managed_redis = true,
  azurerm_storage_account = true,
  azurerm_storage_container = true,
  azurerm_key_vault = true,
  azurerm_cognitive_account = true,
  random_password = true,
  random_string = true,
}

local KINDS <const> = { "create", "update", "replace", "delete" }

---Brings the module into `dir`, which nobody else can read and git ignores.
---@param ctx pai.ctx
---@param dir string
function M.prepare(ctx, dir)
  ctx.fs.mkdir(dir)
  ctx.fs.chmod(dir, "0700")
  ctx.write(dir .. "/.gitignore", "*\n")
  for _, path in ipairs(ctx.fs.glob(ctx.dir .. "/terraform/*.tf")) do
    local target = dir .. "/" .. ctx.fs.basename(path)
    if not ctx.fs.exists(target) or ctx.fs.digest(target) ~= ctx.fs.digest(path) then
      ctx.fs.copy(path, target)
    end
  end
end

---Whether `dir` has the module as it is here and its providers.
---@param ctx pai.ctx
---@param dir string
---@return boolean
function M.is_prepared(ctx, dir)
  for _, path in ipairs(ctx.fs.glob(ctx.dir .. "/terraform/*.tf")) do
    local target = dir .. "/" .. ctx.fs.basename(path)
    if not ctx.fs.exists(target) or ctx.fs.digest(target) ~= ctx.fs.digest(path) then
      return false
    end
  end
  local marker = dir .. "/.terraform/pai-initialised"
  return ctx.fs.exists(dir .. "/.terraform.lock.hcl")
    and ctx.fs.exists(marker)
    and ctx.read(marker) == ctx.fs.digest(dir .. "/versions.tf")
end

---Downloads providers in the versions of the lock file beside the state.
---@param ctx pai.ctx
---@param dir string
function M.init(ctx, dir)
  M.prepare(ctx, dir)
  ctx.tools.terraform.init(dir)
  ctx.fs.mkdir(dir .. "/.terraform")
  ctx.write(dir .. "/.terraform/pai-initialised", ctx.fs.digest(dir .. "/versions.tf"))
end

local function record_of(dir, digest)
  return ("%s/plan-%s.json"):format(dir, digest)
end

local function file_of(dir, digest)
  return ("%s/plan-%s.tfplan"):format(dir, digest)
end

-- Addresses of a plan that lose data.
local function losses(changes)
  local list = {}
  for _, kind in ipairs({ "replace", "delete" }) do
    for _, address in ipairs(changes[kind]) do
      local resource = address:match("([%w_]+)%.[^.]+$")
      if STATEFUL[resource] then
        list[#list + 1] = ("%s %s"):format(kind, address)
      end
    end
  end
  return list
end

---Makes a plan, keeps it under its digest and shows what it would do.
---@param ctx pai.ctx
---@param dir string
---@param opts { vars: table, destroy: boolean? }
---@return table made digest, more, changes, losses
function M.make(ctx, dir, opts)
  local fresh = dir .. "/plan-new.tfplan"
  local more = ctx.tools.terraform.plan(dir, {
    out = fresh,
    vars = opts.vars,
    destroy = opts.destroy,
  })
  local digest = ctx.fs.digest(fresh):sub(1, 12)
  local file = file_of(dir, digest)
  ctx.fs.rename(fresh, file)
  ctx.fs.chmod(file, "0600")
  local changes = ctx.tools.terraform.changes(dir, file)
  for _, kind in ipairs(KINDS) do
    for _, address in ipairs(changes[kind]) do
      ctx.log(("%s %s"):format(kind, address))
    end
  end
  local made = { digest = digest, more = more, changes = changes, losses = losses(changes) }
  ctx.write(record_of(dir, digest), ctx.json.encode(made), { mode = "0600" })
  return made
end

---A plan that was kept, if its file is still the one that has this digest.
---@param ctx pai.ctx
---@param dir string
---@param digest string
---@return table? made
function M.kept(ctx, dir, digest)
  local file = file_of(dir, digest)
  if
    not digest:find("^%x+$")
    or not ctx.fs.exists(file)
    or ctx.fs.digest(file):sub(1, 12) ~= digest
  then
    return nil
  end
  return ctx.json.decode(ctx.read(record_of(dir, digest)))
end

local function counts(made)
  local words = {}
  for i, kind in ipairs(KINDS) do
    words[i] = ("%s %d"):format(kind, #made.changes[kind])
  end
  return table.concat(words, ", ")
end

---The gate of a plan: nobody applies what was not looked at.
---@param made table
---@param opts { approve: string?, destroy_data: boolean?, again: string }
---@return table[] checks
function M.gate(made, opts)
  local data = table.concat(made.losses, ", ")
  local approved = not made.more or opts.approve == made.digest
  return {
    {
      name = "plan",
      state = approved and "ok" or "red",
      measured = made.more and counts(made) or "nothing to do",
      expected = made.more and "approve=" .. made.digest or nil,
      hint = ("look at every line above, then: %s approve=%s"):format(opts.again, made.digest),
    },
    {
      name = "data",
      state = (data == "" or opts.destroy_data) and "ok" or "red",
      measured = data == "" and "nothing is lost" or data,
      expected = "nothing lost, or destroy_data=true",
      hint = "back up what you need; then pass destroy_data=true",
    },
  }
end

-- Whether everything that is left was in the plan that was approved.
local function is_part(rest, approved)
  for _, kind in ipairs(KINDS) do
    local known = {}
    for _, address in ipairs(approved.changes[kind]) do
      known[address] = true
    end
    -- What a killed apply left half done is replaced; it was to be created.
    for _, address in ipairs(kind == "replace" and approved.changes.create or {}) do
      known[address] = true
    end
    for _, address in ipairs(rest.changes[kind]) do
      if not known[address] then
        return false, ("%s %s"):format(kind, address)
      end
    end
  end
  return true
end

---Applies the plan that was approved, and what is left of it when a kill came in between.
---@param ctx pai.ctx
---@param dir string
---@param made table
---@param opts { vars: table, destroy: boolean? }
function M.apply(ctx, dir, made, opts)
  local file = file_of(dir, made.digest)
  if ctx.fs.digest(file):sub(1, 12) ~= made.digest then
    error("the plan's file is not the one that was approved: deploy again", 0)
  end
  local ok, e = pcall(ctx.tools.terraform.apply, dir, file)
  if not ok and type(e) == "table" and e.code == "ESTALE" then
    ctx.log("the state changed since the plan was made: planning what is left of it")
    local rest = M.make(ctx, dir, opts)
    local part, extra = is_part(rest, made)
    if not part then
      local message = "what is left to do is not part of the approved plan (%s): deploy again"
      error(message:format(extra), 0)
    end
    ok, e = true, nil
    if rest.more then
      ok, e = pcall(ctx.tools.terraform.apply, dir, file_of(dir, rest.digest))
    end
  end
  M.protect(ctx, dir)
  if not ok then
    error(e, 0)
  end
end

---The state holds passwords in clear.
---@param ctx pai.ctx
---@param dir string
function M.protect(ctx, dir)
  for _, name in ipairs({ "terraform.tfstate", "terraform.tfstate.backup" }) do
    if ctx.fs.exists(dir .. "/" .. name) then
      ctx.fs.chmod(dir .. "/" .. name, "0600")
    end
  end
end

---Removes plans that are done: they hold the state's secrets too.
---@param ctx pai.ctx
---@param dir string
function M.forget(ctx, dir)
  for _, path in ipairs(ctx.fs.glob(dir .. "/plan-*")) do
    ctx.fs.remove(path)
  end
end

return M
