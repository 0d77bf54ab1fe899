-- The active tests of the network: a LoadBalancer Service that answers, and the bandwidth of the
-- second interfaces. Shapes: agnhost netexec answers /hostname; iperf -y C ends with bits per
-- second; Multus' annotation network-status.
local address = require("cluster-onprem.address")
local objects = require("cluster-onprem.objects")
local patience = require("cluster-onprem.patience")
local probe = require("cluster-onprem.probe")

local M = {}

local GPU <const> = "nvidia.com/gpu"
local check, workers = probe.check, probe.workers

local function in_pools(k, ip)
  local found = k:list(objects.POOL, { all = true, accept = { "NotFound", "NoKind" } })
  for _, pool in ipairs(found or {}) do
    for _, range in ipairs(pool.spec and pool.spec.addresses or {}) do
      if address.touch(range, ip) then
        return pool.metadata.name
      end
    end
  end
end

local function service(inp, namespace)
  local labels = { test = "web" }
  local wanted = inp.lb_address and { ["metallb.io/loadBalancerIPs"] = inp.lb_address } or nil
  return {
    {
      apiVersion = "apps/v1",
      kind = "Deployment",
      metadata = { name = "web", namespace = namespace },
      spec = {
        replicas = 1,
        selector = { matchLabels = labels },
        template = {
          metadata = { labels = labels },
          spec = {
            terminationGracePeriodSeconds = 1,
            automountServiceAccountToken = false,
            tolerations = { { key = GPU, operator = "Exists" } },
            containers = {
              {
                name = "main",
                image = inp.image,
                args = { "netexec", "--http-port=8080" },
                readinessProbe = { httpGet = { path = "/hostname", port = 8080 } },
              },
            },
          },
        },
      },
    },
    {
      apiVersion = "v1",
      kind = "Service",
      metadata = { name = "web", namespace = namespace, annotations = wanted },
      spec = {
        type = "LoadBalancer",
        selector = labels,
        ports = { { port = inp.lb_port, targetPort = 8080, protocol = "TCP" } },
      },
    },
  }
end

---Whether an address answers from here; without lb_address= it is not asked.
---@param ctx pai.ctx
---@param inp table
---@param ip string
---@return table check
function M.answers(ctx, inp, ip)
  local name, expected = "LoadBalancer from here", "answers"
  if not inp.lb_address then
    local said = "pass lb_address=ADDRESS of the range to ask it from here"
    return { name = name, expected = expected, state = "skipped", measured = said }
  end
  local url = ("http://%s:%d/hostname"):format(ip, inp.lb_port)
  local last
  local ok = pcall(ctx.wait, function()
    local good, r = pcall(ctx.http, { url = url, timeout = "5s", accept = "any" })
    last = good and ("HTTP %d"):format(r.status)
      or (type(r) == "table" and r.message or tostring(r))
    return good and r.status == 200
  end, { every = "2s", timeout = inp.answer_timeout, what = url })
  return check(name, expected, ok, last, "ARP of the address: strictARP, the speaker on its node")
end

---Makes a Service with an address of MetalLB's, and a pod that answers.
---@param ctx pai.ctx
---@param inp table
---@param k pai.ctx.k8s
---@param namespace string
---@return table[] checks
---@return string? ip nil where it got none
function M.serve(ctx, inp, k, namespace)
  for _, one in ipairs(service(inp, namespace)) do
    k:apply(one)
  end
  local ip
  local ok, e = pcall(patience.wait, ctx, k, {
    what = "an address for Service web",
    namespace = namespace,
    timeout = inp.timeout,
    patience = inp.patience,
    look = function()
      local now = k:get("services", "web", { namespace = namespace })
      local ingress = now.status and now.status.loadBalancer and now.status.loadBalancer.ingress
      ip = ingress and ingress[1] and ingress[1].ip
      local web = k:get("deployments", "web", { namespace = namespace })
      local up = (web.status and web.status.availableReplicas or 0) > 0
      return ip ~= nil and up, ip and "its pod is not available" or "it has no address"
    end,
  })
  if not ok then
    if type(e) == "table" and e.code == "ECANCELED" then
      error(e, 0)
    end
    local said = type(e) == "table" and e.message or tostring(e)
    local hint = "is the IPAddressPool used up?"
    return { check("LoadBalancer", "an address and a pod", false, said, hint) }
  end
  local pool = in_pools(k, ip)
  local measured = pool and ip .. " of " .. pool or ip
  return { check("LoadBalancer address", "of a pool", pool ~= nil, measured) }, ip
