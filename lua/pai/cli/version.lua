-- pai version
local M = {
  name = "version",
  summary = "print the version",
  usage = "",
  direct = true,
  examples = {
    { "pai version", "the version and Lua's" },
    { "pai version --json", "the same for programs" },
  },
}

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  if words[1] then
    require("pai.cli.args").count(words, 0, 0, "")
  end
  local version = require("pai.version")
  local out = require("pai.out")
  if opts.json then
    local info = { name = "pai", version = version, lua = _VERSION }
    out.stdout(require("pai.json").encode(info) .. "\n")
  else
    out.stdout(("pai %s (%s)\n"):format(version, _VERSION))
  end
  return 0
end

return M
