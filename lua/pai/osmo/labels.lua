-- Workflow labels and the selectors that find runs by them.
local err = require("pai.err")

local M = {}

M.MAX_LABELS = 16
local MAX_SELECTOR, MAX_PATTERNS = 4096, 32

local function is_name(text)
  return #text >= 1 and #text <= 63 and text:find("^%w[-%w_.]*$") ~= nil and text:find("%w$") ~= nil
end

local function is_prefix(text)
  if #text < 1 or #text > 253 then
    return false
  end
  for part in (text .. "."):gmatch("([^.]*)%.") do
    if #part > 63 or not part:find("^[a-z0-9][-a-z0-9]*$") or part:find("-$") then
      return false
    end
  end
  return true
end

local NAME_FORM = "letters, digits, '-', '_' and '.', at most 63, a letter or digit at both ends"

---@param key string
---@return string? reason nil when the key is good
function M.bad_key(key)
  local prefix, name = key:match("^([^/]*)/([^/]*)$")
  if prefix and not is_prefix(prefix) then
    return ("the label key '%s' must have a lower-case DNS name before the '/'"):format(key)
  elseif not is_name(name or key) then
    return ("'%s' is no label key: %s"):format(key, NAME_FORM)
  end
  return nil
end

---@param key string for the message
---@param text any
---@return string? reason nil when the value is good
function M.bad_value(key, text)
  if type(text) ~= "string" then
    return ("the value of the label '%s' must be text: put it in quotes"):format(key)
  elseif not is_name(text) then
    return ("'%s' is no value for the label '%s': %s"):format(text, key, NAME_FORM)
  end
  return nil
end

---Takes a "key=value" of the command line apart.
---@param assignment string
---@return string? key
---@return string valueOrReason
function M.assignment(assignment)
  local key, text = assignment:match("^(.-)=(.*)$")
  if not key then
    return nil, ("the label '%s' has no '=': write key=value"):format(assignment)
  end
  local reason = M.bad_key(key) or M.bad_value(key, text)
  if reason then
    return nil, reason
  end
  return key, text
end

-- Literal stretches and groups of alternatives, as lists of texts.
local function segments(text)
  local out, pos = {}, 1
  while pos <= #text do
    local open = text:find("[()|]", pos)
    if open ~= pos then
      out[#out + 1] = { text:sub(pos, open and open - 1) }
      pos = open or #text + 1
    elseif text:sub(pos, pos) ~= "(" then
      return nil, "alternatives are written (a|b)"
    else
      local close = text:find(")", pos, true)
      local group = close and text:sub(pos + 1, close - 1)
      if not group then
        return nil, "a bracket is not closed: alternatives are written (a|b)"
      elseif group:find("(", 1, true) then
        return nil, "alternatives cannot be nested"
      end
      local items = {}
      for item in (group .. "|"):gmatch("([^|]*)|") do
        items[#items + 1] = item
        if item == "" then
          return nil, "an alternative is empty"
        end
      end
      if #items < 2 then
        return nil, "alternatives must be two or more"
      end
      out[#out + 1] = items
      pos = close + 1
    end
  end
  return out
end

local function expand(text)
  local parts, reason = segments(text)
  if not parts then
    return nil, reason
  end
  local patterns, count = { "" }, 1
  for _, items in ipairs(parts) do
    count = count * #items
    if count > MAX_PATTERNS then
      return nil, ("it stands for more than %d patterns"):format(MAX_PATTERNS)
    end
    local longer = {}
    for _, start in ipairs(patterns) do
      for _, item in ipairs(items) do
        longer[#longer + 1] = start .. item
      end
    end
    patterns = longer
  end
  local seen, out = {}, {}
  for _, pattern in ipairs(patterns) do
    pattern = pattern:gsub("%*+", "*")
    if not is_name((pattern:gsub("%*", "a"))) then
      return nil, ("'%s' cannot match a label value"):format(pattern)
    end
    if not seen[pattern] then
      seen[pattern] = true
      out[#out + 1] = pattern
    end
  end
  return out
end

---@class pai.osmo.LabelSelector
---@field key string
---@field patterns string[] "*" matches any characters

---Reads a selector such as "rig=(north_*|south_*)".
---@param text string
---@return pai.osmo.LabelSelector? selector
---@return pai.Error? err
function M.selector(text)
  local function fail(reason)
    return err.fail("EPARSE", ("label selector '%s': %s"):format(text, reason))
  end
  if #text > MAX_SELECTOR then
    return err.fail("ELIMIT", ("a label selector has at most %d bytes"):format(MAX_SELECTOR))
  end
  local key, pattern = text:match("^(.-)=(.*)$")
  if not key then
    return fail("write key=value")
  end
  local reason = M.bad_key(key)
  if reason then
    return fail(reason)
  end
  local patterns, why = expand(pattern)
  if not patterns then
    return fail(why)
  end
  return { key = key, patterns = patterns }
end

---Whether labels meet a selector.
---@param selector pai.osmo.LabelSelector
---@param labels table<string, string>
---@return boolean
function M.matches(selector, labels)
  local text = labels[selector.key]
  for _, pattern in ipairs(text and selector.patterns or {}) do
    local lua_pattern = pattern:gsub("[%-.]", "%%%0"):gsub("%*", ".*")
    if text:find("^" .. lua_pattern .. "$") then
      return true
    end
  end
  return false
end

return M
