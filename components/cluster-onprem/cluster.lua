-- The cluster as its control planes know it, asked over ssh: there may be no context for it yet.
-- The site's folder remembers which inventory was begun and which was carried out.
local lock = require("cluster-onprem.lock")
local node = require("cluster-onprem.node")
local remote = require("cluster-onprem.remote")
local state = require("cluster-onprem.state")

local M = {}

-- Kubespray puts kubectl there; sudo's own PATH need not have it.
local NODES <const> = [[if sudo -n test -e /etc/kubernetes/admin.conf; then
  sudo -n /usr/local/bin/kubectl --kubeconfig /etc/kubernetes/admin.conf get nodes -o json
else
  echo '{"items":null}'
fi]]

M.ADMIN = "sudo -n cat /etc/kubernetes/admin.conf"

---@param inp table
---@return string url
function M.server(inp)
  return lock.api:format(inp.vip)
end

local function state_file(inp, name)
  return ("%s/%s"):format(inp.site, name)
end

---Remembers which inventory was "begun" or "done".
---@param ctx pai.ctx
---@param inp table
---@param what "begun"|"done"
---@param digest string
function M.remember(ctx, inp, what, digest)
  ctx.write(state_file(inp, what), digest .. "\n")
end

---@param ctx pai.ctx
---@param inp table
---@param what "begun"|"done"
---@return string? digest
function M.remembered(ctx, inp, what)
  local path = state_file(inp, what)
  return ctx.fs.exists(path) and ctx.read(path):match("%x+") or nil
end

---@param ctx pai.ctx
---@param inp table
function M.forget(ctx, inp)
  for _, what in ipairs({ "done", "begun" }) do
    if ctx.fs.exists(state_file(inp, what)) then
      ctx.fs.remove(state_file(inp, what))
    end
  end
end

---The nodes that a control plane knows, by name; the first that answers is believed.
---@param ctx pai.ctx
---@param inp table
---@return table<string, table>? nodes nil where there is no cluster yet
---@return string? why nobody could say
function M.nodes(ctx, inp)
  local none, why = false, nil
  for _, one in ipairs(node.all(inp)) do
    if not one.worker and not one.fault then
      local r = remote.ask(ctx, inp, one, NODES)
      local ok, doc = pcall(ctx.json.decode, r.stdout)
      if r.code ~= 0 or not ok or type(doc) ~= "table" then
        why = ("%s: %s"):format(one.name, remote.said(r) or "no answer")
      elseif type(doc.items) == "table" then
        local nodes = {}
        for _, object in ipairs(doc.items) do
          nodes[object.metadata.name] = object
        end
        return nodes
      else
        none = true
      end
    end
  end
  return nil, not none and why or nil
end

---What a cluster lacks of the one that is wanted.
---@param inp table
---@param nodes table<string, table>?
---@return string? why
function M.lacks(inp, nodes)
  if not nodes then
    return "there is none"
  end
  for _, one in ipairs(node.all(inp)) do
    local object = nodes[one.name]
    if not object then
      return one.name .. " is not in it"
    elseif not state.ready(object) then
      return one.name .. " is not Ready"
    elseif object.status.nodeInfo.kubeletVersion ~= "v" .. lock.kubernetes then
      return ("%s has %s"):format(one.name, object.status.nodeInfo.kubeletVersion)
    end
  end
end

---Raises where cluster.yml is the wrong playbook: it neither upgrades nor takes nodes away.
---@param inp table
---@param nodes table<string, table>?
function M.refuse_other(inp, nodes)
  local wanted = {}
  for _, one in ipairs(node.all(inp)) do
    wanted[one.name] = true
  end
  for name, object in pairs(nodes or {}) do
    local version = object.status.nodeInfo.kubeletVersion
    if not wanted[name] then
      local message = "the cluster has a node %s that the inputs do not name; it is taken away "
        .. "with Kubespray's remove-node.yml, by hand"
      error(message:format(name), 0)
    elseif version ~= "v" .. lock.kubernetes then
      local message = "%s has %s: cluster.yml makes v%s and upgrades nothing; upgrade-cluster.yml "
        .. "does, one minor version at a time"
      error(message:format(name, version, lock.kubernetes), 0)
    end
  end
end

---Whether the context leads here and its credential is accepted.
---@param ctx pai.ctx
---@param inp table
---@return boolean works
---@return string? elsewhere the server that it leads to otherwise, if that one answers
function M.context_works(ctx, inp)
  local server = ctx.kubeconfig.server(inp.kubeconfig, inp.context)
  local alive = server ~= nil
    and (pcall(function()
      ctx.k8s(inp.context):get("namespaces", "kube-system")
    end))
  if server ~= M.server(inp) then
    return false, alive and server or nil
  end
  return alive
end

---Brings the admin's credential into the kubeconfig, seen by nobody on the way.
---@param ctx pai.ctx
---@param inp table
---@return string? backup
function M.take_credential(ctx, inp)
  local _, elsewhere = M.context_works(ctx, inp)
  if elsewhere then
    local message = "the context %s leads to another cluster that answers, %s: pass context=NAME"
    error(message:format(inp.context, elsewhere), 0)
  end
  local why
  for _, one in ipairs(node.all(inp)) do
    if not one.worker then
      local r = ctx.exec(remote.argv(inp, one, M.ADMIN), {
        stdout = "secret",
        env = remote.env(inp),
        accept = "any",
        timeout = "60s",
      })
      if r.code == 0 then
        -- In it stands a name that only the nodes know.
        local opts = { server = M.server(inp) }
        return ctx.kubeconfig.merge(inp.kubeconfig, r.stdout, inp.context, opts).backup
      end
      why = ("%s: %s"):format(one.name, remote.said(r) or "no answer")
    end
  end
  error("no control plane gave its admin.conf: " .. tostring(why), 0)
end

return M
