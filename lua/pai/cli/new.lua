-- pai new: a recipe or a component to begin with, which lints, plans, runs and passes its test as
-- it stands.
local args = require("pai.cli.args")
local err = require("pai.err")
local fs = require("pai.fs")
local out = require("pai.out")

local MAX_NAME <const> = 64

-- A name near to what was typed that could be one: "My Recipe.lua" is my-recipe.
local function suggestion(typed)
  local name = fs.basename(typed):gsub("%.lua$", ""):gsub("_spec$", ""):lower()
  name = name:gsub("[^%w_]+", "-"):gsub("^[%d_-]+", ""):gsub("-+$", ""):sub(1, MAX_NAME)
  return name ~= "" and ("for instance: pai new %%s %s"):format(name) or nil
end

local function check_name(kind, name)
  local fits = name:find("^%l[%l%d_-]*$") and #name <= MAX_NAME and not name:find("_spec$")
  if not fits then
    local message = "a name is small letters, digits, '_' and '-', begins with a letter, does not "
      .. "end in _spec and has at most %d characters; not '%s'"
    local hint = suggestion(name)
    err.raise("EUSAGE", message:format(MAX_NAME, name), { hint = hint and hint:format(kind) })
  end
  local entries, components = require("pai.recipe.index").all()
  for _, list in ipairs({ entries, components }) do
    for _, entry in ipairs(list) do
      if entry.name == name then
        err.raise("EUSAGE", ("there is a '%s' already: %s"):format(name, entry.path or entry.dir), {
          hint = "choose another name; pai list shows those that are taken",
        })
      end
    end
  end
end

-- The spec goes beside what it tests, or where a tree keeps its specs.
local function spec_path(kind, name, beside)
  local st = fs.stat(("tests/spec/%ss"):format(kind))
  local folder = st and st.type == "directory" and ("tests/spec/%ss"):format(kind) or beside
  return ("%s/%s_spec.lua"):format(folder, name)
end

-- Writes all files or none.
local function write(files)
  for _, file in ipairs(files) do
    if fs.stat(file.path, { follow = false }) then
      err.raise("EUSAGE", ("%s is there already; nothing was written"):format(file.path))
    end
  end
  local made = {}
  for _, file in ipairs(files) do
    local ok, e = fs.mkdir(fs.dirname(file.path), { parents = true })
    if ok then
      ok, e = fs.write(file.path, file.text)
    end
    if not ok then
      for _, path in ipairs(made) do
        fs.remove(path)
      end
      error(e, 0)
    end
    made[#made + 1] = file.path
  end
  return made
end

-- Says what was made, and the commands that come next.
local function tell(name, made, next_commands, opts)
  if opts.json then
    local json = require("pai.json")
    local said = { name = name, files = json.array(made), next = json.array(next_commands) }
    out.stdout(json.encode(said) .. "\n")
    return 0
  end
  for _, path in ipairs(made) do
    out.stdout(path .. "\n")
  end
  out.stdout("\nIt works as it stands; change it piece by piece:\n")
  for _, command in ipairs(next_commands) do
    out.stdout("  " .. command .. "\n")
  end
  return 0
end

-- "my-recipe" → "My recipe"
local function title_of(name)
  return (name:gsub("[_-]+", " "):gsub("^%l", string.upper))
end

local function filled(template, values)
  return (template:gsub("@(%u+)@", values))
end

local function recipe(words, opts)
  args.count(words, 1, 1, "NAME")
  local name = words[1]
  check_name("recipe", name)
  local path = ("recipes/%s.lua"):format(name)
  local spec = spec_path("recipe", name, "recipes")
  local values = { NAME = name, TITLE = title_of(name), PATH = path, SPEC = spec }
  local texts = require("pai.cli.new_recipe")
  local made = write({
    { path = path, text = filled(texts.recipe, values) },
    { path = spec, text = filled(texts.spec, values) },
  })
  return tell(name, made, {
    "pai lint " .. path,
    "pai plan " .. name,
    "pai run " .. name,
    "pai test " .. spec,
  }, opts)
end

local function component(words, opts)
  args.count(words, 1, 1, "NAME")
  local name = words[1]
  check_name("component", name)
  local folder = "components/" .. name
  local spec = spec_path("component", name, folder)
  local values = { NAME = name, TITLE = title_of(name), SPEC = spec }
  local texts, files = require("pai.cli.new_component"), {}
  for _, file in ipairs(texts.files) do
    local path = ("%s/%s.lua"):format(folder, file)
    files[#files + 1] = { path = path, text = filled(texts[file], values) }
  end
  files[#files + 1] = { path = spec, text = filled(texts.spec, values) }
  return tell(name, write(files), {
    "pai lint " .. name,
    "pai show " .. name,
    "pai preflight " .. name,
    "pai deploy " .. name,
    "pai verify " .. name,
    "pai teardown " .. name,
    "pai test " .. spec,
  }, opts)
end

return {
  name = "new",
  summary = "write a recipe or a component to begin with",
  usage = "recipe|component NAME",
  commands = {
    {
      name = "recipe",
      summary = "write recipes/NAME.lua and a test of it",
      usage = "NAME",
      doc = "Writes a commented recipe with inputs, a gate and two steps, and a spec for "
        .. "`pai test`, below ./recipes of the folder where you are. It lints, plans and runs as "
        .. "it stands. Nothing is overwritten. The format is in docs/recipes.md.",
      examples = {
        { "pai new recipe clean-labels", "recipes/clean-labels.lua and its spec" },
        { "pai plan clean-labels", "what it would do" },
      },
      run = recipe,
    },
    {
      name = "component",
      summary = "write components/NAME with its actions and a test of them",
      usage = "NAME",
      doc = "Writes a folder components/NAME with a commented reference, preflight, deploy, verify "
        .. "and teardown, and a spec for `pai test`. They lint and run as they stand. Nothing is "
        .. "overwritten. The parts are described in docs/components.md.",
      examples = {
        { "pai new component registry", "components/registry" },
        { "pai deploy registry", "a run of its deploy action" },
      },
      run = component,
    },
  },
  examples = {
    { "pai new recipe clean-labels", "recipes/clean-labels.lua and its spec" },
    { "pai new component registry", "components/registry with its actions" },
  },
}
