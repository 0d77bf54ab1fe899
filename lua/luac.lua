-- Compiles pai's modules into one file of bytecode, as the build does: luac.lua OUT FILE...
-- host/l_loader.c has its format. It is as old as the start of its making, so that a source which
-- was saved meanwhile is newer; nothing half written is left under its name.
local exec = require("pai.exec")
local fs = require("pai.fs")

local NAME <const> = 64 -- bytes, with at least one zero

local out = table.remove(arg, 1)
assert(fs.mkdir(fs.dirname(out), { parents = true }))
local stamp = out .. ".began"
assert(fs.write(stamp, "", { sync = false }))

local entries, bodies = {}, {}
local at = 16 + #arg * (NAME + 8)
for i, source in ipairs(arg) do
  local name = source:gsub("^lua/", ""):gsub("%.lua$", "")
  assert(#name < NAME, source .. ": the name is too long for the bundle")
  local code = string.dump(assert(load(assert(fs.read(source)), "@" .. source, "t")))
  entries[i] = { name = name, code = code }
end
table.sort(entries, function(a, b)
  return a.name < b.name
end)
local index = {}
for i, entry in ipairs(entries) do
  index[i] = string.pack("<c64I4I4", entry.name, at, #entry.code)
  bodies[i] = entry.code
  at = at + #entry.code
end
local text = string.pack("<c8I4I4", "pai lua\n", 1, #entries)
  .. table.concat(index)
  .. table.concat(bodies)
assert(fs.write(out .. ".new", text, { mode = "0644", sync = false }))
assert(exec.run({ "touch", "-r", stamp, out .. ".new" }))
assert(os.rename(out .. ".new", out))
assert(fs.remove(stamp))
