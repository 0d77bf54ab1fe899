-- All of it is independent and runs side by side; nothing here needs a cluster.
local node = require("cluster-microk8s.node")

local LOCK <const> = node.LOCK

local function privileges(ctx)
  return {
    name = "root",
    expected = "root, or sudo without a password",
    hint = "run pai as root, or allow this user NOPASSWD in sudoers",
    run = function()
      if #node.as_root(ctx) == 0 then
        return { state = "ok", measured = "root" }
      elseif not ctx.which("sudo") then
        return { state = "red", measured = "not root, and there is no sudo" }
      end
      local r = ctx.query({ "sudo", "-n", "true" }, { accept = "any", timeout = "10s" })
      local said = (r.stderr .. r.stdout):match("[^\n]+") or "refused"
      return {
        state = r.code == 0 and "ok" or "red",
        measured = r.code == 0 and "sudo" or "sudo: " .. said:gsub("^sudo: ", ""),
      }
    end,
  }
end

-- pai itself clones nothing, so an old git is no reason to stop.
local function git(ctx)
  local check = ctx.check.version("git", LOCK.git)
  local look = check.run
  check.hint = "only workloads that clone sources need it"
  function check.run()
    local answer = look()
    answer.state = answer.state == "red" and "warn" or answer.state
    return answer
  end
  return check
end

local function driver(ctx, inp)
  if inp.gpu then
    local check = ctx.tools.nvidia_smi.driver_check(LOCK.driver)
    check.hint = check.hint .. "; a machine without a GPU: gpu=false"
    return check
  end
  return { name = "NVIDIA driver", state = "skipped", measured = "gpu=false" }
end

local function installed(ctx)
  return {
    name = "MicroK8s",
    expected = ("none, or %s from %s"):format(LOCK.minimum, LOCK.channel),
    hint = ("sudo snap refresh microk8s --channel=%s, one minor version at a time"):format(
      LOCK.channel
    ),
    run = function()
      local there = ctx.which("snap") and ctx.tools.snap.installed("microk8s")
      if not there then
        return { state = "ok", measured = "none" }
      end
      local major, minor = there.version:match("v?(%d+)%.(%d+)")
      local least_major, least_minor = LOCK.minimum:match("(%d+)%.(%d+)")
      local old = not major
        or tonumber(major) * 1000 + tonumber(minor)
          < tonumber(least_major) * 1000 + tonumber(least_minor)
      local state = old and "red" or there.channel == LOCK.channel and "ok" or "warn"
      return { state = state, measured = ("%s from %s"):format(there.version, there.channel) }
    end,
  }
end

-- Who listens, asked once for all ports.
local function listeners(ctx)
  local known
  return function()
    if known == nil then
      if not ctx.which("ss") then
        known = false
        return known
      end
      local may = #node.as_root(ctx) == 0
        or (ctx.which("sudo") and ctx.query({ "sudo", "-n", "true" }, { accept = "any" }).code == 0)
      local argv = may and node.command(ctx, { "ss", "-ltnpH" }) or { "ss", "-ltnH" }
      known = node.listeners(ctx.query(argv, { timeout = "10s" }).stdout)
    end
    return known
  end
end

local function port(ctx, number, owners)
  return {
    name = ("port %d"):format(number),
    expected = "free, or MicroK8s' own",
    hint = ("sudo ss -ltnp 'sport = :%d' names the program; stop it"):format(number),
    run = function()
      local all = owners()
      if not all then
        return { state = "warn", measured = "there is no ss to look with" }
      end
      local owner = all[number]
      if not owner then
        return { state = "ok", measured = "free" }
      elseif node.is_own(owner) then
        return { state = "ok", measured = owner .. ": the cluster runs already" }
      elseif owner == "" and node.running(ctx) then
        return { state = "ok", measured = "in use, and MicroK8s runs" }
      end
      local who = owner ~= "" and owner or "a program that can't be seen from here"
      return { state = "red", measured = "in use by " .. who }
    end,
  }
end

local function context(ctx, inp)
  return {
    name = "context " .. inp.context,
    expected = "free, or on this machine",
    hint = "pass context=NAME to keep both; the file as it was is kept beside it in any case",
    run = function()
      local here, server = node.leads_here(ctx, inp)
      if not server then
        return { state = "ok", measured = "free" }
      end
      return { state = here and "ok" or "warn", measured = server }
    end,
  }
end

return {
  summary = "Looks whether MicroK8s can be installed here; changes nothing.",
  safety = "observes",
  steps = {
    {
      name = "machine",
      checks = function(ctx, inp)
        local hint = "install snapd with the system's package manager"
        local owners = listeners(ctx)
        local checks = {
          privileges(ctx),
          ctx.check.version("snap", LOCK.snapd, { hint = hint }),
          git(ctx),
          driver(ctx, inp),
          ctx.check.disk(node.DATA, LOCK.disk_gib),
          installed(ctx),
          context(ctx, inp),
        }
        for _, number in ipairs(LOCK.ports) do
          checks[#checks + 1] = port(ctx, number, owners)
        end
        return checks
      end,
    },
  },
}
