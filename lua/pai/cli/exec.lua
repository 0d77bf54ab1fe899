-- pai exec: a command whose output is masked. Its exit code is passed on; 125, 126 and 127 are
-- pai's own, as with env.
local args = require("pai.cli.args")
local out = require("pai.out")
local task = require("pai.task")

local M = {
  name = "exec",
  summary = "run a command with its output masked",
  usage = "[--secret NAME ...] -- COMMAND [ARG ...]",
  doc = "Everything that the command prints goes through the masker, which knows the values of "
    .. "environment variables whose names look like secrets (…TOKEN, …KEY, …SECRET, …PASSWORD), "
    .. "those named with --secret, those of the .env file at the root of the git work tree, and "
    .. "those of your own store (pai secret set --user). "
    .. "Standard input and signals are passed on, and so is the exit code; 125 is a fault of "
    .. "pai's, 126 a command that can't be run, 127 one that is not there. Output appears as it "
    .. "comes, a prompt too; with --json line by line.",
  raw = true,
  options = {
    { name = "secret", arg = "NAME", many = true, doc = "mask this environment variable's value" },
  },
  examples = {
    { "pai exec -- env", "the environment without the secrets" },
    { "pai exec --secret DB_URL -- make deploy", "with one more secret" },
  },
}

local START_ERRORS <const> = { ENOENT = 127, EACCES = 126, ENOEXEC = 126 }

local function pass_on(text, stream)
  out.write(stream == "stderr" and 2 or 1, text)
end

local function print_json(line, stream)
  local json, text = require("pai.json"), require("pai.text")
  out.stdout(json.encode({ event = "line", stream = stream, text = text.utf8(line) }) .. "\n")
end

-- The code of a child that ended, as a shell gives it.
local function code_of(r, e)
  if r then
    return r.code
  elseif e.code == "EEXIT" and e.signo then
    return 128 + e.signo
  end
  out.stderr(("pai exec: %s\n"):format(e.message))
  return 125
end

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  args.count(words, 1, math.huge, "COMMAND")
  require("pai.secrets.known").open(opts.secret)
  local proc, e = require("pai.exec").start(words, {
    inherit_env = true,
    stdin = "inherit",
    on_line = opts.json and print_json or nil,
    on_output = not opts.json and pass_on or nil,
    raw = not opts.json, -- the channels that it is passed on to mask it; once is enough
    accept = "any",
    max_output = 0,
  })
  if not proc then
    out.stderr(("pai exec: %s\n"):format(e.message))
    return START_ERRORS[e.code] or 125
  end
  local remove = task.on_signal(function(name)
    if name ~= "SIGWINCH" then
      proc:kill(name)
    end
  end)
  local r, failure = proc:wait()
  remove()
  local code = code_of(r, failure)
  if opts.json then
    out.stdout(require("pai.json").encode({ event = "exit", code = code }) .. "\n")
  end
  return code
end

return M
