-- A recipe as plain data: what list, show, lint and everything outside of a run need to know,
-- without a function in it.
local M = {}

local function plain(value)
  if type(value) == "function" then
    return nil
  end
  if type(value) ~= "table" then
    return value
  end
  local out = {}
  for k, v in pairs(value) do
    out[k] = plain(v)
  end
  return out
end

local function step(s)
  local kind = s.use and "use" or s.checks and "checks" or s.run and "run" or "verify"
  return {
    name = s.name,
    title = s.title,
    after = s.after,
    use = s.use,
    kind = kind,
    each = s.each ~= nil,
    done = s.done ~= nil,
    verify = s.verify ~= nil,
    timeout = s.timeout,
    safety = s.safety,
  }
end

---Describes a loaded recipe.
---@param loaded pai.recipe.Loaded
---@return table description JSON-ready
function M.recipe(loaded)
  local doc = loaded.doc
  local out = {
    path = loaded.path,
    name = doc.name,
    title = doc.title,
    summary = doc.summary,
    doc = doc.doc,
    tags = doc.tags,
    safety = doc.safety,
    inputs = plain(doc.inputs or {}),
    needs = plain(doc.needs or {}),
    returns = plain(doc.returns),
    examples = doc.examples,
    estimates = doc.estimate ~= nil,
    dynamic = type(doc.steps) == "function",
  }
  if not out.dynamic then
    out.steps = {}
    for i, s in ipairs(doc.steps) do
      out.steps[i] = step(s)
    end
  end
  return out
end

---Describes a component from its component.lua.
---@param doc table
---@param dir string
---@return table
function M.component(doc, dir)
  return {
    path = dir,
    name = doc.name,
    title = doc.title,
    summary = doc.summary,
    doc = doc.doc,
    tags = doc.tags,
    reference = doc.reference,
    inputs = plain(doc.inputs or {}),
    needs = plain(doc.needs or {}),
  }
end

return M
