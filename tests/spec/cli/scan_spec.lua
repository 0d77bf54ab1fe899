-- pai scan as its users meet it: files, folders, git, standard input, copies, allow-lists, reports.
local support = dofile("tests/spec/run/support.lua")
local examples = dofile("tests/spec/scan/examples.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")

local g = examples.generator(4711)

local function key()
  return "nvapi" .. "-" .. g("url", 63) .. "a"
end

describe("pai scan", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function scan(...)
    return bench:pai({ "scan", ... })
  end

  local function scan_json(...)
    local r = scan("--json", ...)
    return assert(json.decode(r.stdout)), r
  end

  local function git(...)
    local env = { GIT_CONFIG_GLOBAL = "/dev/null", GIT_CONFIG_NOSYSTEM = "1" }
    assert(exec.run({ "git", "-C", bench.dir, ... }, { env = env }))
  end

  it("ends with 0 when clean, 1 with findings, 2 for what it can't read or understand", function()
    bench:write("clean.txt", "nothing here\n")
    bench:write("bad.txt", "k " .. key() .. "\n")
    assert.equal(0, scan("clean.txt").code)
    assert.equal(1, scan("bad.txt").code)
    assert.equal(2, scan("absent.txt").code)
    assert.equal(1, scan("absent.txt", "bad.txt").code)
    for _, wrong in ipairs({
      {},
      { "--rule", "no-such-rule", "clean.txt" },
      { "--output", "x", "clean.txt" },
      { "--json", "--sarif", "clean.txt" },
      { "--baseline", "clean.txt", "clean.txt" },
      { "--allow", "absent", "clean.txt" },
      { "--no-such-option" },
    }) do
      assert.equal(2, scan(table.unpack(wrong)).code, table.concat(wrong, " "))
    end
  end)

  it("never prints a value, only its first characters", function()
    local secret = key()
    bench:write("bad.txt", "k " .. secret .. "\n")
    for _, how in ipairs({ {}, { "--json" }, { "--sarif" } }) do
      local words = table.move(how, 1, #how, 1, {})
      words[#words + 1] = "bad.txt"
      local r = scan(table.unpack(words))
      assert.equal(1, r.code)
      assert.is_nil((r.stdout .. r.stderr):find(secret:sub(1, 12), 1, true))
      assert.is_nil((r.stdout .. r.stderr):find(secret:sub(-12), 1, true))
    end
    assert.matches(
      "bad.txt:1:3: nvidia%-api%-key %(high%).*nvap….*70 bytes",
      scan("bad.txt").stdout
    )
  end)

  it("says what could not be read, and goes on", function()
    bench:write("bad.txt", key() .. "\n")
    assert(fs.symlink("loop", bench.dir .. "/loop"))
    local doc, r = scan_json("loop", "/proc/self/mem", "bad.txt")
    assert.equal(1, r.code)
    assert.equal(1, doc.count)
    assert.equal(2, #doc.errors)
    assert.matches("loop", doc.errors[1].message, 1, true)
    assert.matches("/proc/self/mem", r.stderr, 1, true)
    assert.equal(2, scan("loop").code)
  end)

  it("refuses UTF-16 by name, and passes over binary files unless asked", function()
    bench:write("wide.txt", "\xff\xfek\0e\0y\0")
    bench:write("program", "\127ELF\0\0" .. key() .. "\0")
    assert.equal(2, scan("wide.txt").code)
    assert.matches("UTF-16", scan("wide.txt").stderr, 1, true)
    local doc, r = scan_json("program")
    assert.same({ 0, "binary", 0 }, { doc.count, doc.skipped[1].why, r.code })
    assert.equal(1, scan("--binary", "program").code)
  end)

  it("walks a folder without following links, and outside git takes all", function()
    bench:write("d/a/deep.txt", key())
    bench:write("d/.hidden", key())
    bench:write("d/.git-like/x", key())
    assert(fs.symlink("..", bench.dir .. "/d/a/up"))
    assert(fs.symlink("deep.txt", bench.dir .. "/d/a/again"))
    local doc = scan_json("d")
    assert.equal(3, doc.count)
    assert.equal(2, #doc.skipped)
  end)

  it("asks git which files count, and takes ignored ones only when told", function()
    git("init", "-q")
    bench:write(".gitignore", "ignored.txt\nout/\n")
    bench:write("tracked.txt", key())
    bench:write("new.txt", key())
    bench:write("ignored.txt", key())
    bench:write("out/x.txt", key())
    bench:write("gone.txt", "x")
    git("add", "tracked.txt", "gone.txt")
    assert(fs.remove(bench.dir .. "/gone.txt"))
    local doc, r = scan_json(".")
    local names = {}
    for i, f in ipairs(doc.findings) do
      names[i] = f.file
    end
    assert.same({ "new.txt", "tracked.txt" }, (table.sort(names) or names))
    assert.equal(0, #doc.errors, r.stderr)
    assert.equal(4, scan_json("--ignored", ".").count)
    assert.equal(1, scan_json("ignored.txt").count)
    assert.matches("--ignored", scan("out").stderr, 1, true)
  end)

  it("starts no program that a repository's settings name", function()
    git("init", "-q")
    bench:write("hook.sh", "#!/bin/sh\ntouch " .. bench.root .. "/started\n")
    assert(fs.chmod(bench.dir .. "/hook.sh", "0755"))
    git("config", "core.fsmonitor", bench.dir .. "/hook.sh")
    assert.equal(0, scan(".").code)
    assert.is_false(fs.exists(bench.root .. "/started"))
  end)

  it("reads standard input, and with --redact gives a clean stream", function()
    local secret = key()
    local text = "a\n" .. secret .. "\nb\n"
    local r = bench:pai({ "scan", "-" }, { stdin = text })
    assert.equal(1, r.code)
    assert.matches("^%-:2:1: ", r.stdout)
    r = bench:pai({ "scan", "--redact", "-" }, { stdin = text })
    assert.equal(1, r.code)
    assert.matches("^a\n%[REDACTED:nvidia%-api%-key:%x+%]\nb\n$", r.stdout)
    assert.matches("1 findings", r.stderr, 1, true)
  end)

  it("writes clean copies beside, to a file, and to a folder; modes stay", function()
    local text = "a\xff\0b"
    text = ("x"):rep(9000) .. text .. "\n" .. key() .. "\r\nend"
    bench:write("bad.txt", text)
    bench:write("sub/clean.txt", "nothing\n")
    assert(fs.chmod(bench.dir .. "/bad.txt", "0640"))
    assert.equal(1, scan("--redact", "bad.txt").code)
    local copy = fs.read(bench.dir .. "/bad.txt.redacted")
    assert.equal(text, (copy:gsub("%[REDACTED:[%w-]+:%x+%]", text:match("nvapi[%w_-]+"))))
    assert.equal(tonumber("0640", 8), fs.stat(bench.dir .. "/bad.txt.redacted").mode)
    assert.equal(text, fs.read(bench.dir .. "/bad.txt"))
    assert.equal(0, scan("bad.txt.redacted").code)
    assert.equal(1, scan("--redact", "--output", "one", "bad.txt").code)
    assert.equal(copy, fs.read(bench.dir .. "/one"))
    assert.equal(1, scan("--redact", "--output", "all", "bad.txt", "sub").code)
    assert.equal(copy, fs.read(bench.dir .. "/all/bad.txt"))
    assert.equal("nothing\n", fs.read(bench.dir .. "/all/sub/clean.txt"))
    for _, name in ipairs(fs.walk(bench.dir)) do
      assert.is_nil(name:find("XXXXXX", 1, true) or name:match("/%.[^/]*%.%w%w%w%w%w%w$"), name)
    end
  end)

  it("leaves what was there when a copy can't be written", function()
    bench:write("bad.txt", key())
    assert(fs.mkdir(bench.dir .. "/taken"))
    local r = scan("--redact", "--output", "taken", "bad.txt")
    assert.equal(2, r.code)
    assert.matches("taken", r.stderr, 1, true)
    assert.equal(2, scan("--redact", "--output", "/proc/none/x", "bad.txt").code)
  end)

  it("keeps to the allow file: fingerprints, paths, rules, days", function()
    bench:write("a.txt", key())
    bench:write("docs/b.txt", key())
    local print = scan_json("a.txt").findings[1].fingerprint
    local function with(text, ...)
      bench:write(".pai-scan-allow", text)
      return scan_json(..., "a.txt", "docs").count
    end
    assert.equal(2, with("# nothing\n\n", "--ignored"))
    assert.equal(1, with("fingerprint " .. print .. " a sample\n", "--ignored"))
    assert.equal(1, with("fingerprint " .. print .. " until=2999-01-01 a sample\n", "--ignored"))
    assert.equal(2, with("fingerprint " .. print .. " until=2020-01-01 a sample\n", "--ignored"))
    assert.equal(1, with("path docs/**\n", "--ignored"))
    assert.equal(1, with("path docs/*.txt a reason\n", "--ignored"))
    assert.equal(2, with("path *.txtx\n", "--ignored"))
    assert.equal(1, with("rule nvidia-api-key docs/**\n", "--ignored"))
    assert.equal(2, with("path docs/**\n", "--no-allow"))
    bench:write(".pai-scan-allow", "fingerprint\n")
    local r = scan("a.txt")
    assert.equal(2, r.code)
    assert.matches("line 1", r.stderr, 1, true)
  end)

  it("reports only what a baseline does not hold", function()
    bench:write("a.txt", key() .. "\n")
    bench:write("old.json", scan("--json", "a.txt").stdout)
    assert.equal(0, scan("--baseline", "old.json", "a.txt").code)
    assert(fs.append(bench.dir .. "/a.txt", key() .. "\n"))
    local doc = scan_json("--baseline", "old.json", "a.txt")
    assert.same({ 1, 1, 2 }, { doc.count, doc.allowed, doc.findings[1].line })
  end)

  it("takes single rules and lists all of them", function()
    bench:write("a.txt", key() .. "\n" .. examples.positive("github-token", g))
    assert.equal(1, scan_json("--rule", "github-token", "a.txt").count)
    local listed = assert(json.decode(scan("--list-rules", "--json").stdout)).rules
    assert.is_true(#listed >= 60)
    assert.matches("nvidia%-api%-key +high", scan("--list-rules").stdout)
  end)

  it("gives SARIF 2.1.0", function()
    bench:write("a b.txt", "ü " .. key() .. "\n")
    local doc = assert(json.decode(scan("--sarif", "a b.txt").stdout))
    assert.equal("2.1.0", doc.version)
    local run = doc.runs[1]
    assert.equal("unicodeCodePoints", run.columnKind)
    assert.is_true(run.invocations[1].executionSuccessful)
    local result = run.results[1]
    assert.equal(result.ruleId, run.tool.driver.rules[result.ruleIndex + 1].id)
    assert.equal("error", result.level)
    assert.is_truthy(result.message.text)
    local place = result.locations[1].physicalLocation
    assert.equal("a%20b.txt", place.artifactLocation.uri)
    assert.same({
      startLine = 1,
      startColumn = 3,
      endLine = 1,
      endColumn = 73,
      byteOffset = 3,
      byteLength = 70,
    }, place.region)
    assert.matches("^%x+$", result.partialFingerprints["paiScan/v1"])
    assert.same({}, json.decode(scan("--sarif", "--rule", "jwt", "a b.txt").stdout).runs[1].results)
  end)
end)

describe("this project", function()
  it("holds no credential", function()
    local r = assert(exec.run({ pai.exe, "scan", "--no-allow", pai.root }, {
      accept = { 0, 1, 2 },
      timeout = "2m",
    }))
    assert.equal(0, r.code, r.stdout .. r.stderr)
  end)
end)
