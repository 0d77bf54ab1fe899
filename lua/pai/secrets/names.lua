-- What the commands about secrets share: names of variables, and what may be said of a value.
local err = require("pai.err")
local text = require("pai.text")

local M = {}

---Whether a text can be the name of a variable.
---@param name string
---@return boolean
function M.is_name(name)
  return name:find("^[%a_][%w_]*$") ~= nil
end

local CLASSES <const> =
  { { 5, "under 6 bytes" }, { 15, "6 to 15 bytes" }, { 31, "16 to 31 bytes" } }

---How long a value is, not too exactly.
---@param handle userdata
---@return string
function M.length_class(handle)
  local n = handle:len()
  for _, class in ipairs(CLASSES) do
    if n <= class[1] then
      return class[2]
    end
  end
  return n < 64 and "32 to 63 bytes" or "64 bytes or more"
end

---The names that the files know: .env, settings, store.
---@param places pai.secrets.Places
---@return string[] sorted
function M.all(places)
  local names = {}
  local maps = { places:dotenv().handles, places:settings().entries, places:store().handles }
  for _, map in ipairs(maps) do
    for name in pairs(map) do
      names[name] = true
    end
  end
  return text.keys(names)
end

---Where a value is, in words.
---@param place pai.secrets.Place
---@return string
function M.where(place)
  if place.place == "environment" then
    return "environment"
  elseif place.entry then
    return ("%s, line %d: %s"):format(place.path, place.entry.line, place.entry.kind)
  end
  return place.path
end

---The one name of a command line. The word is not repeated: it may be the value.
---@param words string[]
---@return string name
function M.one(words)
  if #words > 1 or (words[1] or ""):find("=", 1, true) then
    err.raise(
      "EUSAGE",
      "the value of a secret is never an argument: others see it in the list of processes, and "
        .. "it stays in the shell's history. If this one is real, change it",
      { hint = "pai secret set NAME asks for it without echo, or reads standard input" }
    )
  elseif not words[1] then
    err.raise("EUSAGE", "missing NAME")
  elseif #words[1] >= 20 and words[1]:find("%l") and words[1]:find("[%u%d]") then
    -- Many tokens have the form of a name.
    err.raise("EUSAGE", "that looks like a value; the name of the variable is wanted", {
      hint = "if it is real, it is in the shell's history now: change it",
    })
  elseif not M.is_name(words[1]) then
    err.raise("EUSAGE", "the name of a variable has letters, digits and _, such as HF_TOKEN")
  end
  return words[1]
end

return M
