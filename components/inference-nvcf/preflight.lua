local look = require("inference-nvcf.look")

return {
  summary = "Looks whether NVCF answers this key and has the functions; changes nothing.",
  safety = "observes",
  steps = { { name = "endpoints", checks = look.checks } },
}
