-- The audit: what is expected beside what was found. Hard rows are red, drift is yellow;
-- strict=true makes drift red too.
local audit = require("cluster-onprem.audit")
local live = require("cluster-onprem.live")
local state = require("cluster-onprem.state")

return {
  summary = "Audits a live cluster against the version matrix: expected beside found.",
  safety = "observes",
  inputs = {
    context = { type = "string", doc = "The cluster, by its context in the kubeconfig." },
    strict = { type = "boolean", default = false, doc = "Drift is red." },
    kubespray = { type = "path", optional = true, doc = "Checkout of Kubespray on this machine." },
  },
  needs = {
    bins = { "helm", "git" },
    clusters = { "@context" },
    reads = { "git describe --tags" },
  },
  steps = {
    {
      name = "versions",
      checks = function(ctx, inp)
        return audit.versions(audit.read(ctx, inp), inp.strict)
      end,
    },
    {
      name = "stack",
      checks = function(ctx, inp)
        local checks = state.checks(audit.read(ctx, inp))
        checks[#checks + 1] = ctx.check.kube.runtime_class(inp.context, "nvidia", "nvidia")
        return checks
      end,
    },
    {
      name = "live",
      checks = live.checks,
    },
  },
}
