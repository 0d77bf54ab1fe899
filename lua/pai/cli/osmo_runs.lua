-- pai osmo submit, validate, cancel, restart.
local args = require("pai.cli.args")
local command = require("pai.cli.osmo_command")
local common = require("pai.cli.osmo_common")
local json = require("pai.json")
local out = require("pai.out")
local show = require("pai.cli.osmo_show")

local function read_file(path)
  local body = common.checked(require("pai.fs").read(path, { max = 16 * 1024 * 1024 }))
  return body
end

local function submission(words, opts)
  for _, name in ipairs({ "set", "set_string", "set_env", "label" }) do
    for _, word in ipairs(opts[name] or {}) do
      if not word:find("^[^=]+=") then
        local message = "--%s %s: it is written NAME=VALUE"
        require("pai.err").raise("EUSAGE", message:format(name:gsub("_", "-"), word))
      end
    end
  end
  return {
    spec = read_file(words[1]),
    file = words[1],
    pool = opts.pool,
    variables = opts.set,
    string_variables = opts.set_string,
    labels = opts.label,
    env = opts.set_env,
    priority = common.priority(opts),
  }
end

local submit = {
  name = "submit",
  summary = "submit a workflow, or a run's once more",
  usage = "FILE|ID",
  doc = "FILE is an OSMO workflow, which may be a template; files named by localpath are read from "
    .. "beside it. ID is a run, whose workflow is submitted as the service keeps it. When the "
    .. "answer gets lost, the run is looked for by a label of its own before anything is sent "
    .. "again.",
  options = common.options(
    common.SET,
    common.SET_STRING,
    common.SET_ENV,
    common.POOL,
    common.LABEL,
    common.PRIORITY,
    common.ROOT,
    { name = "dry-run", doc = "print the rendered workflow; nothing is submitted" },
    { name = "wait", doc = "wait until it has ended; the exit code says how" },
    { name = "timeout", arg = "TIME", doc = "with --wait: how long at most" }
  ),
  refused = common.NO_RSYNC,
  examples = {
    { "pai osmo submit flow.yaml --set frames=200 fps=30 --wait", "run it here and wait" },
    { "pai osmo submit flow.yaml --target osmo --pool gpu", "on the OSMO you are logged in to" },
    { "pai osmo submit flow-1", "the workflow of flow-1 once more" },
  },
}

-- A run's id in place of a file: such a name, and no such file.
local function is_id(word)
  return word:find("^%a[%w_-]*%-%d+$") and not require("pai.fs").exists(word)
end

local function request_of(words, opts)
  args.count(words, 1, 1, "FILE")
  if not is_id(words[1]) then
    return submission(words, opts)
  end
  for _, name in ipairs({ "set", "set_string", "dry_run" }) do
    if opts[name] then
      local message = "--%s has no meaning for a run that is submitted once more"
      require("pai.err").raise("EUSAGE", message:format((name:gsub("_", "-"))))
    end
  end
  return {
    workflow_id = words[1],
    pool = opts.pool,
    labels = opts.label,
    env = opts.set_env,
    priority = common.priority(opts),
  }
end

-- The verdict of the code that the engine runs.
local function check_here(path, opts)
  return common.checked(require("pai.osmo.spec").validate_file(path, {
    variables = opts.set,
    string_variables = opts.set_string,
    labels = opts.label,
    path = path,
    offline = true,
  }))
end

-- The engine knows no file: what is wrong with one is said here, with its lines.
local function check_for_engine(c, request, opts)
  if c.target == "local" and request.file then
    check_here(request.file, opts)
  end
end

---@param words string[]
---@param opts table
---@return integer exit code
function submit.run(words, opts)
  common.duration(opts, "timeout") -- a mistake is known before anything is sent
  local request = request_of(words, opts)
  local c = common.connect(opts, { start = not opts.dry_run and nil })
  request.dry_run = opts.dry_run
  if not opts.dry_run then
    check_for_engine(c, request, opts)
  end
  local answer = common.checked(c:submit(request))
  if not opts.wait or opts.dry_run then
    common.print_submitted(answer, opts)
    return 0
  end
  common.print_warnings(answer)
  if not opts.json then
    out.stdout(answer.name .. "\n")
  end
  local q = show.wait(c, answer.name, opts)
  if opts.json then
    common.print_json(q)
  else
    show.print_query(q)
  end
  return show.exit_code(q)
end

local validate = {
  name = "validate",
  summary = "check a workflow, offline; with --target, have the service check it, too",
  usage = "FILE",
  doc = "The check here gives OSMO's own verdict on everything that needs no service: template, "
    .. "YAML, keys, types, order, resources, URLs. With --target the service then checks pools, "
    .. "images, credentials and data. It keeps what fails there as a FAILED_SUBMISSION run, so "
    .. "what fails here is not sent.",
  options = common.options(common.SET, common.SET_STRING, common.POOL, common.LABEL, common.ROOT),
  examples = {
    { "pai osmo validate flow.yaml", "offline" },
    { "pai osmo validate flow.yaml --target osmo", "by the OSMO you are logged in to, too" },
  },
}

