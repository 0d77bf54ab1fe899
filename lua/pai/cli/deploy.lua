-- pai deploy
local M = {
  name = "deploy",
  summary = "deploy components, in the order given",
  usage = "COMPONENT... [key=value ...]",
  doc = "Deploys each component that is named, in that order, as one run: it is journalled and "
    .. "goes on with `pai resume`. The first red gate stops it.",
  options = {
    { name = "input", arg = "FILE", doc = "inputs as JSON or YAML; - is standard input" },
    { name = "plan", arg = "DIGEST", doc = "run only what this plan showed" },
    { name = "yes", doc = "confirm steps that destroy" },
    { name = "allow-dirty", doc = "run with changes that are not committed" },
    { name = "target", arg = "TARGET", doc = "local or osmo" },
    { name = "run-id", arg = "ID", doc = "the id of the run, run-…" },
    { name = "plain", doc = "plain lines, also on a terminal" },
  },
  examples = {
    { "pai deploy cluster-microk8s", "one component" },
    { "pai deploy osmo-k8s inference-nim-operator --json", "two, events as JSON Lines" },
  },
}

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  return require("pai.cli.component_action").act("deploy", words, opts)
end

return M
