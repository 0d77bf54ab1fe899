-- pai lint
local async = require("pai.async")
local fs = require("pai.fs")
local index = require("pai.recipe.index")
local json = require("pai.json")
local out = require("pai.out")
local schema = require("pai.recipe.schema")

local M = {
  name = "lint",
  summary = "check recipes and components without running them",
  usage = "[RECIPE|COMPONENT|FILE ...]",
  doc = "Checks the schema, the size of files, that needs and safety cover what is used, and what "
    .. "a resume could not undo. Without arguments everything that `pai list` knows. Exit code 1 "
    .. "when there is an error; warnings do not fail.",
  examples = {
    { "pai lint", "everything" },
    { "pai lint recipes/mine.lua", "one file" },
  },
}

local function targets(words)
  if #words == 0 then
    local entries, components = index.all()
    local paths = {}
    for _, entry in ipairs(entries) do
      paths[#paths + 1] = entry.path
    end
    for _, component in ipairs(components) do
      paths[#paths + 1] = component.dir
    end
    return paths
  end
  local paths = {}
  for _, word in ipairs(words) do
    local path = index.resolve(word)
    local dir = fs.abspath(word)
    if not path and fs.exists(dir .. "/component.lua") then
      path = dir
    end
    if not path then
      for _, component in ipairs((select(2, index.all()))) do
        path = component.name == word and component.dir or path
      end
    end
    if not path then
      local _, e = index.resolve(word)
      error(e, 0)
    end
    paths[#paths + 1] = path
  end
  return paths
end

local function shown(path)
  local prefix = fs.cwd() .. "/"
  return path:sub(1, #prefix) == prefix and path:sub(#prefix + 1) or path
end

local function findings_of(path)
  local description, e = index.read(path, { lint = true })
  if description then
    return description.findings or {}
  end
  local list = {}
  for i, problem in ipairs(e.problems or {}) do
    problem.level = "error"
    list[i] = problem
  end
  if #list == 0 then
    list[1] = { level = "error", file = shown(path), line = 1, key = "", message = e.message }
  end
  return list
end

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  local paths = targets(words)
  local work = {}
  for i, path in ipairs(paths) do
    work[i] = function()
      return findings_of(path)
    end
  end
  local errors, warnings, all = 0, 0, {}
  for _, list in ipairs(async.all(work, { limit = 4 })) do
    for _, finding in ipairs(list) do
      all[#all + 1] = finding
      if finding.level == "error" then
        errors = errors + 1
      else
        warnings = warnings + 1
      end
    end
  end
  if opts.json then
    out.stdout(json.encode({
      findings = json.array(all),
      errors = errors,
      warnings = warnings,
      files = #paths,
    }) .. "\n")
  else
    for _, finding in ipairs(all) do
      out.stdout(("%s (%s)\n"):format(schema.format(finding), finding.level))
    end
    out.stdout(("%d checked, %d errors, %d warnings\n"):format(#paths, errors, warnings))
  end
  return errors > 0 and 1 or 0
end

return M