---@param words string[]
---@param opts table
---@return integer exit code
function validate.run(words, opts)
  args.count(words, 1, 1, "FILE")
  local answer
  if opts.target then
    local request = submission(words, opts)
    request.validation_only = true
    local c = common.connect(opts)
    check_for_engine(c, request, opts)
    answer = common.checked(c:submit(request))
    common.print_warnings(answer)
  else
    local name = check_here(words[1], opts).name
    answer = { name = name, logs = "Workflow validation succeeded.", offline = true }
  end
  if opts.json then
    common.print_json(answer)
  else
    out.stdout(("%s: %s\n"):format(answer.name, answer.logs))
  end
  return 0
end

local cancel = {
  name = "cancel",
  summary = "cancel runs",
  usage = "ID...",
  options = common.options(
    { name = "message", short = "m", arg = "TEXT", doc = "why" },
    { name = "force", short = "f", doc = "without giving tasks the time to end by themselves" }
  ),
  examples = { { "pai osmo cancel flow-1 --message 'wrong input'", "" } },
}

-- Does the same to several runs; 1 when one of them could not be done.
local function each_run(ids, opts, how)
  local code, results, hint = 0, {}, nil
  for i, id in ipairs(ids) do
    local answer, e = how.ask(id)
    local name = type(answer) == "table" and answer.name or id
    results[i] = { name = name, [how.verb] = answer ~= nil, message = e and e.message }
    if answer == nil then
      code = 1
    end
    if not opts.json and answer ~= nil then
      out.stdout(("%s: %s\n"):format(name, how.said))
    elseif not opts.json then
      out.stderr(("pai: %s: %s\n"):format(id, e.message))
      hint = e.hint or hint
    end
  end
  if opts.json then
    common.print_json({ workflows = json.array(results) })
  elseif hint then
    out.stderr(("hint: %s\n"):format(hint))
  end
  return code
end

---@param words string[]
---@param opts table
---@return integer exit code
function cancel.run(words, opts)
  args.count(words, 1, 1000, "ID")
  local c = common.connect(opts)
  return each_run(words, opts, {
    ask = function(id)
      return c:cancel(id, { message = opts.message, force = opts.force })
    end,
    verb = "canceled",
    said = "being canceled",
  })
end

local restart = command.new({
  name = "restart",
  summary = "run what failed of a run again, as a new run",
  usage = "ID",
  words = { 1, 1 },
  options = { common.POOL, common.ROOT },
  examples = { { "pai osmo restart flow-1", "" } },
  ask = function(c, _, words, opts)
    return c:restart(words[1], { pool = opts.pool })
  end,
  text = function(answer)
    return answer.name .. "\n"
  end,
})

local tag = {
  name = "tag",
  summary = "put tags on runs and take them off, or list the tags there are",
  usage = "[ID...]",
  options = common.options(
    { name = "workflow", short = "w", arg = "ID", several = true, doc = "runs, in place of ID" },
    { name = "add", short = "a", arg = "TAG", several = true, doc = "put these tags on" },
    { name = "remove", short = "r", arg = "TAG", several = true, doc = "take these tags off" }
  ),
  examples = {
    { "pai osmo tag flow-1 --add keep", "" },
    { "pai osmo tag", "the tags that an admin allows" },
  },
}

local function list_tags(opts)
  local tags = common.checked(common.connect(opts):tags())
  if opts.json then
    common.print_json({ tags = json.array(tags) })
  else
    out.stdout(#tags > 0 and table.concat(tags, "\n") .. "\n" or "an admin has set no tags\n")
  end
  return 0
end

---@param words string[]
---@param opts table
---@return integer exit code
function tag.run(words, opts)
  local ids = table.move(opts.workflow or {}, 1, #(opts.workflow or {}), #words + 1, words)
  if #ids == 0 and (opts.add or opts.remove) then
    require("pai.err").raise("EUSAGE", "missing ID: all that follows --add or --remove is a tag", {
      hint = "name the runs first",
    })
  elseif #ids == 0 then
    return list_tags(opts)
  elseif not opts.add and not opts.remove then
    require("pai.err").raise("EUSAGE", "missing --add TAG or --remove TAG")
  end
  local c = common.connect(opts)
  return each_run(ids, opts, {
    ask = function(id)
      return c:tag(id, { add = opts.add, remove = opts.remove })
    end,
    verb = "tagged",
    said = "tagged",
  })
end

return { submit, validate, cancel, restart, tag }
