local login = require("openclaw-azure-login.login")

return {
  summary = "The gate of the login: somebody is logged in and has a subscription.",
  safety = "observes",
  steps = {
    {
      name = "login",
      checks = function(ctx, inp)
        return { login.check(ctx, inp) }
      end,
    },
  },
}
