local login = require("openclaw-azure-login.login")

local function folder(ctx, inp)
  return {
    name = "az's folder",
    expected = "its own, private",
    hint = "chmod 700 it, or pass config_dir=, a private folder that git ignores",
    run = function()
      local dir = inp.config_dir
      if not dir then
        return { state = "ok", measured = "~/.azure" }
      end
      local st = ctx.fs.stat(dir)
      if st and st.type ~= "directory" then
        return { state = "red", measured = dir .. " is no folder" }
      elseif st and st.mode & 63 ~= 0 then -- 077
        return { state = "red", measured = ("%s has the mode %o"):format(dir, st.mode & 511) }
      end
      local parent = dir
      while not ctx.fs.exists(parent) do
        parent = ctx.fs.dirname(parent)
      end
      if not ctx.which("git") then
        return { state = "ok", measured = dir }
      end
      local inside = ctx.query({ "git", "rev-parse", "--is-inside-work-tree" }, {
        cwd = parent,
        accept = "any",
      })
      if inside.code ~= 0 then
        return { state = "ok", measured = dir }
      end
      local r = ctx.query({ "git", "check-ignore", "-q", dir }, { cwd = parent, accept = "any" })
      local measured = dir .. (r.code == 0 and "" or " is in a work tree that does not ignore it")
      return { state = r.code == 0 and "ok" or "red", measured = measured }
    end,
  }
end

return {
  summary = "Looks whether a login with a device code can be made here.",
  safety = "observes",
  steps = {
    {
      name = "shell",
      checks = function(ctx, inp)
        return { ctx.check.version("az", login.LOCK.az), folder(ctx, inp) }
      end,
    },
  },
}
