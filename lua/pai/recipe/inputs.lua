-- Typed inputs: what was given (key=value, --input), then the environment, then .env, then the
-- default. What is missing is one question that names exactly the missing values. Secrets are
-- opaque handles from the first moment and are recorded by their source.
local err = require("pai.err")
local text = require("pai.text")
local values = require("pai.recipe.values")

local M = {}

---@class pai.Inputs
---@field values table<string, any>
---@field record table<string, any> the same as plain data: a secret is { ["$secret"] = source }
---@field missing { name: string, type: string, env: string?, doc: string?, values: string[]? }[]
---@field checks table[] red checks (.env that breaks its rules)
---@field demo table<string, boolean> names whose value is the default

local SECRET_KEY <const> = "$secret"

---Reads --input: a map in JSON or YAML.
---@param body string
---@param what string its name for messages
---@return table? map
---@return pai.Error? err
function M.parse_file(body, what)
  local data, e
  if body:find("^%s*{") then
    data, e = require("pai.json").decode(body)
  else
    data, e = require("pai.yaml").decode(body, { schema = "core" })
  end
  if e then
    return err.fail("EUSAGE", ("%s: %s"):format(what, e.message))
  end
  if type(data) ~= "table" or #data > 0 then
    return err.fail("EUSAGE", ("%s: must be a map of input names to values"):format(what))
  end
  return data
end

---Opens a secret from its source: "env:NAME", "file:PATH", "dotenv:PATH#NAME".
---@param source string
---@return userdata? handle
---@return pai.Error? err
function M.open(source)
  local secret = require("pai.secret")
  local kind, rest = source:match("^(%a+):(.+)$")
  if kind == "env" then
    return secret.from_env(rest)
  elseif kind == "file" then
    return secret.from_file(rest)
  elseif kind == "dotenv" then
    local path, name = rest:match("^(.*)#([^#]*)$")
    local handles, e = require("pai.recipe.dotenv").open(path)
    if not handles then
      return nil, e
    end
    return handles[name]
  end
  return nil
end

local Resolver = {}
Resolver.__index = Resolver

function Resolver:take_secret(name, handle, source)
  self.out.values[name] = handle
  self.out.record[name] = { [SECRET_KEY] = source }
end

function Resolver:given_secret(name, decl, raw)
  local source = type(raw) == "table" and raw[SECRET_KEY] or raw
  if type(source) == "userdata" then
    self:take_secret(name, source, "given")
    return
  end
  local known = type(source) == "string" and source:find("^%a+:.+$")
  if type(source) == "string" and source:find("^file:[^/]") then
    source = "file:" .. values.read({ type = "path" }, source:sub(6), self.opts)
  end
  local handle, e
  if known then
    handle, e = M.open(source)
  end
  if handle then
    self:take_secret(name, handle, source)
    return
  end
  if self.opts.resuming then
    self:missing(name, decl)
    return
  end
  local env = decl.env and ("set " .. decl.env .. ", or ") or ""
  local why = e and (": " .. e.message) or ""
  local message = "%s: a secret is not given as a value%s; %spass %s=env:NAME or %s=file:PATH"
  err.raise("EUSAGE", message:format(name, why, env, name, name))
end

