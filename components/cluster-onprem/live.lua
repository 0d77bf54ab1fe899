-- What a live cluster shows beyond versions and the stack's own state: the API server and its etcd,
-- the VIP, volumes, addresses, second interfaces, metrics. Each check looks by itself.
local address = require("cluster-onprem.address")
local gates = require("cluster-onprem.gates")
local matrix = require("cluster-onprem.matrix")
local objects = require("cluster-onprem.objects")

local M = {}

local ABSENT <const> = { "NotFound", "NoKind" }
local CONTROL_PLANE <const> = "node-role.kubernetes.io/control-plane"
local VOLUME <const> = { apiVersion = "longhorn.io/v1beta2", kind = "Volume" }
local RUNAI <const> = { apiVersion = "run.ai/v1", kind = "RunaiConfig" }
local MONITOR <const> = { apiVersion = "monitoring.coreos.com/v1", kind = "ServiceMonitor" }
local PROMETHEUS <const> = { apiVersion = "monitoring.coreos.com/v1", kind = "Prometheus" }
-- The default of kube-prometheus-stack's scrapeInterval.
local SCRAPE_S <const> = 30
-- max(time()-timestamp(DCGM_FI_DEV_GPU_UTIL))
local QUERY <const> = "/api/v1/query?query=max%28time%28%29-timestamp%28DCGM_FI_DEV_GPU_UTIL%29%29"

local function result(good, measured, bad)
  return { state = good and "ok" or bad or "red", measured = measured }
end

local function listed(list, none)
  table.sort(list)
  return #list > 0 and table.concat(list, ", ") or none
end

