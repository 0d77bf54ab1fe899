-- pai osmo data: files in object stores, straight from this machine.
local args = require("pai.cli.args")
local common = require("pai.cli.osmo_common")
local err = require("pai.err")
local json = require("pai.json")
local out = require("pai.out")
local task = require("pai.task")

local REGEX <const> =
  { name = "regex", short = "x", arg = "REGEX", doc = "only names that match from their beginning" }
local INCLUDE <const> = {
  name = "include",
  arg = "PATTERN",
  many = true,
  doc = "only names that match, such as '*.mp4' or 'out/**'",
}
local EXCLUDE <const> =
  { name = "exclude", arg = "PATTERN", many = true, doc = "no names that match" }
local PARALLEL <const> =
  { name = "parallel", arg = "N", doc = "requests side by side, 1 to 64 (default 8)" }
local PROCESSES <const> =
  { name = "processes", short = "p", arg = "N", doc = "with --threads: N times as many requests" }
local THREADS <const> =
  { name = "threads", short = "T", arg = "N", doc = "--parallel, by OSMO's own name" }
local CA_FILE <const> =
  { name = "ca-file", arg = "FILE", doc = "certificates to trust in place of the system's" }
local RESUME <const> =
  { name = "resume", short = "r", doc = "leave out what is there with the same size and checksum" }

local function options(...)
  return { REGEX, INCLUDE, EXCLUDE, PARALLEL, CA_FILE, ... }
end

local NO_BENCHMARK <const> = {
  ["benchmark-out"] = "the last line says how much and how fast; --json has it as figures",
  b = "the last line says how much and how fast; --json has it as figures",
}

-- Requests side by side. What upstream starts as processes and threads are here connections of one
-- process, at most 64 of them.
local function parallel_of(opts)
  local processes, threads = common.integer(opts, "processes"), common.integer(opts, "threads")
  if opts.parallel and (processes or threads) then
    err.raise("EUSAGE", "--parallel, or --processes and --threads, not both")
  elseif processes or threads then
    return math.min(math.max((processes or 1) * (threads or 8), 1), 64)
  end
  return common.integer(opts, "parallel")
end

local function open(url, opts, keys, account)
  return common.checked(require("pai.store").open(url, {
    parallel = parallel_of(opts),
    ca_file = opts.ca_file,
    keys = keys,
    account = account,
    machine = true,
  }))
end

local function chosen(opts, more)
  local t = { regex = opts.regex, include = opts.include, exclude = opts.exclude }
  for name, value in pairs(more or {}) do
    t[name] = value
  end
  return t
end

local function shown_entry(entry)
  return {
    key = require("pai.text").utf8(entry.key),
    size = entry.size,
    etag = entry.etag,
    modified = entry.modified,
    folder = entry.folder,
  }
end

local list = {
  name = "list",
  summary = "list what is below a URL",
  usage = "URL [FILE]",
  doc = "The list goes to standard output, or into FILE.",
  options = options(
    { name = "recursive", short = "r", doc = "all keys, not only the first level" },
    { name = "prefix", short = "p", arg = "TEXT", doc = "names that begin so" },
    { name = "long", doc = "with size and time" },
    { name = "no-pager", doc = "does nothing: pai starts no pager" }
  ),
  examples = {
    { "pai osmo data list s3://bucket/runs/", "folders end in a slash" },
    { "pai osmo data list azure://account/data --recursive --include '*.mp4'", "" },
  },
}

