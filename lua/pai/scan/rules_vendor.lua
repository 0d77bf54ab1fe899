-- Rules for tokens that services mark with a prefix. What a field means: pai.scan.rules.
local p = require("pai.scan.parts")
local L, R, SEP <const> = p.L, p.R, p.SEP

-- A token with a prefix: keywords begin it, form is all of it.
local function token(id, what, keywords, form, more)
  local rule = {
    id = id,
    severity = "high",
    description = what,
    exact = true,
    keywords = keywords,
    pattern = L .. "(" .. form .. ")" .. R,
    entropy = 3.0,
    shown = 4,
  }
  for key, value in pairs(more) do
    rule[key] = value
  end
  return rule
end

-- A value that only its label tells.
local function labelled(id, what, keywords, form, more)
  local rule = {
    id = id,
    severity = "high",
    description = what,
    keywords = keywords,
    label = true,
    pattern = "(?i:[A-Za-z_-]{4,40})" .. SEP .. "(" .. form .. ")" .. R,
    entropy = 3.0,
    shown = 4,
  }
  for key, value in pairs(more) do
    rule[key] = value
  end
  return rule
end

local ANY <const> = p.ALNUM .. p.ALNUM:sub(1, 26):upper()

return {
  token(
    "huggingface-token",
    "Hugging Face access token",
    p.join(p.after("hf_", ANY), { "api_org_" }),
    "(?:hf|api_org)_[A-Za-z0-9]{34}",
    { source = "Hugging Face documentation: user access tokens" }
  ),
  token(
    "github-token",
    "GitHub token (personal, OAuth, app, refresh)",
    { "ghp_", "gho_", "ghu_", "ghs_", "ghr_" },
    "gh[pousr]_[A-Za-z0-9]{36,255}",
    { source = "GitHub documentation: token formats; the last 6 are a CRC-32", check = "crc32" }
  ),
  token(
    "github-fine-grained-token",
    "GitHub fine-grained personal access token",
    { "github_pat_" },
    "github_pat_[A-Za-z0-9_]{82}",
    { source = "GitHub documentation: token formats" }
  ),
  token(
    "gitlab-token",
    "GitLab personal, project or group access token",
    { "glpat-" },
    "glpat-[A-Za-z0-9_-]{20,300}(?:\\.[A-Za-z0-9_.-]{2,40})?",
    { source = "GitLab documentation: token prefixes" }
  ),
  token(
    "gitlab-service-token",
    "GitLab runner, deploy, trigger, job, feed, agent or OAuth token",
    { "glrt-", "gldt-", "glptt-", "glcbt-", "glft-", "glagent-", "gloas-", "glimt-", "glsoat-" },
    "gl(?:rt|dt|ptt|cbt|ft|agent|oas|imt|soat)-[A-Za-z0-9_-]{20,300}",
    { source = "GitLab documentation: token prefixes" }
  ),
  token(
    "dockerhub-token",
    "Docker Hub access token",
    { "dckr_pat_", "dckr_oat_" },
    "dckr_(?:pat_[A-Za-z0-9_-]{27}|oat_[A-Za-z0-9_-]{32})",
    { source = "Docker documentation: access tokens" }
  ),
  token(
    "slack-token",
    "Slack token",
    { "xoxa-", "xoxb-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-", "xoxe.", "xoxd-" },
    "xox[abdeoprs][.-][A-Za-z0-9.%-]{20,250}|xapp-[0-9]-[A-Za-z0-9-]{20,250}",
    { source = "Slack documentation: token types" }
  ),
  {
    id = "slack-webhook",
    severity = "high",
    description = "Slack incoming webhook",
    source = "Slack documentation: incoming webhooks",
    keywords = { "hooks.slack.com/" },
    pattern = "hooks\\.slack\\.com/(?:services|workflows|triggers)/"
      .. "([A-Z0-9]{8,12}/[A-Za-z0-9]{8,14}"
      .. "/[A-Za-z0-9/]{18,60})",
    entropy = 3.0,
  },
  {
    id = "teams-webhook",
    severity = "high",
    description = "Microsoft Teams incoming webhook",
    source = "Microsoft Teams documentation: incoming webhooks",
    keywords = { ".webhook.office.com/" },
    pattern = "\\.webhook\\.office\\.com/webhookb2/([A-Za-z0-9@-]{36,90}/IncomingWebhook/"
      .. "[A-Za-z0-9]{32}/[A-Za-z0-9/-]{36,120})",
    entropy = 3.0,
  },
  {
    id = "discord-webhook",
    severity = "high",
    description = "Discord webhook",
    source = "Discord documentation: webhooks",
    keywords = { "/api/webhooks/" },
    pattern = "/api/webhooks/[0-9]{17,20}/([A-Za-z0-9_-]{60,80})" .. R,
    entropy = 3.5,
  },
  token(
    "anthropic-key",
    "Anthropic API key",
    { "sk-ant-" },
    "sk-ant-(?:api|admin|oat)[0-9]{2}-[A-Za-z0-9_-]{20,200}",
    { source = "Anthropic documentation: API keys", entropy = 3.5 }
  ),
  token(
    "openrouter-key",
    "OpenRouter API key",
    { "sk-or-v1-" },
    "sk-or-v1-[0-9a-f]{64}",
    { source = "OpenRouter documentation: authentication" }
  ),
  token(
    "openai-anthropic-key",
    "OpenAI API key, or another one of the form sk-...",
    p.after("sk-", ANY),
    "sk-(?:proj-|svcacct-|admin-|None-)?[A-Za-z0-9_-]{20,200}",
    { source = "OpenAI documentation: API keys", entropy = 3.5, check = "mixed" }
  ),
  token(
    "groq-key",
    "Groq API key",
    { "gsk_" },
    "gsk_[A-Za-z0-9]{52}",
    { source = "Groq documentation: API keys" }
  ),
  token(
    "xai-key",
    "xAI API key",
    { "xai-" },
    "xai-[A-Za-z0-9]{80}",
    { source = "xAI documentation: API keys" }
  ),
  token(
    "perplexity-key",
    "Perplexity API key",
    { "pplx-" },
    "pplx-[A-Za-z0-9]{48,56}",
    { source = "Perplexity documentation: API keys" }
  ),
  token(
    "replicate-token",
    "Replicate API token",
    p.after("r8_", ANY),
    "r8_[A-Za-z0-9]{37}",
    { source = "Replicate documentation: API tokens" }
  ),
  labelled(
    "wandb-key",
    "Weights & Biases API key beside its label",
    { "wandb_api_key", "wandb-api-key", "wandb_key" },
    "[0-9a-f]{40}|wandb_v1_[A-Za-z0-9_]{60,100}",
    { source = "Weights & Biases documentation: API keys are 40 hex digits" }
  ),
  token(
    "vault-token",
    "HashiCorp Vault token",
    { "hvs.", "hvb.", "hvr." },
    "hv[sbr]\\.[A-Za-z0-9_-]{90,300}",
    { source = "Vault documentation: token prefixes", entropy = 3.5 }
  ),
  token(
    "npm-token",
    "npm access token",
    { "npm_" },
    "npm_[A-Za-z0-9]{36}",
    { source = "npm documentation: access tokens; the last 6 are a CRC-32", check = "crc32" }
  ),
  {
    id = "npmrc-auth",
    severity = "high",
    description = "credential in an .npmrc",
    source = "npm documentation: .npmrc",
    keywords = { ":_authToken", ":_password", ":_auth", "_auth=" },
    pattern = '(?i::?_(?:authToken|password|auth))[ ]{0,2}=[ ]{0,2}"?([A-Za-z0-9_+/.=-]{16,500})',
    entropy = 3.0,
    allow = "samples",
  },
  token(
    "pypi-token",
    "PyPI API token",
    { "pypi-AgE" },
    "pypi-AgE[A-Za-z0-9_-]{50,1000}",
    { source = "PyPI documentation: API tokens are macaroons", entropy = 3.5 }
  ),
  token(
    "rubygems-key",
    "RubyGems API key",
    { "rubygems_" },
    "rubygems_[0-9a-f]{48}",
    { source = "RubyGems documentation: API keys" }
  ),
  token(
    "stripe-key",
    "Stripe secret or restricted key",
    { "sk_live_", "rk_live_", "sk_test_", "rk_test_", "whsec_" },
    "(?:[sr]k_(?:live|test)_[A-Za-z0-9]{20,250}|whsec_[A-Za-z0-9+/]{32,64})",
    { source = "Stripe documentation: API keys, webhook secrets" }
  ),
  token(
    "sendgrid-key",
    "SendGrid API key",
    p.after("SG.", ANY .. "_-"),
    "SG\\.[A-Za-z0-9_-]{22}\\.[A-Za-z0-9_-]{43}",
    { source = "SendGrid documentation: API keys", entropy = 3.5 }
  ),
  labelled(
    "twilio-token",
    "Twilio auth token or API key secret beside its label",
    { "twilio" },
    "[0-9a-f]{32}|[A-Za-z0-9]{32}",
    { source = "Twilio documentation: auth tokens" }
  ),
  labelled(
    "datadog-key",
    "Datadog API or application key beside its label",
    { "dd_api_key", "dd_app_key", "datadog_api_key", "datadog_app_key", "dd-api-key" },
    "[0-9a-f]{40}|[0-9a-f]{32}",
    { source = "Datadog documentation: API and application keys" }
  ),
  token(
    "newrelic-key",
    "New Relic user key",
    { "NRAK-" },
    "NRAK-[A-Z0-9]{27}",
    { source = "New Relic documentation: API keys" }
  ),
  token(
    "grafana-token",
    "Grafana service account token",
    { "glsa_" },
    "glsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}",
    { source = "Grafana documentation: service account tokens" }
  ),
  token(
    "grafana-cloud-token",
    "Grafana Cloud access policy token",
    { "glc_eyJ" },
    "glc_eyJ[A-Za-z0-9+/]{60,400}={0,2}",
    { source = "Grafana Cloud documentation: access policies" }
  ),
  token(
    "databricks-token",
    "Databricks personal access token",
    { "dapi" },
    "dapi[0-9a-f]{32}(?:-[0-9])?",
    { source = "Databricks documentation: personal access tokens" }
  ),
  token(
    "digitalocean-token",
    "DigitalOcean token",
    { "dop_v1_", "doo_v1_", "dor_v1_" },
    "do[opr]_v1_[0-9a-f]{64}",
    { source = "DigitalOcean documentation: personal access tokens" }
  ),
  token(
    "pulumi-token",
    "Pulumi access token",
    { "pul-" },
    "pul-[0-9a-f]{40}",
    { source = "Pulumi documentation: access tokens" }
  ),
  token(
    "doppler-token",
    "Doppler token",
    { "dp.pt.", "dp.st.", "dp.ct.", "dp.sa.", "dp.audit." },
    "dp\\.(?:pt|ct|sa|audit|st(?:\\.[a-z0-9_-]{2,35})?)\\.[A-Za-z0-9]{40,44}",
    { source = "Doppler documentation: token formats" }
  ),
  token(
    "tailscale-key",
    "Tailscale key",
    { "tskey-" },
    "tskey-[a-z]{2,12}-[A-Za-z0-9]{6,24}(?:CNTRL)?-[A-Za-z0-9]{16,40}",
    { source = "Tailscale documentation: key prefixes" }
  ),
  token(
    "linear-key",
    "Linear API key",
    { "lin_api_" },
    "lin_api_[A-Za-z0-9]{40}",
    { source = "Linear documentation: API keys" }
  ),
  token(
    "notion-token",
    "Notion integration token",
    { "ntn_" },
    "ntn_[0-9]{11}[A-Za-z0-9]{32,35}",
    { source = "Notion documentation: integration tokens" }
  ),
  token(
    "postman-key",
    "Postman API key",
    { "PMAK-" },
    "PMAK-[0-9a-f]{24}-[0-9a-f]{34}",
    { source = "Postman documentation: API keys" }
  ),
  token(
    "sentry-token",
    "Sentry auth token",
    { "sntrys_", "sntryu_" },
    "sntry(?:u_[0-9a-f]{64}|s_eyJ[A-Za-z0-9+/=_-]{60,400})",
    { source = "Sentry documentation: auth tokens" }
  ),
  token(
    "shopify-token",
    "Shopify access token",
    { "shpat_", "shpca_", "shppa_", "shpss_" },
    "shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
    { source = "Shopify documentation: access tokens" }
  ),
  token(
    "onepassword-token",
    "1Password service account token",
    { "ops_eyJ" },
    "ops_eyJ[A-Za-z0-9+/_-]{200,2000}={0,2}",
    { source = "1Password documentation: service accounts", entropy = 3.5 }
  ),
  {
    id = "telegram-bot-token",
    severity = "high",
    description = "Telegram bot token",
    source = "Telegram documentation: bot tokens",
    exact = true,
    keywords = p.before("0123456789", ":AA"),
    before = 7,
    pattern = "(?<![A-Za-z_-])([0-9]{8}:AA[A-Za-z0-9_-]{33})" .. R,
    entropy = 3.5,
    shown = 4,
  },
}