-- The handle that .env has for a variable. The file is looked at only when something asks for it.
function Resolver:from_dotenv(variable)
  if not self.dotenv then
    local dotenv = require("pai.recipe.dotenv")
    self.dotenv = dotenv.inspect(self.opts.cwd)
    if self.dotenv.check then
      self.out.checks[#self.out.checks + 1] = self.dotenv.check
    elseif self.dotenv.exists then
      local handles, e = dotenv.open(self.dotenv.path)
      if not handles then
        self.out.checks[#self.out.checks + 1] =
          { name = ".env", state = "red", measured = e.message, expected = "KEY=VALUE lines" }
      end
      self.handles = handles
    end
  end
  return self.handles and self.handles[variable]
end

function Resolver:missing(name, decl)
  local list = self.out.missing
  list[#list + 1] = {
    name = name,
    type = decl.type,
    env = decl.env,
    doc = decl.doc,
    values = decl.values,
  }
end

function Resolver:set(name, decl, raw, from_text, where)
  local opts = { from_text = from_text, cwd = self.opts.cwd }
  local value, message = values.read(decl, raw, opts)
  if value == nil then
    err.raise("EUSAGE", ("%s %s%s"):format(name, message, where or ""))
  end
  self.out.values[name] = value
  self.out.record[name] = value
end

function Resolver:input(name, decl)
  local raw = self.given[name]
  if raw ~= nil and decl.type == "secret" then
    return self:given_secret(name, decl, raw)
  elseif raw ~= nil then
    return self:set(name, decl, raw, self.opts.from_text[name])
  end
  local from_env = decl.env and os.getenv(decl.env)
  if from_env and from_env ~= "" then
    if decl.type ~= "secret" then
      return self:set(name, decl, from_env, true, " (from the environment: " .. decl.env .. ")")
    end
    local handle = M.open("env:" .. decl.env)
    if handle then
      return self:take_secret(name, handle, "env:" .. decl.env)
    end
  end
  if decl.type == "secret" and decl.env then
    local handle = self:from_dotenv(decl.env)
    if handle then
      return self:take_secret(name, handle, ("dotenv:%s#%s"):format(self.dotenv.path, decl.env))
    end
  end
  if decl.default ~= nil then
    self.out.demo[name] = true
    return self:set(name, decl, decl.default, false)
  end
  if not decl.optional then
    self:missing(name, decl)
  end
end

---Resolves the inputs of a recipe. Raises EUSAGE for a value that can't be right; a missing value
---is in `missing`.
---@param decls table<string, table> the recipe's `inputs`
---@param given table<string, any>
---@param opts { cwd: string, from_text: table<string, boolean>?, resuming: boolean? }
---@return pai.Inputs
function M.resolve(decls, given, opts)
  opts.from_text = opts.from_text or {}
  local names = text.keys(decls)
  for _, key in ipairs(text.keys(given)) do
    if not decls[key] then
      local hint = text.did_you_mean(key, names)
      local known = #names > 0 and "; it takes " .. table.concat(names, ", ") or ""
      err.raise("EUSAGE", ("no input '%s'%s%s"):format(key, hint, hint == "" and known or ""))
    end
  end
  local out = { values = {}, record = {}, missing = {}, checks = {}, demo = {} }
  local self = setmetatable({ out = out, given = given, opts = opts }, Resolver)
  for _, name in ipairs(names) do
    self:input(name, decls[name])
  end
  return out
end

---Reopens the inputs of a recorded run.
---@param decls table<string, table>
---@param record table<string, any> as it was journalled
---@param cwd string
---@return pai.Inputs
function M.reopen(decls, record, cwd)
  return M.resolve(decls, record, { cwd = cwd, resuming = true })
end

---The one question for everything that is missing.
---@param missing table[]
---@return string
function M.question(missing)
  local parts = {}
  for i, m in ipairs(missing) do
    local how = m.type
    if m.type == "secret" then
      how = m.env and ("secret, set " .. m.env) or "secret"
    elseif m.values then
      how = table.concat(m.values, " | ")
    end
    parts[i] = ("%s (%s)%s"):format(m.name, how, m.doc and ": " .. text.one_line(m.doc) or "")
  end
  return "USER_INPUT_REQUIRED: " .. table.concat(parts, "; ")
end

---Asks for what is missing on the terminal.
---@param inputs pai.Inputs changed: what was answered is no longer missing
---@param decls table<string, table>
---@param cwd string
function M.prompt(inputs, decls, cwd)
  local left = {}
  local self = setmetatable({ out = inputs, given = {}, opts = { cwd = cwd } }, Resolver)
  for _, m in ipairs(inputs.missing) do
    local label = ("%s%s: "):format(m.name, m.doc and " (" .. text.one_line(m.doc) .. ")" or "")
    if m.type == "secret" then
      local handle = require("pai.secret").prompt(label)
      if handle and handle:len() > 0 then
        self:take_secret(m.name, handle, "prompt")
      else
        left[#left + 1] = m
      end
    else
      local line = require("pai.term").read_line(label)
      if line and line ~= "" then
        self:set(m.name, decls[m.name], line, true)
      else
        left[#left + 1] = m
      end
    end
  end
  inputs.missing = left
end

return M
