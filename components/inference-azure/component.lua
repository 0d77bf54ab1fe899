-- Models of Azure AI Foundry, paid by the token.
return {
  api = 1,
  name = "inference-azure",
  title = "Models of Azure AI Foundry",
  summary = "Deploys models in the Foundry account of cluster-azure and asks each one a question.",
  tags = { "inference", "azure" },
  reference = [[
What it is      Deployments of models in a Cognitive Services account of kind AIServices, the one
                that cluster-azure makes. Serverless endpoints of `az ml` need a machine learning
                workspace, which is another resource and not made here.
Models          llama-3-1-8b     Meta-Llama-3.1-8B-Instruct     text-llm, chat
                llama-3-1-70b    Meta-Llama-3.1-70B-Instruct    text-llm, chat
                phi-3-5-vision   Phi-3.5-vision-instruct        vlm, image-qa, chat
                deepseek-r1      DeepSeek-R1                    text-llm, reasoning
                None makes or restyles video: a workflow that needs it wants NIM or NVCF.
Version         The one that the account lists as the default, looked up at deploy.
Target          resource_group and account, or the outputs of cluster-azure in dir.
Gate            The deployment has Succeeded, and the model answers an authenticated question.
Key             Goes from az into the request's header; no argument, file or line holds it.
Another model   A deployment of that name with another model is red; replace=true deletes it first.
az              The defaults of your az stay as they are; each call names what it means.
Teardown        Deletes the deployments that models= names; the account is cluster-azure's.

Symptom                          Look at
not offered                      region and quota of the account: az cognitiveservices account
                                 list-models
terms not accepted               models of partners: accept them in the Marketplace
401, 403                         the key was turned off (disableLocalAuth), or the network rules
429                              capacity= is too small
]],
  inputs = {
    subscription = { type = "string", optional = true, doc = "Id or name of the subscription." },
    models = {
      type = "list",
      of = "enum",
      values = { "llama-3-1-8b", "llama-3-1-70b", "phi-3-5-vision", "deepseek-r1" },
      default = { "llama-3-1-8b" },
      doc = "Which models; each deployment has the name of its model here.",
    },
    capabilities = {
      type = "list",
      of = "string",
      default = {},
      doc = "What the workload needs: text-llm, chat, vlm, image-qa, reasoning.",
    },
    resource_group = { type = "string", optional = true, doc = "Group of the account." },
    account = { type = "string", optional = true, doc = "The AIServices account." },
    dir = { type = "path", default = "infra/cluster-azure", doc = "State of cluster-azure." },
    endpoint = {
      type = "string",
      optional = true,
      doc = "URL of the account's model API, if it is not ACCOUNT.services.ai.azure.com.",
    },
    replace = {
      type = "boolean",
      default = false,
      doc = "For deploy: deletes a deployment of the same name that has another model.",
    },
    sku = { type = "string", default = "GlobalStandard", doc = "Kind of deployment." },
    capacity = { type = "integer", default = 1, min = 1, doc = "Thousands of tokens a minute." },
  },
  needs = {
    bins = { "az", "terraform" },
    hosts = { "*.services.ai.azure.com", "@endpoint" },
  },
}
