-- The inventory of Kubespray from typed inputs: the sample's group variables as they are in the
-- checkout, ours in a file that is read after them, and the site's own in one after that. Variables
-- that the sample sets for k8s_cluster can only be set there. docs/ansible/inventory.md and
-- docs/ingress/kube-vip.md of Kubespray 2.28.
local lock = require("cluster-onprem.lock")
local node = require("cluster-onprem.node")

local M = {}

local HEAD <const> = "# Made by pai; a deploy makes it anew. The site's own variables: vars=FILE.\n"

---@param inp table
---@return string dir
function M.dir(inp)
  return inp.site .. "/inventory"
end

local function line(one, more)
  local words = { one.name, "ansible_host=" .. one.address }
  if one.address:find("^%d+%.%d+%.%d+%.%d+$") then
    words[#words + 1] = "ip=" .. one.address
  end
  if one.user then
    words[#words + 1] = "ansible_user=" .. one.user
  end
  words[#words + 1] = more
  return table.concat(words, " ")
end

local function hosts(inp)
  local lines = { HEAD .. "[kube_control_plane]" }
  local nodes, member = node.all(inp), 0
  for _, one in ipairs(nodes) do
    if not one.worker then
      member = member + 1
      lines[#lines + 1] = line(one, "etcd_member_name=etcd" .. member)
    end
  end
  table.move(
    { "", "[etcd:children]", "kube_control_plane", "", "[kube_node]" },
    1,
    5,
    #lines + 1,
    lines
  )
  for _, one in ipairs(nodes) do
    lines[#lines + 1] = one.worker and line(one) or nil
  end
  -- Kubespray adds this group while it runs; named here, the inventory alone tells the whole.
  for _, text in ipairs({ "", "[k8s_cluster:children]", "kube_control_plane", "kube_node", "" }) do
    lines[#lines + 1] = text
  end
  return table.concat(lines, "\n")
end

---Variables that follow from the inputs, by group.
---@param inp table
---@return table<string, table<string, any>>
function M.variables(inp)
  return {
    all = {
      etcd_deployment_type = "host",
      loadbalancer_apiserver = { address = inp.vip, port = 6443 },
      -- kube-vip carries the API server; there is no other load balancer before it.
      loadbalancer_apiserver_localhost = false,
    },
    k8s_cluster = {
      kube_version = lock.kubernetes,
      container_manager = "containerd",
      containerd_version = lock.containerd,
      kube_proxy_mode = "ipvs",
      kube_proxy_strict_arp = true,
      kube_pods_subnet = inp.pod_cidr,
      kube_service_addresses = inp.service_cidr,
      kube_vip_enabled = true,
      kube_vip_controlplane_enabled = true,
      kube_vip_arp_enabled = true,
      kube_vip_address = inp.vip,
      kube_vip_interface = inp.vip_interface,
      -- MetalLB owns Services; Kubespray's own MetalLB is another version.
      kube_vip_services_enabled = false,
      metallb_enabled = false,
      -- The credential goes over ssh into the kubeconfig, and not into a file here.
      kubeconfig_localhost = false,
    },
  }
end

-- The site's own variables; those that follow from inputs are refused.
local function site_variables(ctx, inp, ours)
  if not inp.vars then
    return nil
  end
  local given = ctx.yaml.decode(ctx.read(inp.vars))
  if type(given) ~= "table" or #given > 0 then
    error(inp.vars .. " is no map of variables", 0)
  end
  for _, group in pairs(ours) do
    for name in pairs(given) do
      if group[name] ~= nil then
        local message = "%s sets %s, which follows from an input or from the lock"
        error(message:format(inp.vars, name), 0)
      end
    end
  end
  return given
end

---Every file of the inventory.
---@param ctx pai.ctx
---@param inp table
---@return table<string, string> text by path
function M.files(ctx, inp)
  local why = node.fault(node.all(inp))
  if why then
    error(why, 0)
  end
  local dir, files = M.dir(inp), {}
  local sample = inp.kubespray .. "/inventory/sample/group_vars"
  for _, path in ipairs(ctx.fs.walk(sample)) do
    files[("%s/group_vars/%s"):format(dir, path)] = ctx.read(sample .. "/" .. path)
  end
  local ours = M.variables(inp)
  for group, variables in pairs(ours) do
    local path = ("%s/group_vars/%s/zz-pai.yml"):format(dir, group)
    files[path] = HEAD .. ctx.yaml.encode(variables)
  end
  local given = site_variables(ctx, inp, ours)
  if given then
    files[dir .. "/group_vars/k8s_cluster/zzz-site.yml"] = HEAD .. ctx.yaml.encode(given)
  end
  files[dir .. "/inventory.ini"] = hosts(inp)
  return files
end

-- Files that are there and not wanted: of an earlier Kubespray, or variables that were withdrawn.
local function stray(ctx, inp, files)
  local list, dir = {}, M.dir(inp) .. "/group_vars"
  for _, path in ipairs(ctx.fs.exists(dir) and ctx.fs.walk(dir) or {}) do
    list[#list + 1] = not files[dir .. "/" .. path] and dir .. "/" .. path or nil
  end
  return list
end

---One digest over all of it; nil while what lies there is another one.
---@param ctx pai.ctx
---@param inp table
---@return string? digest
function M.digest(ctx, inp)
  local files, paths = M.files(ctx, inp), {}
  for path, text in pairs(files) do
    if not ctx.fs.exists(path) or ctx.read(path) ~= text then
      return nil
    end
    paths[#paths + 1] = path
  end
  if #stray(ctx, inp, files) > 0 then
    return nil
  end
  table.sort(paths)
  for i, path in ipairs(paths) do
    paths[i] = path .. "\0" .. ctx.hash(files[path])
  end
  return ctx.hash(table.concat(paths, "\n"))
end

---Writes it.
---@param ctx pai.ctx
---@param inp table
function M.write(ctx, inp)
  local files = M.files(ctx, inp)
  for _, path in ipairs(stray(ctx, inp, files)) do
    ctx.fs.remove(path)
  end
  for path, text in pairs(files) do
    ctx.fs.mkdir(ctx.fs.dirname(path))
    ctx.write(path, text)
  end
end

return M
