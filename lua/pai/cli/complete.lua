-- Internal: what could stand where the cursor is. Prints a candidate a line, after a tab what it
-- means, and "@file" where the shell's own names of files fit. Asks no server, and says nothing
-- rather than something wrong: an error is no candidate.
local args = require("pai.cli.args")
local fs = require("pai.fs")
local out = require("pai.out")
local text = require("pai.text")

local M = {
  name = "__complete",
  summary = "candidates for a shell (internal)",
  usage = "-- [WORD ...]",
}

---@class pai.cli.Candidate
---@field [1] string
---@field [2] string? what it means

local function candidates_of(list)
  local found = {}
  for i, word in ipairs(list) do
    found[i] = { word }
  end
  return found
end

local function recipes()
  local found = { { "@file" } }
  for _, entry in ipairs((require("pai.recipe.index").all())) do
    if entry.kind == "recipe" then
      found[#found + 1] = { entry.name }
    end
  end
  return found
end

local function components()
  local found = {}
  local _, list = require("pai.recipe.index").all()
  for _, component in ipairs(list) do
    found[#found + 1] = { component.name }
  end
  return found
end

local function runs()
  return candidates_of(fs.list(require("pai.state").runs()) or {})
end

local function commands()
  local help, found = require("pai.cli.help"), {}
  for _, name in ipairs(require("pai.cli").COMMANDS) do
    found[#found + 1] = { name, help.load(name).summary }
  end
  return found
end

local function files()
  return { { "@file" } }
end

-- Inputs that were not given yet, and the values of one that has few.
local function inputs(path, words, current)
  local description = require("pai.recipe.index").read(path)
  local found = {}
  local asked = current:match("^([%w_]+)=")
  for name, decl in pairs(description and description.inputs or {}) do
    if name == asked then
      local values = decl.values or decl.type == "boolean" and { "true", "false" } or {}
      for _, value in ipairs(values) do
        found[#found + 1] = { name .. "=" .. tostring(value), decl.doc }
      end
      if decl.type == "path" then
        found[#found + 1] = { "@file" }
      end
    elseif not asked and not words[name] then
      found[#found + 1] = { name .. "=", decl.doc }
    end
  end
  return found
end

-- Of `pai run RECIPE` and `pai deploy COMPONENT`.
local function recipe_inputs(command, before, current)
  local given = {}
  for _, word in ipairs(before) do
    given[word:match("^([%w_]+)=") or ""] = true
  end
  local index = require("pai.recipe.index")
  local what = before[1] or ""
  local path = index.resolve(what .. "." .. command.name) or index.resolve(what)
  return path and inputs(path, given, current) or {}
end

-- Kinds of arguments, as usage lines and options name them.
local KINDS <const> = {
  RECIPE = recipes,
  COMPONENT = components,
  RUN = runs,
  COMMAND = commands,
  FILE = files,
  FOLDER = files,
  DIR = files,
  PATH = files,
  TARGET = function()
    return { { "local" }, { "osmo" } }
  end,
}

local function of_kinds(kinds)
  local found = {}
  for kind in kinds:gmatch("[^|]+") do
    local known = KINDS[kind] and KINDS[kind]()
    if known then
      table.move(known, 1, #known, #found + 1, found)
    elseif kind:find("^%l+$") then
      found[#found + 1] = { kind }
    end
  end
  return found
end

-- The kinds that the usage line allows at a place: "RECIPE", "FILE|FOLDER". What repeats fills
-- every later place, too.
local function kinds_at(usage, place)
  local kinds, at, last = {}, 0, nil
  for token in usage:gsub("[%[%]]", " "):gmatch("%S+") do
    local name = token:gsub("%.%.%.$", "")
    if name ~= "" then
      at, last = at + 1, name
    end
    if name ~= "" and at == place or name ~= token and at < place then
      kinds[#kinds + 1] = last
    end
  end
  return kinds
end

local function options(command)
  local found = {}
  for _, list in ipairs({ command.options or {}, args.COMMON }) do
    for _, option in ipairs(list) do
      found[#found + 1] = { "--" .. option.name, option.doc }
    end
  end
  return found
end

-- The option whose value comes next, if the word before is one that has a value.
local function awaits_value(command, word)
  for _, list in ipairs({ command.options or {}, args.COMMON }) do
    for _, option in ipairs(list) do
      if
        option.arg and (word == "--" .. option.name or option.short and word == "-" .. option.short)
      then
        return option
      end
    end
  end
end

-- What fits beside a candidate in a menu: the first sentence.
local function brief(doc)
  return (text.one_line(doc):gsub("%. .*", ""):gsub("%.$", ""))
end

-- Splits what was typed into the command, its positional arguments, and an option that waits.
local function read(words)
  local command = require("pai.cli.help").load(words[1])
  local positional, waiting = {}, nil
  for i = 2, #words do
    local word, inner = words[i], nil
    if waiting then
      waiting = nil
    elseif word:sub(1, 1) == "-" then
      waiting = awaits_value(command, word)
    else
      for _, sub in ipairs(#positional == 0 and command.commands or {}) do
        inner = sub.name == word and sub or inner
      end
      command = inner or command
      positional[#positional + 1] = not inner and word or nil
    end
  end
  return command, positional, waiting
end

---Candidates for the last word.
---@param words string[] typed after `pai`; the last one is at the cursor and may be ""
---@return pai.cli.Candidate[]
function M.candidates(words)
  local before, current = table.move(words, 1, #words - 1, 1, {}), words[#words] or ""
  if #before == 0 then
    return commands()
  end
  local command, positional, waiting = read(before)
  if not command then
    return {}
  elseif waiting then
    return of_kinds(waiting.arg)
  elseif current:sub(1, 1) == "-" then
    return options(command)
  elseif command.commands and #positional == 0 then
    local found = {}
    for i, sub in ipairs(command.commands) do
      found[i] = { sub.name, sub.summary }
    end
    return found
  end
  local found = {}
  for _, kind in ipairs(kinds_at(command.usage, #positional + 1)) do
    local list = kind == "key=value" and recipe_inputs(command, positional, current)
      or of_kinds(kind)
    table.move(list, 1, #list, #found + 1, found)
  end
  return found
end

---@param words string[]
---@return integer exit code
function M.run(words)
  local ok, found = pcall(M.candidates, words)
  local lines = {}
  for _, candidate in ipairs(ok and found or {}) do
    local word, doc = candidate[1], candidate[2]
    if word == "@file" or word:sub(1, #(words[#words] or "")) == words[#words] then
      lines[#lines + 1] = doc and word .. "\t" .. brief(doc) or word
    end
  end
  table.sort(lines)
  out.stdout(#lines > 0 and table.concat(lines, "\n") .. "\n" or "")
  return 0
end

return M
