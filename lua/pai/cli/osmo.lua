-- pai osmo: workflows on the embedded engine or on an OSMO service. The names are those of OSMO's
-- own command line; what it has under `workflow` is found without that word, too.
local no_rsync = require("pai.cli.osmo_common").NO_RSYNC

local workflow = {}
for _, part in ipairs({ "osmo_runs", "osmo_read", "osmo_session" }) do
  for _, command in ipairs(require("pai.cli." .. part)) do
    workflow[#workflow + 1] = command
  end
end
local commands = table.move(workflow, 1, #workflow, 1, {})
for _, part in ipairs({
  "osmo_pool",
  "osmo_info",
  "osmo_user",
  "osmo_credential",
  "osmo_token",
  "osmo_config",
  "osmo_app",
  "osmo_login",
  "osmo_data",
}) do
  for _, command in ipairs(require("pai.cli." .. part)) do
    commands[#commands + 1] = command
  end
end
commands[#commands + 1] = {
  name = "workflow",
  summary = "the same commands, under the name that they have in OSMO's own command line",
  usage = "submit|validate|list|query|logs|...",
  commands = workflow,
  refused = no_rsync,
  examples = { { "pai osmo workflow list", "pai osmo list" } },
}

return {
  name = "osmo",
  summary = "workflows: submit, validate, list, query, logs, events, cancel, restart, and more",
  usage = "COMMAND",
  doc = "Without --target, the OSMO of OSMO_URL or of the login file is meant, and this machine's "
    .. "embedded engine where there is none. `--target local` is always the engine.",
  commands = commands,
  refused = {
    ["log-level"] = "pai keeps no log of its own; messages go to standard error",
    rsync = no_rsync.rsync,
  },
  examples = {
    { "pai osmo submit flow.yaml --wait", "run a workflow" },
    { "pai osmo list", "your runs" },
    { "pai osmo validate flow.yaml", "check a workflow, offline" },
  },
}
