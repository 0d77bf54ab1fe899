-- snap: packages of snapd.
-- prefix: words before the command, such as { "sudo", "-n" }.
local function wrap(ctx, prefix)
  local snap = {}

  local function command(...)
    local argv = table.move(prefix or {}, 1, #(prefix or {}), 1, {})
    return table.move({ ... }, 1, select("#", ...), #argv + 1, argv)
  end

  ---The same, behind other words: sudo, for what only root may do.
  ---@param words string[] { "sudo", "-n" }; none for root itself
  ---@return table
  function snap.behind(words)
    return wrap(ctx, words)
  end

  ---What is installed of a snap.
  ---@param name string
  ---@return { version: string, channel: string, revision: string }? installed
  function snap.installed(name)
    local r = ctx.query({ "snap", "list", name }, { accept = { 0, 1 }, timeout = "30s" })
    if r.code ~= 0 then
      return nil
    end
    -- Name Version Rev Tracking Publisher Notes
    for line in r.stdout:gmatch("[^\n]+") do
      local found, version, revision, channel = line:match("^(%S+)%s+(%S+)%s+(%S+)%s+(%S+)")
      if found == name then
        return { version = version, channel = channel, revision = revision }
      end
    end
  end

  ---Installs a snap; waits for it.
  ---@param name string
  ---@param opts { channel: string?, classic: boolean?, timeout: string? }?
  function snap.install(name, opts)
    opts = opts or {}
    local argv = command("snap", "install", name)
    if opts.classic then
      argv[#argv + 1] = "--classic"
    end
    if opts.channel then
      argv[#argv + 1] = "--channel=" .. opts.channel
    end
    ctx.exec(argv, { timeout = opts.timeout or "15m" })
  end

  ---Removes a snap with its data.
  ---@param name string
  ---@param opts { purge: boolean?, timeout: string? }?
  function snap.remove(name, opts)
    opts = opts or {}
    local argv = command("snap", "remove", name)
    if opts.purge then
      argv[#argv + 1] = "--purge"
    end
    ctx.exec(argv, { timeout = opts.timeout or "15m" })
  end

  return snap
end

return {
  name = "snap",
  -- The row "snap    2.63.1".
  version = {
    argv = { "version" },
    parse = function(said)
      return said:match("snap%s+(%d[%d.]*)")
    end,
  },
  reads = { { "version" }, { "list" }, { "info" }, { "services" }, { "changes" }, { "tasks" } },
  wrap = wrap,
}
