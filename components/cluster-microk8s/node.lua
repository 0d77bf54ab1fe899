-- What preflight, deploy, verify and teardown share: the versions, root's words, and the gate.
local versions = require("pai.shared.versions")

local M = {}

---Versions and names (OSMO's MicroK8s installer at their date).
M.LOCK = {
  channel = versions.microk8s.channel,
  minimum = versions.microk8s.minimum,
  driver = versions.tools.driver,
  snapd = versions.tools.snapd,
  git = versions.tools.git,
  addons = { "dns", "hostpath-storage", "helm3", "rbac", "minio" },
  class = "microk8s-hostpath",
  ports = { 16443, 10250, 10255 },
  disk_gib = 20,
}

M.CLASS = { apiVersion = "node.k8s.io/v1", kind = "RuntimeClass" }

---Where MicroK8s keeps images and volumes.
M.DATA = "/var/snap"

-- Processes of MicroK8s that listen on the ports.
local OWN <const> = {
  kubelite = true,
  kubelet = true,
  ["kube-apiserver"] = true,
  ["kube-proxy"] = true,
}

---The words before a command that only root may run; none for root itself.
---@param ctx pai.ctx
---@return string[]
function M.as_root(ctx)
  local id = ctx.query({ "id", "-u" }).stdout:match("%d+")
  return id == "0" and {} or { "sudo", "-n" }
end

---A command, behind root's words.
---@param ctx pai.ctx
---@param argv string[]
---@return string[]
function M.command(ctx, argv)
  local words = M.as_root(ctx)
  return table.move(argv, 1, #argv, #words + 1, words)
end

---Whether the node runs; false also where MicroK8s is not installed.
---@param ctx pai.ctx
---@return boolean
---@return table? status
function M.running(ctx)
  if not ctx.which("microk8s") then
    return false
  end
  local status = ctx.tools.microk8s.behind(M.as_root(ctx)).status()
  return status.running, status
end

---Whether the context leads to this machine's MicroK8s; nil when there is no such context.
---@param ctx pai.ctx
---@param inp table
---@return boolean? here
---@return string? server
function M.leads_here(ctx, inp)
  local server = ctx.kubeconfig.server(inp.kubeconfig, inp.context)
  if not server then
    return nil
  elseif not ctx.which("microk8s") then
    return false, server
  end
  local argv = M.command(ctx, { "microk8s", "config" })
  local r = ctx.query(argv, { stdout = "secret", accept = "any", timeout = "60s" })
  return r.code == 0 and ctx.kubeconfig.server(r.stdout) == server, server
end

---Reads `ss -ltnpH`: the owner of each listening port, "" where it can't be seen.
---@param said string
---@return table<integer, string>
function M.listeners(said)
  local owners = {}
  for line in said:gmatch("[^\n]+") do
    -- LISTEN 0 4096 *:16443 *:* users:(("kubelite",pid=1,fd=9))
    local port = line:match("^%S+%s+%d+%s+%d+%s+%S-:(%d+)%s")
    if port then
      local number = math.tointeger(tonumber(port))
      local owner = line:match('users:%(%("([^"]+)"')
      owners[number] = owner or owners[number] or ""
    end
  end
  return owners
end

---Whether a process of this name is MicroK8s' own.
---@param owner string
---@return boolean
function M.is_own(owner)
  return OWN[owner] == true
end

---What must hold of the cluster once it is deployed.
---@param ctx pai.ctx
---@param inp table
---@return table[] checks
function M.gate(ctx, inp)
  local kube = ctx.check.kube
  local checks = {
    kube.version(inp.context, { minimum = M.LOCK.minimum }),
    kube.nodes_ready(inp.context),
    kube.default_class(inp.context, M.LOCK.class),
    kube.runtime_class(inp.context, "nvidia", inp.gpu and "nvidia" or "runc"),
    kube.pods_ready(inp.context, { "kube-system" }),
  }
  if inp.gpu then
    checks[#checks + 1] = kube.gpus(inp.context)
  end
  return checks
end

return M
