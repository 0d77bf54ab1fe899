-- pai list
local args = require("pai.cli.args")
local async = require("pai.async")
local columns = require("pai.cli.columns")
local index = require("pai.recipe.index")
local json = require("pai.json")
local out = require("pai.out")
local text = require("pai.text")

local M = {
  name = "list",
  summary = "list the recipes that can be run",
  usage = "",
  doc = "Recipes come from ./recipes, from the folders of PAI_RECIPE_PATH and from pai itself. A "
    .. "component's actions are recipes, too: NAME.preflight, NAME.deploy, NAME.verify, "
    .. "NAME.active, NAME.teardown, as far as it has them. What can't be read is listed with the "
    .. "reason.",
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

-- A component is one row, with the actions that it has.
local function as_text(found)
  local recipes, broken, components = {}, {}, {}
  for _, item in ipairs(found) do
    local name, d = item.entry.name, item.description
    local component, action = name:match("^(.*)%.(.-)$")
    if not d then
      broken[#broken + 1] = { "  " .. name, text.one_line(item.error.message) }
    elseif item.entry.kind == "recipe" then
      local what = text.one_line(d.title .. ". " .. d.summary)
      recipes[#recipes + 1] = { "  " .. name, d.safety, what }
    else
      local row = components[component]
      if not row then
        -- The loader makes an action's title of the component's.
        row = { name = component, title = d.title:sub(1, -#action - 3), has = {} }
        components[component] = row
        components[#components + 1] = row
      end
      row.has[action] = true
    end
  end
  local rows = {}
  for i, component in ipairs(components) do
    local actions = {}
    for _, action in ipairs(index.ACTIONS) do
      actions[#actions + 1] = component.has[action] and action or nil
    end
    local has = text.one_line(component.title) .. ": " .. table.concat(actions, ", ")
    rows[i] = { "  " .. component.name, has }
  end
  local parts = {}
  for _, section in ipairs({
    { "recipes (pai show NAME, pai plan NAME, pai run NAME)", recipes },
    { "components (pai show NAME, pai preflight NAME)", rows },
    { "broken", broken },
  }) do
    if #section[2] > 0 then
      parts[#parts + 1] = section[1] .. ":\n" .. columns.of(section[2])
    end
  end
  return table.concat(parts, "\n")
end

-- Every tag that something has.
local function tags_of(items)
  local tags = {}
  for _, item in ipairs(items) do
    for _, tag in ipairs(item.description and item.description.tags or {}) do
      tags[tag] = true
    end
  end
  return text.keys(tags)
end

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  args.count(words, 0, 0, "")
  local all, found = read_all((index.all())), {}
  for _, item in ipairs(all) do
    if not opts.tag or has_tag(item.description, opts.tag) then
      found[#found + 1] = item
    end
  end
  if opts.json then
    as_json(found)
  elseif #found > 0 then
    out.stdout(as_text(found))
  elseif opts.tag then
    local tags = tags_of(all)
    out.stdout(("nothing has the tag %s%s\n"):format(opts.tag, text.did_you_mean(opts.tag, tags)))
    out.stdout(("tags: %s\n"):format(table.concat(tags, ", ")))
  else
    out.stdout("no recipes found\n")
  end
  return 0
end

return M
