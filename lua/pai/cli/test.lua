-- pai test
local err = require("pai.err")
local fs = require("pai.fs")
local out = require("pai.out")
local text = require("pai.text")

local M = {
  name = "test",
  summary = "run the specs of your recipes with busted",
  usage = "[FILE|FOLDER ...]",
  doc = "Runs *_spec.lua below ./recipes, ./components and ./tests/spec/recipes, or what is named. "
    .. "Needs busted (Debian: lua-busted).",
  options = {
    { name = "busted", arg = "FILE", doc = "the busted script, if it is not on PATH" },
  },
  examples = {
    { "pai test", "all specs of the recipes here" },
    { "pai test recipes/mine_spec.lua", "one file" },
  },
}

local DEFAULTS <const> = { "recipes", "components", "tests/spec/recipes" }

local function add_specs(list, dir)
  for _, file in ipairs(fs.walk(dir) or {}) do
    if file:find("_spec%.lua$") then
      list[#list + 1] = dir .. "/" .. file
    end
  end
end

local function specs(words)
  local list = {}
  for _, word in ipairs(#words > 0 and words or DEFAULTS) do
    local st = fs.stat(word)
    if st and st.type == "directory" then
      add_specs(list, word)
    elseif st then
      list[#list + 1] = word
    elseif #words > 0 then
      err.raise("EUSAGE", ("no file %s"):format(word))
    end
  end
  return list
end

local function find_busted(asked)
  if asked then
    return fs.exists(asked) and asked or nil
  end
  for dir in (os.getenv("PATH") or ""):gmatch("[^:]+") do
    if fs.exists(dir .. "/busted") then
      return dir .. "/busted"
    end
  end
end

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  local busted = find_busted(opts.busted)
  if not busted then
    err.raise("ENOBUSTED", "busted is not there", {
      hint = "apt-get install lua-busted, or pass --busted FILE",
    })
  end
  local files = specs(words)
  if #files == 0 then
    err.raise("EUSAGE", "no *_spec.lua in " .. table.concat(DEFAULTS, ", "))
  end
  local argv = { require("pai").exe, "lua", busted }
  if opts.json then
    table.move({ "-o", "json" }, 1, 2, #argv + 1, argv)
  end
  table.move(files, 1, #files, #argv + 1, argv)
  local r, e = require("pai.exec").run(argv, {
    inherit_env = true,
    accept = "any",
    on_line = function(line, stream)
      out.write(stream == "stderr" and 2 or 1, text.utf8(line), "\n")
    end,
  })
  if not r then
    error(e, 0)
  end
  return r.code == 0 and 0 or 1
end

return M
