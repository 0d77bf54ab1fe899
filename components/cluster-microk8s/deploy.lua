-- Installs MicroK8s, brings its context into the kubeconfig, and enables what the stack needs.
local node = require("cluster-microk8s.node")

local LOCK <const> = node.LOCK
local ABSENT <const> = { accept = { "NotFound" } }

local function microk8s(ctx)
  return ctx.tools.microk8s.behind(node.as_root(ctx))
end

-- Waits, bounded; when it stays down, the kubelet's last lines say why.
local function wait_ready(ctx)
  local status = microk8s(ctx).status({ wait = "300s" })
  if status.running then
    return
  end
  local journal = { "journalctl", "-u", "snap.microk8s.daemon-kubelite", "-n", "100", "--no-pager" }
  local r = ctx.query(node.command(ctx, journal), { accept = "any" })
  ctx.log(status.text)
  ctx.log(r.stdout)
  local last = r.stdout:match("([^\n]+)%s*$") or "its journal is empty"
  error("MicroK8s is not ready after 300 s; the last line of kubelite: " .. last, 0)
end

local function cluster(ctx, inp)
  return ctx.k8s(inp.context)
end

-- Whether the context leads to this machine's cluster and its credential is accepted.
local function context_works(ctx, inp)
  if not node.leads_here(ctx, inp) then
    return false
  end
  return (pcall(function()
    cluster(ctx, inp):get("namespaces", "kube-system")
  end))
end

-- A context of that name which leads to another cluster that answers is not replaced.
local function refuse_other(ctx, inp)
  local here, server = node.leads_here(ctx, inp)
  local alive = server and not here and pcall(function()
    cluster(ctx, inp):version()
  end)
  if alive then
    local message = "the context %s leads to another cluster that answers, %s: pass context=NAME"
    error(message:format(inp.context, server), 0)
  end
end

