local gate = require("inference-nim-operator.gate")
local select = require("inference-nim-operator.select")

return {
  summary = "Looks whether the operator and each NIM are as they were deployed, and answer.",
  safety = "observes",
  needs = { clusters = { "@context" } },
  steps = {
    { name = "operator", timeout = "3m", checks = gate.operator },
    {
      name = "nims",
      timeout = "3m",
      checks = function(ctx, inp)
        local checks = select.checks(inp)
        for _, check in ipairs(gate.services(ctx, inp, select.known(inp))) do
          checks[#checks + 1] = check
        end
        return checks
      end,
    },
  },
}