end

---A Service with an address of MetalLB's.
---@param ctx pai.ctx
---@param inp table
---@return { checks: table[] }
function M.loadbalancer(ctx, inp)
  return probe.within(ctx, inp, "loadbalancer", function(k, namespace)
    local checks, ip = M.serve(ctx, inp, k, namespace)
    checks[#checks + 1] = ip and M.answers(ctx, inp, ip) or nil
    return checks
  end)
end

-- The address of a pod on its second interface, by Multus' annotation.
local function second_address(ctx, pod)
  local text = (pod.metadata.annotations or {})["k8s.v1.cni.cncf.io/network-status"]
  local ok, list = pcall(ctx.json.decode, text or "[]")
  for _, one in ipairs(ok and type(list) == "table" and list or {}) do
    if not one.default and one.ips and one.ips[1] then
      return one.ips[1]
    end
  end
end

-- Two workers of one model: they have the same network. With RTX servers it is theirs, whose rails
-- are all on one switch; without two of a kind it is the first two.
local function pair(nodes)
  local known, best = {}, nil
  for _, one in ipairs(nodes) do
    local first = known[one.model or "?"]
    if first and (not best or (one.model or ""):find("RTX") and not best.rtx) then
      best = { first, one, rtx = (one.model or ""):find("RTX") ~= nil }
    end
    known[one.model or "?"] = first or one
  end
  return best or nodes
end

---Bandwidth between two workers over the second interfaces.
---@param ctx pai.ctx
---@param inp table
---@return { checks: table[] }
function M.bandwidth(ctx, inp)
  return probe.within(ctx, inp, "network", function(k, namespace)
    local nodes = workers(k)
    if #nodes < 2 then
      return { check("second interfaces", "two workers", false, #nodes) }
    end
    nodes = pair(nodes)
    local marks = { ["k8s.v1.cni.cncf.io/networks"] = "default/" .. inp.rail }
    local server = probe.pod(nodes[1].name, { image = inp.image, command = { "iperf", "-s" } })
    -- A namespace of a moment ago has no service account yet: that passes.
    objects.apply(ctx, k, {
      {
        apiVersion = "v1",
        kind = "Pod",
        metadata = { name = "server", namespace = namespace, annotations = marks },
        spec = server,
      },
    })
    local at
    local ok, e = pcall(patience.wait, ctx, k, {
      what = "Pod server on " .. nodes[1].name,
      namespace = namespace,
      timeout = inp.timeout,
      patience = inp.patience,
      look = function()
        local now = k:get("pods", "server", { namespace = namespace })
        at = second_address(ctx, now)
        local phase = now.status and now.status.phase or "no phase"
        return phase == "Running" and at ~= nil, phase .. (at and "" or ", no second address")
      end,
    })
    local name = ("%s to %s"):format(nodes[2].name, nodes[1].name)
    local expected = (">= %g Gbit/s"):format(inp.min_gbit)
    if not ok then
      if type(e) == "table" and e.code == "ECANCELED" then
        error(e, 0)
      end
      local said = type(e) == "table" and e.message or tostring(e)
      return { check(name, expected, false, said, "NicClusterPolicy, IPPool and MacvlanNetwork") }
    end
    local container = { image = inp.image, command = { "iperf", "-c", at, "-t", "10", "-P", "8" } }
    table.move({ "-y", "C" }, 1, 2, #container.command + 1, container.command)
    local job = probe.job(namespace, "client", probe.pod(nodes[2].name, container))
    job.spec.template.metadata.annotations = marks
    local completed, said = probe.run(ctx, k, job, inp)
    local bits = completed and tonumber(said:match(",(%d+)%s*$"))
    local measured = bits and ("%.1f Gbit/s"):format(bits / 1e9) or said
    local good = bits ~= nil and bits > 0 and bits / 1e9 >= inp.min_gbit
    return { check(name, expected, good, measured, "MTU and speed of the rail; one switch?") }
  end)
end

return M
