-- What the specs of pai's requests share: a service that takes what the contract allows, a login
-- for it, and the commands as a user gives them.
local exec = require("pai.exec")
local fs = require("pai.fs")
local pai = require("pai")

local M = {}

M.contract = assert(loadfile(pai.root .. "/tests/spec/osmo/contract.lua"))()

---@class pai.test.Wire
---@field dir string where commands run
---@field srv pai.test.Contract
---@field env table of the commands
local Wire = {}
Wire.__index = Wire

---@return pai.test.Wire
function M.start()
  local self = setmetatable({}, Wire)
  self.dir = assert(fs.tempdir({ prefix = "pai-wire-" }))
  self.srv = M.contract.start()
  fs.mkdir(self.dir .. "/osmo", { mode = 448 })
  fs.write(
    self.dir .. "/osmo/login.yaml",
    "dev_login: {username: alice}\nname: alice\nosmo_token: false\nurl: " .. self.srv.url .. "\n",
    { mode = 384 }
  )
  self.env = { OSMO_CONFIG_FILE_DIR = self.dir .. "/osmo", OSMO_URL = false, TZ = "UTC" }
  return self
end

---Ends it; raises for what was not as the contract says.
function Wire:finish()
  fs.remove(self.dir, { recursive = true })
  self.srv:finish()
end

---Runs `pai osmo` with a line of words, or a list where a word has spaces.
---@param words string|string[]
---@param stdin string?
---@return integer code
---@return string stdout
---@return string stderr
function Wire:run(words, stdin)
  local argv = { pai.exe, "osmo" }
  if type(words) == "string" then
    for word in words:gmatch("%S+") do
      argv[#argv + 1] = word
    end
  else
    table.move(words, 1, #words, #argv + 1, argv)
  end
  local r = assert(exec.run(argv, {
    env = self.env,
    accept = "any",
    cwd = self.dir,
    stdin = stdin or "null",
    timeout = "60s",
  }))
  return r.code, r.stdout, r.stderr
end

---The same for a command that succeeds.
---@param words string|string[]
---@param stdin string?
---@return string stdout
---@return string stderr
function Wire:good(words, stdin)
  local code, out, said = self:run(words, stdin)
  assert(code == 0, ("exit code %d: %s%s"):format(code, out, said))
  return out, said
end

---The same for one that is refused, and says why.
---@param want integer exit code
---@param why string
---@param words string|string[]
function Wire:refused(want, why, words)
  local code, out, said = self:run(words)
  assert(code == want, ("exit code %d: %s%s"):format(code, out, said))
  assert(said:find(why, 1, true), said)
end

---Gives a command, answers one route, and compares what was asked last.
---@param words string|string[]
---@param route string
---@param answer table|function
---@param expected string "METHOD /path?sorted=query"
---@return string stdout
---@return string stderr
function Wire:sends(words, route, answer, expected)
  self.srv.answers[route] = answer
  local out, said = self:good(words)
  local got = self.srv:last()
  assert(got == expected, ("sent %s\n     not %s"):format(got, expected))
  return out, said
end

return M
