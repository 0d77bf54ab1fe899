-- The first half of what the service does with a spec: finding the sections, the variables, the
-- swap of tokens and the template engine. A failure is { stage, http, error_code, message, line }.
local crypto = require("pai.crypto")
local document = require("pai.osmo.document")
local pynum = require("pai.osmo.pynum")
local template = require("pai.osmo.template")
local text_util = require("pai.text")
local value = require("pai.osmo.template_value")

local M = {}

local SECTIONS = { workflow = true, ["default-values"] = true, version = true }

local function failure(error_code, line, message, ...)
  return {
    stage = "template",
    http = 400,
    error_code = error_code,
    line = line,
    message = message:format(...),
  }
end

---@class pai.osmo.Section
---@field text string with its key
---@field line integer

---Finds the sections by the keys in column 0, before anything is rendered or read as YAML. What
---comes before the first is dropped.
---@param text string
---@return table<string, pai.osmo.Section>? sections
---@return table? failure
function M.sections(text)
  local found, order, line, pos = {}, {}, 1, 1
  while pos <= #text do
    local key = text:match("^(%a[%w_-]*):", pos)
    if key and not SECTIONS[key] then
      local hint = text_util.did_you_mean(key, { "workflow", "default-values", "version" })
      hint = hint ~= "" and hint or "; known are workflow, default-values and version"
      return nil, failure("USER", line, "unknown key '%s' in column 0%s", key, hint)
    elseif key and found[key] then
      return nil,
        failure("USER", line, "'%s:' is there twice in column 0 (line %d)", key, found[key].line)
    elseif key then
      found[key] = { from = pos, line = line }
      order[#order + 1] = key
    end
    local newline = text:find("\n", pos, true)
    pos, line = (newline or #text) + 1, line + 1
  end
  if not found.workflow then
    return nil, failure("USER", 1, "no 'workflow:' in column 0: a spec needs that section")
  end
  for i, key in ipairs(order) do
    local next_key = order[i + 1]
    found[key].text = text:sub(found[key].from, next_key and found[next_key].from - 1)
  end
  return found
end

-- What Python's dict() of a default-values section that is no map comes to; setting a variable in
-- it fails earlier.
local function not_a_map(defaults, line, assigned)
  local result = failure("USAGE", line, "default-values must be a map of names to values")
  local first = value.type(defaults) == "list" and defaults[1] or nil
  if not assigned and (value.type(defaults) == "str" or value.type(first) == "str") then
    result.http, result.error_code = 500, nil
  end
  return nil, result
end

local function default_values(section, assigned)
  if not section then
    return {}
  end
  local tree, e = document.load(section.text)
  if tree == nil then
    local line = section.line + (e.line or 1) - 1
    local result = failure("USAGE", line, "default-values is not YAML: %s", e.message)
    result.stage = "yaml"
    return nil, result
  elseif value.type(tree) ~= "dict" then
    return nil, failure("USAGE", section.line, "a space is missing after 'default-values:'")
  end
  local defaults = value.dict_get(tree, "default-values")
  if not value.truth(defaults) then
    return {}
  elseif value.type(defaults) ~= "dict" then
    return not_a_map(defaults, section.line, assigned)
  end
  local variables = {}
  for _, key in ipairs(defaults.keys) do
    if type(key) == "string" then
      variables[key] = value.dict_get(defaults, key)
    end
  end
  return variables
end

-- A value given with --set: a whole number if Python's int() reads it, else a float, else the text.
local function cast(text)
  local n, digits = pynum.int(text)
  if digits then
    return value.bigint(digits)
  elseif n == nil then
    n = pynum.float(text)
  end
  return n == nil and text or n
end

local function assign(variables, list, convert)
  for _, item in ipairs(list or {}) do
    local name, text = item:match("^([^=]*)=(.*)$")
    if not name then
      return failure("USAGE", nil, "the variable '%s' has no '=': write name=value", item)
    end
    variables[name] = convert(text)
  end
  return nil
end

-- A hexadecimal number in decimal digits.
local function decimal(hex)
  local digits = { 0 }
  for digit in hex:gmatch(".") do
    local carry = tonumber(digit, 16)
    for i = 1, #digits do
      local n = digits[i] * 16 + carry
      digits[i], carry = n % 10, n // 10
    end
    while carry > 0 do
      digits[#digits + 1], carry = carry % 10, carry // 10
    end
  end
  return table.concat(digits):reverse()
end

local TOKENS = { "uuid()}}", "workflow_id()}}", "output()}}", "input:[^}]+()}}", "host:[^}]+()}}" }

-- The token whose "{{" is at pos: what is between the braces, and where it ends.
local function token_at(text, pos)
  for _, pattern in ipairs(TOKENS) do
    local after = text:match("^" .. pattern, pos + 2)
    if after then
      return text:sub(pos + 2, after - 1), after + 2
    end
  end
  return nil
end

---Swaps the tokens that only the engine can replace for variables that print as the token. A token
---in a raw block is swapped, too, and so comes out as the name of the variable, as upstream has it.
---@param text string
---@param variables table<string, any> the new variables are added
---@return string
function M.swap_tokens(text, variables)
  local names, pos, parts, copied = {}, 1, {}, 1
  while true do
    local at = text:find("{{", pos, true)
    if not at then
      break
    end
    local field, after = token_at(text, at)
    if field then
      local stripped = field:gsub("^%s+", ""):gsub("%s+$", "")
      local name = names[stripped] or "hash" .. decimal(crypto.digest("md5", stripped))
      names[stripped] = name
      variables[name] = "{{" .. field .. "}}"
      parts[#parts + 1] = text:sub(copied, at - 1) .. "{{" .. name .. "}}"
      pos, copied = after, after
    else
      pos = at + 1
    end
  end
  return table.concat(parts) .. text:sub(copied)
end

local TOKEN_NAMES = { output = true, workflow_id = true, uuid = true }

-- What to do about a failure of the template engine.
local function hint_for(e, section, variables)
  local name = e.kind == "UndefinedError" and e.message:match("^'([%w_]+)' is undefined$")
  if name and TOKEN_NAMES[name] then
    return (": a token has no spaces in it, write {{%s}}"):format(name)
  elseif name then
    local near = text_util.did_you_mean(name, text_util.keys(variables))
    return near ~= "" and near or ": give it with --set or under default-values"
  end
  local number = 0
  for line in (section .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    local token = line:match("{{%s+([a-z]+):") or line:match("{{([a-z]+):[^}]*%s}")
    if number == e.line and (token == "input" or token == "host") then
      return (": a token has no spaces in it, write {{%s:NAME}}"):format(token)
    end
  end
  return ""
end

---@class pai.osmo.RenderResult
---@field text string the rendered workflow section
---@field lines integer[] line of the rendered text -> line of the given text

---Renders the workflow section of a spec.
---@param text string
---@param opts {variables: string[]?, string_variables: string[]?}
---@return pai.osmo.RenderResult? result
---@return table? failure
function M.render(text, opts)
  local sections, bad = M.sections(text)
  if not sections then
    return nil, bad
  end
  local assigned = #(opts.variables or {}) + #(opts.string_variables or {}) > 0
  local variables, bad_defaults = default_values(sections["default-values"], assigned)
  if not variables then
    return nil, bad_defaults
  end
  local wrong = assign(variables, opts.variables, cast)
    or assign(variables, opts.string_variables, function(item)
      return item
    end)
  if wrong then
    return nil, wrong
  end
  local section = sections.workflow
  local swapped = M.swap_tokens(section.text, variables)
  local rendered, e = template.render(swapped, variables)
  if not rendered then
    local line = section.line + e.line - 1
    local message = e.message .. hint_for(e, section.text, variables)
    local result = failure(e.user_mistake and "USAGE" or nil, line, "template: %s", message)
    result.http = e.user_mistake and 400 or 500
    return nil, result
  end
  local lines = {}
  for i, line in ipairs(e) do
    lines[i] = section.line + line - 1
  end
  return { text = rendered, lines = lines }
end

return M
