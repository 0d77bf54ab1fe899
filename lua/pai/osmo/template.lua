-- The templates of OSMO specs: Jinja2 as upstream runs it, that is sandboxed, with every undefined
-- name an error, no autoescape, no extensions and no other templates. A render is bounded in steps
-- and in memory. Upstream's verdict on a failure hangs on the kind of the exception, so errors
-- carry it.
local err = require("pai.err")
local loops = require("pai.osmo.template_loop")
local methods = require("pai.osmo.template_methods")
local ops = require("pai.osmo.template_ops")
local parser = require("pai.osmo.template_parser")
local seq = require("pai.osmo.template_seq")
local stmt = require("pai.osmo.template_stmt")
local compile = require("pai.osmo.template_compile")
local tests = require("pai.osmo.template_tests")
local value = require("pai.osmo.template_value")

local M = {}

-- About a second of work; upstream stops after half a second.
M.MAX_STEPS = 1000000
-- Macros that call themselves, and recursive loops.
local MAX_CALLS = 60

-- What upstream reports as the user's mistake; other kinds surface there as an internal error.
local USER_KINDS = {
  TemplateSyntaxError = true,
  TemplateAssertionError = true,
  TemplateRuntimeError = true,
  FilterArgumentError = true,
  UndefinedError = true,
  SecurityError = true,
  TypeError = true,
  TimeoutError = true,
  MemoryError = true,
}

local function new_state(max_steps)
  local st = { ops = ops, methods = methods, tests = tests, bytes = 0, out = { n = 0 }, line = 1 }
  st.scopes = setmetatable({}, { __mode = "k" })
  st.sorted = seq.sorted
  local steps, depth = 0, 0
  function st.step()
    steps = steps + 1
    if steps > max_steps then
      value.raise("TimeoutError", "the template takes too long (over %d steps)", max_steps)
    end
  end
  function st.enter()
    depth = depth + 1
    if depth > MAX_CALLS then
      value.raise("RecursionError", "macros or loops call themselves deeper than %d", MAX_CALLS)
    end
  end
  function st.leave()
    depth = depth - 1
  end
  return st
end

-- For each line of the output, the line of the template that its first visible text comes from.
local function line_map(out)
  local map, at, seen = { 1 }, 1, false
  for i = 1, out.n do
    local piece = out[i]
    local line, pos = piece.line, 1
    while true do
      local newline = piece.text:find("\n", pos, true)
      if not seen and piece.text:sub(pos, newline and newline - 1):find("%S") then
        map[at], seen = line, true
      end
      if not newline then
        break
      end
      line = piece.moves and line + 1 or line
      at, seen, pos = at + 1, false, newline + 1
      map[at] = line
    end
  end
  return map
end

local function failure(e, line)
  if type(e) ~= "table" or not e.pykind then
    error(e, 0)
  end
  line = e.line or line
  return err.fail("ETEMPLATE", e.message, {
    kind = e.pykind,
    line = line,
    user_mistake = USER_KINDS[e.pykind] == true,
  })
end

---@class pai.osmo.RenderOptions
---@field max_steps integer?

---Renders a template.
---@param text string
---@param variables table<string, any> values as pai.osmo.template_value has them
---@param opts pai.osmo.RenderOptions?
---@return string? text
---@return table errOrMap pai.Error with kind, line and user_mistake; of a success, for each line of
---  the output its line in the template
function M.render(text, variables, opts)
  local st = new_state(opts and opts.max_steps or M.MAX_STEPS)
  local ok, e = pcall(function()
    local nodes = parser.parse(text)
    local run = setmetatable({ soft = false }, compile.Compiler):body(nodes)
    local context = setmetatable({}, { __index = loops.globals() })
    for name, v in pairs(variables) do
      context[name] = v
    end
    st.root = stmt.child(st, context)
    run(st, st.root)
  end)
  if not ok then
    return failure(e, st.line)
  end
  local parts = {}
  for i = 1, st.out.n do
    parts[i] = st.out[i].text
  end
  return table.concat(parts), line_map(st.out)
end

return M
