-- The resilience drills: pai verify --drill cluster-onprem. Each takes a part of the cluster away,
-- looks what becomes of the rest, and leaves the cluster as it was found.
local drain = require("cluster-onprem.drill_drain")
local driver = require("cluster-onprem.drill_driver")
local inputs = require("cluster-onprem.inputs")
local speaker = require("cluster-onprem.drill_speaker")

local DRILLS <const> = {
  ["control-plane"] = {
    title = "Drain a control plane",
    look = drain.look,
    run = drain.run,
    undo = drain.undo,
  },
  ["driver-pod"] = {
    title = "Delete the driver pod of a GPU node",
    look = driver.look,
    run = driver.run,
    undo = driver.undo,
  },
  speaker = {
    title = "Kill the MetalLB speaker that announces an address",
    look = speaker.look,
    run = speaker.run,
    undo = speaker.undo,
  },
}

-- A drill is never done already. A resumed one goes on with what was found before it began.
local function never()
  return nil
end

local function step(name)
  local drill = DRILLS[name]
  return {
    name = name,
    title = drill.title,
    after = { "found" },
    timeout = "4h",
    when = function(inp)
      return inp.drill == name, "drill=" .. inp.drill
    end,
    done = never,
    run = function(ctx, inp, got)
      return drill.run(ctx, inp, got.found)
    end,
    cancel = function(ctx, inp)
      drill.undo(ctx, inp)
    end,
    verify = function(_, _, got)
      return got[name].checks
    end,
  }
end

return {
  summary = "Takes a part of the cluster away for a while and looks whether the rest goes on.",
  doc = [[
control-plane  cordons a control plane and evicts its pods; the API must answer through the VIP all
               the while, Longhorn's volumes degrade and are rebuilt. A PodDisruptionBudget is
               honoured: what it holds for longer than budget_timeout= ends the drill, and is named.
driver-pod     deletes the driver pod of a GPU node that is idle; its GPUs must come back, as many
               as there were, and compute.
speaker        a Service gets an address, the speaker that announces it is killed; another node must
               announce it. Other addresses of that node move for the moment, too.

One drill a run. It begins only where all is well, asks first (--yes without a terminal), and leaves
the cluster as it was found: the node is uncordoned after an error, a cancel and Ctrl-C. After a
kill pai resume or pai runs cancel does it; until then another drill is refused.
]],
  safety = "destroys",
  inputs = inputs.of(inputs.probe, {
    context = { type = "string", doc = "The cluster, by its context in the kubeconfig." },
    drill = {
      type = "enum",
      values = { "control-plane", "driver-pod", "speaker" },
      doc = "Which of them.",
    },
    node = {
      type = "string",
      optional = true,
      doc = "Control plane or GPU node; default: the VIP's carrier, or the first that is idle.",
    },
    take_over = {
      type = "boolean",
      default = false,
      doc = "Undo what a drill of another run has left; that run must have ended.",
    },
    emptydir = {
      type = "boolean",
      default = false,
      doc = "Evict pods with an emptyDir, too: what is in it is lost.",
    },
    budget_timeout = {
      type = "duration",
      default = "10m",
      doc = "How long pods may hold up the drain.",
    },
    degrade_timeout = {
      type = "duration",
      default = "3m",
      doc = "How long attached volumes are given to show that a replica is gone.",
    },
    rebuild_timeout = { type = "duration", default = "1h", doc = "Of the volumes' rebuild." },
    api_gap = {
      type = "integer",
      default = 5,
      min = 0,
      doc = "Seconds that the API may be away in one piece; a shorter gap is yellow.",
    },
    timeout = { type = "duration", default = "30m", doc = "Until what was taken away is back." },
    patience = {
      type = "integer",
      default = 600,
      min = 0,
      doc = "Seconds that trouble below a workload may last before it ends a wait.",
    },
  }),
  needs = { clusters = { "@context" }, hosts = { "@lb_address" } },
  locks = function(inp)
    return { "kube:" .. inp.context }
  end,
  steps = {
    {
      name = "left",
      title = "What another drill has left",
      safety = "changes",
      timeout = "2h",
      when = function(inp)
        return inp.take_over, "take_over=false"
      end,
      done = never,
      run = drain.take_over,
      verify = function(_, _, got)
        return got.left.checks
      end,
    },
    {
      name = "found",
      title = "All is well before",
      after = { "left" },
      safety = "observes",
      timeout = "5m",
      done = never,
      run = function(ctx, inp)
        return DRILLS[inp.drill].look(ctx, inp)
      end,
      verify = function(_, _, got)
        return got.found.checks
      end,
    },
    step("control-plane"),
    step("driver-pod"),
    step("speaker"),
  },
  examples = {
    "pai verify --drill cluster-onprem context=racks drill=control-plane",
    "pai verify --drill cluster-onprem context=racks drill=speaker lb_address=192.0.2.40",
  },
}
