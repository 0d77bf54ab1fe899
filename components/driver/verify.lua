-- The gate table, stage by stage; each is read by itself, so that one red does not hide another.
local function conf(ctx, inp)
  return {
    context = inp.context,
    kubeconfig = inp.kubeconfig,
    namespaces = ctx.osmo_deploy.NAMESPACES,
  }
end

return {
  summary = "Reads the gates of every stage: Kubernetes, OSMO, inference, workload.",
  safety = "observes",
  inputs = {
    context = { type = "string", doc = "The cluster, by its context in the kubeconfig." },
    kubeconfig = { type = "path", optional = true, doc = "Default: KUBECONFIG, ~/.kube/config." },
    gpu = { type = "boolean", default = true, doc = "The cluster has GPUs." },
    url = { type = "string", default = "http://localhost:9000", doc = "OSMO's gateway." },
    endpoints = {
      type = "list",
      of = "string",
      default = {},
      doc = "Ready URLs of the workload's endpoints: http://HOST:8000/v1/health/ready",
    },
    workflow = { type = "string", optional = true, doc = "Id of a workflow on the run's target." },
  },
  needs = {
    bins = { "helm" },
    clusters = { "@context" },
    hosts = { "@endpoints", "@url", "@osmo" },
  },
  steps = {
    {
      name = "kubernetes",
      checks = function(ctx, inp)
        local kube = ctx.check.kube
        local checks = { kube.version(inp.context), kube.nodes_ready(inp.context) }
        checks[3] = inp.gpu and kube.gpus(inp.context)
          or kube.runtime_class(inp.context, "nvidia", "runc")
        return checks
      end,
    },
    {
      name = "osmo",
      checks = function(ctx, inp)
        local checks = ctx.osmo_deploy.checks(conf(ctx, inp))
        local more = ctx.osmo_deploy.smoke_checks(inp.url)
        return table.move(more, 1, #more, #checks + 1, checks)
      end,
    },
    {
      name = "inference",
      when = function(inp)
        return #inp.endpoints > 0, "no endpoint is named"
      end,
      checks = function(ctx, inp)
        local checks = {}
        for i, url in ipairs(inp.endpoints) do
          checks[i] = ctx.check.http(url, { url = url }, {
            hint = "a service needs up to 61 minutes to load; then its pod's log says why",
          })
        end
        return checks
      end,
    },
    {
      name = "workload",
      when = function(inp)
        return inp.workflow ~= nil, "no workflow is named"
      end,
      checks = function(ctx, inp)
        local q = ctx.osmo:query(inp.workflow)
        local hint = ("pai osmo events %s; pai osmo logs %s"):format(inp.workflow, inp.workflow)
        local checks = {
          {
            name = "workflow " .. inp.workflow,
            expected = "COMPLETED",
            state = q.status == "COMPLETED" and "ok" or "red",
            measured = q.status,
            hint = hint,
          },
        }
        for _, group in ipairs(q.groups or {}) do
          for _, task in ipairs(group.tasks or {}) do
            checks[#checks + 1] = {
              name = "task " .. tostring(task.name),
              expected = "COMPLETED",
              state = task.status == "COMPLETED" and "ok" or "red",
              measured = task.status,
              hint = hint,
            }
          end
        end
        return checks
      end,
    },
  },
}
