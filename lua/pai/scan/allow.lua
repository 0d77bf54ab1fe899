-- What a project allows: the file .pai-scan-allow, and a baseline of earlier findings.
--
--   # a comment
--   fingerprint 0123456789abcdef [until=2027-01-31] why it is no secret
--   path tests/data/*.pem                          why
--   rule generic-assignment docs/**                why
--   salt WORDS
--
-- "*" stands for any characters but "/", "**" for any.
local err = require("pai.err")
local fs = require("pai.fs")
local json = require("pai.json")

local M = {}

---The name of the file that is looked for.
M.NAME = ".pai-scan-allow"

---@class pai.scan.Allow
---@field fingerprints string[]
---@field paths string[] Lua patterns
---@field rules { rule: string, pattern: string }[]
---@field salt string?
---@field expired integer how many entries no longer hold

-- A Lua pattern of a path with stars.
local function pattern_of(glob)
  local p = glob:gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0")
  p = p:gsub("%*%*/?", "\1"):gsub("%*", "[^/]*"):gsub("\1", ".*")
  return "^" .. p .. "$"
end

local function bad(path, number, message)
  err.raise("EUSAGE", ("%s, line %d: %s"):format(path, number, message))
end

local KINDS <const> = {}

function KINDS.fingerprint(allow, rest, fail)
  local hex, more = rest:match("^(%x+)%s*(.*)$")
  if not hex or #hex ~= 16 then
    fail("a fingerprint has 16 hex digits")
  end
  local day = more:match("^until=(%S+)")
  if day and not day:match("^%d%d%d%d%-%d%d%-%d%d$") then
    fail("until= wants a day such as 2027-01-31")
  elseif day and day < os.date("!%Y-%m-%d") then
    allow.expired = allow.expired + 1
    return
  end
  table.insert(allow.fingerprints, hex:lower())
end

function KINDS.path(allow, rest)
  table.insert(allow.paths, pattern_of(rest:match("^%S+")))
end

function KINDS.rule(allow, rest)
  local rule, glob = rest:match("^(%S+)%s*(%S*)")
  table.insert(allow.rules, { rule = rule, pattern = glob == "" and ".*" or pattern_of(glob) })
end

function KINDS.salt(allow, rest)
  allow.salt = rest
end

---Reads an allow file. Raises EUSAGE with the line of what is wrong.
---@param path string
---@return pai.scan.Allow
function M.read(path)
  local text, e = fs.read(path, { max = 4 << 20 })
  if not text then
    err.raise("EUSAGE", e.message)
  end
  local allow = { fingerprints = {}, paths = {}, rules = {}, expired = 0 }
  local number = 0
  for line in (text .. "\n"):gmatch("(.-)\r?\n") do
    number = number + 1
    local kind, rest = line:match("^%s*(%a+)%s+(%S.*)$")
    if kind and KINDS[kind] then
      KINDS[kind](allow, rest, function(message)
        bad(path, number, message)
      end)
    elseif line:find("%S") and not line:find("^%s*#") then
      bad(path, number, "expected fingerprint, path, rule or salt, and what it is about")
    end
  end
  return allow
end

---The allow file that holds here: in the working directory, else at the root of its work tree.
---@return string? path
function M.find()
  local cwd = fs.cwd()
  local root = require("pai.recipe.dotenv").git_root(cwd)
  for _, dir in ipairs({ cwd, root or cwd }) do
    if fs.exists(fs.join(dir, M.NAME)) then
      return fs.join(dir, M.NAME)
    end
  end
end

---The fingerprints of an earlier `pai scan --json`. Raises EUSAGE when the file is none.
---@param path string
---@return string[]
function M.baseline(path)
  local text, e = fs.read(path)
  local doc = text and json.decode(text)
  if not text or type(doc) ~= "table" or type(doc.findings) ~= "table" then
    local why = e and e.message or path .. ": this is no output of pai scan --json"
    err.raise("EUSAGE", "--baseline: " .. why)
  end
  local list = {}
  for _, finding in ipairs(doc.findings) do
    local hex = type(finding) == "table" and finding.fingerprint
    if type(hex) ~= "string" or not hex:find("^%x+$") or #hex ~= 16 then
      err.raise("EUSAGE", "--baseline: " .. path .. ": a finding has no fingerprint")
    end
    list[#list + 1] = hex
  end
  return list
end

---Whether a path is not to be looked at, and which rules do not hold in it.
---@param allow pai.scan.Allow
---@param path string
---@return boolean skip
---@return table<string, boolean> rules
function M.of(allow, path)
  local name = path:gsub("^%./", "")
  for _, pattern in ipairs(allow.paths) do
    if name:find(pattern) then
      return true, {}
    end
  end
  local rules = {}
  for _, entry in ipairs(allow.rules) do
    if name:find(entry.pattern) then
      rules[entry.rule] = true
    end
  end
  return false, rules
end

return M
