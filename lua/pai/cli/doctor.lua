-- pai doctor
local args = require("pai.cli.args")
local async = require("pai.async")
local exec = require("pai.exec")
local fs = require("pai.fs")
local out = require("pai.out")
local state = require("pai.state")
local text = require("pai.text")

local M = {
  name = "doctor",
  summary = "tell what this machine can do for pai",
  usage = "",
  doc = "Versions, what can shut tasks in (bubblewrap, user namespaces, Landlock), tools that some "
    .. "recipes need, the state folder and the .env file. Exit code 1 when something that pai "
    .. "itself needs is broken.",
  examples = {
    { "pai doctor", "for people" },
    { "pai doctor --json", "for programs" },
  },
}

local function first_line(s)
  return text.one_line((s or ""):match("[^\n]*") or "")
end

-- A program's version line, or nil and why not.
local function version(argv)
  local r, e = exec.run(argv, { timeout = "10s", accept = "any" })
  if not r then
    return nil, e.code == "ENOENT" and "not there" or e.message
  end
  local line = first_line(r.stdout)
  return line ~= "" and line or first_line(r.stderr)
end

local TOOLS <const> = {
  { "git", "--version" },
  { "ffmpeg", "-version" },
  { "ffprobe", "-version" },
  { "python3", "--version" },
  { "busted", "--version" },
  { "kubectl", "version", "--client" },
  { "helm", "version", "--short" },
  { "docker", "--version" },
}

local function tool(argv)
  local found, why = version(argv)
  return {
    name = argv[1],
    state = found and "ok" or "skipped",
    measured = found or why,
    hint = not found and "needed only by recipes that name it" or nil,
  }
end

local function bubblewrap()
  local found, why = version({ "bwrap", "--version" })
  if not found then
    return {
      name = "bubblewrap",
      state = "warn",
      measured = why,
      expected = "bwrap",
      hint = "apt-get install bubblewrap; without it workflow tasks share this file system",
    }
  end
  local r, e = exec.run(
    { "bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--", "true" },
    { timeout = "10s" }
  )
  return {
    name = "bubblewrap",
    state = r and "ok" or "warn",
    measured = r and found .. ", works" or found .. ", but: " .. first_line(e.stderr or e.message),
    hint = not r and "user namespaces may be turned off" or nil,
  }
end

local function user_namespaces()
  local max = fs.read("/proc/sys/user/max_user_namespaces")
  local r = exec.run({ "unshare", "--user", "true" }, { timeout = "10s" })
  return {
    name = "user namespaces",
    state = r and "ok" or "warn",
    measured = r and "can be made" or "can't be made",
    hint = not r and "max_user_namespaces is " .. first_line(max or "unknown") or nil,
  }
end

local function landlock()
  local modules = fs.read("/sys/kernel/security/lsm")
  local has = modules and modules:find("landlock", 1, true) ~= nil
  return {
    name = "Landlock",
    state = has and "ok" or "skipped",
    measured = has and "on" or modules and "off" or "not known",
  }
end

local function state_folder()
  local dir = state.dir()
  local probe = dir
  while not fs.exists(probe) do
    probe = fs.dirname(probe)
  end
  local free = fs.disk_free(probe)
  -- 2 of access(2): a folder that can't be written is better known before a run.
  local writable = exec.run({ "test", "-w", probe }, { timeout = "5s" }) ~= nil
  local enough = free and free > 64 * 1024 * 1024
  return {
    name = "state folder",
    state = writable and enough and "ok" or "red",
    measured = ("%s, %s, %d MiB free"):format(
      dir,
      writable and "writable" or "not writable",
      (free or 0) // (1024 * 1024)
    ),
    expected = "writable, 64 MiB free",
    hint = "pass --state DIR or set PAI_STATE",
  }
end

local function env_file()
  local dotenv = require("pai.recipe.dotenv")
  local found = dotenv.inspect(fs.cwd())
  if found.check then
    return found.check
  end
  local measured = found.path and found.path .. " does not exist" or "no git work tree here"
  if found.exists then
    local handles, e = dotenv.open(found.path)
    if not handles then
      return { name = ".env", state = "red", measured = e.message, expected = "KEY=VALUE lines" }
    end
    measured = ("%s defines %s"):format(found.path, table.concat(text.keys(handles), ", "))
  end
  return { name = ".env", state = "ok", measured = measured }
end

local function modules()
  local checks = {}
  local all = { "crypto", "yaml", "http", "serve", "db", "scan", "sign", "ws" }
  for i, name in ipairs(all) do
    local ok, why = pcall(require, "pai." .. name)
    checks[i] = {
      name = "module " .. name,
      state = ok and "ok" or "red",
      measured = ok and "loads" or first_line(tostring(why)),
      hint = not ok and "build pai again, or install the library that it names" or nil,
    }
  end
  return checks
end

local function collect()
  local work = { bubblewrap, user_namespaces, landlock, state_folder, env_file }
  for _, argv in ipairs(TOOLS) do
    work[#work + 1] = function()
      return tool(argv)
    end
  end
  local checks = modules()
  local found = async.all(work, { limit = 4 })
  table.move(found, 1, #found, #checks + 1, checks)
  return checks
end

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  args.count(words, 0, 0, "")
  local checks = collect()
  local red = false
  for _, check in ipairs(checks) do
    red = red or check.state == "red"
  end
  local info = {
    version = require("pai.version"),
    lua = _VERSION,
    root = require("pai").root,
    state = state.dir(),
  }
  if opts.json then
    info.checks = checks
    info.verdict = red and "red" or "green"
    out.stdout(require("pai.json").encode(info) .. "\n")
  else
    local lines, color = require("pai.cli.lines"), require("pai.term").color(1)
    out.stdout(("pai %s (%s) in %s\n"):format(info.version, info.lua, info.root))
    for _, check in ipairs(checks) do
      out.stdout(lines.check(check, color) .. "\n")
    end
  end
  return red and 1 or 0
end

return M
