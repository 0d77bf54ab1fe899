-- pai help: generated from the tables of the commands.
local args = require("pai.cli.args")
local cli = require("pai.cli")
local columns = require("pai.cli.columns")
local err = require("pai.err")
local dispatch = require("pai.cli.dispatch")
local out = require("pai.out")
local text = require("pai.text")

local M = {
  name = "help",
  summary = "help on a command",
  usage = "[COMMAND [SUBCOMMAND]]",
  direct = true,
  examples = {
    { "pai help", "what there is" },
    { "pai help run", "how to use pai run" },
    { "pai help runs show", "how to use pai runs show" },
  },
}

-- `pai lua` is the host's own and has no file.
local LUA <const> = {
  name = "lua",
  summary = "run a Lua file with the plain interpreter and pai's modules",
  usage = "FILE [ARG ...]",
  examples = { { "pai lua script.lua a b", "arg[1] is a" } },
}

---A command by its name, also `lua`.
---@param name string
---@return pai.cli.Command?
function M.load(name)
  if name == "lua" then
    return LUA
  end
  local ok, command = pcall(cli.load, name)
  return ok and command or nil
end

local ENVIRONMENT <const> = {
  { "  PAI_STATE", "the state folder (or --state; else $XDG_STATE_HOME/pai)" },
  { "  PAI_RECIPE_PATH", "more folders with recipes, separated by colons" },
  { "  PAI_READ_TIMEOUT", "how long a recipe may take to load (10s)" },
  { "  PAI_WATCHDOG", "how long one may hold the host without a pause (30s)" },
  { "  PAI_MEMORY", "what one may hold in memory, in MiB (512)" },
  { "  PAI_HEARTBEAT", "the longest silence of a step that runs (110s)" },
  { "  PAI_LEASE", "how long a lock in a cluster holds without being renewed (60s)" },
  { "  NO_COLOR", "no colours" },
}

---Prints what commands there are.
---@param fd integer 1 or 2
function M.overview(fd)
  local rows = {}
  for _, name in ipairs(cli.COMMANDS) do
    local command = M.load(name)
    if command then
      rows[#rows + 1] = { "  " .. name, command.summary }
    end
  end
  out.write(fd or 1, "usage: pai COMMAND [ARGUMENTS]\n\n", columns.of(rows, fd))
  out.write(fd or 1, "\nenvironment:\n", columns.of(ENVIRONMENT, fd))
  out.write(fd or 1, "\nEvery command takes --help, --json and --state DIR.\n")
  out.write(fd or 1, "Exit codes: 0 green, 1 red gate or failed step, 2 usage, 3 input required,\n")
  out.write(fd or 1, "4 held by another run, 70 fault of pai, 130 and 143 interrupted.\n")
end

local function option_rows(command)
  local rows = {}
  for _, list in ipairs({ command.options or {}, args.COMMON }) do
    for _, option in ipairs(list) do
      local letter = option.short and ("-%s, "):format(option.short) or ""
      local name = "  " .. letter .. "--" .. option.name .. (option.arg and " " .. option.arg or "")
      name = option.several and name .. "..." or name
      rows[#rows + 1] = { name, option.doc }
    end
  end
  return rows
end

-- Prose is wrapped, wherever the lines of its source end; a line that begins with two spaces stays
-- as it is.
local function laid_out(doc)
  local lines, prose = {}, {}
  local function flush()
    if #prose > 0 then
      lines[#lines + 1] = text.wrap(table.concat(prose, " "), 78)
      prose = {}
    end
  end
  for line in (doc .. "\n"):gmatch("(.-)\n") do
    if line == "" or line:find("^  ") then
      flush()
      lines[#lines + 1] = line
    else
      prose[#prose + 1] = line
    end
  end
  flush()
  return table.concat(lines, "\n")
end

---The help of a command.
---@param command pai.cli.Command
---@param fd integer?
function M.command(command, fd)
  local full = "pai " .. (command.parent and command.parent .. " " or "") .. command.name
  local parts = { ("%s: %s\n\n"):format(full, command.summary) }
  local usage = command.usage ~= "" and " " .. command.usage or ""
  parts[#parts + 1] = ("usage: %s%s\n"):format(full, usage)
  if command.doc then
    parts[#parts + 1] = "\n" .. laid_out(command.doc) .. "\n"
  end
  if command.commands then
    local rows = {}
    for i, sub in ipairs(command.commands) do
      rows[i] = { "  " .. sub.name, sub.summary }
    end
    parts[#parts + 1] = "\ncommands:\n" .. columns.of(rows, fd)
  end
  parts[#parts + 1] = "\noptions:\n" .. columns.of(option_rows(command), fd)
  if command.examples then
    local rows = {}
    for i, example in ipairs(command.examples) do
      rows[i] = { "  " .. example[1], example[2] }
    end
    parts[#parts + 1] = "\nexamples:\n" .. columns.of(rows, fd)
  end
  out.write(fd or 1, table.concat(parts))
end

local function plain(command)
  local copy = {
    name = command.name,
    summary = command.summary,
    usage = command.usage,
    doc = command.doc,
    options = command.options,
    examples = command.examples,
  }
  for i, sub in ipairs(command.commands or {}) do
    copy.commands = copy.commands or {}
    copy.commands[i] = plain(sub)
  end
  return copy
end

---@param names string[]
---@param opts table
---@return integer exit code
function M.run(names, opts)
  if not names[1] then
    if opts.json then
      local list = {}
      for _, name in ipairs(cli.COMMANDS) do
        list[#list + 1] = plain(M.load(name) or { name = name, summary = "", usage = "" })
      end
      out.stdout(require("pai.json").encode({ commands = list }) .. "\n")
    else
      M.overview(1)
    end
    return 0
  end
  local command = M.load(names[1])
  if not command then
    local hint = text.did_you_mean(names[1], cli.COMMANDS)
    err.raise("EUSAGE", ("no command '%s'%s"):format(names[1], hint))
  end
  for i = 2, #names do
    local parent = table.concat(names, " ", 1, i - 1)
    local inner = dispatch.sub(command, names[i], parent)
    command = setmetatable({ parent = parent }, { __index = inner })
  end
  if opts.json then
    out.stdout(require("pai.json").encode(plain(command)) .. "\n")
  else
    M.command(command)
  end
  return 0
end

return M
