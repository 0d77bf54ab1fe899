-- helm for specs of components: DIR ARGUMENTS. It keeps releases in DIR/releases, writes each call
-- to DIR/calls.jsonl as stand_in_tool.lua does. Shapes: helm status, list, get values and upgrade
-- with --output=json, helm pull and helm uninstall of helm 3 and 4.
local fs = require("pai.fs")
local json = require("pai.json")

local dir, argv = arg[1], table.move(arg, 2, #arg, 1, {})
local task = require("pai.task")

local function note(answered, why)
  local f = assert(io.open(dir .. "/calls.jsonl", "a"))
  local words = table.move(argv, 1, #argv, 2, { "helm" })
  local line = { argv = words, at = task.now(), answered = answered, why = why }
  f:write(json.encode(line) .. "\n")
  f:close()
end

local function flag(name)
  for i, word in ipairs(argv) do
    if word == name then
      return argv[i + 1]
    end
  end
end

local function path(name)
  return ("%s/releases/%s.json"):format(dir, name)
end

local function release(name)
  local text = fs.read(path(name))
  return text and json.decode(text)
end

local function reply(value)
  io.stdout:write(json.encode(value), "\n")
  os.exit(0)
end

local function fail(text)
  io.stderr:write("Error: ", text, "\n")
  os.exit(1)
end

local function shown(r)
  return {
    name = r.name,
    namespace = r.namespace,
    version = r.revision,
    info = { status = r.status, last_deployed = r.deployed },
    chart = { metadata = { name = r.chart, version = r.version } },
  }
end

-- "-" is standard input, once.
local function given(file)
  return file == "-" and io.read("a") or assert(fs.read(file))
end

local known = true
local verb = argv[1]
if verb == "version" then
  note(true)
  io.stdout:write("v3.16.2+g13654a5\n")
elseif verb == "repo" and argv[2] == "add" then
  note(true)
  assert(flag("--password-stdin") ~= nil or argv[#argv] == "--password-stdin")
  local password = io.read("a")
  assert(fs.write(os.getenv("HELM_REPOSITORY_CONFIG"), "password: " .. password))
  local digests = assert(io.open(dir .. "/passwords", "a"))
  digests:write(require("pai.digest").sha256(password), "\n")
  digests:close()
  if fs.exists(dir .. "/flags/helm-add-fails") then
    fail("looks like the repository is not a valid chart repository or cannot be reached")
  end
elseif verb == "pull" then
  note(true)
  local chart = argv[2]:match("[^/]+$")
  assert(fs.write(("%s/%s-%s.tgz"):format(flag("--destination"), chart, flag("--version")), "x"))
elseif verb == "status" then
  note(true)
  local r = release(argv[2])
  if not r then
    fail("release: not found")
  end
  reply(shown(r))
elseif verb == "list" then
  note(true)
  local list = json.array({})
  for _, file in ipairs(fs.exists(dir .. "/releases") and fs.list(dir .. "/releases") or {}) do
    local r = json.decode(fs.read(dir .. "/releases/" .. file))
    list[#list + 1] = {
      name = r.name,
      namespace = r.namespace,
      revision = tostring(r.revision),
      updated = "2026-08-21 12:00:00.123456789 +0200 CEST",
      status = r.status,
      chart = ("%s-%s"):format(r.chart, r.version),
      app_version = r.version,
    }
  end
  reply(list)
elseif verb == "get" and argv[2] == "values" then
  note(true)
  reply(release(argv[3]).values)
elseif verb == "upgrade" then
  note(true)
  local before = release(argv[2])
  local values = flag("--values")
  local chart, version = argv[3]:match("([%w-]+)%-v?(%d[%w.-]*)%.tgz$")
  local r = {
    name = argv[2],
    namespace = flag("--namespace"),
    revision = before and before.revision + 1 or 1,
    status = fs.exists(dir .. "/flags/helm-fails") and "failed" or "deployed",
    deployed = "2026-08-21T12:00:00.123456789+02:00",
    chart = chart or argv[3],
    version = version or flag("--version"),
    values = values and require("pai.yaml").decode(given(values)) or {},
  }
  assert(fs.mkdir(dir .. "/releases", { parents = true }))
  assert(fs.write(path(r.name), json.encode(r)))
  assert(values ~= "-" or not flag("--output"), "values by stdin, and the release printed")
  if fs.exists(dir .. "/flags/helm-echoes") then
    fail("cannot patch: clientSecret " .. r.values.controlPlane.clientSecret)
  elseif r.status == "failed" then
    fail("UPGRADE FAILED: context deadline exceeded")
  end
  reply(shown(r))
elseif verb == "rollback" then
  note(true)
  local r = release(argv[2])
  r.status, r.revision = "deployed", r.revision + 1
  assert(fs.write(path(r.name), json.encode(r)))
  io.stdout:write("Rollback was a success! Happy Helming!\n")
elseif verb == "uninstall" then
  note(true)
  if not release(argv[2]) then
    fail("uninstall: Release not loaded: " .. argv[2] .. ": release: not found")
  end
  assert(fs.remove(path(argv[2])))
  io.stdout:write(('release "%s" uninstalled\n'):format(argv[2]))
else
  known = false
end
if not known then
  note(false, "helm stand-in: unknown call")
  fail("unknown command")
end
