-- `pai preflight`, `deploy`, `verify` and `teardown`: one action over any set of components. What
-- looks is no run and writes nothing; what acts is a run like any other, `verify --active` too.
local args = require("pai.cli.args")
local compose = require("pai.recipe.compose")
local err = require("pai.err")
local fs = require("pai.fs")
local loader = require("pai.recipe.loader")
local state = require("pai.state")

local M = {}

-- Components first, then key=value.
local function split(action, words)
  local components, rest = {}, {}
  for _, word in ipairs(words) do
    if word:find("=", 1, true) then
      rest[#rest + 1] = word
    elseif #rest > 0 then
      err.raise("EUSAGE", ("component '%s' comes after key=value"):format(word))
    else
      components[#components + 1] = word
    end
  end
  if #components == 0 then
    err.raise("EUSAGE", ("pai %s takes the names of components"):format(action), {
      hint = "pai list shows what there is",
    })
  end
  return components, rest
end

-- The components are run by this process in any case, so they are read by it too, under the guards
-- of a run; a child for each would cost more than most of their checks.
local function composed(action, components, recipe_loader)
  local prepare = require("pai.run.prepare")
  return compose.source(action, components, function(path)
    prepare.guard(path)
    local loaded, problems = prepare.reading(path, recipe_loader.ahead, recipe_loader, path)
    if not loaded then
      error(loader.error(problems), 0)
    end
    return loaded
  end)
end

---Looks with an action that only observes; the exit code is the verdict.
---@param action string
---@param words string[]
---@param opts table
---@return integer exit code
function M.look(action, words, opts)
  local components, rest = split(action, words)
  -- Nothing is written for a look: the recipe has a path, but no file.
  local path, source = ("%s/%s"):format(fs.cwd(), action), nil
  local recipe_loader = loader.new({
    read = function(what)
      return what == path and source or nil
    end,
  })
  source = composed(action, components, recipe_loader)
  local given, from_text = args.inputs(rest, opts)
  local prepared = require("pai.run.prepare").run(path, given, {
    from_text = from_text,
    prompt = require("pai.cli.view").can_ask(opts),
    target = opts.target,
    loader = recipe_loader,
  })
  return require("pai.cli.check").look(prepared, opts)
end

---Acts: a run like any other, with a journal, that can be resumed.
---@param action string
---@param words string[]
---@param opts table
---@return integer exit code
function M.act(action, words, opts)
  return require("pai.cli.run").streamed(opts, function(open_view)
    local components, rest = split(action, words)
    local source = composed(action, components, loader.new())
    local digest = require("pai.digest").sha256(source):sub(1, 12)
    local dir = state.create(state.dir() .. "/composed")
    local path = ("%s/%s-%s.lua"):format(dir, action, digest)
    if not fs.exists(path) then
      local ok, e = fs.write(path, source, { mode = "0600" })
      if not ok then
        error(e, 0)
      end
    end
    return require("pai.cli.run").begin(path, rest, opts, open_view)
  end)
end

local INPUTS <const> = {
  { name = "input", arg = "FILE", doc = "inputs as JSON or YAML; - is standard input" },
  { name = "target", arg = "TARGET", doc = "local or osmo" },
}

local RUN <const> = {
  { name = "plan", arg = "DIGEST", doc = "run only what this plan showed" },
  { name = "yes", doc = "confirm steps that destroy" },
  { name = "allow-dirty", doc = "run with changes that are not committed" },
  { name = "run-id", arg = "ID", doc = "the id of the run, run-…" },
  { name = "plain", doc = "plain lines, also on a terminal" },
}

local LOOKS <const> = "Runs the checks of every component that is named side by side, each with a "
  .. "deadline, and gives one verdict: exit code 0 when all are green, 1 when one is not."

local COMMANDS <const> = {
  preflight = {
    how = M.look,
    summary = "look whether components can be deployed; changes nothing",
    doc = LOOKS,
    two = "cluster-microk8s osmo-k8s context=microk8s",
  },
  verify = {
    how = function(action, words, opts)
      if opts.active or opts.drill then
        if opts.active and opts.drill then
          err.raise("EUSAGE", "--active and --drill are two runs: one after the other")
        end
        return M.act(opts.drill and "drill" or "active", words, opts)
      end
      return M.look(action, words, opts)
    end,
    summary = "look whether components work; changes nothing",
    doc = LOOKS
      .. " With --active the active tests of components that have some (pai show NAME) run in the "
      .. "place of the checks: they put work of their own on what was deployed and take it away "
      .. "again. That is a run: it is journalled, can be cancelled, and goes on with `pai resume`. "
      .. "With --drill a drill of a component that has some (pai show NAME) takes a part of it "
      .. "away and looks whether the rest goes on and all comes back: a run too, which asks first.",
    options = {
      { name = "active", doc = "run the active tests; the options below are theirs" },
      { name = "drill", doc = "run a drill: take something away, see it come back; asks first" },
    },
    runs = true,
    two = "cluster-microk8s osmo-k8s context=microk8s",
  },
  deploy = {
    how = M.act,
    summary = "deploy components, in the order given",
    doc = "Deploys each component that is named, in that order, as one run: it is journalled and "
      .. "goes on with `pai resume`. The first red gate stops it.",
    two = "cluster-microk8s osmo-k8s context=microk8s",
  },
  teardown = {
    how = M.act,
    summary = "tear components down, in the order given",
    doc = "Tears down each component that is named, in that order, as one run. What destroys asks "
      .. "first; without a terminal, --yes or --plan answers. What stands on another goes first.",
    two = "osmo-k8s cluster-microk8s context=microk8s mek_out=osmo-master-key",
  },
}

---The command of an action.
---@param action string
---@return pai.cli.Command
function M.command(action)
  local one = COMMANDS[action]
  local options = table.move(INPUTS, 1, #INPUTS, 1, {})
  table.move(one.options or {}, 1, #(one.options or {}), #options + 1, options)
  if one.how == M.act or one.runs then
    table.move(RUN, 1, #RUN, #options + 1, options)
  end
  return {
    name = action,
    summary = one.summary,
    usage = "COMPONENT... [key=value ...]",
    doc = one.doc,
    options = options,
    examples = {
      { ("pai %s %s"):format(action, one.two), "two components" },
      { ("pai %s cluster-microk8s --json"):format(action), "the same for programs" },
    },
    run = function(words, opts)
      return one.how(action, words, opts)
    end,
  }
end

return M
