-- pai secret check
local names = require("pai.secrets.names")
local out = require("pai.out")
local places = require("pai.secrets.places")
local text = require("pai.text")

local check = {
  name = "check",
  summary = "are they there, private and plausible?",
  usage = "[NAME|RECIPE ...]",
  doc = "Opens each secret that is named, that a recipe declares, or, without a word, that is "
    .. "known here: is it set, is its file private and ignored by git, does its command work, is "
    .. "it a placeholder? Exit code 1 when one is red. A word in capitals is a name, another a "
    .. "recipe.",
  examples = {
    { "pai secret check", "all of them" },
    { "pai secret check HF_TOKEN", "one" },
    { "pai secret check vda", "those of a recipe" },
  },
}

local function report(name, state, measured, hint)
  return { name = name, state = state, measured = measured, hint = hint }
end

-- The verdict on one variable. decl: how a recipe declares it.
local function look(found, name, decl)
  local all = found:all(name)
  local first = all[1]
  local set = "pai secret set " .. name
  if not first and decl and decl.optional then
    return report(name, "skipped", "not set; it is optional", set)
  elseif not first then
    return report(name, "red", "not set", set)
  end
  local where = names.where(first)
  local handle, e = places.open(name, first)
  if not handle then
    return report(name, "red", e.message, e.hint or "see " .. where)
  end
  local also = #all > 1 and ", before " .. all[2].source or ""
  local measured = ("%s, %s%s"):format(names.length_class(handle), where, also)
  local doubt = handle:doubt()
  if doubt and (doubt:find("^with") or doubt:find("^of")) then
    return report(name, "warn", measured .. ", " .. doubt, set)
  elseif doubt then
    return report(name, "red", ("%s: it is %s"):format(measured, doubt), set)
  elseif not handle:masked() then
    local why = ": too short or too common to be masked in output"
    return report(name, "warn", measured .. why, "use a longer one")
  end
  local result = report(name, "ok", measured)
  result.source = first.source
  return result
end

-- The variables to look at and how they are declared, in order.
local function wanted(words, found)
  local list, decls = {}, {}
  local function add(name, decl)
    if not decls[name] then
      list[#list + 1] = name
    end
    decls[name] = decls[name] or decl or true
  end
  for _, word in ipairs(words) do
    if word:find("^[A-Z_][A-Z0-9_]*$") then
      add(word)
    else
      local _, loaded = require("pai.run.prepare").load(word)
      local inputs = loaded.doc.inputs or {}
      for _, name in ipairs(text.keys(inputs)) do
        local decl = inputs[name]
        if decl.type == "secret" and decl.env then
          add(decl.env, decl)
        end
      end
    end
  end
  if #words == 0 then
    for _, name in ipairs(names.all(found)) do
      add(name)
    end
  end
  return list, decls
end

---@param words string[]
---@param opts table
---@return integer exit code
function check.run(words, opts)
  local found = places.new(require("pai.fs").cwd())
  local checks = {}
  local list, decls = wanted(words, found)
  for i, name in ipairs(list) do
    checks[i] = look(found, name, decls[name] ~= true and decls[name] or nil)
  end
  table.move(found.checks, 1, #found.checks, #checks + 1, checks)
  local red = false
  for _, one in ipairs(checks) do
    red = red or one.state == "red"
  end
  local verdict = red and "red" or "green"
  if opts.json then
    local json = require("pai.json")
    out.stdout(json.encode({ verdict = verdict, checks = json.array(checks) }) .. "\n")
  else
    local color = require("pai.term").color(1)
    for _, one in ipairs(checks) do
      out.stdout(require("pai.cli.lines").check(one, color) .. "\n")
    end
    out.stdout(("%s: %d secret%s\n"):format(verdict, #list, #list == 1 and "" or "s"))
  end
  return red and 1 or 0
end

return check
