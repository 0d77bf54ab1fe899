-- Runs one command: its options, --help, the loop, and what an error says and which exit code it
-- has.
local args = require("pai.cli.args")
local err = require("pai.err")
local out = require("pai.out")

local M = {}

---Exit codes by the code of an error; what is not here is 1.
local EXIT <const> = {
  EUSAGE = 2,
  ENOENT = 2,
  EINPUT = 3,
  ELEASE = 4,
  EINTERNAL = 70,
}

---The exit code of an error.
---@param e pai.Error
---@return integer
function M.exit_code(e)
  return EXIT[e.code] or 1
end

---Says an error on standard error, or as JSON on standard output.
---@param e any
---@param opts table
---@return integer exit code
function M.report(e, opts)
  e = err.wrap(e)
  if opts.json and not opts.streamed then
    local fields = {
      code = e.code,
      message = require("pai.text").utf8(e.message),
      hint = e.hint,
      problems = e.problems,
      missing = e.missing,
    }
    out.stdout(require("pai.json").encode({ error = fields }) .. "\n")
  end
  local prefix = e.message:find("^USER_INPUT_REQUIRED") and "" or "pai: "
  out.stderr(prefix .. e.message .. "\n")
  if e.hint then
    out.stderr("hint: " .. tostring(e.hint) .. "\n")
  end
  if e.code == "EINTERNAL" and e.trace then
    out.stderr(e.trace .. "\n")
  end
  return M.exit_code(e)
end

-- Puts an option that may stand before the subcommand's name behind it.
local function led(command, argv)
  if not command.leading or argv[1] ~= "--" .. command.leading or not argv[3] then
    return argv
  end
  return table.move(argv, 4, #argv, 4, { argv[3], argv[1], argv[2] })
end

---A command's own command by its name; raises EUSAGE when it has none of that name.
---@param command pai.cli.Command
---@param word string
---@param full string the command as it is typed: "osmo token"
---@return pai.cli.Command
function M.sub(command, word, full)
  local names = {}
  for i, sub in ipairs(command.commands or {}) do
    if sub.name == word then
      return sub
    end
    names[i] = sub.name
  end
  if #names == 0 then
    err.raise("EUSAGE", ("pai %s has no commands of its own, and no '%s'"):format(full, word))
  end
  local instead = command.refused and command.refused[word]
  if instead then
    err.raise("EUSAGE", ("pai %s has no '%s'"):format(full, word), { hint = instead })
  end
  local hint = require("pai.text").did_you_mean(word, names)
  local list = table.concat(names, ", ")
  err.raise("EUSAGE", ("pai %s has no '%s'%s; it has %s"):format(full, word, hint, list))
end

-- A command of its own that the first words name: `pai runs show`, `pai osmo token set`.
local function choose(command, argv)
  argv = led(command, argv)
  local word = argv[1]
  if not command.commands or not word or word:sub(1, 1) == "-" then
    return command, argv
  end
  local full = (command.parent and command.parent .. " " or "") .. command.name
  local inner = setmetatable({ parent = full }, { __index = M.sub(command, word, full) })
  return choose(inner, table.move(argv, 2, #argv, 1, {}))
end

local function with_trace(fn, ...)
  return xpcall(fn, function(e)
    if type(e) == "string" then
      return debug.traceback(e, 2)
    end
    return e
  end, ...)
end

---Runs a command with its arguments.
---@param command pai.cli.Command
---@param argv string[]
---@return integer exit code
function M.run(command, argv)
  local opts, chosen = {}, nil
  local ok, code = with_trace(function()
    local positional, rest
    chosen, rest = choose(command, argv)
    positional, opts = args.parse(chosen, rest)
    if opts.help then
      require("pai.cli.help").command(chosen)
      return 0
    end
    if not chosen.run then
      require("pai.cli.help").command(chosen, 2)
      return 2
    end
    if opts.state then
      require("pai.state").set(opts.state)
    end
    if chosen.direct then
      return chosen.run(positional, opts)
    end
    return require("pai.task").run(function()
      local fine, result = with_trace(chosen.run, positional, opts)
      if not fine then
        error(result, 0)
      end
      return result
    end)
  end)
  if ok then
    return code
  end
  code = err.wrap(code)
  if code.counted and not code.hint then
    local full = (chosen.parent and chosen.parent .. " " or "") .. chosen.name
    code.hint = ("pai %s %s"):format(full, chosen.usage):gsub(" +$", "")
  end
  return M.report(code, opts)
end

return M
