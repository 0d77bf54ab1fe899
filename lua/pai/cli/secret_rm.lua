-- pai secret rm
local err = require("pai.err")
local names = require("pai.secrets.names")
local out = require("pai.out")
local store = require("pai.secrets.store")

local rm = {
  name = "rm",
  summary = "take one out of .env or of your store",
  usage = "NAME [--user] [--yes]",
  doc = "Takes the entry out of .env at the root of the git work tree, or with --user (and outside "
    .. "of a work tree) out of the store of your own; the other lines stay. Asks first; --yes "
    .. "answers. What the environment or your settings say stays as it is.",
  private = true,
  options = {
    { name = "user", doc = "out of secrets.env beside your settings" },
    { name = "yes", doc = "do not ask" },
  },
  examples = { { "pai secret rm HF_TOKEN --yes", "without a question" } },
}

-- Why there is nothing to take out, and where the name is known.
local function absent(name, target, found)
  local first = found:first(name)
  local hint = "pai secret list"
  if first and first.place == "environment" then
    hint = "it is in the environment: unset " .. name
  elseif first then
    hint = ("it is in %s"):format(names.where(first))
    if first.place == "store" then
      hint = ("pai secret rm %s --user"):format(name)
    end
  end
  err.raise("ENOENT", ("%s has no %s"):format(target.path, name), { hint = hint })
end

local function confirm(name, target, opts)
  if opts.yes then
    return
  end
  local answer
  if require("pai.cli.view").can_ask(opts) then
    local question = ("Remove %s from %s? Type yes to go on: "):format(name, target.path)
    answer = require("pai.term").read_line(question)
  end
  if not answer then
    err.raise("EINPUT", "USER_INPUT_REQUIRED: confirm with --yes", {
      missing = { { name = "--yes", type = "boolean", doc = "remove " .. name } },
    })
  elseif answer ~= "yes" then
    err.raise("EDECLINED", ("not confirmed; %s stays in %s"):format(name, target.path))
  end
end

---@param words string[]
---@param opts table
---@return integer exit code
function rm.run(words, opts)
  local fs = require("pai.fs")
  local name = names.one(words)
  local target = store.target(fs.cwd(), opts.user)
  local found = require("pai.secrets.places").new(fs.cwd())
  local file = target.user and found:store() or found:dotenv()
  -- A file that breaks the rules is not opened, but what is in it can be taken out.
  if not file.exists or (not file.check and not file.handles[name]) then
    absent(name, target, found)
  end
  confirm(name, target, opts)
  local before, e = store.save(target, name, nil)
  if not before then
    error(e, 0)
  elseif before == 0 then
    absent(name, target, found)
  end
  if opts.json then
    out.stdout(require("pai.json").encode({ name = name, path = target.path }) .. "\n")
  else
    out.stdout(("%s is removed from %s\n"):format(name, target.path))
  end
  return 0
end

return rm
