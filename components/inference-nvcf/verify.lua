local look = require("inference-nvcf.look")

return {
  summary = "Looks whether every function is still listed and active.",
  safety = "observes",
  steps = { { name = "endpoints", checks = look.checks } },
}
