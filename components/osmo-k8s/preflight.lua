-- Nothing here asks the cluster: a preflight comes before it is made.
local function microk8s(ctx)
  if not ctx.which("microk8s") then
    return { name = "microk8s version", state = "skipped", measured = "the cluster is not here" }
  end
  return ctx.check.version("microk8s", "1.31.0")
end

local function values(ctx, inp)
  return {
    name = "values",
    expected = "a YAML map",
    hint = "look at the line that is named",
    run = function()
      if not inp.values then
        return { state = "skipped", measured = "not given" }
      elseif not ctx.fs.exists(inp.values) then
        return { state = "red", measured = "no file " .. inp.values }
      end
      local ok, doc = pcall(ctx.yaml.decode, ctx.read(inp.values))
      if not ok then
        return { state = "red", measured = tostring(doc) }
      end
      return { state = type(doc) == "table" and #doc == 0 and "ok" or "red", measured = inp.values }
    end,
  }
end

local function mek(ctx, inp)
  return {
    name = "master key",
    expected = "a file for its owner only",
    hint = "chmod 600; it is what `pai teardown osmo-k8s` exported",
    run = function()
      local st = inp.mek and ctx.fs.stat(inp.mek)
      if not inp.mek then
        return { state = "skipped", measured = "not given" }
      elseif not st then
        return { state = "red", measured = "no file " .. inp.mek }
      end
      local private = st.mode & 63 == 0 -- 0077
      return { state = private and "ok" or "red", measured = ("mode %o"):format(st.mode & 511) }
    end,
  }
end

return {
  summary = "Looks whether OSMO can be deployed from here; changes nothing, asks no cluster.",
  safety = "observes",
  steps = {
    {
      name = "machine",
      checks = function(ctx, inp)
        return {
          ctx.check.version("helm", ctx.osmo_deploy.LOCK.helm),
          microk8s(ctx),
          ctx.check.secret("ngc"),
          values(ctx, inp),
          mek(ctx, inp),
        }
      end,
    },
  },
}
