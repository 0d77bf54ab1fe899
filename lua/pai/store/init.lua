-- Object stores: s3, gs, swift, tos, azure and file:// behind one set of calls. Bytes go between
-- disk and network without becoming Lua strings, and keys stay handles.
local err = require("pai.err")
local filter = require("pai.store.filter")
local fs = require("pai.fs")
local gate = require("pai.store.gate")
local meter = require("pai.store.meter")
local url = require("pai.store.url")

local M = {}

local PARALLEL <const> = 8

---@class pai.store.Options
---@field keys? table in place of a search: access_key_id, access_key (a handle), session_token,
---account_key, sas, connection_string, region, override_url, addressing_style, anonymous
---@field parallel? integer requests side by side (8)
---@field retries? integer of each request (6)
---@field retry_wait_ms? integer before the second attempt; it doubles (500)
---@field ca_file? string certificates to trust
---@field account? boolean the URL may name an account without a container, for `check`
---@field machine? boolean where nothing names a key, also the identity of this machine
---@field on_host? fun(url: string) called before a server is spoken to; may raise

---@class pai.store.Store
---@field place pai.store.Place
---@field driver table
local Store = {}
Store.__index = Store

local DRIVERS <const> = { azure = "azure", file = "file" }

local KNOWN <const> = {
  keys = true,
  parallel = true,
  retries = true,
  retry_wait_ms = true,
  ca_file = true,
  on_host = true,
  account = true,
  machine = true,
}

-- A wrong option is a mistake of the caller, who stands some levels above.
local function check_options(opts, known)
  for key in pairs(opts or {}) do
    if not known[key] then
      error(("unknown option '%s'"):format(tostring(key)), 3)
    end
  end
  return opts or {}
end

local function set(...)
  local t = {}
  for _, name in ipairs({ ... }) do
    t[name] = true
  end
  return t
end

local LIST <const> = set("recursive", "prefix", "regex", "include", "exclude", "on_page")
local UPLOAD <const> =
  set("regex", "include", "exclude", "resume", "part_size", "threshold", "on_progress")
local DOWNLOAD <const> = set("regex", "include", "exclude", "resume", "no_checksum", "on_progress")
local DELETE <const> = set("regex", "include", "exclude", "dry_run")

local function open(text, opts)
  opts = opts or {}
  local place, e = url.parse(text, { account = opts.account })
  if not place then
    error(e, 0)
  end
  local parallel = opts.parallel or PARALLEL
  if math.type(parallel) ~= "integer" or parallel < 1 or parallel > 64 then
    err.raise("EINVAL", "parallel must be between 1 and 64")
  end
  local keys = place.scheme ~= "file" and require("pai.store.keys").find(place, opts.keys, opts)
  local driver = require("pai.store." .. (DRIVERS[place.scheme] or "s3")).new(place, keys, opts)
  return setmetatable({ place = place, driver = driver, gate = gate.new(parallel) }, Store)
end

-- Failures that are expected become nil and the error; a caller's mistake (a string) is raised.
local function guarded(fn, ...)
  local got = table.pack(pcall(fn, ...))
  if got[1] then
    return table.unpack(got, 2, got.n)
  elseif err.is(got[2]) and got[2].code ~= "ECANCELED" and got[2].code ~= "EINTERNAL" then
    return nil, got[2]
  end
  error(got[2], 0)
end

---Opens a place in a store. Nothing is sent yet.
---@param text string the URL
---@param opts? pai.store.Options
---@return pai.store.Store? store
---@return pai.Error? err EINVAL, ENOKEYS, ENOTSUP, EACCES
function M.open(text, opts)
  check_options(opts, KNOWN)
  return guarded(open, text, opts)
end

local function look(driver, key)
  return require("pai.store.download").look(driver, key)
end

-- Calls fn with every object below a prefix, page by page.
local function each(self, prefix, fn)
  local token
  repeat
    local page = self.driver:list({ prefix = prefix, token = token })
    for _, object in ipairs(page.objects) do
      fn(object)
    end
    token = page.token
  until not token
end

