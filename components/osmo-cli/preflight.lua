local MINIMUM <const> = "6.3.0"

-- Upstream's CLI is a wish, unless it was asked for.
local function wished(inp, check)
  local look = check.run
  function check.run()
    local answer = look()
    if answer.state == "red" and inp.cli ~= "osmo" then
      answer.state = "warn"
      answer.hint = "pai osmo does the same; cli=osmo makes this red"
    end
    return answer
  end
  return check
end

-- The service's version is in the answer only while the service can be reached.
local function skew(ctx)
  return {
    name = "client and service",
    expected = "the same major and minor",
    hint = "install the client of the service's release",
    run = function()
      if not ctx.which("osmo") then
        return { state = "skipped", measured = "no osmo on PATH" }
      end
      local argv = { "osmo", "version", "--format-type", "json" }
      local r = ctx.query(argv, { accept = "any", timeout = "20s" })
      local ok, answer = pcall(ctx.json.decode, r.stdout)
      local client = ok and type(answer) == "table" and answer.client
      local service = ok and type(answer) == "table" and answer.service
      if type(client) ~= "table" or type(service) ~= "table" then
        return { state = "skipped", measured = "no service was reached" }
      end
      local same = tostring(client.major) == tostring(service.major)
        and tostring(client.minor) == tostring(service.minor)
      return {
        state = same and "ok" or "warn",
        measured = ("%s.%s and %s.%s"):format(
          client.major,
          client.minor,
          service.major,
          service.minor
        ),
      }
    end,
  }
end

return {
  summary = "Looks at upstream's CLI, if there is one; pai's own client is always there.",
  safety = "observes",
  steps = {
    {
      name = "client",
      checks = function(ctx, inp)
        return { wished(inp, ctx.check.version("osmo", MINIMUM)), skew(ctx) }
      end,
    },
  },
}
