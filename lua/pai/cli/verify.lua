-- pai verify
local M = {
  name = "verify",
  summary = "look whether components work; changes nothing",
  usage = "COMPONENT... [key=value ...]",
  doc = "Runs the checks of every component that is named side by side, each with a deadline, and "
    .. "gives one verdict: exit code 0 when all are green, 1 when one is red or unknown.",
  options = {
    { name = "input", arg = "FILE", doc = "inputs as JSON or YAML; - is standard input" },
    { name = "target", arg = "TARGET", doc = "local or osmo" },
  },
  examples = {
    { "pai verify cluster-microk8s osmo-k8s", "two components at once" },
    { "pai verify cluster-azure --json", "the same for programs" },
  },
}

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  return require("pai.cli.component_action").look("verify", words, opts)
end

return M
