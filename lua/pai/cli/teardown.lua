-- pai teardown
local M = {
  name = "teardown",
  summary = "tear components down, in the order given",
  usage = "COMPONENT... [key=value ...]",
  doc = "Tears down each component that is named, in that order, as one run. What destroys asks "
    .. "first; without a terminal, --yes or --plan answers.",
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
    { "pai teardown cluster-microk8s", "one component" },
    { "pai teardown osmo-k8s inference-nim-operator --json", "two, events as JSON Lines" },
  },
}

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  return require("pai.cli.component_action").act("teardown", words, opts)
end

return M
