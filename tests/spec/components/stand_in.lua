-- Stand-ins for tools that can't be had here: scripted conversations. Each answer says where its
-- shape comes from; a call that no answer fits is written down and fails the test.
--
--   local talk = stand_in.new(bench.root .. "/tools", { "az" }, { "git" })
--   talk:tell({ argv = { "az", "account", "show", "..." }, stdout = "{}", cite = "az reference" })
--   bench:pai({ "preflight", "cluster-azure" }, { env = { PATH = talk.path } })
--   talk:check()
local fs = require("pai.fs")
local json = require("pai.json")

local M = {}

---@class tests.Answer
---@field argv string[] the call; "..." at the end takes any rest, "~pattern" is a Lua pattern
---@field stdout string?
---@field stderr string?
---@field code integer? exit code, 0 if not given
---@field cite string where the shape of this answer comes from
---@field when string? only if this flag is set
---@field unless string? only if this flag is not set
---@field sets string? the flag that is set by the call
---@field clears string? the flag that is cleared by it
---@field delay string? how long it takes
---@field stdin string? pattern that what it reads must match
---@field env table<string, string>? patterns that variables must match
---@field hang boolean? it never ends
---@field writes { after: string, path: string?, text: string }[]? files: `after` is the beginning
---of the argument that names it ("-out="), `path` what follows

---@class tests.Talk
---@field dir string
---@field path string for PATH: the stand-ins and the real programs that were asked for
---@field answers tests.Answer[]
local Talk = {}
Talk.__index = Talk

local SCRIPT <const> =
  '#!/bin/sh\nexec "%s" lua "%s/tests/spec/components/stand_in_tool.lua" "%s" %s "$@"\n'

local function which(program)
  for dir in os.getenv("PATH"):gmatch("[^:]+") do
    if fs.exists(dir .. "/" .. program) then
      return dir .. "/" .. program
    end
  end
end

---Makes a folder with stand-ins.
---@param dir string
---@param tools string[] that are played
---@param real string[]? programs of this machine that may be called as well
---@return tests.Talk
function M.new(dir, tools, real)
  local pai = require("pai")
  local self = setmetatable({ dir = dir, path = dir .. "/bin", answers = {} }, Talk)
  assert(fs.mkdir(dir .. "/bin", { parents = true }))
  assert(fs.mkdir(dir .. "/flags", { parents = true }))
  for _, tool in ipairs(tools) do
    self:add(tool, SCRIPT:format(pai.exe, fs.abspath(pai.root), dir, tool))
  end
  for _, program in ipairs(real or {}) do
    local path = assert(which(program), "not on this machine: " .. program)
    assert(require("pai.exec").run({ "ln", "-s", path, dir .. "/bin/" .. program }))
  end
  self:write()
  return self
end

---Puts a program of one's own into PATH.
---@param name string
---@param script string
function Talk:add(name, script)
  assert(fs.write(self.path .. "/" .. name, script, { mode = "0755" }))
end

---Takes a program away.
---@param name string
function Talk:remove(name)
  assert(fs.remove(self.path .. "/" .. name))
end

function Talk:write()
  local list = json.array(self.answers)
  assert(fs.write(self.dir .. "/talk.json", json.encode(list), { sync = false }))
end

---Adds an answer. The first that fits is given; what was told later comes later.
---@param answer tests.Answer
---@return tests.Talk
function Talk:tell(answer)
  assert(type(answer.cite) == "string", "an answer says where its shape comes from")
  self.answers[#self.answers + 1] = answer
  self:write()
  return self
end

---Adds an answer that comes before all others.
---@param answer tests.Answer
---@return tests.Talk
function Talk:instead(answer)
  assert(type(answer.cite) == "string", "an answer says where its shape comes from")
  table.insert(self.answers, 1, answer)
  self:write()
  return self
end

---Sets a flag, as an answer with `sets` does.
---@param flag string
function Talk:set(flag)
  assert(fs.write(self.dir .. "/flags/" .. flag, "", { sync = false }))
end

---@param flag string
---@return boolean
function Talk:is_set(flag)
  return fs.exists(self.dir .. "/flags/" .. flag)
end

local function lines(path)
  local list = {}
  for line in (fs.read(path) or ""):gmatch("[^\n]+") do
    list[#list + 1] = assert(json.decode(line))
  end
  return list
end

---The calls that were made, as they came.
---@param pattern string? only those whose words, joined by blanks, match
---@return { argv: string[], text: string, at: integer, answered: boolean }[]
function Talk:calls(pattern)
  local list = {}
  for _, call in ipairs(lines(self.dir .. "/calls.jsonl")) do
    call.text = table.concat(call.argv, " ")
    if not pattern or call.text:find(pattern) then
      list[#list + 1] = call
    end
  end
  return list
end

---Forgets the calls that were made.
function Talk:forget()
  fs.remove(self.dir .. "/calls.jsonl")
end

---Fails if any call had no answer, or read or had what it should not.
function Talk:check()
  local odd = {}
  for _, call in ipairs(self:calls()) do
    if not call.answered then
      odd[#odd + 1] = (call.why or "unknown call") .. ": " .. call.text
    end
  end
  assert(#odd == 0, table.concat(odd, "\n"))
end

return M