---@class pai.store.ListOptions
---@field recursive? boolean all keys; else what is directly below, folders end in a slash
---@field prefix? string names that begin so
---@field regex? string
---@field include? string[]
---@field exclude? string[]
---@field on_page? fun(entries: pai.store.Object[]) called for each page; then nothing is collected

-- Folders are entries, too: {key, folder = true}.
local function list(self, opts)
  local place, driver = self.place, self.driver
  local meant = filter.new(opts)
  local prefix = url.prefix(place)
  local all, token = {}, nil
  local function give(entries)
    if opts.on_page then
      opts.on_page(entries)
    else
      table.move(entries, 1, #entries, #all + 1, all)
    end
  end
  if not place.folder and not opts.prefix then
    local object = look(driver, place.key)
    if object and meant(place.key:match("[^/]+$")) then
      give({ object })
    end
  end
  repeat
    local page = driver:list({
      prefix = prefix .. (opts.prefix or ""),
      delimiter = not opts.recursive and "/" or nil,
      token = token,
    })
    local entries = {}
    for _, key in ipairs(page.prefixes) do
      if meant(key:sub(#prefix + 1, -2)) then
        entries[#entries + 1] = { key = key, folder = true }
      end
    end
    for _, object in ipairs(page.objects) do
      local name = object.key:sub(#prefix + 1)
      if name ~= "" and meant(name) then
        entries[#entries + 1] = object
      end
    end
    give(entries)
    token = page.token
  until not token
  return all
end

---Lists what is below the place; an object that has its very name comes first.
---@param opts? pai.store.ListOptions
---@return pai.store.Object[]? entries
---@return pai.Error? err
function Store:list(opts)
  return guarded(list, self, check_options(opts, LIST))
end

---What is known of the object with the place's name.
---@return pai.store.Object? object nil and no error when there is none
---@return pai.Error? err
function Store:stat()
  return guarded(function()
    return not self.place.folder and self.driver:head(self.place.key) or nil
  end)
end

---Whether there is such an object, or anything below the path.
---@return boolean? there
---@return pai.Error? err
function Store:exists()
  return guarded(function()
    if not self.place.folder and look(self.driver, self.place.key) then
      return true
    end
    local page = self.driver:list({ prefix = url.prefix(self.place), limit = 1 })
    return #page.objects > 0
  end)
end

---@class pai.store.TransferOptions
---@field regex? string matched from the beginning against the name relative to the URL's path
---@field include? string[] patterns
---@field exclude? string[]
---@field resume? boolean leave out what is there with the same size and checksum
---@field part_size? integer bytes of a part of an upload (8 MiB)
---@field threshold? integer larger files are uploaded in parts (16 MiB)
---@field no_checksum? boolean do not compare a download with the store's checksum
---@field on_progress? fun(p: pai.store.Progress)

---@class pai.store.Result
---@field files integer
---@field skipped integer that were there already
---@field bytes integer of all of them
---@field moved integer bytes that went over the wire
---@field seconds number
---@field left_out string[] what could not be taken: neither file nor folder, or no name for a file

local function result_of(m, skipped, left_out)
  return {
    files = m.files,
    skipped = skipped,
    bytes = m.total,
    moved = m.moved,
    seconds = m:seconds(),
    left_out = left_out,
  }
end

-- A meter that also counts what was left out because it was there.
local function counting(self, opts)
  local count = { skipped = 0 }
  count.meter = meter.new(function(p)
    if p.skipped then
      count.skipped = count.skipped + 1
    end
    if opts.on_progress then
      opts.on_progress(p)
    end
  end, self.place.scheme ~= "file" and require("pai.http").under_way or nil)
  return count
end

---Uploads files and folders below the place.
---@param paths (string|{path: string, name: string})[] a folder keeps its name, `dir/*` leaves it
---out; a table names a file and the name that it gets
---@param opts? pai.store.TransferOptions
---@return pai.store.Result?
---@return pai.Error? err
function Store:upload(paths, opts)
  opts = check_options(opts, UPLOAD)
  return guarded(function()
    local upload = require("pai.store.upload")
    local sources = upload.sources(self.place, paths, filter.new(opts))
    local count = counting(self, opts)
    local _ <close> = opts.on_progress and count.meter:watch() or nil
    local up = { driver = self.driver, gate = self.gate, meter = count.meter }
    upload.run(up, sources, opts)
    return result_of(count.meter, count.skipped, sources.left_out)
  end)
end

---Downloads an object, or everything below the path, into a folder, which is made if need be.
---@param dir string
---@param opts? pai.store.TransferOptions
---@return pai.store.Result?
---@return pai.Error? err
function Store:download(dir, opts)
  opts = check_options(opts, DOWNLOAD)
  return guarded(function()
    local download = require("pai.store.download")
    local targets = download.targets(self.driver, self.place, filter.new(opts), function(p, fn)
      each(self, p, fn)
    end)
    local count = counting(self, opts)
    local _ <close> = opts.on_progress and count.meter:watch() or nil
    local down = {
      driver = self.driver,
      gate = self.gate,
      meter = count.meter,
      no_checksum = opts.no_checksum,
    }
    download.run(down, targets, fs.abspath(dir), opts)
    return result_of(count.meter, count.skipped, targets.left_out)
  end)
end

-- The keys that a deletion would take.
local function doomed(self, opts)
  local meant, keys = filter.new(opts), {}
  local place = self.place
  if not place.folder and look(self.driver, place.key) then
    return meant(place.key:match("[^/]+$")) and { place.key } or {}
  end
  local prefix = url.prefix(place)
  each(self, prefix, function(object)
    if meant(object.key:sub(#prefix + 1)) then
      keys[#keys + 1] = object.key
    end
  end)
  return keys
end

---Deletes the object, or everything below the path.
---@param opts? {regex: string?, include: string[]?, exclude: string[]?, dry_run: boolean?}
---@return {keys: string[], deleted: integer}? result keys: what was to be deleted
---@return pai.Error? err EDELETE: some could not be; `failed` lists them
function Store:delete(opts)
  opts = check_options(opts, DELETE)
  return guarded(function()
    local keys = doomed(self, opts)
    if opts.dry_run or #keys == 0 then
      return { keys = keys, deleted = 0 }
    end
    local failed = self.driver:delete(keys, self.gate)
    if #failed > 0 then
      local message = "%d of %d objects could not be deleted, the first: %s (%s)"
      local shown = url.of(self.place, failed[1].key or "?")
      err.raise(
        "EDELETE",
        message:format(#failed, #keys, shown, failed[1].code or "no reason given"),
        { failed = failed }
      )
    end
    return { keys = keys, deleted = #keys }
  end)
end

local CHECKS = {}

function CHECKS.LIST(self)
  self.driver:list({ prefix = url.prefix(self.place), limit = 1 })
end

-- An object that nobody has: that it is missing may only be said to one who may read.
function CHECKS.READ(self, name)
  local page = self.driver:list({ prefix = url.prefix(self.place), limit = 1 })
  self.driver:head(page.objects[1] and page.objects[1].key or name)
end

function CHECKS.WRITE(self, name)
  self.driver:try_write(name)
end

function CHECKS.DELETE(self, name)
  local failed = self.driver:delete({ name }, self.gate)
  if failed[1] then
    err.raise("EACCES", ("delete %s: %s"):format(url.of(self.place, name), failed[1].code))
  end
end

---What `check` knows to check, in its order.
M.ACCESS = { "LIST", "READ", "WRITE", "DELETE" }

---Whether the key may do these things here, or, of an account, whether it is known there. Nothing
---is left behind, nothing of others is touched.
---@param access? string[] of M.ACCESS; default: all
---@return true?
---@return pai.Error? err
function Store:check(access)
  return guarded(function()
    if self.driver.check_account then
      self.driver:check_account()
    end
    if self.place.whole then
      if access then
        err.raise("EINVAL", "what a key may do is checked in a container: the URL names none")
      end
      self.driver:list_containers()
      return true
    end
    local name = url.prefix(self.place) .. "pai-check-" .. require("pai.crypto").uuid()
    for _, kind in ipairs(access or M.ACCESS) do
      if not CHECKS[kind] then
        local known = table.concat(M.ACCESS, ", ")
        err.raise("EINVAL", ("'%s' is no access: %s"):format(tostring(kind), known))
      end
      CHECKS[kind](self, name)
    end
    return true
  end)
end

return M
