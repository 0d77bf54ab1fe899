-- From words to the recipe that they ask for, or to the plain answer that it is none of ours.
local words = require("route.words")

return {
  api = 1,
  name = "route",
  title = "What a request asks for",
  summary = "Tells whether a request in words asks for the stack, and with which targets.",
  doc = [[
Reads nothing but the words, asks nobody and starts nothing. A request that asks about a workflow
that ran, its logs or its failure, is not one for setup: the answer says so and names the command.
What the words do not say is named as missing; it is never guessed.
]],
  tags = { "setup" },
  safety = "observes",
  inputs = {
    request = { type = "string", doc = "What was asked, in words." },
  },
  steps = {
    {
      name = "read",
      timeout = "10s",
      run = function(_, inp)
        return words.read(inp.request)
      end,
    },
  },
  returns = {
    mine = { type = "boolean", from = "read.mine", doc = "It asks for the stack." },
    why = { type = "string", from = "read.why", doc = "Why, or why not." },
    command = { type = "string", from = "read.command", doc = "What to run." },
    missing = { type = "list", from = "read.missing", doc = "Inputs that the words leave open." },
  },
  examples = { 'pai run route request="set up AKS with OSMO and NIM Operator"' },
}
