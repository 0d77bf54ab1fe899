-- pai osmo config: the configurations of a service and their history. Admins only.
local command = require("pai.cli.osmo_command")
local common = require("pai.cli.osmo_common")
local config = require("pai.cli.osmo_config_common")
local err = require("pai.err")
local json = require("pai.json")
local text = require("pai.text")

local function history_rows(configs)
  local rows = { { "TYPE", "NAME", "REVISION", "USER", "CREATED (UTC)", "TAGS", "DESCRIPTION" } }
  for _, c in ipairs(configs) do
    local tags = common.known(c.tags) and table.move(c.tags, 1, #c.tags, 1, {}) or {}
    table.sort(tags)
    rows[#rows + 1] = {
      common.shown(c.config_type),
      common.known(c.name) and c.name ~= "" and c.name or "-",
      common.shown(c.revision),
      common.shown(c.username),
      common.moment(c.created_at),
      #tags > 0 and table.concat(tags, ",") or "-",
      text.one_line(common.shown(c.description)),
    }
  end
  return rows
end

local FIT_WIDTH <const> = { name = "fit-width", doc = "does nothing: lines are not cut here" }

local list = command.new({
  name = "list",
  summary = "list the configurations and their newest revisions",
  usage = "",
  options = { FIT_WIDTH },
  examples = { { "pai osmo config list", "" } },
  ask = function(c)
    return c:config_history({
      config_types = config.TYPES,
      omit_data = "True",
      at_timestamp = os.date("!%Y-%m-%dT%H:%M:%S"),
    })
  end,
  json = command.named_list("configs"),
  rows = function(configs)
    table.sort(configs, function(a, b)
      return common.shown(a.config_type) < common.shown(b.config_type)
    end)
    return history_rows(configs)
  end,
  none = "no configurations found",
})

-- What a key means: the key itself or an index from 0; behind "pools" and "backends", and in a list
-- of things with names, the name, too.
local function step(value, key)
  local index = math.tointeger(tonumber(key))
  if json.is_array(value) then
    for _, item in ipairs(value) do
      if type(item) == "table" and item.name == key then
        return item
      end
    end
    return index and index >= 0 and value[index + 1] or nil
  elseif value[key] ~= nil then
    return value[key]
  end
  for _, wrapper in ipairs({ "pools", "backends" }) do
    if type(value[wrapper]) == "table" then
      return step(value[wrapper], key)
    end
  end
end

local show = command.new({
  name = "show",
  summary = "print a configuration, as it is or as it was, as JSON",
  usage = "TYPE[:REVISION] [KEY...]",
  words = { 1, 20 },
  doc = config.KINDS .. " Each KEY goes one level into it: a name, or an index from 0.",
  options = { { name = "verbose", short = "v", doc = "of pools: with what they inherit" } },
  examples = {
    { "pai osmo config show pool gpu", "one pool" },
    { "pai osmo config show WORKFLOW:3 user_workflow_limits", "as it was in revision 3" },
  },
  read = function(words, opts)
    local kind, number = config.revision(words[1])
    if opts.verbose and (number or kind ~= "POOL") then
      err.raise("EUSAGE", "--verbose is for pools as they are now")
    end
    return { kind = kind, revision = number }
  end,
  ask = function(c, request, words, opts)
    local value, e
    if request.revision then
      local found
      found, e = c:config_revision(request.kind, request.revision)
      value = found and found.data
    else
      value, e = c:config(request.kind, { verbose = opts.verbose })
    end
    for i = 2, value ~= nil and #words or 0 do
      local inner = type(value) == "table" and step(value, words[i])
      if inner == nil or inner == false then
        err.raise("ENOENT", ("the configuration %s has no '%s'"):format(words[1], words[i]))
      end
      value = inner
    end
    return value, e
  end,
  text = function(value)
    return json.encode(text.masked(value), { pretty = true })
  end,
})

local history = command.new({
  name = "history",
  summary = "list the changes of configurations, newest first",
  usage = "[TYPE]",
  words = { 0, 1 },
  doc = config.KINDS .. " A time is one of your time zone.",
  options = {
    { name = "name", short = "n", arg = "NAME", doc = "changes of this pool, template..." },
    { name = "revision", short = "r", arg = "N", doc = "this revision" },
    { name = "tags", arg = "TAG", several = true, doc = "revisions with these tags" },
    { name = "created-after", arg = "TIME", doc = "since this day, or YYYY-MM-DDTHH:MM:SS" },
    { name = "created-before", arg = "TIME", doc = "before it" },
    { name = "at-timestamp", arg = "TIME", doc = "what held at that time" },
    common.COUNT,
    { name = "offset", short = "o", arg = "N", doc = "leave out so many" },
    { name = "order", arg = "asc|desc", doc = common.ORDER.doc },
    FIT_WIDTH,
  },
  examples = { { "pai osmo config history pool --count 5", "" } },
  read = function(words, opts)
    if opts.at_timestamp and (opts.created_after or opts.created_before) then
      err.raise("EUSAGE", "--at-timestamp does not go with --created-after and --created-before")
    end
    local kind, number = nil, nil
    if words[1] then
      kind, number = config.revision(words[1])
    end
    return {
      config_types = kind and { kind } or nil,
      name = opts.name,
      revision = common.integer(opts, "revision") or number,
      tags = opts.tags,
      created_after = common.day(opts, "created-after", true),
      created_before = common.day(opts, "created-before", true),
      at_timestamp = common.day(opts, "at-timestamp", true),
      limit = common.integer(opts, "count"),
      offset = common.integer(opts, "offset"),
      order = "DESC",
      omit_data = "True",
    }
  end,
  ask = function(c, request, _, opts)
    local newest_last = common.newest_last(opts)
    local configs, e = c:config_history(request)
    return configs and newest_last and common.reverse(configs) or configs, e
  end,
  json = command.named_list("configs"),
  rows = history_rows,
  none = "no changes found",
})

-- Both texts as `diff -u` shows them.
local function unified(a, b, first, second)
  local fs = require("pai.fs")
  local dir = assert(fs.tempdir({ prefix = "pai-config-" }))
  local _ <close> = setmetatable({}, {
    __close = function()
      fs.remove(dir, { recursive = true })
    end,
  })
  for name, value in pairs({ a = a, b = b }) do
    local body = json.encode(text.masked(value), { pretty = true })
    common.checked(fs.write(dir .. "/" .. name, body, { mode = 384 }))
  end
  local argv = { "diff", "-u", "--label", first, "--label", second, dir .. "/a", dir .. "/b" }
  local r = common.checked(require("pai.exec").run(argv, { accept = { 0, 1 }, timeout = "60s" }))
  return r.stdout
end

local diff = command.new({
  name = "diff",
  summary = "show what changed between two revisions of a configuration",
  usage = "TYPE[:REVISION] [TYPE[:REVISION]]",
  words = { 1, 2 },
  doc = "Without a revision, the newest is meant. Of a secret it only shows that it changed.",
  examples = {
    { "pai osmo config diff workflow:15", "since revision 15" },
    { "pai osmo config diff pool:3 pool:5", "" },
  },
  read = function(words)
    local kind, first = config.revision(words[1])
    local other, second = kind, nil
    if words[2] then
      other, second = config.revision(words[2])
    end
    if other ~= kind then
      err.raise("EUSAGE", ("%s and %s cannot be compared"):format(kind, other))
    end
    return { kind = kind, first = first, second = second }
  end,
  ask = function(c, request)
    local newest
    if not (request.first and request.second) then
      newest = common.checked(c:config_newest(request.kind))
    end
    request.first, request.second = request.first or newest, request.second or newest
    local answer, e = c:config_diff(request.kind, request.first, request.second)
    if answer then
      answer.first, answer.second = request.first, request.second
    end
    return answer, e
  end,
  text = function(answer, words)
    local kind = config.revision(words[1])
    local label = kind .. ":%d"
    local first, second = label:format(answer.first), label:format(answer.second)
    local shown = unified(answer.first_data, answer.second_data, first, second)
    return shown ~= "" and shown or ("%s and %s do not differ\n"):format(first, second)
  end,
})

local commands = { list, show, history, diff }
table.move(require("pai.cli.osmo_config_write"), 1, 5, #commands + 1, commands)

return { command.group("config", "configurations of a service, and their history", commands) }
