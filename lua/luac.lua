-- Compiles pai's modules to bytecode, as the build does: luac.lua [--all] OUTDIR FILE...
-- lua/pai/x.lua becomes OUTDIR/pai/x.luac, unless that is newer (--all: also then). Nothing half
-- written is left under its name.
local fs = require("pai.fs")

local all = arg[1] == "--all" and table.remove(arg, 1) ~= nil
local out = table.remove(arg, 1)

for _, source in ipairs(arg) do
  local target = out .. "/" .. source:gsub("^lua/", ""):gsub("%.lua$", ".luac")
  local before = fs.stat(target)
  if all or not before or before.mtime_ms <= assert(fs.stat(source)).mtime_ms then
    local text = assert(fs.read(source))
    local code = string.dump(assert(load(text, "@" .. source, "t")))
    assert(fs.mkdir(fs.dirname(target), { parents = true }))
    assert(fs.write(target, code, { mode = "0644", sync = false }))
  end
end
