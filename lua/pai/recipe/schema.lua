-- The recipe schema: what keys there are, what they must hold, and messages that name file, line
-- and key. A recipe that passes is copied into plain tables, so that nothing in it can run when
-- trusted code reads a field.
local fields = require("pai.recipe.fields")
local text = require("pai.text")
local values = require("pai.recipe.values")

local M = {}

---@class pai.recipe.Problem
---@field file string
---@field line integer
---@field key string "steps[2].run"
---@field message string

---@class pai.recipe.Source
---@field file string path as it is shown
---@field text string
---@field lines table<string, integer>? made at the first problem

M.API = 1

---Longest result and description texts are bounded elsewhere; names are bounded here.
M.STEP_NAME = "^%w[%w_.-]*$"
M.RECIPE_NAME = "^%l[%w_-]*%.?[%w_-]*$"

local function line_of(source, path)
  local locate = require("pai.recipe.locate")
  source.lines = source.lines or locate.lines(source.text)
  return locate.line(source.lines, path)
end

-- "steps.2.run" → "steps[2].run"
local function shown(path)
  return (path:gsub("%.(%d+)", "[%1]"):gsub("^(%d+)", "[%1]"))
end

---@class pai.recipe.Checker
---@field source pai.recipe.Source
---@field problems pai.recipe.Problem[]
local Checker = {}
Checker.__index = Checker

function Checker:add(path, message)
  self.problems[#self.problems + 1] = {
    file = self.source.file,
    line = line_of(self.source, path),
    key = shown(path),
    message = message,
  }
end

local function join(path, key)
  return path == "" and tostring(key) or path .. "." .. tostring(key)
end

