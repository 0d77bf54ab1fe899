-- NVIDIA Cloud Functions that others have deployed: nothing is installed, everything is asked.
return {
  api = 1,
  name = "inference-nvcf",
  title = "Inference on NVIDIA Cloud Functions",
  summary = "Endpoints deployed at NVCF: reachable, authorised, active, answering.",
  tags = { "inference", "nvcf" },
  reference = [[
What it is      Endpoints of an NGC organisation at NVCF. They are deployed by their owner; here
                they are looked up, checked and called once.
Key             NGC_API_KEY: one key of the organisation for NVCF, nvcr.io and the NGC tools. The
                name NVCF_API_KEY is taken too. A personal (legacy) key is answered with 401. A Brev
                organisation belongs to exactly one NGC organisation.
Endpoints       LLAMA31_8B_URL (chat; the function is called Nurec), QWEN25_14B_URL (chat),
                QWEN3_VL_30B_URL (chat about images and video), COSMOS_PREDICT1_URL (video world
                model), COSMOS_TRANSFER25_URL (video style transfer). Others by id: functions=ID,ID
URL             https://api.nvcf.nvidia.com/v2/nvcf/pexec/functions/ID[/versions/VERSION]
preflight       The key is there; the API answers at all; it answers 200 to this key; each function
                is listed and ACTIVE. skip_network=true leaves all requests out, and says so.
deploy          Deploys nothing. Each chat endpoint gets a small question and must answer it right.
                A video model has no small question: its being ACTIVE is all that is looked at.
verify          The same look as preflight's; it sends no question.
teardown        There is none: nothing here was made by pai. Functions belong to their owner, who
                removes them at NGC.
Rotation        Replace the key, then run the deploy of every component that put it into a cluster
                (inference-nim-operator, osmo-k8s, osmo-azure): they refresh their pull secrets.

Symptom                  Cause                            Next
HTTP 401                 a personal key                   make a key of the organisation
HTTP 403                 a key of another organisation    use the organisation that Brev belongs to
no function is listed    nothing is deployed              ask the functions' owner
image pull fails         the pull secret is stale         deploy the component that makes it again
]],
  inputs = {
    ngc = {
      type = "secret",
      env = "NGC_API_KEY",
      optional = true,
      hosts = { "api.nvcf.nvidia.com", "127.0.0.1" },
      doc = "Key of the NGC organisation.",
    },
    nvcf = {
      type = "secret",
      env = "NVCF_API_KEY",
      optional = true,
      hosts = { "api.nvcf.nvidia.com", "127.0.0.1" },
      doc = "The same key by its other name; ngc comes first.",
    },
    functions = {
      type = "list",
      of = "string",
      optional = true,
      doc = "Ids or URLs of further functions that must be active.",
    },
    llama31_8b = {
      type = "string",
      env = "LLAMA31_8B_URL",
      optional = true,
      doc = "URL of Llama 3.1 8B Instruct.",
    },
    qwen25_14b = {
      type = "string",
      env = "QWEN25_14B_URL",
      optional = true,
      doc = "URL of Qwen2.5 14B Instruct.",
    },
    qwen3_vl_30b = {
      type = "string",
      env = "QWEN3_VL_30B_URL",
      optional = true,
      doc = "URL of Qwen3 VL 30B.",
    },
    cosmos_predict1 = {
      type = "string",
      env = "COSMOS_PREDICT1_URL",
      optional = true,
      doc = "URL of Cosmos Predict 1.",
    },
    cosmos_transfer25 = {
      type = "string",
      env = "COSMOS_TRANSFER25_URL",
      optional = true,
      doc = "URL of Cosmos Transfer 2.5.",
    },
    skip_network = {
      type = "boolean",
      env = "PHYSICAL_AI_PREFLIGHT_SKIP_NETWORK",
      default = false,
      doc = "Leave out what asks the network.",
    },
    api = {
      type = "string",
      default = "https://api.nvcf.nvidia.com",
      doc = "The API's origin. The key is given to NVCF and to this machine only.",
    },
  },
  needs = { hosts = { "api.nvcf.nvidia.com", "127.0.0.1" } },
}
