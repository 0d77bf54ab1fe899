local access = require("azure-access.access")

return {
  summary = "Looks whether Azure can be used: login, subscription, roles, providers, region.",
  safety = "observes",
  steps = { { name = "access", checks = access.all } },
  examples = { "pai preflight azure-access subscription=NAME location=eastus2" },
}
