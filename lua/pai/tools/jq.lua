-- jq: its version; pai reads JSON itself, installers of others call jq.
return {
  name = "jq",
  version = {
    argv = { "--version" },
    parse = function(said)
      -- "jq-1.6"
      return said:match("jq%-(%d[%d.]*)")
    end,
  },
  reads = { { "--version" } },
}
