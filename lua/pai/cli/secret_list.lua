-- pai secret list
local args = require("pai.cli.args")
local names = require("pai.secrets.names")
local out = require("pai.out")
local places = require("pai.secrets.places")

local list = {
  name = "list",
  summary = "names and sources, never a value",
  usage = "",
  doc = "Lists what .env, the settings and the store know, with the source that counts and how "
    .. "long the value roughly is. Commands of the settings are not run, nor files that they name "
    .. "opened: `pai secret check` does. Exit code 1 when a file breaks its rules.",
  examples = { { "pai secret list --json", "for programs" } },
}

local function row(found, name)
  local all = found:all(name)
  local first = all[1]
  local entry = { name = name, source = first.source, where = names.where(first), also = {} }
  for i = 2, #all do
    entry.also[i - 1] = all[i].source
  end
  local handle = first.handle
  if first.place == "environment" then
    handle = places.open(name, first)
  end
  if handle then
    entry.length, entry.masked = names.length_class(handle), handle:masked()
  end
  return entry
end

---@param words string[]
---@param opts table
---@return integer exit code
function list.run(words, opts)
  args.count(words, 0, 0, "")
  local found = places.new(require("pai.fs").cwd())
  local rows = {}
  for i, name in ipairs(names.all(found)) do
    rows[i] = row(found, name)
  end
  local json = require("pai.json")
  if opts.json then
    for _, entry in ipairs(rows) do
      json.array(entry.also)
    end
    out.stdout(json.encode({
      secrets = json.array(rows),
      checks = json.array(found.checks),
    }) .. "\n")
    return #found.checks > 0 and 1 or 0
  end
  local cells = { { "NAME", "VALUE", "MASKED", "SOURCE" } }
  for i, entry in ipairs(rows) do
    local masked = entry.masked == nil and "-" or entry.masked and "yes" or "no"
    local where = entry.where
    if #entry.also > 0 then
      where = where .. " (before " .. table.concat(entry.also, ", ") .. ")"
    end
    cells[i + 1] = { entry.name, entry.length or "not opened", masked, where }
  end
  if #rows > 0 then
    out.stdout(require("pai.text").columns(cells))
  elseif #found.checks == 0 then
    out.stdout("no secrets; pai secret set NAME sets one\n")
  end
  for _, check in ipairs(found.checks) do
    out.stdout(require("pai.cli.lines").check(check, require("pai.term").color(1)) .. "\n")
  end
  return #found.checks > 0 and 1 or 0
end

return list
