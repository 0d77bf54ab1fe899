-- docs/osmo.md and the help of the commands, against the commands.
local args = require("pai.cli.args")
local fs = require("pai.fs")
local pai = require("pai")

local osmo = require("pai.cli.osmo")

-- The command that words name, and the words after its name.
local function find(words)
  local command, i = osmo, 1
  while command.commands do
    local found
    for _, sub in ipairs(command.commands) do
      found = found or (sub.name == words[i] and sub)
    end
    if not found then
      break
    end
    command, i = found, i + 1
  end
  return command, table.move(words, i, #words, 1, {})
end

-- A command line as a shell would split it: quotes and comments are all that our examples have.
local function split(line)
  local words = {}
  line = line:gsub("%s+#.*$", "")
  for word in
    line
      :gsub("'([^']*)'", function(text)
        return (text:gsub(" ", "\0"))
      end)
      :gmatch("%S+")
  do
    words[#words + 1] = (word:gsub("%z", " "))
  end
  return words
end

local function check(line)
  local words = split(line)
  assert.same({ "pai", "osmo" }, { words[1], words[2] }, line)
  local command, rest = find(table.move(words, 3, #words, 1, {}))
  assert.is_function(command.run, line)
  args.parse(command, rest) -- raises for an option that is not there
end

describe("what is written of pai osmo", function()
  local text = fs.read(pai.root .. "/docs/osmo.md")

  it("shows commands that there are, with options that they have", function()
    local n = 0
    for block in text:gmatch("\n```\n(.-)\n```") do
      for line in block:gmatch("[^\n]+") do
        check(line)
        n = n + 1
      end
    end
    assert.is_true(n > 5)
  end)

  it("names every command, and none that there is not", function()
    local section = text:match("\n## Commands\n(.-)\n## ")
    local named = {}
    for name in section:gmatch("`([a-z][a-z -]*)[A-Z ]*`") do
      named[(name:gsub("%s+$", ""))] = true
    end
    local function walk(command, path)
      for _, sub in ipairs(command.commands) do
        local full = path == "" and sub.name or path .. " " .. sub.name
        if sub.commands and sub.name ~= "workflow" then
          walk(sub, full)
        elseif not sub.commands and sub.name ~= "login" and sub.name ~= "logout" then
          assert.is_true(named[full], full .. " is not in the table")
        end
      end
    end
    walk(osmo, "")
  end)

  it("has examples in the help of each command, which work as they stand", function()
    local n = 0
    local function walk(command)
      for _, example in ipairs(assert(command.examples, command.name)) do
        check(example[1])
        n = n + 1
      end
      for _, sub in ipairs(command.commands or {}) do
        walk(sub)
      end
    end
    walk(osmo)
    assert.is_true(n > 40)
  end)
end)
