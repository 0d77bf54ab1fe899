-- Compiles pai's modules into one file of bytecode, as the build does: luac.lua OUT FILE...
-- host/l_loader.c has its format. It is as old as the start of its making, so that a source which
-- was saved meanwhile is newer; nothing half written is left under its name.
local exec = require("pai.exec")
local fs = require("pai.fs")

local NAME <const> = 64 -- bytes, with at least one zero

-- What string.dump writes, as lundump.c of Lua 5.4 reads it. Names of locals and upvalues are a
-- third of it and of the time that loading takes; they only serve a debugger and "(local 'x')" in
-- messages about pai's own code. Lines stay, so that such a message says where.
local HEADER <const> = 4 + 1 + 1 + 6 + 1 + 1 + 1 + 8 + 8 + 1

-- A size: seven bits a byte, the highest first; the last one has the eighth bit set.
local function size_at(code, at)
  local n = 0
  while true do
    local b = code:byte(at)
    at = at + 1
    n = n << 7 | b & 0x7f
    if b & 0x80 ~= 0 then
      return n, at
    end
  end
end

local function skip_string(code, at)
  local n, after = size_at(code, at)
  return n == 0 and after or after + n - 1
end

local function skip_constant(code, at)
  local tag = code:byte(at)
  if tag == 0x13 or tag == 0x03 then -- number
    return at + 9
  elseif tag == 0x04 or tag == 0x14 then -- string
    return skip_string(code, at + 1)
  end
  return at + 1 -- nil, booleans
end

-- Appends the function at `at` to parts without names; returns where it ends.
local function without_names(code, at, parts)
  local from = at
  local n, _
  at = skip_string(code, at) -- source
  _, at = size_at(code, at) -- first and last line
  _, at = size_at(code, at)
  n, at = size_at(code, at + 3) -- after parameters, vararg, stack: instructions
  n, at = size_at(code, at + 4 * n)
  for _ = 1, n do
    at = skip_constant(code, at)
  end
  n, at = size_at(code, at) -- upvalues
  n, at = size_at(code, at + 3 * n)
  parts[#parts + 1] = code:sub(from, at - 1)
  for _ = 1, n do
    at = without_names(code, at, parts)
  end
  from = at
  n, at = size_at(code, at) -- a byte of line for each instruction
  n, at = size_at(code, at + n)
  for _ = 1, n do -- lines too far from the one before
    _, at = size_at(code, at)
    _, at = size_at(code, at)
  end
  parts[#parts + 1] = code:sub(from, at - 1) .. "\x80\x80"
  n, at = size_at(code, at) -- locals
  for _ = 1, n do
    at = skip_string(code, at)
    _, at = size_at(code, at)
    _, at = size_at(code, at)
  end
  n, at = size_at(code, at) -- names of upvalues
  for _ = 1, n do
    at = skip_string(code, at)
  end
  return at
end

local function slim(code)
  local parts = { code:sub(1, HEADER) }
  local stop = without_names(code, HEADER + 1, parts)
  assert(stop == #code + 1, "bytecode of another form than Lua 5.4's")
  local text = table.concat(parts)
  assert(load(text, "=slim", "b"))
  return text
end

local out = table.remove(arg, 1)
assert(fs.mkdir(fs.dirname(out), { parents = true }))
local stamp = out .. ".began"
assert(fs.write(stamp, "", { sync = false }))

local entries, bodies = {}, {}
local at = 16 + #arg * (NAME + 8)
for i, source in ipairs(arg) do
  local name = source:gsub("^lua/", ""):gsub("%.lua$", "")
  assert(#name < NAME, source .. ": the name is too long for the bundle")
  local code = slim(string.dump(assert(load(assert(fs.read(source)), "@" .. source, "t"))))
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
