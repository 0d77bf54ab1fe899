-- What `pai preflight`, `deploy`, `verify` and `teardown` share: one action over any set of
-- components.
local args = require("pai.cli.args")
local compose = require("pai.recipe.compose")
local err = require("pai.err")
local fs = require("pai.fs")
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

---Looks with an action that only observes; the exit code is the verdict.
---@param action string
---@param words string[]
---@param opts table
---@return integer exit code
function M.look(action, words, opts)
  local components, rest = split(action, words)
  local source = compose.source(action, components)
  -- Nothing is written for a look: the recipe has a path, but no file.
  local path = ("%s/%s"):format(fs.cwd(), action)
  local given, from_text = args.inputs(rest, opts)
  local prepared = require("pai.run.prepare").run(path, given, {
    from_text = from_text,
    prompt = require("pai.cli.view").can_ask(opts),
    target = opts.target,
    read = function(what)
      return what == path and source or nil
    end,
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
    local source = compose.source(action, components)
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

return M
