-- What a recipe may touch: its `needs`, with names of inputs filled in. A recipe that another one
-- uses is bound by both.
local err = require("pai.err")
local fs = require("pai.fs")
local text = require("pai.text")

local M = {}

---@class pai.run.Needs
---@field bins string[]
---@field hosts string[]
---@field writes string[] absolute
---@field reads string[][]
---@field parent pai.run.Needs?
local Needs = {}
Needs.__index = Needs

-- "@out" → the values of the input; anything else → itself.
local function filled(entry, inp, special)
  local name = entry:match("^@(.+)$")
  if not name then
    return { entry }
  end
  local value = special[name]
  if value == nil then
    value = inp[name]
  end
  return type(value) == "table" and value or { value }
end

-- Host and port of a URL or of a bare "host:port".
local function host_of(url)
  local authority = url:match("^%a[%w+.-]*://([^/?#]*)") or url:match("^([^/?#]*)")
  authority = authority:gsub("^.*@", "")
  local host, port = authority:match("^(%[[^%]]*%]):?(%d*)$")
  if not host then
    host, port = authority:match("^([^:]*):?(%d*)$")
  end
  return host and host:lower(), port ~= "" and port or nil
end

local function words(command)
  if type(command) == "table" then
    return command
  end
  local list = {}
  for word in command:gmatch("%S+") do
    list[#list + 1] = word
  end
  return list
end

---Binds the needs of a recipe to its inputs.
---@param needs table? the recipe's `needs`
---@param inp table<string, any>
---@param opts { cwd: string, run_dir: string?, osmo: string?, parent: table?, recipe: string }
---@return pai.run.Needs
function M.bind(needs, inp, opts)
  needs = needs or {}
  local self = { recipe = opts.recipe, parent = opts.parent, run_dir = opts.run_dir }
  local special = { osmo = opts.osmo or false }
  for _, key in ipairs({ "bins", "hosts", "writes", "clusters" }) do
    local list = {}
    for _, entry in ipairs(needs[key] or {}) do
      for _, value in ipairs(filled(entry, inp, special)) do
        if type(value) == "string" then
          list[#list + 1] = value
        end
      end
    end
    self[key] = list
  end
  for i, path in ipairs(self.writes) do
    self.writes[i] = fs.abspath(path:sub(1, 1) == "/" and path or opts.cwd .. "/" .. path)
  end
  self.reads = {}
  for i, command in ipairs(needs.reads or {}) do
    self.reads[i] = words(command)
  end
  return setmetatable(self, Needs)
end

local function refuse(message, hint)
  err.raise("EACCES", message, { hint = hint })
end

local function has(list, value)
  for _, entry in ipairs(list) do
    if entry == value then
      return true
    end
  end
  return false
end

---Raises unless a program may be started.
---@param program string argv[1]
function Needs:check_bin(program)
  if not has(self.bins, program) then
    local hint = ("add it to needs.bins of %s"):format(self.recipe)
    local near = text.did_you_mean(program, self.bins)
    refuse(("%s: needs.bins does not name '%s'%s"):format(self.recipe, program, near), hint)
  end
  if self.parent then
    self.parent:check_bin(program)
  end
end

local function starts_with(argv, prefix)
  for i, word in ipairs(prefix) do
    if argv[i] ~= word then
      return false
    end
  end
  return true
end

-- A tool's own file: the prefixes of its reading commands, and options that would write.
local function tool_reads(argv)
  local name = fs.basename(argv[1])
  if not name:find("^[%w_-]+$") then
    return false
  end
  local ok, tool = pcall(require, "pai.tools." .. name)
  if not ok then
    return false
  end
  local first = 2
  -- Options that stand before the command and choose nothing but where it looks.
  for _, option in ipairs(tool.skip or {}) do
    if argv[first] and argv[first]:sub(1, #option) == option then
      first = first + 1
    end
  end
  local rest = table.move(argv, first, #argv, 1, {})
  for _, word in ipairs(rest) do
    for _, refused in ipairs(tool.refuse or {}) do
      if word == refused or word:sub(1, #refused + 1) == refused .. "=" then
        return false, ("%s %s writes"):format(name, refused)
      end
    end
  end
  for _, prefix in ipairs(tool.reads) do
    if starts_with(rest, prefix) then
      return true
    end
  end
  return false
end

---Raises unless a command only observes: a prefix of needs.reads, or of a tool that is in bins.
---@param argv string[]
function Needs:check_read(argv)
  local allowed = false
  for _, prefix in ipairs(self.reads) do
    allowed = allowed or starts_with(argv, prefix)
  end
  if not allowed then
    local reads, why = tool_reads(argv)
    if not reads then
      local shown = table.concat(argv, " ", 1, math.min(#argv, 3))
      local hint = "name its beginning in needs.reads if it only observes, or use ctx.exec in run"
      local because = why and ": " .. why or ""
      refuse(
        ("%s: '%s' is not known as a reading command%s"):format(self.recipe, shown, because),
        hint
      )
    end
    self:check_bin(argv[1])
  elseif self.parent then
    self.parent:check_read(argv)
  end
end

local function host_matches(entry, host, port)
  local want, want_port = host_of(entry)
  if want_port and want_port ~= port then
    return false
  end
  if want and want:sub(1, 2) == "*." then
    return host:sub(-#want + 1) == want:sub(2)
  end
  return want == host
end

---Tells whether a list of hosts ("host", "host:port", "*.domain", a URL) names a URL's host.
---@param list string[]
---@param url string
---@return boolean
function M.names_host(list, url)
  local host, port = host_of(url)
  for _, entry in ipairs(list) do
    if host and host_matches(entry, host, port) then
      return true
    end
  end
  return false
end

---Raises unless a URL's host may be spoken to.
---@param url string
---@param unix string? path of a socket, which counts in place of the host
function Needs:check_host(url, unix)
  if unix and not has(self.hosts, "unix:" .. unix) then
    refuse(("%s: needs.hosts does not name 'unix:%s'"):format(self.recipe, unix))
  elseif not unix and not M.names_host(self.hosts, url) then
    local host = host_of(url) or "?"
    local hint = ("add it to needs.hosts of %s"):format(self.recipe)
    refuse(("%s: needs.hosts does not name '%s'"):format(self.recipe, host), hint)
  end
  if self.parent then
    self.parent:check_host(url, unix)
  end
end

---The context that may be spoken to: the one given, or the only one of needs.clusters. Else raises.
---@param context string?
---@return string context
function Needs:check_cluster(context)
  if context == nil and #self.clusters == 1 then
    context = self.clusters[1]
  elseif context == nil then
    refuse(self.recipe .. ": ctx.k8s needs a context", "needs.clusters names none, or several")
  elseif not has(self.clusters, context) then
    local hint = ("add it to needs.clusters of %s"):format(self.recipe)
    refuse(("%s: needs.clusters does not name '%s'"):format(self.recipe, context), hint)
  end
  if self.parent then
    self.parent:check_cluster(context)
  end
  return context
end

---Raises unless a path may be written: below needs.writes or the run's own folder.
---@param path string absolute
function Needs:check_write(path)
  if self.run_dir and fs.under(path, { self.run_dir }) then
    return
  end
  if #self.writes == 0 or not fs.under(path, self.writes) then
    local hint = ("add its folder to needs.writes of %s"):format(self.recipe)
    refuse(("%s: needs.writes does not cover %s"):format(self.recipe, path), hint)
  end
  if self.parent then
    self.parent:check_write(path)
  end
end

---The folders that may be written, for whoever enforces them elsewhere.
---@return string[]
function Needs:roots()
  return table.move(self.writes, 1, #self.writes, 1, {})
end

return M
