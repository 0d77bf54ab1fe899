-- pai list
local args = require("pai.cli.args")
local async = require("pai.async")
local index = require("pai.recipe.index")
local json = require("pai.json")
local out = require("pai.out")
local text = require("pai.text")

local M = {
  name = "list",
  summary = "list the recipes that can be run",
  usage = "",
  doc = "Recipes come from ./recipes, from the folders of PAI_RECIPE_PATH and from pai itself; "
    .. "components add NAME.preflight, NAME.deploy, NAME.verify and NAME.teardown. A recipe that "
    .. "can't be read is listed with the reason.",
  options = {
    { name = "tag", arg = "TAG", doc = "only those with this tag" },
  },
  examples = {
    { "pai list", "everything" },
    { "pai list --tag workload", "the workloads" },
  },
}

local function read_all(entries)
  return async.all(
    (function()
      local work = {}
      for i, entry in ipairs(entries) do
        work[i] = function()
          local description, e = index.read(entry.path)
          return { entry = entry, description = description, error = e }
        end
      end
      return work
    end)(),
    { limit = 4 }
  )
end

local function has_tag(description, tag)
  for _, known in ipairs(description and description.tags or {}) do
    if known == tag then
      return true
    end
  end
  return false
end

local function as_json(found)
  local list = {}
  for i, item in ipairs(found) do
    local row = { name = item.entry.name, path = item.entry.path }
    if item.description then
      row.title = item.description.title
      row.summary = item.description.summary
      row.safety = item.description.safety
      row.tags = item.description.tags
    else
      row.error = { code = item.error.code, message = text.utf8(item.error.message) }
    end
    list[i] = row
  end
  out.stdout(json.encode({ recipes = json.array(list) }) .. "\n")
end

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  args.count(words, 0, 0, "")
  local found = {}
  for _, item in ipairs(read_all((index.all()))) do
    if not opts.tag or has_tag(item.description, opts.tag) then
      found[#found + 1] = item
    end
  end
  if opts.json then
    as_json(found)
    return 0
  end
  local rows = {}
  for i, item in ipairs(found) do
    if item.description then
      local d = item.description
      rows[i] = { item.entry.name, d.safety, text.one_line(d.title .. ". " .. d.summary) }
    else
      rows[i] = { item.entry.name, "broken", text.one_line(item.error.message) }
    end
  end
  out.stdout(#rows > 0 and text.columns(rows) or "no recipes found\n")
  return 0
end

return M
