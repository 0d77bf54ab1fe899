-- What the commands of `pai osmo` share: where to, how to print, how to wait.
local err = require("pai.err")
local json = require("pai.json")
local out = require("pai.out")
local text = require("pai.text")

local M = {}

local TARGET <const> = {
  name = "target",
  arg = "local|osmo|URL",
  doc = "where to: the embedded engine (local), the OSMO you are logged in to, or this one",
}
M.POOL = { name = "pool", short = "p", arg = "NAME", doc = "the pool (default: yours)" }
M.SET = {
  name = "set",
  arg = "K=V",
  several = true,
  doc = "a template's variables; numbers become numbers",
}
M.SET_STRING = {
  name = "set-string",
  arg = "K=V",
  several = true,
  doc = "a template's variables that stay text",
}
M.SET_ENV = {
  name = "set-env",
  arg = "K=V",
  several = true,
  doc = "environment variables of every task",
}
M.PRIORITY = { name = "priority", arg = "P", doc = "HIGH, NORMAL or LOW" }
M.LABEL = { name = "label", arg = "K=V", many = true, doc = "a label for the run" }
M.ROOT = {
  name = "root",
  arg = "DIR",
  many = true,
  doc = "a folder that file:// urls may name (embedded engine)",
}
M.TASK = { name = "task", short = "t", arg = "NAME", doc = "of this task only" }
M.RETRY = { name = "retry", short = "r", arg = "N", doc = "of this attempt of the task" }
M.RETRY_ID = { name = "retry-id", arg = "N", doc = "the same" }
M.COUNT = { name = "count", short = "c", arg = "N", doc = "so many at most (default 20)" }
M.ORDER = {
  name = "order",
  short = "o",
  arg = "asc|desc",
  doc = "asc: of these, the newest last (default desc)",
}
M.USERS = {
  name = "user",
  short = "u",
  arg = "NAME",
  several = true,
  doc = "of these users (default: yours)",
}
M.ALL_USERS = { name = "all-users", short = "a", doc = "of everybody" }
M.POOLS = {
  name = "pool",
  short = "p",
  arg = "NAME",
  several = true,
  doc = "of these pools (default: all)",
}
M.FORCE = { name = "force", short = "f", doc = "do not ask" }

---What commands that submit refuse of upstream's.
M.NO_RSYNC = {
  rsync = "pai has no rsync: put files into the spec with localpath, or use an object store",
}

-- OSMO's own name for --json. Its letter belongs to a command's own option that has it.
local function format(letter)
  return {
    name = "format-type",
    short = letter,
    arg = "json|text",
    doc = "json is --json, by OSMO's own name",
    sets = { json = { json = true }, text = {} },
  }
end

---The options of a command: its own, where to, and OSMO's name for --json.
---@return pai.cli.Option[]
function M.options(...)
  local list, letter = { ... }, "t"
  for _, option in ipairs(list) do
    letter = option.short ~= "t" and letter or nil
  end
  table.insert(list, TARGET)
  table.insert(list, format(letter))
  return list
end

---The value, or raises the error.
---@param value any
---@param e pai.Error?
---@return any
function M.checked(value, e)
  if value == nil then
    if type(e) == "table" and e.code == "ENETWORK" and not e.hint then
      e.hint = "is the service up? --target local is the engine of this machine"
    end
    error(e, 0)
  end
  return value
end

---Connects to where the options say.
---@param opts table
---@param more table? further settings of pai.osmo.client.connect
---@return pai.osmo.Client
function M.connect(opts, more)
  local target, url = nil, opts.target
  if url and url ~= "local" and url ~= "osmo" and not url:find("^https?://[^/]") then
    local hint = text.did_you_mean(url, { "local", "osmo" })
    err.raise("EUSAGE", ("--target is local, osmo or a URL, not '%s'%s"):format(url, hint))
  end
  if url == nil or url == "local" or url == "osmo" then
    target, url = require("pai.run.target").resolve(url)
  end
  local settings = {
    target = target == "local" and "local" or url,
    roots = opts.root,
    on_warning = function(message)
      out.stderr("warning: " .. message .. "\n")
    end,
  }
  for name, value in pairs(more or {}) do
    settings[name] = value
  end
  return M.checked(require("pai.osmo.client").connect(settings))
end

---The words of an option in capitals, each of which is known. Raises EUSAGE.
---@param list string[]?
---@param option string
---@param known string[]
---@param fits string? a pattern of others that will do
---@return string[]?
function M.chosen(list, option, known, fits)
  local words, is_known = list and {}, {}
  for _, word in ipairs(known) do
    is_known[word] = true
  end
  for i, word in ipairs(list or {}) do
    words[i] = word:upper()
    if not is_known[words[i]] and not (fits and words[i]:find(fits)) then
      local hint = text.did_you_mean(words[i], known)
      err.raise("EUSAGE", ("--%s: there is no %s%s"):format(option, words[i], hint), {
        hint = "it is one of " .. table.concat(known, ", "),
      })
    end
  end
  return words
end

---The statuses of runs or tasks among the options; also failures that are new to pai.
---@param opts table
---@param known string[]
---@return string[]?
function M.statuses(opts, known)
  return M.chosen(opts.status, "status", known, "^FAILED_[A-Z_]+$")
end

local PRIORITIES <const> = { "HIGH", "NORMAL", "LOW" }

---The priorities among the options.
---@param opts table
---@return string[]?
function M.priorities(opts)
  return M.chosen(opts.priority, "priority", PRIORITIES)
end

---The one priority of a submit.
---@param opts table
---@return string?
function M.priority(opts)
  local words = M.chosen(opts.priority and { opts.priority }, "priority", PRIORITIES)
  return words and words[1]
end

