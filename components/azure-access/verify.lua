local access = require("azure-access.access")

return {
  summary = "The gate of the access: what preflight asks, with a subscription that is named.",
  safety = "observes",
  inputs = { subscription = { type = "string", doc = "Id or name of the subscription." } },
  steps = { { name = "access", checks = access.all } },
}
