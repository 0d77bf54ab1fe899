-- What the commands of `pai osmo config` share: the types there are, revisions, reasons.
local err = require("pai.err")

local M = {}

M.TYPES = {
  "BACKEND",
  "BACKEND_TEST",
  "GROUP_TEMPLATE",
  "POD_TEMPLATE",
  "POOL",
  "RESOURCE_VALIDATION",
  "ROLE",
  "SERVICE",
  "WORKFLOW",
}
---What TYPE may be.
M.KINDS = "TYPE is " .. table.concat(M.TYPES, ", "):lower():gsub(", (%S+)$", " or %1") .. "."

M.DESCRIPTION = { name = "description", short = "d", arg = "TEXT", doc = "why, for the history" }
M.TAGS =
  { name = "tags", short = "t", arg = "TAG", several = true, doc = "tags for the new revision" }

---"POOL" or "pool:3" as a type and a revision. Raises EUSAGE.
---@param word string
---@param needs_one boolean? a revision
---@return string kind in capitals, as the service has it
---@return integer? revision
function M.revision(word, needs_one)
  local name, number = word:match("^([^:]*):([1-9]%d*)$")
  if not name then
    name = word
  end
  local kind = name:upper()
  local known = kind == "DATASET" and number ~= nil -- of services that had data sets
  for _, t in ipairs(M.TYPES) do
    known = known or t == kind
  end
  if not known or (needs_one and not number) then
    local form = needs_one and "TYPE:REVISION" or "TYPE[:REVISION]"
    err.raise("EUSAGE", ("'%s' is not %s"):format(word, form), { hint = M.KINDS })
  end
  return kind, math.tointeger(tonumber(number))
end

---What the history keeps of a change. Raises EUSAGE.
---@param opts table
---@return pai.osmo.ConfigChange
function M.change(opts)
  if not opts.description or opts.description == "" then
    err.raise("EUSAGE", "missing --description TEXT: the history keeps why")
  end
  return { description = opts.description, tags = opts.tags }
end

return M
