-- pai scan: credentials in files, folders and standard input.
local allowing = require("pai.scan.allow")
local args = require("pai.cli.args")
local err = require("pai.err")
local fs = require("pai.fs")
local json = require("pai.json")
local out = require("pai.out")
local text = require("pai.text")

local M = {
  name = "scan",
  summary = "find credentials in files, transcripts and recordings",
  usage = "FILE|DIR|- ...",
  direct = true,
  doc = "Looks for keys, tokens and passwords by rules (--list-rules). Escaped text (JSON, JSON in "
    .. "JSON), terminal codes and asciicast recordings are looked through. In a git work tree the "
    .. "files that git tracks or would track are looked at, --ignored takes all; links in folders "
    .. "are not followed, binary files are passed over. A value is never printed: a finding is a "
    .. "place, a rule, a length, at most four characters, and a fingerprint. Exit code 0: clean, "
    .. "1: findings, 2: wrong usage, or something could not be read and nothing was found "
    .. "elsewhere. What is no secret: `pai-scan:allow` in a comment on its line, or a line in "
    .. ".pai-scan-allow (fingerprint HEX, path GLOB, rule ID GLOB; a reason may follow).",
  options = {
    { name = "redact", doc = "write copies with findings replaced, as NAME.redacted" },
    {
      name = "output",
      arg = "PATH",
      doc = "where --redact writes: a file, a folder, - for stdout",
    },
    { name = "sarif", doc = "print SARIF 2.1.0" },
    { name = "rule", arg = "ID", many = true, doc = "these rules only" },
    { name = "list-rules", doc = "print the rules" },
    { name = "ignored", doc = "also what git ignores" },
    { name = "binary", doc = "also binary files" },
    { name = "allow", arg = "FILE", doc = "in place of .pai-scan-allow" },
    { name = "baseline", arg = "FILE", doc = "without what an earlier --json output holds" },
    { name = "no-allow", doc = "no allow file, and no comments" },
  },
  examples = {
    { "pai scan transcript.jsonl", "one file" },
    { "pai scan .", "what git tracks here" },
    { "pai scan --redact session.cast", "a clean copy, session.cast.redacted" },
    { "kubectl logs pod | pai scan --redact --output - -", "a clean stream" },
    { "pai scan --sarif . >scan.sarif", "for a code host" },
    { "pai scan --json . >old.json; pai scan --baseline old.json .", "what is new since" },
  },
}

local FINDINGS_MAX <const> = 100000

