-- Who may act in which Azure subscription, asked before anything is made there.
return {
  api = 1,
  name = "azure-access",
  title = "Access to Azure",
  summary = "Login, subscription, roles, resource providers and region of every Azure component.",
  tags = { "azure", "access" },
  reference = [[
What it is      The login, and one subscription for all Azure components. Nothing is made here but
                registrations of resource providers, and those only by deploy.
Login           az login. In a shell without a browser: pai deploy openclaw-azure-login.
Subscription    Named on every call, by id or name. pai neither runs `az account set` nor
                `az configure`: the defaults of your az stay as they are. Without `subscription`
                preflight looks at the active one and says so; no other is ever chosen.
Roles           Owner of the subscription, or Contributor and User Access Administrator. With PIM:
                activate the eligible role in the portal, wait about a minute, look again.
Providers       A provider that is not Registered is red. Registering changes the subscription for
                everybody, so preflight never does it: pai deploy azure-access subscription=ID.
Region          One that the subscription lists; pass it on to cluster-azure as location=.
Quota           Looked at by cluster-azure, which knows what it asks for.
Teardown        There is none: registrations are shared by all who use the subscription, and your
                login is yours (az logout).

Symptom                          Look at
not logged in                    az login, or openclaw-azure-login
wrong tenant, no subscription    az login --tenant TENANT, then az account list --all
can't be read                    the role is eligible but not active (PIM)
]],
  inputs = {
    subscription = { type = "string", optional = true, doc = "Id or name of the subscription." },
    tenant = {
      type = "string",
      optional = true,
      doc = "Id of the tenant that the subscription must belong to.",
    },
    location = { type = "string", default = "eastus2", doc = "Azure region." },
    providers = {
      type = "list",
      of = "string",
      default = {
        "Microsoft.ContainerService",
        "Microsoft.Compute",
        "Microsoft.Network",
        "Microsoft.Storage",
        "Microsoft.DBforPostgreSQL",
        "Microsoft.Cache",
        "Microsoft.KeyVault",
        "Microsoft.CognitiveServices",
        "Microsoft.OperationalInsights",
        "Microsoft.OperationsManagement",
      },
      doc = "Namespaces of the resource providers that are needed.",
    },
  },
  needs = { bins = { "az" } },
}
