-- microk8s: one Kubernetes node from a snap.
local err = require("pai.err")

-- prefix: words before the command, such as { "sudo", "-n" }.
local function wrap(ctx, prefix)
  local microk8s = {}

  local function command(...)
    local argv = table.move(prefix or {}, 1, #(prefix or {}), 1, {})
    return table.move({ ... }, 1, select("#", ...), #argv + 1, argv)
  end

  ---The same, behind other words: sudo, for what only root may do.
  ---@param words string[] { "sudo", "-n" }; none for root itself
  ---@return table
  function microk8s.behind(words)
    return wrap(ctx, words)
  end

  ---What `microk8s status` says.
  ---@param opts { wait: string? }? wait: "300s" lets it wait until the node is ready
  ---@return { running: boolean, enabled: table<string, boolean>, text: string }
  function microk8s.status(opts)
    local argv = command("microk8s", "status")
    local seconds = 30
    if opts and opts.wait then
      seconds = math.tointeger(tonumber(opts.wait:match("^(%d+)s$")))
      if not seconds then
        err.raise("EINVAL", "microk8s.status: wait is seconds, such as 300s")
      end
      argv[#argv + 1] = "--wait-ready"
      argv[#argv + 1] = "--timeout"
      argv[#argv + 1] = tostring(seconds)
    end
    local r = ctx.query(argv, { accept = "any", timeout = (seconds + 30) .. "s" })
    local enabled, section = {}, nil
    for line in r.stdout:gmatch("[^\n]+") do
      section = line:match("^%s*(%a+):%s*$") or section
      local addon = line:match("^%s+([%w_-]+)%s+#")
      if addon and section == "enabled" then
        enabled[addon] = true
      end
    end
    local running = r.code == 0 and r.stdout:find("microk8s is running", 1, true) ~= nil
    return { running = running, enabled = enabled, text = r.stdout .. r.stderr }
  end

  ---Turns addons on.
  ---@param addons string[]
  ---@param opts { args: string[]?, timeout: string? }?
  function microk8s.enable(addons, opts)
    opts = opts or {}
    local argv = command("microk8s", "enable", table.unpack(addons))
    table.move(opts.args or {}, 1, #(opts.args or {}), #argv + 1, argv)
    ctx.exec(argv, { timeout = opts.timeout or "20m" })
  end

  ---Turns addons off.
  ---@param addons string[]
  function microk8s.disable(addons)
    ctx.exec(command("microk8s", "disable", table.unpack(addons)), { timeout = "20m" })
  end

  return microk8s
end

return {
  name = "microk8s",
  version = { argv = { "version" } },
  reads = { { "version" }, { "status" }, { "inspect", "--help" } },
  wrap = wrap,
}