local function missing_addons(ctx)
  local enabled = microk8s(ctx).status().enabled
  local missing = {}
  for _, name in ipairs(LOCK.addons) do
    if not enabled[name] then
      missing[#missing + 1] = name
    end
  end
  return missing
end

-- Deletes the class when its handler is another one, which can't be changed.
local function clear_class(k, handler)
  local class = k:get(node.CLASS, "nvidia", ABSENT)
  if class and class.handler ~= handler then
    k:delete(node.CLASS, "nvidia", { wait = true, absent = true, timeout = "60s" })
    class = nil
  end
  return class
end

local VALUES <const> = {
  validator = {
    driver = { env = { { name = "DISABLE_DEV_CHAR_SYMLINK_CREATION", value = "true" } } },
  },
}

return {
  summary = "Installs MicroK8s with its addons and merges its context into the kubeconfig.",
  safety = "changes",
  needs = { writes = { "@kubeconfig" } },
  locks = function(inp)
    return { "snap:microk8s", "kube:" .. inp.context }
  end,
  steps = {
    {
      name = "preflight",
      use = "cluster-microk8s.preflight",
      with = function(inp)
        return inp
      end,
    },
    {
      name = "install",
      after = { "preflight" },
      timeout = "20m",
      done = function(ctx)
        local there = ctx.tools.snap.installed("microk8s")
        return there and { version = there.version, channel = there.channel }
      end,
      run = function(ctx)
        local words = node.as_root(ctx)
        local seed = { "snap", "wait", "system", "seed.loaded" }
        ctx.exec(table.move(seed, 1, #seed, #words + 1, { table.unpack(words) }))
        local snap = ctx.tools.snap.behind(words)
        snap.install("microk8s", { classic = true, channel = LOCK.channel })
        local there = snap.installed("microk8s")
        if not there then
          error("snap install ended well, but snap list has no microk8s", 0)
        end
        return { version = there.version, channel = there.channel }
      end,
    },
    {
      name = "ready",
      after = { "install" },
      timeout = "10m",
      done = function(ctx)
        return node.running(ctx) and {} or nil
      end,
      run = function(ctx)
        wait_ready(ctx)
        return {}
      end,
    },
    {
      name = "kubeconfig",
      after = { "ready" },
      timeout = "5m",
      done = function(ctx, inp)
        return context_works(ctx, inp) and { context = inp.context } or nil
      end,
      run = function(ctx, inp)
        refuse_other(ctx, inp)
        local argv = node.command(ctx, { "microk8s", "config" })
        local given = ctx.exec(argv, { stdout = "secret", timeout = "60s" }).stdout
        local written = ctx.kubeconfig.merge(inp.kubeconfig, given, inp.context)
        return { context = inp.context, backup = written.backup }
      end,
      verify = function(ctx, inp)
        return { ctx.check.kube.version(inp.context) }
      end,
    },
    {
      name = "addons",
      after = { "kubeconfig" },
      timeout = "30m",
      done = function(ctx)
        return #missing_addons(ctx) == 0 and { addons = LOCK.addons } or nil
      end,
      run = function(ctx)
        microk8s(ctx).enable(missing_addons(ctx))
        wait_ready(ctx)
        return { addons = LOCK.addons }
      end,
    },
    {
      name = "gpu",
      after = { "addons" },
      timeout = "40m",
      when = function(inp)
        return inp.gpu, "gpu=false"
      end,
      done = function(ctx, inp)
        local class = cluster(ctx, inp):get(node.CLASS, "nvidia", ABSENT)
        local handler = class and class.handler
        return microk8s(ctx).status().enabled.nvidia and handler == "nvidia" and {} or nil
      end,
      run = function(ctx, inp)
        clear_class(cluster(ctx, inp), "nvidia")
        local values = ctx.fs.tempdir() .. "/gpu-operator.yaml"
        ctx.write(values, ctx.yaml.encode(VALUES), { mode = "0600" })
        microk8s(ctx).enable({ "nvidia" }, {
          args = { "--gpu-operator-driver", "host", "--gpu-operator-values", values },
        })
        wait_ready(ctx)
        cluster(ctx, inp):wait(node.CLASS, "nvidia", {
          appear = true,
          met = function(class)
            return class.handler == "nvidia"
          end,
          ["for"] = "the handler nvidia",
          timeout = "10m",
        })
        return {}
      end,
    },
    {
      name = "runtime-class",
      after = { "addons" },
      timeout = "5m",
      when = function(inp)
        return not inp.gpu, "the GPU operator makes it"
      end,
      done = function(ctx, inp)
        local class = cluster(ctx, inp):get(node.CLASS, "nvidia", ABSENT)
        return class and class.handler == "runc" and {} or nil
      end,
      run = function(ctx, inp)
        local k = cluster(ctx, inp)
        clear_class(k, "runc")
        k:apply({
          apiVersion = "node.k8s.io/v1",
          kind = "RuntimeClass",
          metadata = { name = "nvidia" },
          handler = "runc",
        })
        return {}
      end,
    },
    {
      name = "gate",
      after = { "gpu", "runtime-class" },
      timeout = "15m",
      safety = "observes",
      run = function(ctx, inp)
        -- Addons and operator need a while after they were enabled; the gate itself does not wait.
        ctx.wait(function()
          local k = cluster(ctx, inp)
          local missing = 0
          for _, pod in ipairs(k:list("pods", { namespace = "kube-system" })) do
            local ready = false
            for _, c in ipairs(pod.status and pod.status.conditions or {}) do
              ready = ready or (c.type == "Ready" and c.status == "True")
            end
            local ended = pod.status and pod.status.phase == "Succeeded"
            missing = missing + ((ready or ended) and 0 or 1)
          end
          return missing == 0 and {}
        end, { every = "5s", timeout = "10m", what = "the pods of kube-system" })
        return { context = inp.context }
      end,
      verify = node.gate,
    },
  },
  returns = { context = { type = "string", from = "gate.context", doc = "The context." } },
  examples = { "pai deploy cluster-microk8s", "pai deploy cluster-microk8s gpu=false" },
}
