-- pai engine roots: the folders that file:// urls of specs may name.
local err = require("pai.err")
local fs = require("pai.fs")
local json = require("pai.json")
local out = require("pai.out")

local M = {
  name = "roots",
  summary = "list the folders that file:// urls may name, or take some away",
  usage = "[remove DIR...]",
  doc = "Each --root of pai osmo submit stays for the runs to come, also those of others who use "
    .. "this engine's state folder. A queued task whose folder is taken away fails when it begins.",
  options = { { name = "all", doc = "with remove: all of them" } },
  examples = {
    { "pai engine roots", "one a line" },
    { "pai engine roots remove /data/old", "" },
    { "pai engine roots remove --all", "" },
  },
}

local function ask(p, method, query)
  local answer, e = require("pai.engine.launch").ask(p, method, "/api/pai/roots", query)
  if not answer then
    local said = type(e.body) == "string" and json.decode(e.body)
    err.raise("EINVAL", type(said) == "table" and said.message or e.message)
  end
  return answer.roots
end

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  local removes = words[1] == "remove"
  if #words > 0 and not removes then
    err.raise("EUSAGE", ("pai engine roots takes 'remove', not '%s'"):format(words[1]))
  end
  if removes and (#words > 1) == (opts.all == true) then
    err.raise("EUSAGE", "pai engine roots remove wants folders, or --all")
  elseif opts.all and not removes then
    err.raise("EUSAGE", "--all goes with remove")
  end
  local p, e = require("pai.engine.launch").ensure()
  if not p then
    error(e, 0)
  end
  local roots = ask(p, "GET")
  if removes then
    local named = {}
    for i = 2, #words do
      named[i - 1] = fs.abspath(words[i])
    end
    named = opts.all and roots or named
    roots = #named > 0 and ask(p, "DELETE", { root = named }) or roots
  end
  if opts.json then
    out.stdout(json.encode({ roots = json.array(roots) }) .. "\n")
  else
    for _, root in ipairs(roots) do
      out.stdout(root .. "\n")
    end
  end
  return 0
end

return M
