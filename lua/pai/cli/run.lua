-- pai run
local args = require("pai.cli.args")
local err = require("pai.err")

local M = {
  name = "run",
  summary = "run a recipe",
  usage = "RECIPE [key=value ...]",
  doc = "Runs a recipe by name or path. Every effect is journalled before and after, so that a run "
    .. "that was killed goes on with `pai resume`. Exit code 0 is green, 1 a red gate or failed "
    .. "step, 3 a missing input, 4 a lease held by another run.",
  options = {
    { name = "input", arg = "FILE", doc = "inputs as JSON or YAML; - is standard input" },
    { name = "plan", arg = "DIGEST", doc = "run only what this plan showed" },
    { name = "yes", doc = "confirm steps that destroy" },
    { name = "allow-dirty", doc = "run a tracked recipe with changes that are not committed" },
    { name = "target", arg = "TARGET", doc = "local or osmo" },
    { name = "run-id", arg = "ID", doc = "the id of the run, run-…" },
    { name = "plain", doc = "plain lines, also on a terminal" },
  },
  examples = {
    { "pai run hello name=Ada", "a recipe by name, with an input" },
    { "pai run ./recipes/hello.lua", "by path" },
    { "pai run vda --input inputs.yaml --json", "inputs from a file, events as JSON Lines" },
  },
}

-- An error before the first event ends the stream as a run would.
local function end_stream(e)
  local journal = require("pai.run.journal")
  local json, out = require("pai.json"), require("pai.out")
  local seq = 0
  local function emit(event, fields)
    seq = seq + 1
    out.stdout(json.encode(journal.event(nil, seq, event, fields)) .. "\n")
  end
  local status = "failed"
  if e.code == "EINPUT" then
    status = "input_required"
    emit("input.required", { missing = e.missing })
  end
  emit("run.end", {
    status = status,
    code = require("pai.cli.dispatch").exit_code(e),
    ms = 0,
    reason = e.message,
    hint = e.hint,
    problems = e.problems,
  })
end

---Runs something that streams events, so that also its early errors end the stream.
---@param opts table
---@param fn fun(open_view: fun(): pai.cli.View): integer
---@return integer exit code
function M.streamed(opts, fn)
  local view
  local ok, code = pcall(function()
    return fn(function()
      view = require("pai.cli.view").new(opts)
      return view
    end)
  end)
  if view then
    view.close()
  end
  if ok then
    return code
  end
  local e = err.wrap(code)
  if opts.json then
    opts.streamed = true
    end_stream(e)
  end
  error(e, 0)
end

-- Asks for the word yes on the terminal; nil when the input has ended.
local function confirm(names)
  local question = ("These steps destroy: %s. Type yes to go on: "):format(
    table.concat(names, ", ")
  )
  local answer = require("pai.term").read_line(question)
  return answer and answer == "yes"
end

---Begins a run of a recipe. Raises what stops it before its first event.
---@param what string name or path
---@param rest string[] key=value
---@param opts table
---@param open_view fun(): pai.cli.View
---@return integer exit code
function M.begin(what, rest, opts, open_view)
  local given, from_text = args.inputs(rest, opts)
  if opts.run_id and not require("pai.state").is_id(opts.run_id) then
    err.raise("EUSAGE", "a run id is run- and letters, digits, '_' or '-'")
  end
  local can_ask = require("pai.cli.view").can_ask(opts)
  local prepared = require("pai.run.prepare").run(what, given, {
    from_text = from_text,
    prompt = can_ask,
    target = opts.target,
  })
  return (
    require("pai.run.begin").run(prepared, {
      id = opts.run_id,
      open_view = open_view,
      yes = opts.yes,
      plan = opts.plan,
      allow_dirty = opts.allow_dirty,
      confirm = can_ask and confirm or nil,
    })
  )
end

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  args.count(words, 1, math.huge, "RECIPE")
  return M.streamed(opts, function(open_view)
    return M.begin(words[1], table.move(words, 2, #words, 1, {}), opts, open_view)
  end)
end

return M