-- What stands where something else was wanted: a word is shown, with the one that it may stand for.
local function found_instead(value, wanted)
  if type(value) ~= "string" or wanted:find("^a list") or wanted:find("^a table") then
    return type(value)
  end
  local choices = {}
  for word in (wanted:match("^one of (.*)") or ""):gmatch("[^, ]+") do
    choices[#choices + 1] = word
  end
  local hint = text.did_you_mean(value, choices)
  return ("'%s'%s"):format(text.cut(text.one_line(value), 40), hint)
end

-- Checks one table against its fields: { name = { kind, required } }.
function Checker:fields(t, path, known, what)
  local names = text.keys(known)
  local found = {}
  for key in next, t do
    found[#found + 1] = key
  end
  table.sort(found, function(a, b)
    return tostring(a) < tostring(b)
  end)
  for _, key in ipairs(found) do
    local field = type(key) == "string" and known[key]
    if not field then
      local hint = type(key) == "string" and text.did_you_mean(key, names) or ""
      self:add(join(path, key), ("unknown key '%s' in %s%s"):format(tostring(key), what, hint))
    else
      local ok, wanted = fields.kinds[field[1]](t[key])
      if not ok then
        local instead = found_instead(t[key], wanted)
        self:add(join(path, key), ("'%s' must be %s, not %s"):format(key, wanted, instead))
      end
    end
  end
  for _, name in ipairs(names) do
    if known[name][2] and t[name] == nil then
      local _, wanted = fields.kinds[known[name][1]](nil)
      local which = wanted and wanted:find("^one of") and ": " .. wanted or ""
      self:add(path, ("missing key '%s' in %s%s"):format(name, what, which))
    end
  end
end

local function known_type(name)
  for _, known in ipairs(values.TYPES) do
    if known == name then
      return true
    end
  end
  return false
end

function Checker:input(decl, path)
  if type(decl) ~= "table" then
    return self:add(path, "an input must be a table, not " .. type(decl))
  end
  local before = #self.problems
  self:fields(decl, path, fields.INPUT, "an input")
  if #self.problems > before then
    return
  end
  if not known_type(decl.type) then
    local hint = text.did_you_mean(decl.type, values.TYPES)
    return self:add(join(path, "type"), ("unknown type '%s'%s"):format(decl.type, hint))
  end
  local of = type(decl.of) == "table" and decl.of.type or decl.of
  if
    decl.type == "list"
    and of ~= nil
    and (not known_type(of) or of == "list" or of == "secret")
  then
    return self:add(join(path, "of"), "'of' must be a type other than list and secret")
  end
  if (decl.type == "enum" or of == "enum") and not decl.values then
    return self:add(path, "an enum needs 'values'")
  end
  if decl.type == "secret" then
    if decl.default ~= nil then
      self:add(join(path, "default"), "a secret has no default")
    end
  elseif decl.default ~= nil then
    local _, message = values.read(decl, decl.default, { cwd = "/" })
    if message then
      self:add(join(path, "default"), "the default " .. message)
    end
  end
end

-- Pairs of keys that make no sense in one step.
local EXCLUDE <const> = {
  use = { "run", "done", "checks", "verify", "each", "retry", "cancel" },
  checks = { "run", "done", "retry" },
}

function Checker:step(step, path)
  self:fields(step, path, fields.STEP, "a step")
  if type(step.name) == "string" and not step.name:find(M.STEP_NAME) then
    self:add(
      join(path, "name"),
      ("a step's name is letters, digits, '_', '-', '.'; not '%s'"):format(step.name)
    )
  end
  for key, others in pairs(EXCLUDE) do
    for _, other in ipairs(others) do
      if step[key] ~= nil and step[other] ~= nil then
        self:add(join(path, other), ("a step with '%s' has no '%s'"):format(key, other))
      end
    end
  end
  if not (step.run or step.checks or step.verify or step.use) then
    self:add(path, "missing key 'run' in a step (or 'checks', 'verify' or 'use')")
  end
  if step.done and not step.run then
    self:add(join(path, "done"), "'done' without 'run'")
  end
  if step.with and not step.use then
    self:add(join(path, "with"), "'with' without 'use'")
  end
  if step.limit and (not step.each or (math.type(step.limit) == "integer" and step.limit < 1)) then
    self:add(join(path, "limit"), "'limit' is a count of at least 1, beside 'each'")
  end
  if type(step.retry) == "table" then
    self:fields(step.retry, join(path, "retry"), fields.RETRY, "'retry'")
  end
  for _, key in ipairs({ "checks", "verify" }) do
    if type(step[key]) == "table" then
      for i, check in ipairs(step[key]) do
        self:check(check, join(join(path, key), i))
      end
    end
  end
end

function Checker:check(check, path)
  if type(check) ~= "table" then
    return self:add(path, "a check must be a table, not " .. type(check))
  end
  self:fields(check, path, fields.CHECK, "a check")
  if not check.run then
    self:add(path, "missing key 'run' in a check")
  end
end

function Checker:steps(steps, path)
  local seen = {}
  if #steps == 0 then
    self:add(path, "a recipe needs at least one step")
  end
  for i, step in ipairs(steps) do
    local at = join(path, i)
    if type(step) ~= "table" then
      self:add(at, "a step must be a table, not " .. type(step))
    else
      self:step(step, at)
      if type(step.name) == "string" then
        if seen[step.name] then
          self:add(join(at, "name"), ("two steps are named '%s'"):format(step.name))
        end
        seen[step.name] = i
      end
    end
  end
  if #self.problems == 0 then
    self:order(steps, path, seen)
  end
end

-- `after` names steps that exist, and no circle.
function Checker:order(steps, path, index)
  local names, state = text.keys(index), {}
  for i, step in ipairs(steps) do
    for j, before in ipairs(step.after or {}) do
      if not index[before] then
        local at = join(join(join(path, i), "after"), j)
        self:add(at, ("no step '%s'%s"):format(before, text.did_you_mean(before, names)))
      end
    end
  end
  local function visit(name, trail)
    if state[name] == "open" then
      local circle = table.concat(trail, " → ") .. " → " .. name
      self:add(join(join(path, index[name]), "after"), "steps wait for each other: " .. circle)
      state[name] = "done"
      return
    end
    if state[name] or not index[name] then
      return
    end
    state[name] = "open"
    trail[#trail + 1] = name
    for _, before in ipairs(steps[index[name]].after or {}) do
      visit(before, trail)
    end
    trail[#trail] = nil
    state[name] = "done"
  end
  for _, step in ipairs(steps) do
    visit(step.name, {})
  end
end

function Checker:document(t, known, what)
  self:fields(t, "", known, what)
  if t.api ~= nil and math.type(t.api) == "integer" and t.api ~= M.API then
    self:add("api", ("this pai reads api = %d, not %d"):format(M.API, t.api))
  end
  if known.name and type(t.name) == "string" and not t.name:find(M.RECIPE_NAME) then
    self:add("name", ("a name is small letters, digits, '_' and '-'; not '%s'"):format(t.name))
  end
  for _, name in ipairs(type(t.inputs) == "table" and text.keys(t.inputs) or {}) do
    self:input(t.inputs[name], "inputs." .. name)
  end
  for _, name in ipairs(type(t.returns) == "table" and text.keys(t.returns) or {}) do
    local entry = t.returns[name]
    if type(entry) ~= "table" then
      self:add("returns." .. name, "a returned value is described by a table")
    else
      self:fields(entry, "returns." .. name, fields.RETURN, "a returned value")
    end
  end
  if type(t.needs) == "table" then
    self:fields(t.needs, "needs", fields.NEEDS, "'needs'")
  end
  if type(t.steps) == "table" then
    self:steps(t.steps, "steps")
  end
end

local DOCUMENTS <const> = {
  recipe = { fields.RECIPE, "a recipe" },
  component = { fields.COMPONENT, "a component" },
  action = { fields.ACTION, "a component's action" },
}

-- A table that holds itself would be copied for ever.
local MAX_TABLES <const> = 20000

-- Copies plain tables; what could run by being read (metatables) or never end is refused.
local function copy(value, path, depth, problems)
  if type(value) ~= "table" then
    return value
  end
  problems.count = (problems.count or 0) + 1
  if problems.count > MAX_TABLES then
    problems[1] = { path, "more tables than a recipe can need" }
    return {}
  end
  if debug.getmetatable(value) ~= nil then
    problems[#problems + 1] = { path, "a recipe is made of plain tables, without metatables" }
    return {}
  end
  if depth > 16 then
    problems[#problems + 1] = { path, "tables are nested too deep" }
    return {}
  end
  local out = {}
  for k, v in next, value do
    if type(k) ~= "string" and math.type(k) ~= "integer" then
      problems[#problems + 1] = { path, "a key must be a string, not " .. type(k) }
    else
      out[k] = copy(v, join(path, k), depth + 1, problems)
    end
  end
  return out
end

---Checks what a file returned and copies it.
---@param kind "recipe"|"component"|"action"
---@param value any
---@param source pai.recipe.Source
---@return table? document
---@return pai.recipe.Problem[]? problems
function M.check(kind, value, source)
  local checker = setmetatable({ source = source, problems = {} }, Checker)
  if type(value) ~= "table" then
    checker:add("", ("%s must return one table, not %s"):format(kind, type(value)))
    return nil, checker.problems
  end
  local refused = {}
  local document = copy(value, "", 0, refused)
  for _, r in ipairs(refused) do
    checker:add(r[1], r[2])
  end
  if #refused == 0 then
    checker:document(document, table.unpack(DOCUMENTS[kind]))
  end
  if #checker.problems > 0 then
    return nil, checker.problems
  end
  return document
end

---Checks the list that a `steps` function returned and copies it.
---@param value any
---@param source pai.recipe.Source
---@return table[]? steps
---@return pai.recipe.Problem[]? problems
function M.check_steps(value, source)
  local checker = setmetatable({ source = source, problems = {} }, Checker)
  if type(value) ~= "table" then
    checker:add("steps", "steps must return a list, not " .. type(value))
    return nil, checker.problems
  end
  local refused = {}
  local steps = copy(value, "steps", 0, refused)
  for _, r in ipairs(refused) do
    checker:add(r[1], r[2])
  end
  if #refused == 0 then
    if fields.is_list(steps) then
      checker:steps(steps, "steps")
    else
      checker:add("steps", "steps must return a list")
    end
  end
  if #checker.problems > 0 then
    return nil, checker.problems
  end
  return steps
end

---One problem as a line: "recipes/x.lua:12: steps[2].runn: unknown key …".
---@param p pai.recipe.Problem
---@return string
function M.format(p)
  if p.key == "" then
    return ("%s:%d: %s"):format(p.file, p.line, p.message)
  end
  return ("%s:%d: %s: %s"):format(p.file, p.line, p.key, p.message)
end

return M
