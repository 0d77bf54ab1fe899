-- Typed inputs: what was given (key=value, --input), then the environment, then .env, for a secret
-- the user's settings and store, then the default. What is missing is one question that names
-- exactly the missing values. Secrets are opaque handles from the first moment and are recorded by
-- their source.
local err = require("pai.err")
local sources = require("pai.secrets.sources")
local text = require("pai.text")
local values = require("pai.recipe.values")

local M = {}

---@class pai.Inputs
---@field values table<string, any>
---@field record table<string, any> the same as plain data: a secret is { ["$secret"] = source }
---@field missing { name: string, type: string, env: string?, doc: string?, values: string[]? }[]
---@field checks table[] red checks (.env that breaks its rules, a command that fails)
---@field warnings string[] secrets that are too short or too common to be masked
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

---Opens a secret from its source, as the journal names it.
---@param source string
---@return userdata? handle
---@return string|pai.Error|nil warning
function M.open(source)
  return sources.open(source)
end

local Resolver = {}
Resolver.__index = Resolver

function Resolver:take_secret(name, handle, source)
  self.out.values[name] = handle
  self.out.record[name] = { [SECRET_KEY] = source }
  if not handle:masked() then
    local why =
      "the secret %s (%s) is not masked in output: it is shorter than 6 bytes or too common"
    table.insert(self.out.warnings, why:format(name, source))
  end
end

function Resolver:given_secret(name, decl, raw)
  local source = type(raw) == "table" and raw[SECRET_KEY] or raw
  if type(source) == "userdata" then
    self:take_secret(name, source, "given")
    return
  end
  if type(source) == "string" and source:find("^file:[^/~]") then
    source = "file:" .. values.read({ type = "path" }, source:sub(6), self.opts)
  end
  local handle, e
  if source == "-" and not self.opts.resuming then
    handle, e = require("pai.secret").from_stdin()
    source = "stdin"
  elseif sources.known(source) then
    handle, e = M.open(source)
  end
  if handle then
    self:take_secret(name, handle, source)
    return
  end
  if self.opts.resuming then
    self:missing(name, decl, e)
    return
  end
  if e then
    err.raise("EUSAGE", ("%s: %s"):format(name, e.message), { hint = e.hint })
  end
  local env = decl.env and ("set " .. decl.env .. ", or ") or ""
  local message = "%s: a secret is not given as a value; %spass %s=env:NAME or %s=file:PATH"
  err.raise("EUSAGE", message:format(name, env, name, name), {
    hint = "other sources: pai help secret",
  })
end

-- Where variables are looked for besides the environment. Files are opened only when something asks
-- for them. What only plain inputs name is no secret: it is text and is not masked.
function Resolver:look()
  if not self.places then
    local plain, secret = {}, {}
    for _, decl in pairs(self.decls) do
      if decl.env then
        (decl.type == "secret" and secret or plain)[decl.env] = true
      end
    end
    for variable in pairs(secret) do
      plain[variable] = nil
    end
    self.places = require("pai.secrets.places").new(self.opts.cwd, {
      plain = plain,
      checks = self.out.checks,
    })
  end
  return self.places
end

-- Looks for a secret by its variable. True: it was found.
function Resolver:find_secret(name, decl)
  local place = self:look():first(decl.env)
  if not place then
    return false
  end
  local handle, e = require("pai.secrets.places").open(decl.env, place)
  if handle then
    -- Another input may get the same value; who may have it is said for each handle.
    self:take_secret(name, handle:copy(), place.source)
    return true
  end
  table.insert(self.out.checks, {
    name = decl.env,
    state = "red",
    measured = e.message,
    expected = "a value from " .. place.source,
    hint = e.hint or ("pai secret check " .. decl.env),
  })
  return false
end

function Resolver:missing(name, decl, why)
  local list = self.out.missing
  list[#list + 1] = {
    name = name,
    type = decl.type,
    env = decl.env,
    doc = decl.doc,
    values = decl.values,
    why = why and why.message,
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
  if decl.env and decl.type == "secret" then
    if self:find_secret(name, decl) then
      return
    end
  elseif decl.env then
    local from_env = os.getenv(decl.env)
    if from_env and from_env ~= "" then
      return self:set(name, decl, from_env, true, " (from the environment: " .. decl.env .. ")")
    end
    local file = self:look():dotenv()
    if file.texts[decl.env] then
      local where = (" (from %s: %s)"):format(file.path, decl.env)
      return self:set(name, decl, file.texts[decl.env], true, where)
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
  local out = { values = {}, record = {}, missing = {}, checks = {}, warnings = {}, demo = {} }
  local self = setmetatable({ out = out, given = given, opts = opts, decls = decls }, Resolver)
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
      how = m.env and ("secret, set %s or run `pai secret set %s`"):format(m.env, m.env) or "secret"
      how = m.why and how .. "; " .. m.why or how
    elseif m.values then
      how = table.concat(m.values, " | ")
    end
    parts[i] = ("%s (%s)%s"):format(m.name, how, m.doc and ": " .. text.one_line(m.doc) or "")
  end
  return "USER_INPUT_REQUIRED: " .. table.concat(parts, "; ")
end

-- What to type, where the type alone does not say it.
local function how_to_answer(m)
  if m.values then
    return table.concat(m.values, " | ") .. (m.type == "list" and ", several with commas" or "")
  elseif m.type == "list" then
    return "several with commas"
  elseif m.type == "boolean" then
    return "true | false"
  elseif m.type == "duration" then
    return "such as 30s or 10m"
  end
end

local function label_of(m)
  local notes = { m.doc and text.one_line(m.doc) }
  notes[#notes + 1] = how_to_answer(m)
  return #notes > 0 and ("%s (%s): "):format(m.name, table.concat(notes, " ")) or m.name .. ": "
end

-- Asks for one value. A wrong one is said and asked for again, a few times.
local TRIES <const> = 3

local function ask_value(self, m, label)
  for try = 1, TRIES do
    local line = require("pai.term").read_line(label)
    if not line or line == "" then
      return line
    end
    local ok, e = pcall(self.set, self, m.name, self.decls[m.name], line, true)
    if ok then
      return line
    elseif try == TRIES or not err.is(e, "EUSAGE") then
      error(e, 0)
    end
    require("pai.out").stderr(err.wrap(e).message .. "\n")
  end
end

local function ask_secret(self, m, label)
  local handle = require("pai.secret").prompt(label)
  if handle and handle:len() > 0 then
    self:take_secret(m.name, handle, "prompt")
    return "***"
  end
  return handle and ""
end

---Asks for what is missing on the terminal. After the input's end nothing more is asked.
---@param inputs pai.Inputs changed: what was answered is no longer missing
---@param decls table<string, table>
---@param cwd string
function M.prompt(inputs, decls, cwd)
  local left = {}
  local self =
    setmetatable({ out = inputs, given = {}, opts = { cwd = cwd }, decls = decls }, Resolver)
  local ended = false
  for _, m in ipairs(inputs.missing) do
    local answer = ""
    if not ended then
      answer = (m.type == "secret" and ask_secret or ask_value)(self, m, label_of(m))
    end
    if answer == nil then
      ended = true
      require("pai.out").stderr("\n")
    end
    if not answer or answer == "" then
      left[#left + 1] = m
    end
  end
  inputs.missing = left
end

return M
