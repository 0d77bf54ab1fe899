-- pai secret set
local names = require("pai.secrets.names")
local out = require("pai.out")
local store = require("pai.secrets.store")

local set = {
  name = "set",
  summary = "set one, from a prompt or standard input",
  usage = "NAME [--user]",
  doc = "Asks for the value without echo, or reads standard input when that is no terminal, less "
    .. "one line end. Writes .env at the root of the git work tree, or with --user (and outside of "
    .. "a work tree) the store of your own, which every project sees. The other lines and comments "
    .. "of the file stay; its mode becomes 0600; .gitignore gets a line when it lacks one. The "
    .. "value is never an argument.",
  private = true,
  options = {
    { name = "user", doc = "into secrets.env beside your settings, not into .env" },
  },
  examples = {
    { "pai secret set HF_TOKEN", "asks without echo" },
    { "pai secret set HF_TOKEN < token", "from a file" },
  },
}

local function read_value(name)
  local secret = require("pai.secret")
  if require("pai.term").isatty(0) then
    return secret.prompt(("Value of %s (not shown): "):format(name))
  end
  return secret.from_stdin()
end

-- What the user should know of the new value.
local function notes(name, handle, target)
  local list = {}
  local doubt = handle:doubt()
  if doubt then
    list[#list + 1] = "the value is " .. doubt
  end
  if not handle:masked() then
    list[#list + 1] = "it is not masked in output: it is shorter than 6 bytes or too common"
  end
  local found = require("pai.secrets.places").new(require("pai.fs").cwd())
  local first = found:first(name)
  if first and first.path ~= target.path then
    list[#list + 1] = ("%s is looked at first and has one too"):format(names.where(first))
  end
  return list
end

---@param words string[]
---@param opts table
---@return integer exit code
function set.run(words, opts)
  local name = names.one(words)
  local target = store.target(require("pai.fs").cwd(), opts.user)
  local changes, e = store.prepare(target)
  if not changes then
    error(e, 0)
  end
  local handle, why = read_value(name)
  if not handle then
    error(why, 0)
  end
  local before
  before, e = store.save(target, name, handle)
  if not before then
    error(e, 0)
  end
  local warnings = notes(name, handle, target)
  if opts.json then
    local json = require("pai.json")
    out.stdout(json.encode({
      name = name,
      path = target.path,
      replaced = before > 0,
      length = names.length_class(handle),
      masked = handle:masked(),
      changes = json.array(changes),
      warnings = json.array(warnings),
    }) .. "\n")
    return 0
  end
  for _, change in ipairs(changes) do
    out.stdout(change .. "\n")
  end
  local how = before > 0 and "replaced" or "set"
  out.stdout(("%s is %s in %s (%s)\n"):format(name, how, target.path, names.length_class(handle)))
  for _, warning in ipairs(warnings) do
    out.stderr("warning: " .. warning .. "\n")
  end
  return 0
end

return set
