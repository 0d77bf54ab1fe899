-- Reads a command's arguments by its table of options.
local err = require("pai.err")
local text = require("pai.text")

local M = {}

---Options that every command has.
M.COMMON = {
  { name = "json", doc = "print JSON: one object, or one a line for a stream" },
  { name = "state", arg = "DIR", doc = "the state folder" },
  { name = "help", short = "h", doc = "this help" },
}

local function find(command, name)
  for _, list in ipairs({ command.options or {}, M.COMMON }) do
    for _, option in ipairs(list) do
      if option.name == name then
        return option
      end
    end
  end
end

-- The long name behind "-f", if there is one, and the value of "-n20".
local function by_letter(command, word)
  local letters, value
  for _, list in ipairs({ command.options or {}, M.COMMON }) do
    for _, option in ipairs(list) do
      if option.short and word == "-" .. option.short then
        return option.name
      elseif option.short and option.arg and word:match("^%-(%a)%d") == option.short then
        letters, value = option.name, word:sub(3)
      end
    end
  end
  return letters, value
end

local function all_names(command)
  local names = {}
  for _, list in ipairs({ command.options or {}, M.COMMON }) do
    for _, option in ipairs(list) do
      names[#names + 1] = "--" .. option.name
    end
  end
  return names
end

local function unknown(command, word)
  local hint = text.did_you_mean(word, all_names(command))
  local full = command.parent and command.parent .. " " .. command.name or command.name
  local instead = command.refused and command.refused[word:gsub("^%-+", "")]
  if instead then
    err.raise("EUSAGE", ("pai %s has no %s"):format(full, word), { hint = instead })
  end
  if command.private then
    err.raise("EUSAGE", ("pai %s has no such option"):format(full), { hint = "pai help " .. full })
  end
  err.raise("EUSAGE", ("pai %s has no option %s%s"):format(full, word, hint), {
    hint = "pai help " .. full,
  })
end

-- Option's key in the table of options: "allow-dirty" → "allow_dirty".
local function key_of(option)
  return (option.name:gsub("-", "_"))
end

local function store(opts, option, value)
  local key = key_of(option)
  if option.sets then
    local stands_for = option.sets[value]
    if not stands_for then
      local names = table.concat(text.keys(option.sets), " or ")
      err.raise("EUSAGE", ("--%s is %s, not '%s'"):format(option.name, names, value))
    end
    for name, v in pairs(stands_for) do
      opts[name] = v
    end
  elseif option.many or option.several then
    opts[key] = opts[key] or {}
    table.insert(opts[key], value)
  elseif opts[key] ~= nil and option.arg then
    err.raise("EUSAGE", ("--%s is given twice"):format(option.name))
  else
    opts[key] = value
  end
end

-- How many of the words that follow are values of the option, too: all up to the next option, and
-- where K=V is wanted, all that look like it.
local function more_values(option, argv, i)
  local n = 0
  while option.several and argv[i + n + 1] do
    local word = argv[i + n + 1]
    local pair = option.arg:find("=", 1, true) == nil or word:find("^[^=]+=") ~= nil
    if word:find("^%-.") or not pair then
      break
    end
    n = n + 1
  end
  return n
end

---Parses arguments. Raises EUSAGE.
---@param command pai.cli.Command
---@param argv string[]
---@return string[] positional
---@return table<string, any> opts by name, with "_" for "-"
function M.parse(command, argv)
  local positional, opts = {}, {}
  local i = 1
  while i <= #argv do
    local word = argv[i]
    local name, value = word:match("^%-%-([%w-]+)=(.*)$")
    name = name or word:match("^%-%-([%w-]+)$")
    if not name then
      name, value = by_letter(command, word)
    end
    if word == "--" then
      table.move(argv, i + 1, #argv, #positional + 1, positional)
      break
    elseif name then
      local option = find(command, name)
      if not option then
        unknown(command, "--" .. name)
      end
      local explicit = value ~= nil -- --set=a=1: that one only
      if option.arg and not explicit then
        i = i + 1
        value = argv[i]
        if value == nil then
          err.raise("EUSAGE", ("--%s needs a value: --%s %s"):format(name, name, option.arg))
        end
      elseif not option.arg and value ~= nil then
        err.raise("EUSAGE", ("--%s takes no value"):format(name))
      end
      store(opts, option, value == nil and true or value)
      for _ = 1, explicit and 0 or more_values(option, argv, i) do
        i = i + 1
        store(opts, option, argv[i])
      end
    elseif word:sub(1, 1) == "-" and word ~= "-" then
      unknown(command, word)
    else
      positional[#positional + 1] = word
      if command.raw then
        table.move(argv, i + 1, #argv, #positional + 1, positional)
        break
      end
    end
    i = i + 1
  end
  return positional, opts
end

---Splits key=value arguments.
---@param words string[]
---@return table<string, string> given
---@return table<string, boolean> from_text the same keys
function M.pairs(words)
  local given, from_text = {}, {}
  for _, word in ipairs(words) do
    local key, value = word:match("^([%a_][%w_-]*)=(.*)$")
    if not key then
      err.raise("EUSAGE", ("'%s' is not key=value"):format(word), {
        hint = "options begin with --, inputs are name=value",
      })
    elseif given[key] ~= nil then
      err.raise("EUSAGE", ("the input %s is given twice"):format(key))
    end
    given[key], from_text[key] = value, true
  end
  return given, from_text
end

---The inputs of a command line: --input FILE|- first, key=value over it.
---@param words string[]
---@param opts table
---@return table<string, any> given
---@return table<string, boolean> from_text
function M.inputs(words, opts)
  local given, from_text = M.pairs(words)
  if not opts.input then
    return given, from_text
  end
  local body, e
  if opts.input == "-" then
    body = io.read("a")
  else
    body, e = require("pai.fs").read(opts.input, { max = 1024 * 1024 })
    if not body then
      err.raise("EUSAGE", "--input: " .. e.message)
    end
  end
  local what = opts.input == "-" and "standard input" or opts.input
  local map, failure = require("pai.recipe.inputs").parse_file(body, what)
  if not map then
    error(failure, 0)
  end
  local null = require("pai.json").null
  for key, value in pairs(map) do
    if given[key] == nil and value ~= null then
      given[tostring(key)] = value
    end
  end
  return given, from_text
end

---The value of --port; 0, any free one, if it is not given. Raises EUSAGE.
---@param opts table
---@return integer
function M.port(opts)
  local n = math.tointeger(tonumber(opts.port or "0"))
  if not n or n < 0 or n > 65535 then
    err.raise("EUSAGE", ("--port must be 1 to 65535, not '%s'"):format(opts.port))
  end
  return n
end

---Raises EUSAGE unless the number of positional arguments is right.
---@param args string[]
---@param min integer
---@param max integer
---@param what string what they are: "RECIPE"
function M.count(args, min, max, what)
  -- The command's usage becomes the hint.
  if #args < min then
    err.raise("EUSAGE", "missing " .. what, { counted = true })
  elseif #args > max then
    err.raise("EUSAGE", ("too many arguments: '%s'"):format(args[max + 1]), { counted = true })
  end
end

return M
