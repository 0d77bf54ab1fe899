-- pai osmo submit, validate, cancel, restart.
local args = require("pai.cli.args")
local common = require("pai.cli.osmo_common")
local json = require("pai.json")
local out = require("pai.out")

local function read_file(path)
  local body = common.checked(require("pai.fs").read(path, { max = 16 * 1024 * 1024 }))
  return body
end

local function submission(words, opts)
  args.count(words, 1, 1, "FILE")
  return {
    spec = read_file(words[1]),
    file = words[1],
    pool = opts.pool,
    variables = opts.set,
    string_variables = opts.set_string,
    labels = opts.label,
    env = opts.set_env,
    priority = opts.priority and opts.priority:upper(),
  }
end

local function print_warnings(answer)
  for _, warning in ipairs(answer.warnings or {}) do
    out.stderr("warning: " .. warning .. "\n")
  end
end

local submit = {
  name = "submit",
  summary = "submit a workflow",
  usage = "FILE",
  doc = "FILE is an OSMO workflow, which may be a template; files named by localpath are read from "
    .. "beside it.",
  options = common.options(
    common.SET,
    common.SET_STRING,
    { name = "set-env", arg = "K=V", many = true, doc = "an environment variable of every task" },
    common.POOL,
    common.LABEL,
    { name = "priority", arg = "P", doc = "HIGH, NORMAL or LOW" },
    common.ROOT,
    { name = "dry-run", doc = "print the rendered workflow; nothing is submitted" },
    { name = "wait", doc = "wait until it has ended; the exit code says how" },
    { name = "timeout", arg = "TIME", doc = "with --wait: how long at most" }
  ),
  examples = {
    { "pai osmo submit flow.yaml --set frames=200 --wait", "run it here and wait" },
    { "pai osmo submit flow.yaml --target osmo --pool gpu", "on the OSMO you are logged in to" },
  },
}

---@param words string[]
---@param opts table
---@return integer exit code
function submit.run(words, opts)
  local request = submission(words, opts)
  local c = common.connect(opts, { start = not opts.dry_run and nil })
  if opts.dry_run then
    request.dry_run = true
    local answer = common.checked(c:submit(request))
    out.stdout(opts.json and json.encode(answer) .. "\n" or answer.spec)
    return 0
  end
  local answer = common.checked(c:submit(request))
  print_warnings(answer)
  if not opts.wait then
    if opts.json then
      common.print_json(answer)
    else
      out.stdout(answer.name .. "\n")
    end
    return 0
  end
  if not opts.json then
    out.stdout(answer.name .. "\n")
  end
  local q = common.wait(c, answer.name, opts)
  if opts.json then
    common.print_json(q)
  else
    common.print_query(q)
  end
  return common.exit_code(q)
end

local validate = {
  name = "validate",
  summary = "have a workflow checked; a failed check leaves a FAILED_SUBMISSION run behind",
  usage = "FILE",
  options = common.options(common.SET, common.SET_STRING, common.POOL, common.LABEL, common.ROOT),
  examples = { { "pai osmo validate flow.yaml", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function validate.run(words, opts)
  local request = submission(words, opts)
  request.validation_only = true
  local answer = common.checked(common.connect(opts):submit(request))
  print_warnings(answer)
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
    { name = "message", arg = "TEXT", doc = "why" },
    { name = "force", doc = "without giving tasks the time to end by themselves" }
  ),
  examples = { { "pai osmo cancel flow-1 --message 'wrong input'", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function cancel.run(words, opts)
  args.count(words, 1, 1000, "ID")
  local c = common.connect(opts)
  local code, results = 0, {}
  for _, id in ipairs(words) do
    local answer, e = c:cancel(id, { message = opts.message, force = opts.force })
    if answer then
      results[#results + 1] = { name = answer.name, canceled = true }
    else
      code = 1
      results[#results + 1] = { name = id, canceled = false, message = e.message }
    end
    if not opts.json then
      if answer then
        out.stdout(answer.name .. ": being canceled\n")
      else
        out.stderr(("pai: %s: %s\n"):format(id, e.message))
      end
    end
  end
  if opts.json then
    common.print_json({ workflows = json.array(results) })
  end
  return code
end

local restart = {
  name = "restart",
  summary = "run what failed of a run again, as a new run",
  usage = "ID",
  options = common.options(common.POOL, common.ROOT),
  examples = { { "pai osmo restart flow-1", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function restart.run(words, opts)
  args.count(words, 1, 1, "ID")
  local answer = common.checked(common.connect(opts):restart(words[1], { pool = opts.pool }))
  if opts.json then
    common.print_json(answer)
  else
    out.stdout(answer.name .. "\n")
  end
  return 0
end

return { submit, validate, cancel, restart }
