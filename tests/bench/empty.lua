return {
  api = 1,
  name = "empty",
  title = "Nothing",
  summary = "Does nothing, so that what a run itself costs can be measured.",
  safety = "observes",
  steps = {
    {
      name = "nothing",
      run = function()
        return {}
      end,
    },
  },
}
