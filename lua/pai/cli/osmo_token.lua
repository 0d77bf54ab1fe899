-- pai osmo token: access tokens, one's own or, for an admin, another user's.
local args = require("pai.cli.args")
local command = require("pai.cli.osmo_command")
local common = require("pai.cli.osmo_common")
local err = require("pai.err")
local out = require("pai.out")

local USER <const> =
  { name = "user", short = "u", arg = "NAME", doc = "of this user (default: yours; admins only)" }

local list = command.new({
  name = "list",
  summary = "list access tokens; never their values",
  usage = "",
  options = { USER },
  examples = { { "pai osmo token list", "" }, { "pai osmo token list --user bob", "" } },
  ask = function(c, _, _, opts)
    return c:tokens(opts.user)
  end,
  json = command.named_list("tokens"),
  rows = function(found)
    local rows = { { "NAME", "EXPIRES (UTC)", "STATE", "ROLES", "DESCRIPTION" } }
    local now = os.date("!%Y-%m-%dT%H:%M:%S")
    for _, t in ipairs(found) do
      rows[#rows + 1] = {
        t.token_name,
        common.moment(t.expires_at),
        common.known(t.expires_at) and t.expires_at <= now and "expired" or "active",
        table.concat(t.roles or {}, ","),
        common.shown(t.description),
      }
    end
    return rows
  end,
  none = "no tokens found",
})

local set = {
  name = "set",
  summary = "make an access token and write it to a file",
  usage = "NAME --output FILE",
  doc = "The service shows a token this once. It goes to a new file that only you can read, never "
    .. "to the terminal.",
  options = common.options(
    { name = "output", arg = "FILE", doc = "where to (must not exist)" },
    { name = "expires-at", short = "e", arg = "DAY", doc = "YYYY-MM-DD (default: in 31 days)" },
    { name = "description", short = "d", arg = "TEXT", doc = "what it is for" },
    {
      name = "roles",
      short = "r",
      arg = "ROLE",
      several = true,
      doc = "of the user's roles (default: all)",
    },
    { name = "user", short = "u", arg = "NAME", doc = "for this user (admins only)" }
  ),
  examples = { { "pai osmo token set ci --output ci-token --roles osmo-user", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function set.run(words, opts)
  args.count(words, 1, 1, "NAME")
  local fs = require("pai.fs")
  if not opts.output then
    err.raise("EUSAGE", "missing --output FILE: a token is not printed")
  elseif fs.exists(opts.output) then
    err.raise("EUSAGE", ("%s is already there"):format(opts.output))
  end
  common.day(opts, "expires-at") -- only whether it is one
  -- Made before the token is, so that there is a place for it.
  common.checked(fs.write(opts.output, "", { mode = 384 }))
  local expires = opts.expires_at or os.date("!%Y-%m-%d", os.time() + 31 * 86400)
  local token, e = common.connect(opts):create_token(words[1], {
    expires_at = expires,
    description = opts.description,
    roles = opts.roles,
    user = opts.user,
  })
  if not token then
    fs.remove(opts.output)
    error(e, 0)
  end
  common.checked(require("pai.osmo.client_login").write(opts.output, { token }))
  if opts.json then
    common.print_json({ name = words[1], expires_at = expires, file = opts.output })
  else
    out.stdout(("token %s, until %s: %s\n"):format(words[1], expires, opts.output))
  end
  return 0
end

local delete = command.new({
  name = "delete",
  summary = "delete an access token",
  usage = "NAME",
  words = { 1, 1 },
  options = { USER },
  examples = { { "pai osmo token delete ci", "" } },
  ask = function(c, _, words, opts)
    return c:delete_token(words[1], opts.user)
  end,
  json = command.done({ deleted = true }),
  text = function(_, words)
    return ("token %s is deleted\n"):format(words[1])
  end,
})

local roles = command.new({
  name = "roles",
  summary = "show what an access token may do",
  usage = "NAME",
  words = { 1, 1 },
  examples = { { "pai osmo token roles ci", "" } },
  ask = function(c, _, words)
    return c:token_roles(words[1])
  end,
  rows = function(answer)
    return common.role_rows(answer.roles)
  end,
  none = "the token has no roles",
})

return { command.group("token", "access tokens", { set, list, delete, roles }) }