local function choose_rules(opts)
  local all = require("pai.scan.rules").all()
  if not opts.rule then
    return all
  end
  local ids, wanted, rules = {}, {}, {}
  for i, rule in ipairs(all) do
    ids[i] = rule.id
  end
  for _, id in ipairs(opts.rule) do
    wanted[id] = true
  end
  for _, rule in ipairs(all) do
    if wanted[rule.id] then
      rules[#rules + 1], wanted[rule.id] = rule, nil
    end
  end
  local unknown = next(wanted)
  if unknown then
    local hint = text.did_you_mean(unknown, ids)
    err.raise("EUSAGE", ("--rule: there is no rule '%s'%s"):format(unknown, hint), {
      hint = "pai scan --list-rules",
    })
  end
  return rules
end

local function list_rules(rules, opts)
  if opts.json then
    local list = json.array({})
    for i, rule in ipairs(rules) do
      list[i] = {
        id = rule.id,
        severity = rule.severity,
        description = rule.description,
        source = rule.source,
      }
    end
    out.stdout(json.encode({ rules = list }) .. "\n")
    return 0
  end
  local rows = {}
  for i, rule in ipairs(rules) do
    rows[i] = { rule.id, ("%-6s  %s"):format(rule.severity, rule.description) }
  end
  out.stdout(text.columns(rows))
  return 0
end

-- Where the redacted copy of a file goes; nil: nowhere yet.
local function copy_of(path, opts, only)
  if not opts.redact then
    return nil
  elseif not opts.output then
    return path == "-" and "-" or path .. ".redacted"
  elseif only or opts.output == "-" then
    return opts.output
  end
  local relative = path:gsub("^%./", ""):gsub("^/+", "")
  if path == "-" or ("/" .. relative .. "/"):find("/../", 1, true) then
    relative = path == "-" and "stdin" or fs.basename(path)
  end
  local copy = fs.join(opts.output, relative)
  local ok, e = fs.mkdir(fs.dirname(copy), { parents = true })
  if not ok then
    err.raise("EUSAGE", "--output: " .. e.message)
  end
  return copy
end

-- What the whole command knows while it goes on.
local function new_scan(opts, rules)
  local allow = { fingerprints = {}, paths = {}, rules = {}, expired = 0 }
  local file = opts.allow or (not opts.no_allow and allowing.find() or nil)
  if file and not opts.no_allow then
    allow = allowing.read(file)
  end
  local known = table.move(allow.fingerprints, 1, #allow.fingerprints, 1, {})
  if opts.baseline then
    local base = allowing.baseline(opts.baseline)
    table.move(base, 1, #base, #known + 1, known)
  end
  local by_id = {}
  for _, rule in ipairs(rules) do
    by_id[rule.id] = rule
  end
  return {
    rules = rules,
    by_id = by_id,
    allow = allow,
    known = known,
    scanners = {},
    findings = {},
    sum = { files = 0, bytes = 0, findings = 0, allowed = 0, limited = 0 },
    skipped = {},
    errors = {},
  }
end

-- A scanner without some rules; few combinations occur.
local function scanner_without(scan, left_out)
  local names = text.keys(left_out)
  local key = table.concat(names, " ")
  if not scan.scanners[key] then
    local rules = {}
    for _, rule in ipairs(scan.rules) do
      if not left_out[rule.id] then
        rules[#rules + 1] = rule
      end
    end
    local made, e = require("pai.scan").compile(rules, { salt = scan.allow.salt })
    if not made then
      error(e, 0)
    end
    scan.scanners[key] = made
  end
  return scan.scanners[key]
end

local function take(scan, path, result)
  local sum = scan.sum
  sum.files = sum.files + 1
  sum.bytes = sum.bytes + result.bytes
  sum.findings = sum.findings + result.count
  sum.allowed = sum.allowed + result.allowed
  sum.limited = sum.limited + result.limited
  for _, finding in ipairs(result.findings) do
    if #scan.findings < FINDINGS_MAX then
      local rule = scan.by_id[finding.rule]
      finding.file = path
      finding.severity = finding.low and "low" or rule.severity
      finding.description = rule.description
      table.insert(scan.findings, finding)
    end
  end
end

local function scan_file(scan, path, opts, only)
  local skip, left_out = allowing.of(scan.allow, path)
  if skip then
    table.insert(scan.skipped, { path = path, why = "allowed" })
    return
  end
  local how = { binary = opts.binary, comments = not opts.no_allow, allow = scan.known }
  -- A copy beside a file is made only of a file that needs one; standard input is read only once.
  local at_once = opts.redact and (opts.output or only or path == "-")
  how.output = at_once and copy_of(path, opts, only) or nil
  local scanner = scanner_without(scan, left_out)
  local result, e = scanner:file(path, how)
  if result and opts.redact and not at_once and result.count > 0 then
    how.output = copy_of(path, opts, only)
    result, e = scanner:file(path, how)
  end
  if not result then
    local named = e.message:find(path, 1, true) and e.message or path .. ": " .. e.message
    table.insert(scan.errors, { path = path, message = named })
  elseif result.binary and not opts.binary then
    table.insert(scan.skipped, { path = path, why = "binary" })
  else
    take(scan, path, result)
  end
end

local function print_text(scan, write)
  for _, f in ipairs(scan.findings) do
    local shown = f.shown ~= "" and f.shown .. "…, " or ""
    local place = ("%s:%d:%d"):format(f.file, f.line, f.column)
    local what = ("%s (%s): %s, %s%d bytes"):format(
      f.rule,
      f.severity,
      f.description,
      shown,
      f.length
    )
    write(("%s: %s, fingerprint %s\n"):format(text.utf8(place), what, f.fingerprint))
  end
  local sum = scan.sum
  local parts = { ("%d files, %d findings"):format(sum.files, sum.findings) }
  local binary = 0
  for _, skipped in ipairs(scan.skipped) do
    binary = binary + (skipped.why == "binary" and 1 or 0)
  end
  for _, more in ipairs({
    { sum.allowed, "%d allowed" },
    { #scan.skipped - binary, "%d passed over" },
    { binary, "%d binary files passed over" },
    { #scan.errors, "%d could not be read" },
    { sum.limited, "%d places given up because they cost too much" },
    { scan.allow.expired, "%d entries of the allow file have expired" },
    { sum.findings - #scan.findings, "%d more findings than are listed" },
  }) do
    if more[1] > 0 then
      parts[#parts + 1] = more[2]:format(more[1])
    end
  end
  write(table.concat(parts, ", ") .. "\n")
end

local function print_json(scan, write)
  local findings, errors, skipped = json.array({}), json.array({}), json.array({})
  for i, f in ipairs(scan.findings) do
    f.low, f.file = nil, text.utf8(f.file)
    findings[i] = f
  end
  for i, e in ipairs(scan.errors) do
    errors[i] = { file = text.utf8(e.path), message = text.utf8(e.message) }
  end
  for i, s in ipairs(scan.skipped) do
    skipped[i] = { file = text.utf8(s.path), why = s.why }
  end
  write(json.encode({
    findings = findings,
    errors = errors,
    skipped = skipped,
    files = scan.sum.files,
    bytes = scan.sum.bytes,
    count = scan.sum.findings,
    allowed = scan.sum.allowed,
    limited = scan.sum.limited,
  }) .. "\n")
end

local function print_sarif(scan, write)
  for _, f in ipairs(scan.findings) do
    f.file = text.utf8(f.file)
  end
  for _, e in ipairs(scan.errors) do
    e.message = text.utf8(e.message)
  end
  local document = require("pai.scan.sarif").document(scan.rules, scan.findings, scan.errors)
  write(json.encode(document, { pretty = true }))
end

local function check_usage(words, opts)
  if opts.json and opts.sarif then
    err.raise("EUSAGE", "--json and --sarif exclude each other")
  elseif opts.output and not opts.redact then
    err.raise("EUSAGE", "--output goes with --redact")
  elseif opts.allow and opts.no_allow then
    err.raise("EUSAGE", "--allow and --no-allow exclude each other")
  end
  args.count(words, 1, math.huge, "FILE, DIR or - (standard input)")
end

---@param words string[]
---@param opts table
---@return integer exit code
function M.run(words, opts)
  local rules = choose_rules(opts)
  if opts.list_rules then
    return list_rules(rules, opts)
  end
  check_usage(words, opts)
  local scan = new_scan(opts, rules)
  local listing = require("pai.scan.files").list(words, opts)
  scan.skipped, scan.errors = listing.skipped, listing.errors
  local only = #words == 1 and #listing.files == 1 and listing.files[1] == words[1]
  if opts.output and opts.output ~= "-" and not only then
    fs.mkdir(opts.output, { parents = true })
  end
  for _, path in ipairs(listing.files) do
    scan_file(scan, path, opts, only)
  end
  -- The report makes room for a copy that goes to standard output.
  local to_stdout = opts.redact and (opts.output == "-" or (words[1] == "-" and not opts.output))
  local write = to_stdout and out.stderr or out.stdout
  for _, e in ipairs(scan.errors) do
    out.stderr(("pai: %s\n"):format(text.utf8(e.message)))
    if e.hint then
      out.stderr(("hint: %s\n"):format(e.hint))
    end
  end
  if #listing.files == 0 and #scan.errors == 0 then
    out.stderr("pai: there is no file to look at; --ignored looks at what git ignores\n")
  end
  local print = opts.json and print_json or opts.sarif and print_sarif or print_text
  print(scan, write)
  if scan.sum.findings > 0 then
    return 1
  end
  return #scan.errors > 0 and 2 or 0
end

return M
