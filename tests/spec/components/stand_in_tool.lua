-- One call of a stand-in: DIR TOOL ARGUMENTS. See stand_in.lua.
local fs = require("pai.fs")
local json = require("pai.json")

local dir, argv = arg[1], table.move(arg, 2, #arg, 1, {})

local function flag(name)
  return dir .. "/flags/" .. name
end

local function fits(answer)
  if answer.when and not fs.exists(flag(answer.when)) then
    return false
  elseif answer.unless and fs.exists(flag(answer.unless)) then
    return false
  end
  for i, word in ipairs(answer.argv) do
    if word == "..." then
      return true
    end
    local given = argv[i]
    local pattern = word:match("^~(.*)$")
    if not given or (pattern and not given:find(pattern)) or (not pattern and given ~= word) then
      return false
    end
  end
  return #argv == #answer.argv
end

local function note(answered, why)
  local f = assert(io.open(dir .. "/calls.jsonl", "a"))
  local line = { argv = argv, at = require("pai.task").now(), answered = answered, why = why }
  f:write(json.encode(line) .. "\n")
  f:close()
end

local function refuse(why)
  note(false, why)
  io.stderr:write("stand-in: " .. why .. "\n")
  os.exit(97)
end

for _, answer in ipairs(assert(json.decode(assert(fs.read(dir .. "/talk.json"))))) do
  if fits(answer) then
    local read = answer.stdin and io.read("a")
    if answer.stdin and not read:find(answer.stdin) then
      refuse("standard input does not match " .. answer.stdin)
    end
    for name, pattern in pairs(answer.env or {}) do
      if not (os.getenv(name) or ""):find(pattern) then
        refuse(name .. " does not match")
      end
    end
    note(true)
    for _, file in ipairs(answer.writes or {}) do
      for _, word in ipairs(argv) do
        if word:sub(1, #file.after) == file.after then
          local path = word:sub(#file.after + 1) .. (file.path or "")
          assert(fs.mkdir(fs.dirname(path), { parents = true }))
          assert(fs.write(path, file.text, { sync = false }))
        end
      end
    end
    if answer.hang then
      pai.task.sleep("10m")
    elseif answer.delay then
      pai.task.sleep(answer.delay)
    end
    if answer.sets then
      assert(fs.write(flag(answer.sets), "", { sync = false }))
    end
    if answer.clears then
      fs.remove(flag(answer.clears))
    end
    io.stdout:write(answer.stdout or "")
    io.stderr:write(answer.stderr or "")
    os.exit(answer.code or 0)
  end
end
refuse("unknown call")
