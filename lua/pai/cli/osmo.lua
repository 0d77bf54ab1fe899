-- pai osmo: workflows on the embedded engine or on an OSMO service.
local commands = {}
for _, part in ipairs({ "osmo_runs", "osmo_read", "osmo_login", "osmo_data" }) do
  for _, command in ipairs(require("pai.cli." .. part)) do
    commands[#commands + 1] = command
  end
end

return {
  name = "osmo",
  summary = "workflows: submit, validate, list, query, logs, events, cancel, restart",
  usage = "submit|validate|list|query|logs|events|cancel|restart|spec|pools|version|login|data",
  commands = commands,
  examples = {
    { "pai osmo submit flow.yaml --wait", "run a workflow on this machine" },
    { "pai osmo list", "your runs" },
  },
}
