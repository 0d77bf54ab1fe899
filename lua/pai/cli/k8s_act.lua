-- pai k8s apply, delete: what changes a cluster. The context must be named.
local args = require("pai.cli.args")
local common = require("pai.cli.k8s_common")
local err = require("pai.err")
local json = require("pai.json")
local out = require("pai.out")

-- Kinds that others need come first.
local ORDER <const> = {
  Namespace = 1,
  CustomResourceDefinition = 2,
  ServiceAccount = 3,
  ClusterRole = 3,
  Role = 3,
  ClusterRoleBinding = 4,
  RoleBinding = 4,
  Secret = 4,
  ConfigMap = 4,
  PersistentVolumeClaim = 5,
}

local function read(path)
  local body, e
  if path == "-" then
    body = io.read("a")
  else
    body, e = require("pai.fs").read(path, { max = 64 * 1024 * 1024 })
    if not body then
      error(e, 0)
    end
  end
  local docs
  docs, e = require("pai.yaml").decode(body, { schema = "1.1", all = true })
  if not docs then
    local at = e.line and (", line %d"):format(e.line) or ""
    err.raise("EPARSE", ("read %s%s: %s"):format(path, at, e.message))
  end
  return docs
end

local function add(objects, doc, path)
  if type(doc) ~= "table" then
    err.raise("EPARSE", ("read %s: it holds something that is no object"):format(path))
  elseif doc.kind == "List" and type(doc.items) == "table" then
    for _, item in ipairs(doc.items) do
      add(objects, item, path)
    end
    return
  elseif type(doc.kind) ~= "string" or type(doc.apiVersion) ~= "string" then
    err.raise("EPARSE", ("read %s: an object has no kind or no apiVersion"):format(path))
  end
  objects[#objects + 1] = { object = doc, path = path, at = #objects }
end

-- The objects of all files, those first that others need.
local function gather(paths)
  local objects = {}
  for _, path in ipairs(paths) do
    for _, doc in ipairs(read(path)) do
      if doc ~= json.null then
        add(objects, doc, path)
      end
    end
  end
  table.sort(objects, function(a, b)
    local x, y = ORDER[a.object.kind] or 9, ORDER[b.object.kind] or 9
    return x == y and a.at < b.at or x < y
  end)
  return objects
end

local apply = {
  name = "apply",
  summary = "make a cluster's objects as files say (server-side apply)",
  usage = "FILE...",
  options = common.options(
    { name = "force-conflicts", doc = "take over fields that others own" },
    { name = "manager", arg = "NAME", doc = "who owns the fields (default: pai)" },
    { name = "dry-run", doc = "the server checks everything and stores nothing" }
  ),
  doc = [[FILE may be "-" for standard input. Namespaces and definitions of kinds are applied first;
the first refusal ends it and says how much was applied before.]],
  examples = { { "pai k8s apply --context team app.yaml", "" } },
}

-- A kind whose definition was applied a moment ago is served a moment later.
local function apply_one(c, object, opts, fresh)
  local task = require("pai.task")
  local deadline = task.now() + (fresh and 30000 or 0)
  while true do
    local applied, outcome = c:apply(object, {
      force = opts.force_conflicts,
      manager = opts.manager,
      dry_run = opts.dry_run,
      namespace = opts.namespace,
    })
    if applied or outcome.reason ~= "NoKind" or task.now() > deadline then
      return applied, outcome
    end
    task.sleep("250ms")
  end
end

---@param words string[]
---@param opts table
---@return integer exit code
function apply.run(words, opts)
  args.count(words, 1, math.maxinteger, "FILE")
  local objects = gather(words)
  local c = common.connect(opts, true)
  local done, fresh = {}, false
  for _, entry in ipairs(objects) do
    local object = entry.object
    local name = type(object.metadata) == "table" and object.metadata.name or "?"
    local applied, outcome = apply_one(c, object, opts, fresh)
    if not applied then
      outcome.message = ("%s %s of %s: %s"):format(object.kind, name, entry.path, outcome.message)
      if #done > 0 then
        outcome.message = ("%s (%d applied before)"):format(outcome.message, #done)
      end
      error(outcome, 0)
    end
    fresh = fresh or object.kind == "CustomResourceDefinition"
    done[#done + 1] = { kind = object.kind, name = name, outcome = outcome }
    if not opts.json then
      local dry = opts.dry_run and " (dry run)" or ""
      out.stdout(("%s %s %s%s\n"):format(object.kind, name, outcome, dry))
    end
  end
  if opts.json then
    local where = { context = c.context, server = c.server, dry_run = opts.dry_run or nil }
    where.applied = json.array(done)
    common.print_json(where)
  end
  return 0
end

local delete = {
  name = "delete",
  summary = "delete objects and wait until they are gone",
  usage = "KIND NAME...",
  options = common.options(
    { name = "no-wait", doc = "do not wait for their end" },
    { name = "propagation", arg = "HOW", doc = "Background (default), Foreground or Orphan" },
    { name = "absent-ok", doc = "that there is none is fine" },
    common.TIMEOUT,
    common.YES
  ),
  examples = { { "pai k8s delete --context team pod web-0 --yes", "" } },
}

local PROPAGATION <const> = { Background = true, Foreground = true, Orphan = true }

---@param words string[]
---@param opts table
---@return integer exit code
function delete.run(words, opts)
  local kind, names = common.objects(words[1] and words or { "" })
  if kind == "" or #names == 0 then
    err.raise("EUSAGE", "missing KIND NAME")
  elseif opts.propagation and not PROPAGATION[opts.propagation] then
    err.raise("EUSAGE", "--propagation is Background, Foreground or Orphan")
  end
  local c = common.connect(opts, true)
  common.confirm(opts, ("delete %s %s"):format(kind, table.concat(names, ", ")), c)
  local done = {}
  for i, name in ipairs(names) do
    local outcome = common.checked(c:delete(kind, name, {
      wait = not opts.no_wait,
      propagation = opts.propagation,
      absent = opts.absent_ok,
      timeout = opts.timeout,
    }))
    done[i] = { kind = kind, name = name, outcome = outcome }
    if not opts.json then
      out.stdout(("%s %s %s\n"):format(kind, name, outcome))
    end
  end
  if opts.json then
    common.print_json({ context = c.context, server = c.server, deleted = json.array(done) })
  end
  return 0
end

return { apply, delete }
