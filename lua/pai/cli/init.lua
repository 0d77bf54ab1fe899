-- The commands of pai: finds the one that was asked for and runs it. Only its own file is loaded,
-- so that a small command starts fast.
local M = {}

---The commands that help shows, in its order.
M.COMMANDS = {
  "run",
  "plan",
  "resume",
  "check",
  "list",
  "show",
  "preflight",
  "deploy",
  "verify",
  "teardown",
  "runs",
  "ui",
  "osmo",
  "k8s",
  "engine",
  "mcp",
  "skill",
  "exec",
  "secret",
  "scan",
  "lua",
  "new",
  "lint",
  "test",
  "doctor",
  "completions",
  "version",
  "help",
}

-- Asked for by pai itself.
local INTERNAL <const> = { __read = "read", __complete = "complete" }

local ALIASES <const> = { ["--help"] = "help", ["-h"] = "help", ["--version"] = "version" }

---@class pai.cli.Option
---@field name string without the dashes
---@field short string? one letter that means the same, or more where another tool has more
---@field arg string? name of its value; a flag has none
---@field doc string
---@field many boolean? may be given again; the value is a list
---@field several boolean? the same, and takes all values up to the next option
---@field sets table<string, table<string, any>>? the values it takes, and the options that each
---  stands for

---@class pai.cli.Command
---@field name string
---@field summary string one line
---@field usage string what follows the name
---@field options pai.cli.Option[]? besides --help, --json and --state
---@field doc string?
---@field examples string[][]? { command line, what it does }
---@field commands pai.cli.Command[]? of a command that has its own
---@field refused table<string, string>? options, without their dashes, and subcommands that another
---  tool's command of this name has, and what to do instead
---@field leading string? an option that may also stand before a subcommand's name
---@field raw boolean? what follows the first word or `--` belongs to somebody else
---@field private boolean? messages do not repeat its arguments, which may hold a secret
---@field direct boolean? runs without the loop
---@field run fun(args: string[], opts: table): integer

local function known(name)
  for _, command in ipairs(M.COMMANDS) do
    if command == name then
      return true
    end
  end
  return false
end

---Loads the table of a command.
---@param name string
---@return pai.cli.Command?
function M.load(name)
  local file = INTERNAL[name] or known(name) and name
  return file and require("pai.cli." .. file) or nil
end

---Runs the command line.
---@param argv string[] argv[1] is the command
---@return integer exit code
function M.main(argv)
  local name = ALIASES[argv[1]] or argv[1]
  if name == nil then
    require("pai.cli.help").overview(2)
    return 2
  end
  if name == "version" and argv[2] == nil then
    return require("pai.cli.version").run({}, {})
  end
  local command = M.load(name)
  if not command then
    return require("pai.cli.unknown").run(argv, M.COMMANDS)
  end
  return require("pai.cli.dispatch").run(command, table.move(argv, 2, #argv, 1, {}))
end

return M
