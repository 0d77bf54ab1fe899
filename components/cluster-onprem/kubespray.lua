-- Kubespray at the commit of the lock, its Ansible in a virtual environment of its own, and its
-- playbooks: run with the output streamed, and with what failed named at the end.
local here = require("cluster-onprem.here")
local inventory = require("cluster-onprem.inventory")
local lock = require("cluster-onprem.lock")
local remote = require("cluster-onprem.remote")

local M = {}

local HEARTBEAT_S <const> = 30

local function git(ctx, inp, argv, opts)
  opts = opts or {}
  opts.cwd, opts.accept = inp.kubespray, opts.accept or "any"
  return ctx.query({ "git", table.unpack(argv) }, opts)
end

---The commit of the checkout.
---@param ctx pai.ctx
---@param inp table
---@return string? commit nil when there is no checkout, or only a begun one
---@return string[] changed files that are not as they were checked out
function M.checkout(ctx, inp)
  if not ctx.fs.exists(inp.kubespray .. "/.git") then
    return nil, {}
  end
  local head = git(ctx, inp, { "rev-parse", "--verify", "--quiet", "HEAD" })
  local changed = {}
  local status = git(ctx, inp, { "status", "--porcelain", "--untracked-files=no" })
  for path in status.stdout:gmatch("[^\n]+") do
    changed[#changed + 1] = path:sub(4)
  end
  return head.code == 0 and head.stdout:match("%x+") or nil, changed
end

-- A clone of ours has a mark in it, so that one that was cut short is known as ours.
local function mark(inp)
  return inp.kubespray .. "/.git/pai-clone"
end

---Brings Kubespray to where the user wants it. What is there already is not changed.
---@param ctx pai.ctx
---@param inp table
function M.clone(ctx, inp)
  local dir = inp.kubespray
  local commit = M.checkout(ctx, inp)
  if commit then
    local message = "%s is at %s, not at %s (%s): give another folder, or check that out there"
    error(message:format(dir, commit, lock.kubespray.tag, lock.kubespray.commit), 0)
  elseif ctx.fs.exists(mark(inp)) then
    ctx.fs.remove(dir, { recursive = true })
  elseif ctx.fs.exists(dir) and #ctx.fs.list(dir) > 0 then
    error(dir .. " is there, and is no checkout of Kubespray: give another folder", 0)
  end
  ctx.fs.mkdir(dir)
  ctx.exec({ "git", "init", "--quiet", dir }, { timeout = "60s" })
  ctx.write(mark(inp), lock.kubespray.tag .. "\n")
  local ref = "refs/tags/" .. lock.kubespray.tag
  local fetch = { "git", "fetch", "--depth", "1", "--", inp.kubespray_repo, ref .. ":" .. ref }
  ctx.exec(fetch, { cwd = dir, timeout = "20m" })
  local got = git(ctx, inp, { "rev-parse", ref .. "^{commit}" }, { accept = { 0 } }).stdout
  if got:match("%x+") ~= lock.kubespray.commit then
    ctx.fs.remove(dir, { recursive = true })
    local message = "%s of %s is %s, and not %s: the tag was moved, or it is another repository"
    local tag, repo = lock.kubespray.tag, inp.kubespray_repo
    error(message:format(tag, repo, got:match("%x+") or "?", lock.kubespray.commit), 0)
  end
  local checkout = { "git", "-c", "advice.detachedHead=false", "checkout", "--quiet", "--detach" }
  checkout[#checkout + 1] = ref
  ctx.exec(checkout, { cwd = dir, timeout = "10m" })
end

local function stamp(inp)
  return here.venv(inp) .. "/.pai-requirements"
end

local function requirements(inp)
  return inp.kubespray .. "/requirements.txt"
end

local function fits(ctx, version)
  local range = lock.kubespray.ansible
  return version ~= nil and ctx.semver.within(version, range.min, range.below)
end

---The version of Ansible, if the environment is the one that this Kubespray asks for.
---@param ctx pai.ctx
---@param inp table
---@return string? version
function M.ansible(ctx, inp)
  if not inp.venv then
    local wanted = ctx.fs.exists(requirements(inp)) and ctx.fs.digest(requirements(inp))
    if not ctx.fs.exists(stamp(inp)) or ctx.read(stamp(inp)) ~= wanted then
      return nil
    end
  end
  local version = here.ansible(ctx, inp)
  return fits(ctx, version) and version.text or nil
end

---Makes the virtual environment. One that the user named is taken as it is, or refused.
---@param ctx pai.ctx
---@param inp table
---@return string version of Ansible
function M.install(ctx, inp)
  if not inp.venv then
    local dir = here.venv(inp)
    ctx.fs.mkdir(ctx.fs.dirname(dir))
    -- Half of one may be there.
    ctx.exec({ inp.python, "-m", "venv", "--clear", dir }, { timeout = "5m" })
    local env = here.env(ctx, inp)
    env.PIP_CONFIG_FILE, env.PIP_NO_INPUT = inp.pip_config, "1"
    env.PIP_DISABLE_PIP_VERSION_CHECK = "1"
    local pip = { "pip", "install", "--progress-bar", "off", "--requirement", requirements(inp) }
    ctx.exec(pip, { env = env, timeout = "30m" })
  end
  local version = here.ansible(ctx, inp)
  if not fits(ctx, version) then
    local range = lock.kubespray.ansible
    local message = "Ansible in %s is %s; Kubespray %s wants >= %s, < %s"
    local have, tag = version and version.text or "not there", lock.kubespray.tag
    error(message:format(here.venv(inp), have, tag, range.min, range.below), 0)
  end
  if not inp.venv then
    ctx.write(stamp(inp), ctx.fs.digest(requirements(inp)))
  end
  return version.text
end

-- The environment of Ansible. Kubespray's own ansible.cfg would take any host key, and keep facts
-- of hosts in /tmp under their names, where two sites meet.
local function environment(ctx, inp)
  local env = here.env(ctx, inp)
  local ssh = "-o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=15 "
    .. "-o ControlMaster=auto -o ControlPersist=60s"
  env.ANSIBLE_SSH_ARGS = inp.ssh_config and ("-F %s %s"):format(inp.ssh_config, ssh) or ssh
  env.ANSIBLE_HOST_KEY_CHECKING = "True"
  env.ANSIBLE_CONFIG = inp.kubespray .. "/ansible.cfg"
  env.ANSIBLE_CACHE_PLUGIN_CONNECTION = inp.site .. "/facts"
  env.ANSIBLE_NOCOLOR = "1"
  env.SSH_AUTH_SOCK = remote.env(inp).SSH_AUTH_SOCK
  return env
end

---The inventory as Ansible reads it.
---@param ctx pai.ctx
---@param inp table
---@return table doc `_meta.hostvars` and the groups
function M.read_inventory(ctx, inp)
  local argv = { "ansible-inventory", "--list", "-i", inventory.dir(inp) .. "/inventory.ini" }
  local r = ctx.query(argv, {
    cwd = inp.kubespray,
    env = environment(ctx, inp),
    timeout = "2m",
  })
  return ctx.json.decode(r.stdout)
end

-- Follows what a playbook prints (the callback "default"): play, task, and what failed.
local function follower(ctx)
  local f = { play = "?", task = "?", failures = {}, recap = {}, beat = 0 }
  function f.line(text)
    local play, task = text:match("^PLAY %[(.*)%] %*+$"), text:match("^TASK %[(.*)%] %*+$")
    local host, how, rest = text:match("^fatal: %[([^%]]+)%]: (%u+)! => (.*)$")
    if not host then
      host, how, rest = text:match("^failed: %[([^%]]+)%] (%S*).- => (.*)$")
    end
    local name, counts = text:match("^(%S+)%s+: (ok=%d.*)$")
    if play or task then
      f.play, f.task = play or f.play, task or f.task
      local now = os.time()
      if play or now - f.beat >= HEARTBEAT_S then
        f.beat = now
        local seen = task and ("%s: %s"):format(f.play, task) or f.play
        ctx.heartbeat({ state = "playbook", observation = seen, next = "the next task" })
      end
    elseif host then
      local ok, said = pcall(ctx.json.decode, rest)
      local why = ok and type(said) == "table" and tostring(said.msg or said.stderr) or how:lower()
      why = why:match("^%s*(.-)%s*$"):gsub("[\r\n]+", " ")
      table.insert(f.failures, { host = host, task = f.task, why = why })
    elseif text:find("^%.%.%.ignoring") then
      table.remove(f.failures)
    elseif name then
      f.recap[name] = counts
    end
  end
  return f
end

local function told(failures)
  local parts = {}
  for i, one in ipairs(failures) do
    if i == 4 then
      parts[i] = ("and %d more"):format(#failures - 3)
      break
    end
    parts[i] = ("%s at [%s]: %s"):format(one.host, one.task, one.why)
  end
  return table.concat(parts, "; ")
end

---Runs a playbook.
---@param ctx pai.ctx
---@param inp table
---@param playbook string "cluster.yml"
---@param opts { timeout: string, extra: string[]? }
---@return table<string, string> recap "ok=12 changed=3 ..." by host
function M.play(ctx, inp, playbook, opts)
  local f = follower(ctx)
  local argv = { "ansible-playbook", "-i", inventory.dir(inp) .. "/inventory.ini", "--become" }
  for _, word in ipairs(opts.extra or {}) do
    argv[#argv + 1] = word
  end
  argv[#argv + 1] = playbook
  local r = ctx.exec(argv, {
    cwd = inp.kubespray,
    env = environment(ctx, inp),
    on_line = f.line,
    accept = "any",
    grace = "30s",
    timeout = opts.timeout,
  })
  if r.code ~= 0 then
    local last = (r.stderr ~= "" and r.stderr or r.stdout):match("([^\n]+)%s*$")
    local why = #f.failures > 0 and told(f.failures) or last or "it said nothing"
    local ended = r.code and ("exit code %d"):format(r.code) or r.signal
    error(("%s failed (%s): %s"):format(playbook, ended, why), 0)
  end
  return f.recap
end

return M
