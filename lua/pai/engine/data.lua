-- What goes into a task and what comes out: file:// urls under the allowed roots, object stores,
-- the outputs of earlier tasks, and uploads to folders that are whole or not there at all.
local err = require("pai.err")
local exec = require("pai.exec")
local fs = require("pai.fs")
local regex = require("pai.osmo.regex")
local remote = require("pai.engine.remote")

local M = {}

---The path of a file:// url.
---@param url string
---@return string? path absolute, without "." and ".."
---@return string? why
function M.path_of(url)
  local scheme = url:match("^(%a[%w+.-]*)://")
  if scheme ~= "file" then
    return nil,
      ("%s urls are not supported by the embedded engine"):format(
        scheme and scheme .. "://" or "relative"
      )
  end
  local host, path = url:match("^file://([^/]*)(/.*)$")
  if not path or (host ~= "" and host ~= "localhost") then
    return nil, ("%s is not a file url of this host (file:///absolute/path)"):format(url)
  end
  path = path:gsub("%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end)
  if path:find("[\0\n]") then
    return nil, ("%s holds a control character"):format(url)
  end
  local parts = {}
  for part in path:gmatch("[^/]+") do
    if part == ".." then
      return nil, ("%s holds '..'"):format(url)
    elseif part ~= "." then
      parts[#parts + 1] = part
    end
  end
  return "/" .. table.concat(parts, "/")
end

---Checks that a file:// url is one that the engine serves and lies under an allowed root.
---@param url string
---@param roots string[]
---@param forbidden string the engine's own folder
---@return string? path
---@return string? why
function M.allowed(url, roots, forbidden)
  local path, why = M.path_of(url)
  if not path then
    return nil, why
  end
  if #roots == 0 or not fs.under(path, roots) then
    return nil,
      ("%s does not lie under an allowed root (%s)"):format(
        url,
        (#roots == 0 and "none is set" or table.concat(roots, ", ")) .. "; pass --root DIR"
      )
  end
  if fs.under(path, { forbidden }) or fs.under(forbidden, { path }) then
    return nil, ("%s reaches into the engine's own folder"):format(url)
  end
  return path
end

local function run(argv, opts)
  local r, e = exec.run(argv, opts)
  if r then
    return r
  end
  local detail = (e.stderr or ""):match("^[^\n]+") or e.message
  err.raise(e.code, detail)
end

local function copy(from, to)
  run({ "cp", "-R", "-P", "--preserve=mode,timestamps", "--reflink=auto", "-T", "--", from, to }, {
    timeout = "1d",
    stdin = "null",
  })
end

-- Everything below dir: list of {kind, target, path}, parents before children. One process, since
-- the tree may be large and the loop must go on turning.
local function tree(dir)
  local r = run({ "find", dir, "-mindepth", "1", "-printf", "%y\\0%l\\0%P\\0" }, {
    timeout = "1h",
    stdin = "null",
    raw = true,
    max_output = 256 * 1024 * 1024,
  })
  local out = {}
  for kind, target, path in r.stdout:gmatch("(%Z)%z(%Z*)%z(%Z*)%z") do
    out[#out + 1] = { kind = kind, target = target, path = path }
  end
  return out
end

-- Whether a relative link stays below the directory that is uploaded. ".." counts only at its
-- beginning: after a name it may climb out through another link.
local function stays_inside(entry)
  if entry.target == "" or entry.target:sub(1, 1) == "/" then
    return false
  end
  local _, depth = entry.path:gsub("/", "")
  local descending = false
  for part in entry.target:gmatch("[^/]+") do
    if part == ".." then
      depth = depth - 1
      if descending or depth < 0 then
        return false
      end
    else
      descending = true
    end
  end
  return true
end

-- Takes out of a copied tree what must not or should not arrive: devices, pipes, links that lead
-- out of it, and what the pattern leaves out.
local function prune(dir, entries, pattern, note)
  local matches = pattern and pattern ~= "" and assert(regex.compile(pattern))
  local removed = false
  for _, entry in ipairs(entries) do
    local keep = entry.kind == "d" or entry.kind == "f"
    if entry.kind == "l" then
      keep = stays_inside(entry)
    end
    if not keep then
      note(("Left out %s: only files, folders and links among them are kept"):format(entry.path))
    elseif matches and entry.kind ~= "d" then
      keep = matches:match(entry.path)
    end
    if not keep then
      removed = true
      fs.remove(fs.join(dir, entry.path))
    end
  end
  if removed and matches then
    run({ "find", dir, "-mindepth", "1", "-type", "d", "-empty", "-delete" }, { stdin = "null" })
  end
end

---@class pai.engine.Input
---@field source string? file or folder on the host; nil when there is nothing
---@field regex string?
---@field at string the input's folder: of the host for a plain process, else as the task sees it

local function filtered(input, scratch, note)
  fs.mkdir(fs.dirname(scratch), { parents = true })
  copy(input.source, scratch)
  prune(scratch, tree(scratch), input.regex, note)
  return scratch
end

---Makes an input visible to a task: a read-only bind, or a copy where there is no sandbox.
---@param kind "bubblewrap"|"plain"|"container"
---@param input pai.engine.Input
---@param scratch string a path for a filtered copy
---@param note fun(text: string)
---@return {source: string?, at: string}? bind nil for a plain process
function M.stage(kind, input, scratch, note)
  if kind == "plain" then
    fs.mkdir(input.at, { parents = true })
  end
  if not input.source then
    return { at = input.at }
  end
  local st = fs.stat(input.source)
  if not st then
    err.raise("ENOENT", ("%s does not exist"):format(input.source))
  end
  if st.type == "directory" then
    if kind == "plain" then
      copy(input.source, input.at)
      prune(input.at, tree(input.at), input.regex, note)
      return nil
    end
    local source = input.source
    if input.regex and input.regex ~= "" then
      source = filtered(input, scratch, note)
    end
    return { source = source, at = input.at }
  end
  if st.type ~= "file" then
    err.raise("EINVAL", ("%s is neither a file nor a folder"):format(input.source))
  end
  local name = fs.basename(input.source)
  if kind == "plain" then
    copy(input.source, fs.join(input.at, name))
    return nil
  end
  return { source = input.source, at = fs.join(input.at, name) }
end

-- Moves a complete staged tree over an existing folder, entry by entry; each rename is atomic and
-- what the folder held besides stays, as it would in an object store.
local function merge(stage, target, entries, roots)
  local moved = {}
  for _, entry in ipairs(entries) do
    local parent = fs.dirname(entry.path)
    if moved[parent] then
      moved[entry.path] = true
    else
      local from, to = fs.join(stage, entry.path), fs.join(target, entry.path)
      local st = fs.stat(to)
      if entry.kind == "d" and st and st.type == "directory" then
        if not fs.under(to, roots) then
          err.raise("EACCES", ("%s leads out of the allowed roots"):format(to))
        end
      else
        local ok, e = fs.rename(from, to)
        if not ok then
          error(e, 0)
        end
        moved[entry.path] = entry.kind == "d"
      end
    end
  end
end

---The mark that tells one task's unfinished uploads from others'.
---@param row table row of the task
---@param index integer|string of the output
---@return string
function M.mark(row, index)
  return ("%s-%s"):format(row.uuid:sub(1, 12), index)
end

---The name under which an upload is put together before it is renamed.
---@param target string
---@param mark string unique for workflow, task and output
---@return string
function M.temporary(target, mark)
  local name = ".pai-" .. mark .. ".tmp"
  local st = fs.stat(target)
  if st and st.type == "directory" then
    return fs.join(target, name)
  end
  return fs.join(fs.dirname(target), name)
end

---Removes what a killed upload left; both places are looked at.
---@param target string
---@param mark string
function M.sweep(target, mark)
  local name = ".pai-" .. mark .. ".tmp"
  fs.remove(fs.join(target, name), { recursive = true })
  fs.remove(fs.join(fs.dirname(target), name), { recursive = true })
end

---Whether a folder holds nothing.
---@param dir string
---@return boolean
function M.empty(dir)
  local names = fs.list(dir)
  return names == nil or #names == 0
end

---Checks that the engine can serve a url: a file:// url under a root, or one of a store for which
---there are keys. Nothing is sent.
---@param engine pai.engine.Engine
---@param user string
---@param url string
---@return boolean
---@return string? why
function M.check(engine, user, url)
  local ok, why
  if remote.is(url) then
    ok, why = remote.check(engine, user, url)
  else
    ok, why = M.allowed(url, engine:roots(), engine.paths.root)
  end
  return ok ~= nil, why
end

-- The files below a folder under the names that their objects get. A link counts as the file that
-- it leads to, when that lies below the folder, too.
local function objects(dir, note)
  local out, real = {}, fs.realpath(dir) or dir
  for _, entry in ipairs(tree(dir)) do
    local path = fs.join(dir, entry.path)
    local target = entry.kind == "l" and fs.realpath(path)
    local inside = target and fs.under(target, { real }) and fs.stat(target).type == "file"
    if entry.kind == "f" or inside then
      out[#out + 1] = { path = path, name = entry.path }
    elseif entry.kind ~= "d" then
      note(("Left out %s: only files and links to files among them are kept"):format(entry.path))
    end
  end
  return out
end

---Puts a folder's content at a url of a task's. Raises EROOTS and what an upload raises.
---@param engine pai.engine.Engine
---@param url string
---@param from string
---@param opts {user: string, mark: string, regex: string?, live: string?,
---note: fun(text: string)} live: a path for a copy, when the task may still write
function M.put(engine, url, from, opts)
  if not remote.is(url) then
    local roots = engine:roots()
    local target, why = M.allowed(url, roots, engine.paths.root)
    if not target then
      err.raise("EROOTS", why)
    end
    M.upload(from, target, {
      mark = opts.mark,
      roots = roots,
      regex = opts.regex,
      note = opts.note,
    })
    return
  end
  local _ <close> = setmetatable({}, {
    __close = function()
      if opts.live then
        fs.remove(opts.live, { recursive = true })
      end
    end,
  })
  if opts.live then
    -- What a task still writes would be an object of two halves, and its links could be changed
    -- between the look and the upload.
    fs.remove(opts.live, { recursive = true })
    fs.mkdir(fs.dirname(opts.live), { parents = true })
    copy(from, opts.live)
    from = opts.live
  end
  remote.put(engine, url, objects(from, opts.note), opts)
end

---Makes an object, or what is below a url of a store, visible to a task. Raises.
---@param engine pai.engine.Engine
---@param kind "bubblewrap"|"plain"|"container"
---@param input {url: string, regex: string?, at: string}
---@param scratch string a path for the download
---@param opts {user: string, note: fun(text: string)}
---@return {source: string, at: string}? bind nil for a plain process
function M.fetch(engine, kind, input, scratch, opts)
  local dir = kind == "plain" and input.at or scratch
  remote.get(engine, input.url, dir, { user = opts.user, regex = input.regex, note = opts.note })
  return kind ~= "plain" and { source = dir, at = input.at } or nil
end

---Copies a folder's content to a target, whole or not at all. Raises.
---@param from string
---@param target string path of a file:// url
---@param opts {mark: string, roots: string[], regex: string?, note: fun(text: string)}
function M.upload(from, target, opts)
  local st = fs.stat(target)
  if st and st.type ~= "directory" then
    err.raise("ENOTDIR", ("%s is not a folder"):format(target))
  end
  if not fs.under(target, opts.roots) then
    err.raise("EACCES", ("%s leads out of the allowed roots"):format(target))
  end
  if not st then
    -- A root that does not exist yet is made, so that nothing is put beside it.
    local parent = fs.dirname(target)
    local ok, e = fs.mkdir(fs.under(parent, opts.roots) and parent or target, { parents = true })
    if not ok then
      error(e, 0)
    end
  end
  M.sweep(target, opts.mark)
  local stage = M.temporary(target, opts.mark)
  local ok, fault = pcall(function()
    copy(from, stage)
    prune(stage, tree(stage), opts.regex, opts.note)
    if M.empty(stage) then
      return
    end
    local staged = tree(stage)
    if fs.stat(target) then
      merge(stage, target, staged, opts.roots)
      return
    end
    local done, e = fs.rename(stage, target)
    if not done then
      error(e, 0)
    end
  end)
  fs.remove(stage, { recursive = true })
  if not ok then
    error(fault, 0)
  end
end

return M
