-- A first word that is no command: an option that stands too early, a recipe without its verb, or a
-- slip. Says what was meant.
local index = require("pai.recipe.index")
local out = require("pai.out")
local text = require("pai.text")

local M = {}

-- The first word that is no option, or the value of --state.
local function command_of(argv)
  local i = 1
  while argv[i] and argv[i]:sub(1, 1) == "-" do
    i = i + (argv[i] == "--state" and 2 or 1)
  end
  return argv[i]
end

---@param argv string[]
---@param commands string[]
---@return integer exit code
function M.run(argv, commands)
  local word = argv[1]
  local message, hint
  if word:sub(1, 1) == "-" and command_of(argv) then
    message = ("options come after the command: %s"):format(word)
    hint = ("pai %s ... %s"):format(command_of(argv), word)
  elseif index.resolve(word) then
    message = ("no command '%s': it is a recipe"):format(word)
    hint = "pai run " .. word
  else
    message = ("no command '%s'%s"):format(word, text.did_you_mean(word, commands))
    hint = "pai help"
  end
  out.stderr(("pai: %s\nhint: %s\n"):format(message, hint))
  return 2
end

return M
