-- The machine that deploys: Python and Ansible as Kubespray wants them, git, helm, and what is to
-- be had from outside.
local lock = require("cluster-onprem.lock")
local registry = require("pai.shared.registry")

local M = {}

---PATH of the virtual environment's programs; ssh and git must be found there too.
---@param ctx pai.ctx
---@param inp table
---@return table<string, string> env
function M.env(ctx, inp)
  local parts = { M.venv(inp) .. "/bin" }
  for _, program in ipairs({ "ssh", "git" }) do
    local path = ctx.which(program)
    parts[#parts + 1] = path and ctx.fs.dirname(path) or nil
  end
  parts[#parts + 1] = "/usr/local/bin:/usr/bin:/bin"
  return { PATH = table.concat(parts, ":"), VIRTUAL_ENV = M.venv(inp), LC_ALL = "C.UTF-8" }
end

---@param inp table
---@return string dir
function M.venv(inp)
  return inp.venv or inp.site .. "/venv"
end

---The version of Ansible in the virtual environment.
---@param ctx pai.ctx
---@param inp table
---@return pai.Version? version nil when there is none
function M.ansible(ctx, inp)
  if not ctx.fs.exists(M.venv(inp) .. "/bin/ansible-playbook") then
    return nil
  end
  local r = ctx.query({ "ansible-playbook", "--version" }, {
    env = M.env(ctx, inp),
    accept = "any",
    timeout = "60s",
  })
  return ctx.semver.find(r.stdout:match("%[core ([%d.]+)") or "")
end

local function python(ctx, inp)
  local range = lock.kubespray.python
  local wanted = (">= %s, < %s, with venv"):format(range.min, range.below)
  return {
    name = "Python " .. inp.python,
    expected = wanted,
    hint = "python=PATH of another one; on Debian and Ubuntu venv is the package python3-venv",
    run = function()
      local found = inp.python:find("/", 1, true) and ctx.fs.exists(inp.python)
        or ctx.which(inp.python)
      if not found then
        return { state = "red", measured = "not found" }
      end
      local opts = { accept = "any", timeout = "60s" }
      local said = ctx.query({ inp.python, "--version" }, opts)
      local version = ctx.semver.find(said.stdout)
      if not version then
        return { state = "red", measured = "no version in: " .. said.stdout .. said.stderr }
      elseif not ctx.semver.within(version, range.min, range.below) then
        return { state = "red", measured = version.text }
      end
      local r = ctx.query({ inp.python, "-I", "-m", "ensurepip", "--version" }, opts)
      local whole = r.code == 0
      local measured = version.text .. (whole and "" or ", without venv")
      return { state = whole and "ok" or "red", measured = measured }
    end,
  }
end

local function ansible(ctx, inp)
  local range = lock.kubespray.ansible
  return {
    name = "Ansible",
    expected = (">= %s, < %s"):format(range.min, range.below),
    hint = "Kubespray asks for it; without venv= deploy makes an environment with the right one",
    run = function()
      if not inp.venv then
        return { state = "skipped", measured = "deploy installs it" }
      end
      local version = M.ansible(ctx, inp)
      local fits = version and ctx.semver.within(version, range.min, range.below)
      local measured = version and version.text or "none in " .. inp.venv
      return { state = fits and "ok" or "red", measured = measured }
    end,
  }
end

local function chart(ctx, one)
  return {
    name = ("chart %s %s"):format(one.chart, one.version),
    expected = "to be had",
    hint = "a firewall or a proxy in the way of " .. one.repo,
    timeout = "90s",
    run = function()
      local argv = { "helm", "show", "chart", one.chart, "--repo", one.repo }
      table.move({ "--version", one.version }, 1, 2, #argv + 1, argv)
      local r = ctx.query(argv, { accept = "any", timeout = "80s" })
      local said = r.stderr:match("([^\n]+)%s*$") or ("helm ended with %s"):format(r.code)
      local version = r.stdout:match("\nversion:%s*([^\n]+)")
        or r.stdout:match("^version: ([^\n]+)")
      return { state = r.code == 0 and "ok" or "red", measured = version or said }
    end,
  }
end

---What has to be on this machine.
---@param ctx pai.ctx
---@param inp table
---@return table[] checks
function M.tools(ctx, inp)
  return {
    ctx.check.version("helm", lock.helm),
    ctx.check.version("git", "2.25.0"),
    ctx.check.program("ssh"),
    python(ctx, inp),
    ansible(ctx, inp),
  }
end

---What has to be reached from here: charts, and images with the right to pull them.
---@param ctx pai.ctx
---@param inp table
---@return table[] checks
function M.outside(ctx, inp)
  local list = {}
  for _, one in ipairs(lock.charts) do
    list[#list + 1] = chart(ctx, one)
  end
  for _, image in ipairs(lock.images) do
    list[#list + 1] = registry.check(ctx, inp.registry, image)
  end
  if inp.runai then
    list[#list + 1] = ctx.check.secret("runai_token")
    local token = ctx.secret("runai_token")
    if token then
      local login = { lock.runai.user, token }
      list[#list + 1] = registry.login(ctx, inp.runai_registry, login)
    end
  end
  return list
end

return M
