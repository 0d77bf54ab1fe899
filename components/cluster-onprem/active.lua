-- The active tests of a cluster: pai verify --active cluster-onprem.
local inputs = require("cluster-onprem.inputs")
local probe = require("cluster-onprem.probe")
local network = require("cluster-onprem.trials_network")
local trials = require("cluster-onprem.trials")

local TESTS <const> = {
  gpu = trials.gpu,
  storage = trials.storage,
  loadbalancer = network.loadbalancer,
  network = network.bandwidth,
}

local TITLES <const> = {
  gpu = "A CUDA kernel on each GPU node",
  storage = "A Longhorn volume from worker to worker",
  loadbalancer = "A Service with an address of MetalLB's",
  network = "Bandwidth of the second interfaces",
}

-- A test is never done already: it says how the cluster is now. What an earlier one has left in its
-- namespace goes first.
local function step(name)
  return {
    name = name,
    title = TITLES[name],
    timeout = "2h",
    when = function(inp)
      for _, wanted in ipairs(inp.tests) do
        if wanted == name then
          return true
        end
      end
      return false, "tests= does not name it"
    end,
    done = function()
      return nil
    end,
    run = function(ctx, inp)
      return TESTS[name](ctx, inp)
    end,
    cancel = function(ctx, inp)
      probe.clean(ctx, inp, name)
    end,
    verify = function(_, _, got)
      return got[name].checks
    end,
  }
end

return {
  summary = "Puts work on the cluster and takes it away again: GPUs, volumes, addresses, network.",
  doc = [[
gpu           CUDA's vectorAdd on every node that has a GPU, through the RuntimeClass nvidia
storage       one volume of Longhorn's, written on each worker in turn, what was written before read
loadbalancer  a Service gets an address of a pool; with lb_address= it is asked from this machine
network       iperf between two workers over the network rail=

Each test has a namespace pai-active-TEST of its own, which goes whatever becomes of the test: also
after an error or Ctrl-C. After a kill its pods end by themselves within half an hour; the rest goes
with pai resume, with pai runs cancel, or with the next run.
]],
  safety = "changes",
  inputs = inputs.of(inputs.probe, {
    context = { type = "string", doc = "The cluster, by its context in the kubeconfig." },
    tests = {
      type = "list",
      of = "enum",
      values = { "gpu", "storage", "loadbalancer", "network" },
      default = { "gpu", "storage", "loadbalancer" },
      doc = "Which of them.",
    },
    storage_class = { type = "string", default = "longhorn", doc = "Class of the volume." },
    rail = { type = "string", default = "rail", pattern = "%l[%l%d-]*", doc = "Second network." },
    min_gbit = { type = "number", default = 0, min = 0, doc = "Least bandwidth, in Gbit/s." },
    timeout = { type = "duration", default = "15m", doc = "Of each Job." },
    patience = {
      type = "integer",
      default = 180,
      min = 0,
      doc = "Seconds that trouble below a workload may last before it ends a wait.",
    },
  }),
  needs = { clusters = { "@context" }, hosts = { "@lb_address" } },
  locks = function(inp)
    return { "kube:" .. inp.context }
  end,
  steps = { step("gpu"), step("storage"), step("loadbalancer"), step("network") },
  examples = {
    "pai verify --active cluster-onprem context=racks",
    "pai verify --active cluster-onprem context=racks tests=network min_gbit=100",
  },
}
