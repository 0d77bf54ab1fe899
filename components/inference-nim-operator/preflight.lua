-- Needs no cluster: keys, names, helm, and whether the GPUs that there will be are enough.
local catalog = require("inference-nim-operator.catalog")
local entitled = require("inference-nim-operator.entitled")
local fit = require("inference-nim-operator.fit")
local objects = require("inference-nim-operator.objects")
local select = require("inference-nim-operator.select")

-- HF_TOKEN is needed where an object names its Secret, not where there is a download.
local function hf_check(ctx, known)
  local check = ctx.check.secret("hf")
  if not objects.secrets(known)["hf-token-secret"] then
    return { name = "HF_TOKEN", state = "skipped", measured = "no NIM that is named refers to it" }
  end
  local users = {}
  for _, name in ipairs(known) do
    if objects.secrets({ name })["hf-token-secret"] then
      users[#users + 1] = name
    end
  end
  check.expected = "set, for " .. table.concat(users, ", ")
  return check
end

local function tolerations_check(inp)
  local _, problem = objects.tolerations(inp.tolerations)
  return {
    name = "tolerations",
    state = problem and "red" or "ok",
    measured = problem or ("%d"):format(#(inp.tolerations or {})),
  }
end

return {
  summary = "Looks at keys, names, helm and GPU figures; needs no cluster and changes nothing.",
  safety = "observes",
  inputs = {
    context = { type = "string", optional = true, doc = "Not used yet: there may be no cluster." },
  },
  steps = {
    {
      name = "inference",
      checks = function(ctx, inp)
        local known = select.known(inp)
        local checks = {
          ctx.check.version("helm", catalog.LOCK.helm),
          ctx.check.secret("ngc"),
          hf_check(ctx, known),
          tolerations_check(inp),
        }
        for _, check in ipairs(select.checks(inp)) do
          checks[#checks + 1] = check
        end
        if #known > 0 then
          checks[#checks + 1] = fit.planned(known, inp)
        end
        return checks
      end,
    },
    entitled.step(),
  },
  examples = { "pai preflight inference-nim-operator nims=qwen25-14b,cosmos-transfer" },
}
