-- One recipe out of the same action of several components, for `pai preflight A B` and
-- so on. What only looks runs side by side; what acts goes in the order that was given. An
-- input that two components name alike is one input.
local describe = require("pai.recipe.describe")
local err = require("pai.err")
local index = require("pai.recipe.index")
local text = require("pai.text")

local M = {}

local RANK <const> = { observes = 1, changes = 2, destroys = 3 }

-- Plain data as a Lua literal, keys sorted.
local function literal(value)
  if type(value) == "string" then
    return ("%q"):format(value)
  elseif type(value) ~= "table" then
    return tostring(value)
  end
  local keys = {}
  for k in pairs(value) do
    keys[#keys + 1] = k
  end
  table.sort(keys, function(a, b)
    return tostring(a) < tostring(b)
  end)
  local parts = {}
  for i, k in ipairs(keys) do
    parts[i] = ("[%s] = %s"):format(literal(k), literal(value[k]))
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function same(a, b)
  return literal(a) == literal(b)
end

local function add_all(list, more)
  local known = {}
  for _, entry in ipairs(list) do
    known[literal(entry)] = true
  end
  for _, entry in ipairs(more or {}) do
    if not known[literal(entry)] then
      known[literal(entry)] = true
      list[#list + 1] = entry
    end
  end
end

-- One declaration for an input that two actions have.
local function joined(name, first, decl, owners)
  for _, key in ipairs({ "type", "values", "of", "pattern" }) do
    -- A pattern that only one of them has holds for both.
    local one_sided = key == "pattern" and (first.pattern == nil or decl.pattern == nil)
    if not one_sided and not same(first[key], decl[key]) then
      local message = "%s and %s both have an input '%s', of different kinds"
      err.raise("EUSAGE", message:format(owners[name], owners.now, name), {
        hint = "run them one after the other",
      })
    end
  end
  local out = {}
  for key, value in pairs(first) do
    out[key] = value
  end
  local required = not (first.optional or first.default ~= nil)
    or not (decl.optional or decl.default ~= nil)
  out.env = first.env or decl.env
  out.pattern = first.pattern or decl.pattern
  if required then
    out.optional, out.default = nil, nil
  elseif not same(first.default, decl.default) then
    -- Each keeps its own default; none is passed on.
    out.optional, out.default = true, nil
  end
  for _, key in ipairs({ "hosts", "bins" }) do
    if first[key] or decl[key] then
      out[key] = {}
      add_all(out[key], first[key])
      add_all(out[key], decl[key])
    end
  end
  return out
end

local function description_of(component, action, load)
  local name = component .. "." .. action
  local path = index.resolve(name)
  if not path then
    local _, components = index.all()
    local names = {}
    for i, one in ipairs(components) do
      names[i] = one.name
      if one.name == component then
        err.raise("EUSAGE", ("%s has no %s"):format(component, action), {
          hint = "pai show " .. component .. " says why",
        })
      end
    end
    if index.resolve(component) then
      err.raise("EUSAGE", ("%s is a recipe, not a component"):format(component), {
        hint = ("pai plan %s, pai check %s or pai run %s"):format(component, component, component),
      })
    end
    local hint = text.did_you_mean(component, names)
    err.raise("ENOENT", ("no component '%s'%s"):format(component, hint), {
      hint = "pai list shows what there is",
    })
  end
  return describe.recipe(load(path))
end

---Makes the text of a recipe that does one action on several components.
---@param action string one of pai.recipe.index.ACTIONS
---@param components string[]
---@param load fun(path: string): pai.recipe.Loaded reads an action, or raises
---@return string source
function M.source(action, components, load)
  local inputs, owners = {}, {}
  local needs = { bins = {}, hosts = {}, writes = {}, reads = {}, clusters = {} }
  local safety, steps, seen = "observes", {}, {}
  for i, component in ipairs(components) do
    if seen[component] then
      err.raise("EUSAGE", component .. " is named twice")
    end
    seen[component] = true
    local description = description_of(component, action, load)
    owners.now = component
    local passed = {}
    for _, name in ipairs(text.keys(description.inputs)) do
      local decl = description.inputs[name]
      inputs[name] = inputs[name] and joined(name, inputs[name], decl, owners) or decl
      owners[name] = owners[name] or component
      passed[#passed + 1] = ("[%q] = inp[%q]"):format(name, name)
    end
    for key, list in pairs(needs) do
      add_all(list, description.needs[key])
    end
    if RANK[description.safety] > RANK[safety] then
      safety = description.safety
    end
    local acts = RANK[description.safety] > RANK.observes
    local after = acts and i > 1 and (", after = { %q }"):format(components[i - 1]) or ""
    steps[i] = ("    { name = %q, use = %q%s, with = function(inp) return { %s } end },"):format(
      component,
      component .. "." .. action,
      after,
      table.concat(passed, ", ")
    )
  end
  local lines = {
    "-- Made by `pai " .. action .. " " .. table.concat(components, " ") .. "`.",
    "return {",
    ("  api = 1, name = %q, title = %q,"):format(action, table.concat(components, ", ")),
    ("  summary = %q, safety = %q,"):format(action .. " of several components.", safety),
    "  inputs = " .. literal(inputs) .. ",",
    "  needs = " .. literal(needs) .. ",",
    "  steps = {",
    table.concat(steps, "\n"),
    "  },",
    "}",
  }
  return table.concat(lines, "\n") .. "\n"
end

return M
