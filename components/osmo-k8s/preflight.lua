-- Nothing here asks the cluster: a preflight comes before it is made.
local checks_of = require("pai.shared.osmo_checks")
local versions = require("pai.shared.versions")

-- MinIO's own is asked for by deploy, where it is known whether one is to be installed.
local charts, images = checks_of.outside({ "postgres", "redis", "mc", "hello" })

local function microk8s(ctx)
  if not ctx.which("microk8s") then
    return { name = "microk8s version", state = "skipped", measured = "the cluster is not here" }
  end
  return ctx.check.version("microk8s", versions.microk8s.minimum)
end

return {
  summary = "Looks whether OSMO can be deployed from here; changes nothing, asks no cluster.",
  safety = "observes",
  inputs = {
    context = { type = "string", optional = true, doc = "The cluster, once it is there." },
  },
  steps = {
    {
      name = "machine",
      checks = function(ctx, inp)
        local list = checks_of.machine(ctx, inp, "osmo-k8s")
        list[#list + 1] = microk8s(ctx)
        return list
      end,
    },
    charts,
    images,
  },
}
