-- osmo: upstream's own CLI, for its version; pai speaks to OSMO itself (ctx.osmo). The answer nests
-- the versions of client and service, and the service's is there only when it can be reached.
return {
  name = "osmo",
  version = {
    argv = { "version", "--format-type", "json" },
    parse = function(said, ctx)
      local ok, answer = pcall(ctx.json.decode, said)
      local client = ok and type(answer) == "table" and (answer.client or answer)
      if not client or not client.major then
        return nil
      end
      return ("%s.%s.%s"):format(client.major, client.minor, client.revision)
    end,
  },
  reads = { { "version" }, { "pool", "list" }, { "workflow", "list" }, { "workflow", "query" } },
}
