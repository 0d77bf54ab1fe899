-- pai k8s: a cluster's objects, with the context always named and said.
local commands = {}
for _, part in ipairs({ "k8s_read", "k8s_act", "k8s_stream" }) do
  for _, command in ipairs(require("pai.cli." .. part)) do
    commands[#commands + 1] = command
  end
end

return {
  name = "k8s",
  summary = "Kubernetes: get, wait, watch, logs, diagnose, apply, delete, exec, port-forward",
  usage = "contexts|get|wait|watch|logs|diagnose|apply|delete|exec|port-forward|forwards",
  commands = commands,
  examples = {
    { "pai k8s get pods --all", "what runs" },
    { "pai k8s apply --context team app.yaml", "make it so" },
  },
}
