-- pai osmo user: the accounts of a service and their roles.
local command = require("pai.cli.osmo_command")
local common = require("pai.cli.osmo_common")
local err = require("pai.err")
local json = require("pai.json")
local text = require("pai.text")

local list = command.new({
  name = "list",
  summary = "list the users of a service",
  usage = "",
  doc = "Accounts are an admin's to see; --submitted lists everybody who ever submitted, which "
    .. "others may ask for, too. The embedded engine has no accounts and always lists those.",
  options = {
    { name = "id-prefix", short = "p", arg = "TEXT", doc = "whose name begins so" },
    { name = "roles", short = "r", arg = "ROLE", several = true, doc = "who have any of these" },
    { name = "count", short = "c", arg = "N", doc = "so many at most (default 100)" },
    { name = "submitted", doc = "everybody who ever submitted, by name only" },
  },
  examples = {
    { "pai osmo user list --submitted", "" },
    { "pai osmo user list -r osmo-admin", "" },
  },
  read = function(_, opts)
    if opts.submitted and (opts.id_prefix or opts.roles or opts.count) then
      err.raise("EUSAGE", "--submitted lists names only: nothing else goes with it")
    end
    return { prefix = opts.id_prefix, roles = opts.roles, count = common.integer(opts, "count") }
  end,
  ask = function(c, request, _, opts)
    if not opts.submitted and c.target ~= "local" then
      local answer, e = c:accounts(request)
      if e and e.http == 403 then
        e.hint = "accounts are for admins: --submitted lists everybody who ever submitted"
      end
      return answer, e
    end
    local names, e = c:users()
    local found = names and json.array({})
    for i, name in ipairs(names or {}) do
      found[i] = { id = name }
    end
    return found and { users = found, total_results = #found }, e
  end,
  rows = function(answer)
    local rows = { { "USER", "SINCE (UTC)" } }
    for _, u in ipairs(answer.users) do
      rows[#rows + 1] = { u.id, common.moment(u.created_at) }
    end
    return rows
  end,
  none = "no users found",
})

local function shown(u)
  return text.columns({
    { "User", u.id },
    { "Since", common.moment(u.created_at) .. " UTC" },
    { "Made by", common.shown(u.created_by) },
  }) .. "\n" .. text.columns(common.role_rows(u.roles))
end

local get = command.new({
  name = "get",
  summary = "show a user and the roles",
  usage = "NAME",
  words = { 1, 1 },
  examples = { { "pai osmo user get bob", "" } },
  ask = function(c, _, words)
    return c:account(words[1])
  end,
  text = shown,
})

local create = command.new({
  name = "create",
  summary = "make a user",
  usage = "NAME",
  words = { 1, 1 },
  options = { { name = "roles", short = "r", arg = "ROLE", several = true, doc = "the roles" } },
  examples = { { "pai osmo user create bob --roles osmo-user", "" } },
  ask = function(c, _, words, opts)
    return c:create_account(words[1], opts.roles)
  end,
  text = function(u)
    return ("user %s is made\n"):format(u.id)
  end,
})

local update = command.new({
  name = "update",
  summary = "give a user roles, and take some away",
  usage = "NAME",
  words = { 1, 1 },
  options = {
    { name = "add-roles", short = "a", arg = "ROLE", several = true, doc = "give these" },
    { name = "remove-roles", short = "r", arg = "ROLE", several = true, doc = "take these away" },
  },
  examples = { { "pai osmo user update bob --add-roles osmo-admin", "" } },
  read = function(_, opts)
    if not opts.add_roles and not opts.remove_roles then
      err.raise("EUSAGE", "missing --add-roles ROLE or --remove-roles ROLE")
    end
  end,
  ask = function(c, _, words, opts)
    for _, role in ipairs(opts.add_roles or {}) do
      common.checked(c:change_role(words[1], role))
    end
    for _, role in ipairs(opts.remove_roles or {}) do
      common.checked(c:change_role(words[1], role, true))
    end
    return c:account(words[1])
  end,
  text = shown,
})

local delete = command.new({
  name = "delete",
  summary = "delete a user with all tokens, roles and the profile",
  usage = "NAME",
  words = { 1, 1 },
  options = { common.FORCE },
  examples = { { "pai osmo user delete bob --force", "" } },
  read = function(words, opts)
    return opts.force
      or common.confirm(("Delete the user %s with all tokens?"):format(words[1]), "--force")
  end,
  ask = function(c, sure, words)
    return sure and c:delete_account(words[1])
  end,
  json = function(deleted, words)
    return { id = words[1], deleted = deleted }
  end,
  text = function(deleted, words)
    return deleted and ("user %s is deleted\n"):format(words[1]) or "nothing was deleted\n"
  end,
})

return { command.group("user", "users of a service", { list, get, create, update, delete }) }
