-- One login, from the code to its end.
local login = require("openclaw-azure-login.login")

return {
  summary = "Logs in with a device code, unless a login with the subscription is there.",
  safety = "changes",
  locks = function()
    return { "azure-login" }
  end,
  steps = {
    {
      name = "login",
      timeout = "35m",
      done = function(ctx, inp)
        local accounts = login.accounts(ctx, inp)
        local account = accounts and login.wanted(accounts, inp)
        return account and { subscription = account.id, name = account.name }
      end,
      run = function(ctx, inp)
        ctx.tools.az.login_by_code({
          tenant = inp.tenant,
          config_dir = inp.config_dir,
          on_code = function(url, code)
            ctx.log(("open %s and enter the code %s"):format(url, code))
            ctx.heartbeat({
              state = "waiting",
              observation = ("open %s and enter the code %s"):format(url, code),
              next = "az ends by itself when you have signed in",
            })
          end,
        })
        local accounts, why = login.accounts(ctx, inp)
        local account = accounts and login.wanted(accounts, inp)
        if not account then
          error("logged in, but " .. (why or "without the subscription that is wanted"), 0)
        end
        return { subscription = account.id, name = account.name }
      end,
      verify = function(ctx, inp)
        return { login.check(ctx, inp) }
      end,
    },
  },
  returns = {
    subscription = { type = "string", from = "login.subscription", doc = "Id of the account." },
  },
  examples = { "pai deploy openclaw-azure-login", "pai deploy openclaw-azure-login tenant=ID" },
}
