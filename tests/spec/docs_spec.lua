-- The guides as a newcomer follows them: their files are written and their commands run exactly as
-- they are printed, in order, in an empty folder outside of any git work tree.
--
-- In the text, a block "```lua NAME.lua" or "```yaml NAME.yaml" is a file, a block "```console" a
-- session: after "$ " what is typed, below it what comes back. There, "…" stands for any text in a
-- line, and alone on a line for any lines.
local exec = require("pai.exec")
local fs = require("pai.fs")

-- Each with the least number of commands that it holds.
local GUIDES <const> =
  { ["docs/recipes.md"] = 16, ["docs/commands.md"] = 12, ["docs/engine.md"] = 8 }

-- The blocks of the guide in order: { info, line, text }.
local function blocks(text)
  local out, current, number = {}, nil, 0
  for line in (text .. "\n"):gmatch("(.-)\n") do
    number = number + 1
    local info = line:match("^```(.*)$")
    if info and current then
      out[#out + 1] = current
      current = nil
    elseif info then
      current = { info = info, line = number, text = {} }
    elseif current then
      table.insert(current.text, line)
    end
  end
  return out
end

-- The commands of a session: { command, line, expected lines }.
local function session(guide, block)
  local out = {}
  for i, line in ipairs(block.text) do
    local command = line:match("^%$ (.*)$")
    if command then
      out[#out + 1] = { command = command, line = block.line + i, expected = {} }
    else
      assert(#out > 0, ("%s:%d: output before a command"):format(guide, block.line + i))
      table.insert(out[#out].expected, line)
    end
  end
  return out
end

local function line_matches(expected, line)
  local pattern = "^"
    .. expected:gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0"):gsub("…", ".*")
    .. "$"
  return line:find(pattern) ~= nil
end

-- Whether lines (from l on) are what was expected (from e on).
local function matches(expected, e, lines, l)
  if e > #expected then
    return l > #lines
  elseif expected[e] == "…" then
    return matches(expected, e + 1, lines, l)
      or (l <= #lines and matches(expected, e, lines, l + 1))
  end
  return l <= #lines
    and line_matches(expected[e], lines[l])
    and matches(expected, e + 1, lines, l + 1)
end

local function split(text)
  local out = {}
  for line in text:gmatch("([^\n]*)\n?") do
    out[#out + 1] = line
  end
  while out[#out] == "" do
    out[#out] = nil
  end
  return out
end

describe("the way a guide's output is matched", function()
  it("tells what fits from what does not", function()
    assert.is_true(matches({ "a…c", "…", "z" }, 1, { "abc", "x", "y", "z" }, 1))
    assert.is_true(matches({ "…" }, 1, {}, 1))
    assert.is_true(matches({ "1.5 (x)" }, 1, { "1.5 (x)" }, 1))
    assert.is_false(matches({ "1.5" }, 1, { "1x5" }, 1))
    assert.is_false(matches({ "a", "b" }, 1, { "a" }, 1))
    assert.is_false(matches({ "a" }, 1, { "a", "b" }, 1))
  end)
end)

local function follow(guide, least)
  local dir
  local all = blocks(assert(fs.read(guide)))

  setup(function()
    dir = fs.tempdir({ prefix = "pai-docs-" })
    fs.mkdir(dir .. "/home")
    fs.mkdir(dir .. "/job")
  end)

  local code = 0

  local function type_in(command)
    local r = assert(exec.run({ "bash", "-c", ("(exit %d)\n%s"):format(code, command) }, {
      cwd = dir .. "/job",
      env = {
        PATH = fs.dirname(pai.exe) .. ":" .. os.getenv("PATH"),
        HOME = dir .. "/home",
        XDG_CONFIG_HOME = false,
        XDG_STATE_HOME = false,
        LC_ALL = "C.UTF-8",
      },
      stdin = "null",
      stderr = "stdout",
      timeout = "60s",
      accept = { 0, 1, 2, 3, 4, 70 },
    }))
    code = r.code
    return split(r.stdout)
  end

  teardown(function()
    type_in("pai engine stop --force")
    fs.remove(dir, { recursive = true })
  end)

  local files, commands = 0, 0
  for _, block in ipairs(all) do
    local name = block.info:match("^%l+ (%S+)$")
    if name then
      files = files + 1
      it(("line %d: %s is written"):format(block.line, name), function()
        assert(fs.write(dir .. "/job/" .. name, table.concat(block.text, "\n") .. "\n"))
      end)
    elseif block.info == "lua" then
      it(("line %d: the example is Lua"):format(block.line), function()
        local text = table.concat(block.text, "\n")
        assert(load(text, "=" .. guide) or load("return {" .. text .. "}", "=" .. guide))
      end)
    elseif block.info == "console" then
      for _, step in ipairs(session(guide, block)) do
        commands = commands + 1
        it(("line %d: $ %s"):format(step.line, step.command), function()
          local got = type_in(step.command)
          if not matches(step.expected, 1, got, 1) then
            error(
              ("expected:\n%s\n\ngot:\n%s\n"):format(
                table.concat(step.expected, "\n"),
                table.concat(got, "\n")
              ),
              0
            )
          end
        end)
      end
    end
  end

  it("has a file and commands to try", function()
    assert.is_true(files + commands >= least)
  end)
end

describe("docs/architecture.md", function()
  it("names files that are there, in the table of what to open", function()
    local text = assert(fs.read("docs/architecture.md"))
    local rows, paths = 0, 0
    for cell in text:match("| to change | open |(.*)$"):gmatch("\n|[^\n|]*|([^\n|]*)|") do
      rows = rows + 1
      local folder
      for name in cell:gmatch("`([%w_*/.-]+)`") do
        paths = paths + 1
        -- A name without a folder lies beside the one before it.
        local path = name:gsub("NAME", "*"):gsub("ACTION", "*")
        path = path:find("/", 1, true) and path or folder .. path
        assert.is_true(#fs.glob(path:gsub("/$", "")) > 0, path)
        folder = path:match("^(.*/)")
      end
    end
    assert.is_true(rows >= 20 and paths >= rows - 1)
  end)
end)

describe("docs/commands.md", function()
  it("names every command, in its table", function()
    local text = assert(fs.read("docs/commands.md"))
    local named = {}
    for cell in text:gmatch("\n| (`[^|]*) |") do
      for name in cell:gmatch("`(%l[%w]*)`") do
        named[name] = true
      end
    end
    for _, name in ipairs(require("pai.cli").COMMANDS) do
      assert.is_true(named[name], name)
      named[name] = nil
    end
    assert.is_nil(next(named), "no such command: " .. tostring(next(named)))
  end)
end)

for guide, least in pairs(GUIDES) do
  describe(guide, function()
    follow(guide, least)
  end)
end
