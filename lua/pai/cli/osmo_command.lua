-- The shape that most commands of `pai osmo` have: read the words and options, ask the service
-- once, print its answer as JSON, as a table or as text.
local args = require("pai.cli.args")
local common = require("pai.cli.osmo_common")
local json = require("pai.json")
local out = require("pai.out")
local text = require("pai.text")

local M = {}

---@class pai.cli.osmo.Command: pai.cli.Command
---@field words integer[]? how many words it takes, at least and at most; none
---@field refused table<string, string>? options of OSMO's own command line, and what to do instead
---@field read (fun(words: string[], opts: table): any)? what is asked for; raises EUSAGE
---@field ask fun(c: pai.osmo.Client, request: any, words: string[], opts: table): any, pai.Error?
---  false: nothing was done, and the exit code says so
---@field json (fun(answer: any, words: string[], opts: table): any)? what --json prints
---@field rows (fun(answer: any, opts: table): string[][])? a table, its head first
---@field none string? what is said of a table without rows
---@field text (fun(answer: any, words: string[], opts: table): string)? in place of rows

local function print_answer(command, answer, words, opts)
  if opts.json then
    common.print_json(command.json and command.json(answer, words, opts) or answer)
  elseif command.text then
    out.stdout(command.text(answer, words, opts))
  else
    local rows = command.rows(answer, opts)
    out.stdout((#rows > 1 or not command.none) and text.columns(rows) or command.none .. "\n")
  end
end

---Makes a command of its description; options get those that all have.
---@param t pai.cli.osmo.Command
---@return pai.cli.Command
function M.new(t)
  t.options = common.options(table.unpack(t.options or {}))
  function t.run(words, opts)
    local count = t.words or { 0, 0 }
    args.count(words, count[1], count[2], t.usage)
    local request = t.read and t.read(words, opts) or nil
    local answer = common.checked(t.ask(common.connect(opts), request, words, opts))
    print_answer(t, answer, words, opts)
    return answer == false and 1 or 0
  end
  return t
end

---Makes a command that has commands.
---@param name string
---@param summary string
---@param commands pai.cli.Command[]
---@param more table? further fields
---@return pai.cli.Command
function M.group(name, summary, commands, more)
  local names = {}
  for i, command in ipairs(commands) do
    names[i] = command.name
  end
  local t = {
    name = name,
    summary = summary,
    usage = table.concat(names, "|"),
    commands = commands,
    examples = { { ("pai osmo %s %s --help"):format(name, names[1]), "" } },
  }
  for key, value in pairs(more or {}) do
    t[key] = value
  end
  return t
end

---What --json prints of something that was done, since the service answers with null.
---@param fields table<string, any> besides the name
---@return fun(answer: any, words: string[]): table
function M.done(fields)
  return function(_, words)
    local t = { name = words[1] }
    for key, value in pairs(fields) do
      t[key] = value
    end
    return t
  end
end

---What --json prints of a list that the service gives without a name.
---@param name string
---@return fun(list: any[]): table
function M.named_list(name)
  return function(list)
    return { [name] = json.array(list) }
  end
end

return M
