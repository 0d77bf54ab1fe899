-- kubectl: its version, and what it shows. pai speaks to clusters itself (ctx.k8s); kubectl is for
-- the installers of others that need it.
return {
  name = "kubectl",
  -- --short is gone since 1.28; JSON has been there since 1.4.
  version = {
    argv = { "version", "--client", "--output=json" },
    parse = function(said)
      return said:match('"gitVersion"%s*:%s*"([^"]+)"')
    end,
  },
  reads = {
    { "version" },
    { "get" },
    { "describe" },
    { "logs" },
    { "cluster-info" },
    { "config", "current-context" },
    { "config", "get-contexts" },
    { "auth", "can-i" },
    { "api-resources" },
    { "api-versions" },
    { "explain" },
    { "top" },
    { "rollout", "status" },
  },
  refuse = { "--output-directory" },
  wrap = function(_)
    return {}
  end,
}