---@param words string[]
---@param opts table
---@return integer exit code
function list.run(words, opts)
  args.count(words, 1, 2, "URL")
  local file = words[2]
  if file and opts.json then
    err.raise("EUSAGE", "--json goes to standard output: leave FILE out")
  end
  local count, bytes, entries = 0, 0, {}
  if file then -- made first, so that there is a place for it
    common.checked(require("pai.fs").write(file, ""))
  end
  common.checked(open(words[1], opts):list(chosen(opts, {
    recursive = opts.recursive,
    prefix = opts.prefix,
    on_page = function(page)
      local lines = {}
      for i, entry in ipairs(page) do
        count, bytes = count + 1, bytes + (entry.size or 0)
        if opts.json then
          entries[#entries + 1] = shown_entry(entry)
        elseif opts.long then
          local form = "%14s  %-29s  %s\n"
          lines[i] = form:format(entry.size or "-", entry.modified or "-", entry.key)
        else
          lines[i] = entry.key .. "\n"
        end
      end
      if file then
        common.checked(require("pai.fs").append(file, table.concat(lines)))
      else
        out.stdout(table.concat(lines))
      end
    end,
  })))
  if opts.json then
    common.print_json({ entries = json.array(entries), bytes = bytes })
  else
    local show = require("pai.cli.data_progress").bytes
    out.stderr(("%d %s, %s\n"):format(count, count == 1 and "entry" or "entries", show(bytes)))
  end
  return 0
end

local function counted(n, what)
  return ("%d %s%s"):format(n, what, n == 1 and "" or "s")
end

-- Prints what a transfer came to; 1 when something was left out.
local function print_result(r, verb, opts)
  if opts.json then
    r.left_out = json.array(r.left_out)
    common.print_json(r)
  else
    for _, name in ipairs(r.left_out) do
      out.stderr(("left out: %s\n"):format(name))
    end
    local show = require("pai.cli.data_progress").bytes
    local rate = r.seconds > 0 and r.moved / r.seconds or 0
    if r.files > 0 and r.files == r.skipped then
      out.stdout(("nothing %s: %s were there\n"):format(verb, counted(r.files, "file")))
      return #r.left_out > 0 and 1 or 0
    end
    out.stdout(
      ("%s %s, %s in %.1f s (%s/s)%s\n"):format(
        verb,
        counted(r.files - r.skipped, "file"),
        show(r.moved),
        r.seconds,
        show(rate),
        r.skipped > 0 and (", %d were there"):format(r.skipped) or ""
      )
    )
  end
  return #r.left_out > 0 and 1 or 0
end

-- Runs a transfer until it ends or a signal comes: then requests are given up, and what is there is
-- left as the next run needs it.
local function until_signal(fn)
  local caught
  local t = task.spawn(function()
    return pcall(fn)
  end)
  local remove = task.on_signal(function(name)
    if name ~= "SIGWINCH" then
      caught = caught or name
      t:cancel()
    end
  end)
  local _, ok, r, e = pcall(t.wait, t)
  remove()
  if caught then
    return nil, nil, caught
  elseif not ok then
    error(r, 0)
  end
  return r, e
end

local function transfer(verb, opts, run)
  local listen, finish = require("pai.cli.data_progress").new(opts.json, verb)
  local r, e, signal = until_signal(function()
    return run(chosen(opts, {
      resume = opts.resume,
      no_checksum = opts.no_checksum, -- of downloads
      on_progress = listen,
    }))
  end)
  finish()
  if signal then
    out.stderr("interrupted: what has arrived is kept, the same command goes on from there\n")
    return require("pai.run.signals").exit_code(signal)
  end
  return print_result(common.checked(r, e), verb, opts)
end

local upload = {
  name = "upload",
  summary = "upload files and folders",
  usage = "URL PATH...",
  doc = "A folder keeps its name below the URL's path; DIR/* leaves it out. Large files go in "
    .. "parts; an upload that was interrupted goes on when the same command is given again.",
  options = options(RESUME, PROCESSES, THREADS),
  refused = NO_BENCHMARK,
  examples = {
    { "pai osmo data upload s3://bucket/in clips", "becomes s3://bucket/in/clips/..." },
    { "pai osmo data upload s3://bucket/in 'clips/*'", "becomes s3://bucket/in/..." },
  },
}

---@param words string[]
---@param opts table
---@return integer exit code
function upload.run(words, opts)
  args.count(words, 2, math.huge, "URL PATH")
  local store = open(words[1], opts)
  return transfer("uploaded", opts, function(settings)
    return store:upload(table.move(words, 2, #words, 1, {}), settings)
  end)
end

local download = {
  name = "download",
  summary = "download an object, or all that is below a path, into a folder",
  usage = "URL DIR",
  doc = "Names are relative to the URL's path. A file gets its name when its size and checksum "
    .. "agree; a download that was interrupted goes on when the same command is given again.",
  refused = NO_BENCHMARK,
  options = options(
    RESUME,
    PROCESSES,
    THREADS,
    { name = "no-checksum", doc = "do not compare with the store's checksum" }
  ),
  examples = { { "pai osmo data download s3://bucket/out/run-1 results --resume", "" } },
}

---@param words string[]
---@param opts table
---@return integer exit code
function download.run(words, opts)
  args.count(words, 2, 2, "URL DIR")
  local store = open(words[1], opts)
  return transfer("downloaded", opts, function(settings)
    return store:download(words[2], settings)
  end)
end

local delete = {
  name = "delete",
  summary = "delete an object, or all that is below a path",
  usage = "URL",
  options = {
    REGEX,
    INCLUDE,
    EXCLUDE,
    PARALLEL,
    CA_FILE,
    { name = "yes", doc = "do not ask" },
    { name = "dry-run", doc = "only print what would be deleted" },
  },
  examples = { { "pai osmo data delete s3://bucket/out/run-1 --yes", "" } },
}

local function confirm(count, url)
  local what = ("Delete %s at %s?"):format(counted(count, "object"), url)
  return common.confirm(what, "--yes")
end

---@param words string[]
---@param opts table
---@return integer exit code
function delete.run(words, opts)
  args.count(words, 1, 1, "URL")
  local store = open(words[1], opts)
  local found = common.checked(store:delete(chosen(opts, { dry_run = true })))
  local keys = found.keys
  if opts.dry_run or #keys == 0 then
    if opts.json then
      common.print_json({ keys = json.array(keys), deleted = 0 })
    else
      out.stdout(#keys > 0 and table.concat(keys, "\n") .. "\n" or "nothing to delete\n")
    end
    return 0
  end
  if not opts.yes and not confirm(#keys, words[1]) then
    out.stderr("nothing was deleted\n")
    return 1
  end
  local r = common.checked(store:delete(chosen(opts)))
  if opts.json then
    common.print_json({ keys = json.array(r.keys), deleted = r.deleted })
  else
    out.stdout(("deleted %s\n"):format(counted(r.deleted, "object")))
  end
  return 0
end

local check = {
  name = "check",
  summary = "check what the key may do",
  usage = "URL",
  options = {
    {
      name = "access",
      arg = "KIND",
      several = true,
      doc = "LIST, READ, WRITE or DELETE (default: all); nothing is left behind",
    },
    { name = "access-type", short = "a", arg = "KIND", several = true, doc = "the same" },
    {
      name = "config-file",
      short = "c",
      arg = "FILE",
      doc = "a config.yaml whose key is meant, in place of yours",
    },
    CA_FILE,
  },
  examples = {
    { "pai osmo data check s3://bucket/out --access WRITE", "" },
    { "pai osmo data check azure://account", "whether the key is known there" },
  },
}

---@param words string[]
---@param opts table
---@return integer exit code
function check.run(words, opts)
  args.count(words, 1, 1, "URL")
  local known = require("pai.store").ACCESS
  local access = common.chosen(opts.access or opts.access_type, "access", known)
  local keys
  if opts.config_file then
    local place = common.checked(require("pai.store.url").parse(words[1]))
    keys = common.checked(require("pai.osmo.client_config").keys(place.profile, opts.config_file))
  end
  local store = open(words[1], opts, keys, true)
  if os.getenv("OSMO_SKIP_DATA_AUTH") == "1" then -- as OSMO's client does, but it is said
    if opts.json then
      common.print_json({ status = "pass", checked = false })
    else
      out.stdout("pass\n")
      out.stderr("not checked: OSMO_SKIP_DATA_AUTH is 1\n")
    end
    return 0
  end
  local ok, e = store:check(access)
  if not ok and e.code == "EINVAL" then
    err.raise("EUSAGE", "--access: " .. e.message)
  end
  if opts.json then
    common.print_json({
      status = ok and "pass" or "fail",
      error = e and e.message,
      hint = e and e.hint,
    })
  elseif ok then
    out.stdout("pass\n")
  else
    out.stdout(("fail: %s\n"):format(e.message))
    if e.hint then
      out.stderr(("hint: %s\n"):format(e.hint))
    end
  end
  return ok and 0 or 1
end

local data = {
  name = "data",
  summary = "files in object stores: list, upload, download, delete, check",
  usage = "list|upload|download|delete|check",
  doc = "URLs are s3://, gs://, swift://, tos://, azure:// and file://. Keys come from OSMO's "
    .. "config.yaml, or for s3 and azure as their own tools find them: from the environment, from "
    .. "files, or for an identity.",
  commands = { list, upload, download, delete, check },
  examples = { { "pai osmo data list s3://bucket", "" } },
}

return { data }
