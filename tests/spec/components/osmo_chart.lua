-- A chart that reads the keys of OSMO's service chart 1.4.0, which can't be had here.
local exec = require("pai.exec")
local fs = require("pai.fs")
local yaml = require("pai.yaml")

-- What the chart does with the keys: a Deployment each, the gateway's Service, the whole as JSON.
local TEMPLATE <const> = [[
{{- range $name := list "service" "router" "agent" "worker" "logger" }}
{{- with index $.Values.services $name }}
apiVersion: apps/v1
kind: Deployment
metadata: {name: osmo-{{ $name }}}
spec:
  replicas: {{ .scaling.minReplicas }}
  selector: {matchLabels: {app: {{ $name }}}}
  template:
    metadata: {labels: {app: {{ $name }}}}
    spec:
      containers:
        - name: main
          {{- with $.Values.global }}
          image: {{ .osmoImageLocation }}/{{ $name }}:{{ .osmoImageTag }}
          {{- end }}
---
{{- end }}
{{- end }}
apiVersion: v1
kind: Service
metadata: {name: osmo-gateway}
spec:
  type: {{ .Values.gateway.envoy.service.type }}
  ports: [{port: 80}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: values}
data: {values: {{ .Values | toJson | quote }}}
]]

local M = {}

---Renders it.
---@param helm string the program
---@param dir string a folder for this
---@param defaults table values of the chart's own
---@param given table values of a file
---@param template string? other than the chart's
---@return string text
function M.render(helm, dir, defaults, given, template)
  fs.mkdir(dir .. "/chart/templates", { parents = true })
  assert(fs.write(dir .. "/chart/Chart.yaml", "apiVersion: v2\nname: service\nversion: 1.4.0\n"))
  assert(fs.write(dir .. "/chart/values.yaml", yaml.encode(defaults)))
  assert(fs.write(dir .. "/chart/templates/all.yaml", template or TEMPLATE))
  assert(fs.write(dir .. "/given.yaml", yaml.encode(given)))
  local argv = { helm, "template", "osmo-minimal", dir .. "/chart" }
  table.move({ "--values", dir .. "/given.yaml" }, 1, 2, 5, argv)
  return assert(exec.run(argv, { timeout = "60s", env = { HOME = dir } })).stdout
end

---@param pull boolean
---@param user table? the user's values
---@return pai.osmo_deploy.Conf
function M.conf(pull, user)
  return {
    namespaces = {
      service = "osmo-minimal",
      operator = "osmo-operator",
      workflows = "osmo-workflows",
    },
    pull = pull,
    gpu = true,
    storage = { base_url = "s3://osmo-workflows" },
    values = user,
  }
end

return M