-- Kubernetes' health endpoints: 200, or 500 with a line "[-]NAME failed" for each that is not well.
local function health(path)
  return function(k)
    local status, body = k:raw(path)
    local bad = {}
    for name in tostring(body):gmatch("%[%-%]([%w/_-]+)") do
      bad[#bad + 1] = name
    end
    return result(status == 200, listed(bad, ("HTTP %d"):format(status)))
  end
end

-- Pods of the control planes, by the component that made them.
local function system_pods(k, pattern)
  local list = {}
  for _, pod in ipairs(k:list("pods", { namespace = "kube-system" })) do
    if pod.metadata.name:find(pattern) then
      list[#list + 1] = pod
    end
  end
  return list
end

-- Kubespray runs etcd on the hosts: there is no pod of it, but the API servers name its members.
local function members(k)
  local fewest
  for _, pod in ipairs(system_pods(k, "^kube%-apiserver%-")) do
    for _, word in ipairs(pod.spec.containers[1].command or {}) do
      local servers = word:match("^%-%-etcd%-servers=(.*)$")
      if servers then
        local _, n = servers:gsub("[^,]+", "")
        fewest = math.min(fewest or n, n)
      end
    end
  end
  return result(fewest == matrix.control_planes, fewest or "no API server's pod names any")
end

local function carriers(k)
  local n = 0
  for _, pod in ipairs(system_pods(k, "^kube%-vip%-")) do
    n = n + (pod.status and pod.status.phase == "Running" and 1 or 0)
  end
  return result(n == matrix.control_planes, n)
end

-- kube-vip has its address in its environment; the context should lead there, not to one host.
local function by_the_vip(k)
  local vip
  for _, pod in ipairs(system_pods(k, "^kube%-vip%-")) do
    for _, one in ipairs(pod.spec.containers[1].env or {}) do
      vip = one.name == "address" and one.value or vip
    end
  end
  local host = k:identity().server:match("^%a+://%[?([^/%]]-)%]?:?%d*/?$")
  if not vip then
    return result(false, "no kube-vip's pod names an address")
  elseif not address.range(host) then
    -- A name of the VIP in DNS is as good; which address it has is not known here.
    return { state = "warn", measured = ("%s, a name; kube-vip has %s"):format(host, vip) }
  end
  return result(host == vip, host == vip and vip or ("%s; kube-vip has %s"):format(host, vip))
end

local function lease(k)
  local found = k:get("leases", "plndr-cp-lock", { namespace = "kube-system", accept = ABSENT })
  local spec = found and found.spec
  if not spec or not spec.renewTime then
    return result(false, "there is none")
  end
  local late = (spec.leaseDurationSeconds or 5) + 5
  local oldest = os.date("!%Y-%m-%dT%H:%M:%S", os.time() - late)
  local text = ("%s, by %s"):format(spec.renewTime, spec.holderIdentity or "nobody")
  return result(spec.renewTime >= oldest, text)
end

-- A volume that nobody uses has the robustness "unknown".
local function volumes(k)
  local bad = {}
  for _, one in ipairs(k:list(VOLUME, { all = true, accept = ABSENT }) or {}) do
    local state = one.status and one.status.robustness
    if state == "degraded" or state == "faulted" then
      bad[#bad + 1] = ("%s %s"):format(one.metadata.name, state)
    end
  end
  return result(#bad == 0, listed(bad, "none degraded"))
end

local function osmo_claims(k)
  local bad, n = {}, 0
  for _, one in ipairs(k:list("persistentvolumeclaims", { all = true })) do
    if one.metadata.namespace:find("^osmo") then
      n = n + 1
      local class = one.spec.storageClassName
      local phase = one.status and one.status.phase
      if class ~= "longhorn" or phase ~= "Bound" then
        local text = "%s/%s %s, class %s"
        local namespace = one.metadata.namespace
        bad[#bad + 1] = text:format(namespace, one.metadata.name, phase or "?", class or "none")
      end
    end
  end
  if n == 0 then
    return { state = "skipped", measured = "OSMO has none" }
  end
  return result(#bad == 0, listed(bad, ("%d Bound"):format(n)))
end

local function pools(k)
  local n = #(k:list(objects.POOL, { all = true, accept = ABSENT }) or {})
  local announced = #(k:list(objects.ADVERTISEMENT, { all = true, accept = ABSENT }) or {})
  local measured = ("%d pools, %d advertisements"):format(n, announced)
  return result(n > 0 and announced > 0, measured)
end

local function allocations(k)
  local found = k:list(objects.IP_POOL, { all = true, accept = ABSENT }) or {}
  if #found == 0 then
    return { state = "skipped", measured = "there is no IPPool" }
  end
  local bad = {}
  for _, node in ipairs(k:list("nodes")) do
    if not (node.metadata.labels or {})[CONTROL_PLANE] then
      for _, pool in ipairs(found) do
        local has = false
        for _, one in ipairs(pool.status and pool.status.allocations or {}) do
          has = has or one.nodeName == node.metadata.name
        end
        bad[#bad + 1] = not has and ("%s of %s"):format(node.metadata.name, pool.metadata.name)
          or nil
      end
    end
  end
  return result(#bad == 0, #bad > 0 and "none for " .. listed(bad) or "one for each worker")
end

local UNITS <const> = { s = 1, m = 60, h = 3600 }

local function seconds(text)
  local n, unit = tostring(text):match("^(%d+)([smh])$")
  return n and tonumber(n) * UNITS[unit] or nil
end

-- How often the exporter is scraped: as its monitor says, or Prometheus itself.
local function interval(k)
  for _, one in ipairs(k:list(MONITOR, { all = true, accept = ABSENT }) or {}) do
    local endpoint = one.metadata.name:find("dcgm%-exporter") and (one.spec.endpoints or {})[1]
    local every = endpoint and seconds(endpoint.interval)
    if every then
      return every
    end
  end
  for _, one in ipairs(k:list(PROMETHEUS, { all = true, accept = ABSENT }) or {}) do
    local every = seconds((one.spec or {}).scrapeInterval)
    if every then
      return every
    end
  end
  return SCRAPE_S
end

local function samples(ctx, k)
  for _, one in ipairs(k:list("services", { all = true })) do
    if (one.metadata.labels or {}).app == "kube-prometheus-stack-prometheus" then
      local opts = { namespace = one.metadata.namespace, port = 9090, path = QUERY }
      opts.timeout = "20s"
      local status, body = k:proxy(one.metadata.name, opts)
      local ok, doc = pcall(ctx.json.decode, body)
      local found = ok and type(doc) == "table" and doc.data and doc.data.result or nil
      local age = found and found[1] and tonumber(found[1].value[2])
      if not age then
        return result(false, found and "there are none" or ("HTTP %d"):format(status))
      end
      local most = 2 * interval(k)
      local r = result(age <= most, ("%.0f s old"):format(age))
      r.expected = ("<= %d s old, two scrapes"):format(most)
      return r
    end
  end
  return { state = "skipped", measured = "there is no Service of kube-prometheus-stack" }
end

local function runai(ctx, inp, k)
  local list = {}
  for _, name in ipairs({ "runai", "runai-backend" }) do
    list[#list + 1] = k:get("namespaces", name, { accept = ABSENT }) and name or nil
  end
  if #list == 0 then
    return { state = "skipped", measured = "Run:ai is not there" }
  end
  return ctx.check.kube.pods_ready(inp.context, list).run()
end

-- Run:ai, "Troubleshooting": the condition Available of its configuration names what does not work.
local function runai_cluster(k)
  local found = k:get(RUNAI, "runai", { namespace = "runai", accept = ABSENT })
  if not found then
    return { state = "skipped", measured = "Run:ai's cluster part is not there" }
  end
  for _, c in ipairs(found.status and found.status.conditions or {}) do
    if c.type == "Available" then
      return result(c.status == "True", c.status == "True" and "Available" or c.message or c.reason)
    end
  end
  return result(false, "it does not say")
end

---@param ctx pai.ctx
---@param inp table
---@return table[] checks
function M.checks(ctx, inp)
  local function check(name, expected, hint, look)
    return {
      name = name,
      expected = expected,
      hint = hint,
      run = function()
        return look(ctx.k8s(inp.context))
      end,
    }
  end
  local three = ("%d"):format(matrix.control_planes)
  local vip = "kube-vip's pods in kube-system; vip_interface is a real device"
  return {
    check("API server", "/readyz is well", "its log in kube-system", health("/readyz?verbose")),
    check("etcd", "/livez/etcd is well", "journal of etcd on its hosts", health("/livez/etcd")),
    check("etcd members", three, "etcdctl member list on a control plane", members),
    check("kube-vip", three .. " pods run", vip, carriers),
    check("context", "leads to the VIP", "kubeconfig: server is https://VIP:6443", by_the_vip),
    check("lease plndr-cp-lock", "renewed within its duration", vip, lease),
    check("Longhorn volumes", "healthy", "a replica's node or disk is gone", volumes),
    check("OSMO's claims", "Bound, class longhorn", "its own class, or the default", osmo_claims),
    check("MetalLB", "a pool, and an advertisement", "pai deploy makes both", pools),
    gates.strict_arp(ctx, inp),
    check("nv-ipam", "an allocation for each worker", "the IPPool's nodeSelector", allocations),
    check("DCGM samples", "no older than two scrapes", "its ServiceMonitor", function(k)
      return samples(ctx, k)
    end),
    check("Run:ai", "all pods Ready", "pai k8s diagnose -n runai-backend", function(k)
      return runai(ctx, inp, k)
    end),
    check("Run:ai cluster", "Available", "pai k8s diagnose -n runai", runai_cluster),
  }
end

return M
