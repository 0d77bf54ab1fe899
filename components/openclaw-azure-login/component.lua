-- Azure login from a shell that has no browser, such as a chat.
return {
  api = 1,
  name = "openclaw-azure-login",
  title = "Azure login with a device code",
  summary = "Logs in to Azure from a shell without a browser; the code is shown at once.",
  tags = { "azure", "access" },
  reference = [[
What it is      `az login --use-device-code`, in one process from the code to the end. The page and
                the code are shown as soon as az prints them; enter the code in any browser.
One login       While one waits, no second is started: its code would be another. Only when the
                first has expired or failed is a new one made, and the new code is shown.
Code            A device code is a credential for some minutes, and showing it is the purpose here.
                Give it to nobody else. Tokens stay in az's own folder and are never printed.
Config folder   ~/.azure, or what AZURE_CONFIG_DIR or config_dir names: private, ignored by git.
                Tokens never go into .env.
Subscription    Checked afterwards, never chosen: components name theirs on each call.
Teardown        There is none: the login is yours, and other work may need it (az logout).

Symptom                          Look at
AADSTS..., tenant denied         pass tenant=TENANT
code expired                     deploy again and enter the new code
PermissionError                  pass config_dir=, a private folder that git ignores
no subscriptions                 stop here: nothing else can work; ask for access
Conditional Access, MFA          leave the command running; it ends when you have signed in
]],
  inputs = {
    subscription = { type = "string", optional = true, doc = "Id or name that must be there." },
    tenant = { type = "string", optional = true, doc = "Id or domain of the tenant." },
    config_dir = {
      type = "path",
      optional = true,
      env = "AZURE_CONFIG_DIR",
      doc = "az's own folder, if it is not ~/.azure.",
    },
  },
  needs = { bins = { "az", "git" }, reads = { "git check-ignore", "git rev-parse" } },
}