---Whose things are listed: users or everybody's. Raises EUSAGE for both.
---@param opts table
function M.check_users(opts)
  if opts.user and opts.all_users then
    err.raise("EUSAGE", "--user or --all-users, not both")
  end
end

-- A moment of the user's own time zone, as the service wants it; nil when there is none such.
local function in_utc(given)
  local y, m, d, rest = given:match("^(%d%d%d%d)%-(%d%d)%-(%d%d)(.*)$")
  local hour, min, sec = (rest or ""):match("^T(%d%d):(%d%d):(%d%d)$")
  if not y or (rest ~= "" and not hour) then
    return nil
  end
  local moment =
    os.time({ year = y, month = m, day = d, hour = hour or 0, min = min or 0, sec = sec or 0 })
  local form = hour and "%Y-%m-%dT%H:%M:%S" or "%Y-%m-%d"
  return os.date(form, moment) == given and os.date("!%Y-%m-%dT%H:%M:%S", moment) or nil
end

---A day of the user's own time zone among the options, as the service wants it: the day's first
---moment in UTC, without a zone. Raises EUSAGE.
---@param opts table
---@param name string of the option
---@param timed boolean? a day with a time may stand there, too
---@return string?
function M.day(opts, name, timed)
  local given = opts[name:gsub("-", "_")]
  local found = given and (timed or #given == 10) and in_utc(given)
  if given and not found then
    local form = timed and "a day or a time such as 2026-01-31T12:00:00"
      or "a day such as 2026-01-31"
    err.raise("EUSAGE", ("--%s is %s, not '%s'"):format(name, form, given))
  end
  return found
end

---@param answer table of a submit
function M.print_warnings(answer)
  for _, warning in ipairs(answer.warnings or {}) do
    out.stderr("warning: " .. warning .. "\n")
  end
end

---Prints the answer to a submit.
---@param answer table
---@param opts table
function M.print_submitted(answer, opts)
  M.print_warnings(answer)
  if opts.json then
    M.print_json(answer)
  elseif opts.dry_run then
    out.stdout(answer.spec)
  else
    out.stdout(answer.name .. "\n")
  end
end

---A secret out of a file, or out of standard input.
---@param path string "-" for standard input
---@return userdata handle
function M.secret_file(path)
  return (M.checked(require("pai.secret").from_file(path == "-" and "/dev/stdin" or path)))
end

---@param value any
function M.print_json(value)
  out.stdout(json.encode(require("pai.text").masked(value)) .. "\n")
end

---A whole number among the options. Raises EUSAGE.
---@param opts table
---@param name string
---@return integer?
function M.integer(opts, name)
  local given = opts[name:gsub("-", "_")]
  if given == nil then
    return nil
  end
  local n = math.tointeger(tonumber(given))
  if not n or n < 0 then
    err.raise("EUSAGE", ("--%s must be a whole number, not '%s'"):format(name, given))
  end
  return n
end

---A duration among the options; a number without a unit is one of seconds. Raises EUSAGE.
---@param opts table
---@param name string
---@return string?
function M.duration(opts, name)
  local given = opts[name:gsub("-", "_")]
  if given == nil then
    return nil
  end
  local full = given:find("^%d+$") and given .. "s" or given
  if not require("pai.duration").parse(full) then
    local message = "--%s is a time such as 90s or 10m, not '%s'"
    err.raise("EUSAGE", message:format(name, given))
  end
  return full
end

---Which end of a page comes first. Raises EUSAGE.
---@param opts table
---@return boolean newest_last
function M.newest_last(opts)
  local order = (opts.order or "desc"):lower()
  if order ~= "asc" and order ~= "desc" then
    err.raise("EUSAGE", ("--order is asc or desc, not '%s'"):format(opts.order))
  end
  return order == "asc"
end

---Turns a list round in place.
---@param list any[]
---@return any[] list the same
function M.reverse(list)
  for i = 1, #list // 2 do
    list[i], list[#list - i + 1] = list[#list - i + 1], list[i]
  end
  return list
end

---Asks whether something is to be done, where somebody can answer. Raises EINPUT where nobody can.
---@param question string "Delete 3 objects?"
---@param option string that would have answered: "--yes"
---@return boolean
function M.confirm(question, option)
  local term = require("pai.term")
  if not (term.isatty(0) and term.isatty(2)) then
    local what = question:gsub("%?$", "")
    err.raise("EINPUT", ("USER_INPUT_REQUIRED: %s needs %s"):format(what, option))
  end
  local answer = term.read_line(question .. " [y/N] ")
  return answer ~= nil and answer:lower():find("^y") ~= nil
end

---Whether a member of an answer is there.
---@param v any
---@return boolean
function M.known(v)
  return v ~= nil and v ~= json.null
end

---@param v any
---@return string
function M.shown(v)
  return M.known(v) and tostring(v) or "-"
end

---@param v number?
---@return string
function M.seconds(v)
  return type(v) == "number" and require("pai.duration").format(v * 1000) or "-"
end

---"2026-01-02T03:04:05.678000" without what nobody reads.
---@param v string?
---@return string
function M.moment(v)
  if type(v) ~= "string" then
    return "-"
  end
  return #v > 10 and v:sub(1, 10) .. " " .. v:sub(12, 19) or v
end

---The roles of a user or a token as a table, its head first.
---@param roles {role_name: string, assigned_by: string?, assigned_at: string?}[]?
---@return string[][]
function M.role_rows(roles)
  local rows = { { "ROLE", "ASSIGNED BY", "ASSIGNED (UTC)" } }
  for _, r in ipairs(roles or {}) do
    rows[#rows + 1] = { r.role_name, M.shown(r.assigned_by), M.moment(r.assigned_at) }
  end
  return rows
end

return M
