-- Which NIMs are meant. Nothing is deployed that was not named: every one holds GPUs and storage
-- for as long as it is there.
local catalog = require("inference-nim-operator.catalog")

local M = {}

---The names that are meant, each once, in their order.
---@param inp table
---@return string[]
function M.names(inp)
  if inp.all then
    return catalog.names()
  end
  local list, seen = {}, {}
  for _, name in ipairs(inp.nims or {}) do
    if not seen[name] then
      seen[name] = true
      list[#list + 1] = name
    end
  end
  return list
end

---Those that are in the catalogue.
---@param inp table
---@return string[]
function M.known(inp)
  local list = {}
  for _, name in ipairs(M.names(inp)) do
    if catalog.NIMS[name] then
      list[#list + 1] = name
    end
  end
  return list
end

-- Letters and digits of a name, so that "qwen2.5-14b" is near "qwen25-14b".
local function bare(name)
  return (name:lower():gsub("[^%w]", ""))
end

local function near(name)
  for _, known in ipairs(catalog.names()) do
    if bare(known) == bare(name) then
      return (" (did you mean '%s'?)"):format(known)
    end
  end
  return ""
end

---The checks of the list itself.
---@param inp table
---@return table[]
function M.checks(inp)
  local names = M.names(inp)
  local hint = "the catalogue has " .. table.concat(catalog.names(), ", ")
  if #names == 0 then
    return {
      {
        name = "NIMs",
        state = "red",
        measured = "none is named",
        expected = "nims=NAME,NAME or all=true",
        hint = hint,
      },
    }
  end
  local checks = {}
  if inp.all and inp.nims and #inp.nims > 0 then
    checks[1] = {
      name = "NIMs",
      state = "red",
      measured = "both nims and all are given",
      expected = "one of them",
    }
  end
  for _, name in ipairs(names) do
    local entry = catalog.NIMS[name]
    checks[#checks + 1] = {
      name = "NIM " .. name,
      state = entry and "ok" or "red",
      measured = entry
          and ("%d GPU, %s memory, %s storage"):format(entry.gpus, entry.memory, entry.storage)
        or "there is no such NIM" .. near(name),
      hint = not entry and hint or nil,
    }
  end
  return checks
end

return M
