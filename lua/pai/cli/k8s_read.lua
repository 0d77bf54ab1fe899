-- pai k8s contexts, get, wait, watch, logs, diagnose: what only looks.
local args = require("pai.cli.args")
local common = require("pai.cli.k8s_common")
local err = require("pai.err")
local json = require("pai.json")
local out = require("pai.out")
local text = require("pai.text")

local contexts = {
  name = "contexts",
  summary = "list the contexts of the kubeconfig",
  usage = "",
  options = { common.KUBECONFIG },
  examples = { { "pai k8s contexts", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function contexts.run(words, opts)
  args.count(words, 0, 0, "")
  local config = common.checked(require("pai.k8s.kubeconfig").load(opts.kubeconfig))
  local rows, list = { { "", "CONTEXT", "SERVER", "USER", "NAMESPACE" } }, {}
  for i, name in ipairs(text.keys(config.contexts)) do
    local context = config.contexts[name]
    local cluster = config.clusters[context.cluster or ""] or {}
    list[i] = {
      name = name,
      server = cluster.server,
      user = context.user,
      namespace = context.namespace or "default",
      current = config.current == name,
    }
    local mark = list[i].current and "*" or ""
    rows[i + 1] =
      { mark, name, cluster.server or "-", context.user or "-", context.namespace or "default" }
  end
  if opts.json then
    common.print_json({ contexts = json.array(list), current = config.current })
  else
    out.stdout(#list > 0 and text.columns(rows) or "no contexts found\n")
  end
  return 0
end

local get = {
  name = "get",
  summary = "list objects, or show one",
  usage = "KIND [NAME...]",
  options = common.options(
    common.ALL,
    common.SELECTOR,
    common.FIELDS,
    { name = "where", arg = "COLUMN=VALUE", many = true, doc = "only such rows; also !=" },
    { name = "pick", arg = "PATH", many = true, doc = "with --json: only these fields of each" },
    { name = "wide", doc = "all columns" }
  ),
  doc = [[The values of Secrets are never asked for: their keys and metadata are shown only.]],
  examples = {
    { "pai k8s get pods --all --where STATUS!=Running", "what is not up" },
    { "pai k8s get nodes --json --pick metadata.name --pick status.allocatable", "" },
  },
}

local function filters_of(opts, columns)
  local filters = {}
  for _, word in ipairs(opts.where or {}) do
    local name, sign, value = word:match("^([^!=]+)(!?=)(.*)$")
    local at
    for i, column in ipairs(columns) do
      if name and column.name:lower() == name:lower() then
        at = i
      end
    end
    if not at then
      local names = {}
      for i, column in ipairs(columns) do
        names[i] = column.name
      end
      err.raise(
        "EUSAGE",
        ("--where %s: the columns are %s"):format(word, table.concat(names, ", "))
      )
    end
    filters[#filters + 1] = { at = at, equal = sign == "=", value = value }
  end
  return filters
end

local function passes(cells, filters)
  for _, f in ipairs(filters) do
    if (tostring(cells[f.at]) == f.value) ~= f.equal then
      return false
    end
  end
  return true
end

local function print_table(found, opts)
  local shown, rows = {}, { {} }
  for i, column in ipairs(found.columns) do
    if opts.wide or column.priority == 0 then
      shown[#shown + 1] = i
      rows[1][#shown] = column.name:upper()
    end
  end
  local filters = filters_of(opts, found.columns)
  for n, cells in ipairs(found.rows) do
    if passes(cells, filters) then
      local row = {}
      for k, i in ipairs(shown) do
        local cell = cells[i]
        row[k] = cell == json.null and "" or tostring(cell)
      end
      if found.namespaces then
        table.insert(row, 1, found.namespaces[n])
      end
      rows[#rows + 1] = row
    end
  end
  if found.namespaces then
    table.insert(rows[1], 1, "NAMESPACE")
  end
  out.stdout(#rows > 1 and text.columns(rows) or "no objects found\n")
end

local function print_objects(c, kind, names, opts)
  local items = {}
  if #names == 0 then
    items = common.checked(c:list(kind, {
      all = opts.all,
      labels = opts.selector,
      fields = opts.field_selector,
      pick = opts.pick,
    }))
  end
  for i, name in ipairs(names) do
    items[i] = common.checked(c:get(kind, name, { pick = opts.pick }))
  end
  items.version = nil
  common.print_json({
    context = c.context,
    server = c.server,
    namespace = not opts.all and c.namespace or nil,
    items = json.array(items),
  })
end

---@param words string[]
---@param opts table
---@return integer exit code
function get.run(words, opts)
  args.count(words, 1, math.maxinteger, "KIND")
  if opts.pick and not opts.json then
    err.raise("EUSAGE", "--pick is for --json")
  elseif opts.where and opts.json then
    err.raise("EUSAGE", "--where is for tables: with --json use --selector or --field-selector")
  end
  local kind, names = common.objects(words)
  local c = common.connect(opts)
  if opts.json then
    print_objects(c, kind, names, opts)
    return 0
  end
  local whole
  for _, name in ipairs(#names > 0 and names or { false }) do
    local found = common.checked(require("pai.k8s.table").table(c, kind, {
      name = name or nil,
      all = opts.all,
      labels = opts.selector,
      fields = opts.field_selector,
    }))
    whole = whole or { columns = found.columns, rows = {}, namespaces = found.namespaces }
    table.move(found.rows, 1, #found.rows, #whole.rows + 1, whole.rows)
  end
  print_table(whole, opts)
  return 0
end

local wait = {
  name = "wait",
  summary = "wait until an object is as wished, or cannot become so",
  usage = "KIND NAME",
  options = common.options(
    { name = "for", arg = "WISH", doc = "ready, complete, delete, condition=TYPE, FIELD=VALUE" },
    { name = "appear", doc = "it need not be there yet" },
    common.TIMEOUT
  ),
  doc = [[A Job is waited for until it is Complete or Failed, whichever comes first; the same holds
for whatever else can fail for good. At the deadline (10m if not given) the last state seen is
said.]],
  examples = { { "pai k8s wait job download --for complete --timeout 1h", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function wait.run(words, opts)
  local kind, names = common.objects(words[1] and words or { "" })
  if kind == "" or #names ~= 1 then
    err.raise("EUSAGE", "missing KIND NAME")
  end
  local c = common.connect(opts)
  local object = common.checked(c:wait(kind, names[1], {
    ["for"] = opts["for"] or "ready",
    timeout = opts.timeout,
    appear = opts.appear,
    on_change = function(seen)
      if not opts.json then
        out.stderr(("%s %s: %s\n"):format(kind, names[1], seen))
      end
    end,
  }))
  if opts.json then
    common.print_json({ context = c.context, server = c.server, object = object })
  else
    out.stdout(("%s %s: %s\n"):format(kind, names[1], opts["for"] or "ready"))
  end
  return 0
end

local watch = {
  name = "watch",
  summary = "say what changes, until interrupted",
  usage = "KIND [NAME]",
  options = common.options(common.ALL, common.SELECTOR, common.FIELDS, common.TIMEOUT),
  examples = { { "pai k8s watch pods --selector app=web", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function watch.run(words, opts)
  args.count(words, 1, 2, "KIND")
  local kind, names = common.objects(words)
  local c = common.connect(opts)
  opts.streamed = true
  local conditions = require("pai.k8s.conditions")
  local function follow()
    common.checked(c:watch(kind, {
      all = opts.all,
      labels = opts.selector,
      fields = names[1] and "metadata.name=" .. names[1] or opts.field_selector,
      on_event = function(what, object)
        if opts.json then
          common.print_json({ type = what, object = object })
          return
        end
        local meta = object.metadata
        local name = opts.all and meta.namespace and meta.namespace .. "/" .. meta.name or meta.name
        out.stdout(("%s %s %s: %s\n"):format(what, kind, name, conditions.seen(object)))
      end,
      on_trouble = function(e)
        out.stderr(("the connection ended (%s); going on\n"):format(e.message))
      end,
    }))
  end
  if not opts.timeout then
    follow()
    return 0
  end
  local ok, problem = pcall(require("pai.async").deadline, opts.timeout, follow)
  if not ok and not err.is(problem, "ETIMEDOUT") then
    error(problem, 0)
  end
  return 0
end

local logs = {
  name = "logs",
  summary = "print the log of a container",
  usage = "POD",
  options = common.options(
    common.CONTAINER,
    { name = "follow", doc = "go on until the container has ended" },
    { name = "previous", doc = "of the container before the last restart" },
    { name = "tail", arg = "N", doc = "only the last lines" },
    { name = "since", arg = "TIME", doc = "only what is newer than so long" },
    { name = "timestamps", doc = "each line with its time" }
  ),
  examples = { { "pai k8s logs web-0 --follow", "" } },
}

local function whole_number(opts, name)
  local n = opts[name] and math.tointeger(tonumber(opts[name]))
  if opts[name] and (not n or n < 0) then
    err.raise("EUSAGE", ("--%s takes a whole number, not '%s'"):format(name, opts[name]))
  end
  return n
end

---@param words string[]
---@param opts table
---@return integer exit code
function logs.run(words, opts)
  args.count(words, 1, 1, "POD")
  local since = opts.since and require("pai.duration").parse(opts.since)
  if opts.since and not since then
    err.raise("EUSAGE", ("--since takes a duration, not '%s'"):format(opts.since))
  end
  local tail = whole_number(opts, "tail")
  local c = common.connect(opts)
  opts.streamed = true
  common.checked(c:logs((words[1]:gsub("^pods?/", "")), {
    container = opts.container,
    follow = opts.follow,
    previous = opts.previous,
    tail = tail,
    since_s = since and math.max(1, since // 1000),
    on_line = function(line, time)
      if opts.json then
        common.print_json({ line = text.utf8(line), time = time })
      else
        out.stdout((opts.timestamps and time and time .. " " or "") .. line .. "\n")
      end
    end,
    on_trouble = function(e)
      out.stderr(("the connection ended (%s); going on\n"):format(e.message))
    end,
  }))
  return 0
end

local diagnose = {
  name = "diagnose",
  summary = "say what is wrong in a namespace, which layer it is, and what to try next",
  usage = "",
  options = common.options(common.SELECTOR),
  doc = [[Looks at pods, claims, jobs, workloads, nodes, quotas and events. It ends with 1 when
something is wrong.]],
  examples = { { "pai k8s diagnose --namespace osmo-nims", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function diagnose.run(words, opts)
  args.count(words, 0, 0, "")
  local c = common.connect(opts)
  local found = common.checked(require("pai.k8s.diagnose").namespace(c, { labels = opts.selector }))
  if opts.json then
    common.print_json({
      context = c.context,
      server = c.server,
      namespace = c.namespace,
      findings = json.array(found),
    })
  elseif #found == 0 then
    out.stdout("nothing is wrong that can be seen from here\n")
  end
  for _, f in ipairs(not opts.json and found or {}) do
    out.stdout(("%s %s %s: %s\n"):format(f.layer, f.kind, f.name, f.message))
    for _, line in ipairs(f.evidence) do
      out.stdout("  " .. text.one_line(line) .. "\n")
    end
    out.stdout("  next: " .. f.next .. "\n")
  end
  return #found == 0 and 0 or 1
end

return { contexts, get, wait, watch, logs, diagnose }
