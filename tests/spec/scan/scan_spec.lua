-- The engine of pai scan: places, escapes, recordings, borders of blocks, redaction, odd input.
local examples = dofile("tests/spec/scan/examples.lua")
local fs = require("pai.fs")
local json = require("pai.json")
local scan = require("pai.scan")

local rules = require("pai.scan.rules").all()
local all = assert(scan.compile(rules))
local g = examples.generator(77)

local function github()
  return (examples.positive("github-token", g)):match("t (%S+)")
end

local function nvidia()
  return "nvapi" .. "-" .. g("url", 63) .. "a"
end

-- "rule@line:column ..." of what is found.
local function found(text, opts)
  local list = {}
  for i, f in ipairs(assert(all:text(text, opts)).findings) do
    list[i] = ("%s@%d:%d"):format(f.rule, f.line, f.column)
  end
  return table.concat(list, " ")
end

local function redacted(text)
  return assert(all:text(text, { redact = true })).redacted
end

describe("a finding", function()
  it("has its line and column in characters, and its end", function()
    local key = nvidia()
    local r = all:text("eins\nzwei\nümläut → " .. key .. " x\n")
    local f = r.findings[1]
    assert.same({ 3, 10, 3, 80 }, { f.line, f.column, f.end_line, f.end_column })
    assert.equal(70, f.length)
    assert.equal("nvap", f.shown)
  end)

  it("shows no character of a password", function()
    local text = examples.positive("url-userinfo", g)
    assert.equal("", all:text(text).findings[1].shown)
  end)

  it("has a fingerprint of rule, salt and value, wherever it stands", function()
    local key = nvidia()
    local function print_of(text, scanner)
      return (scanner or all):text(text).findings[1].fingerprint
    end
    local salted = assert(scan.compile(rules, { salt = "pepper" }))
    assert.equal(print_of(key), print_of("\n\nx " .. key .. "\n"))
    assert.equal(print_of(key), print_of(json.encode({ a = "\n" .. key .. "\n" })))
    assert.not_equal(print_of(key), print_of(nvidia()))
    assert.not_equal(print_of(key), print_of(key, salted))
  end)

  it("is one, whatever rules it fits", function()
    local key = nvidia()
    assert.equal("nvidia-api-key@1:13", found("NGC_API_KEY=" .. key))
    assert.equal("nvidia-api-key@1:23", found("Authorization: Bearer " .. key))
  end)

  it("follows another one at once", function()
    local text = github() .. "," .. github() .. "\n" .. github()
    assert.equal("github-token@1:1 github-token@1:42 github-token@2:1", found(text))
  end)

  it("is low when a checksum is wrong or a JWT has expired", function()
    local key = github()
    local last = key:sub(-1) == "a" and "b" or "a"
    assert.is_false(all:text(key).findings[1].low)
    assert.is_true(all:text(key:sub(1, -2) .. last).findings[1].low)
  end)

  it("can be allowed on its line, in its own line only", function()
    local key = nvidia()
    local text = key .. "  # pai-scan:allow\n" .. nvidia() .. "\n"
    local r = all:text(text, { redact = true })
    assert.same({ 1, 1 }, { r.count, r.allowed })
    assert.is_truthy(r.redacted:find(key, 1, true))
    assert.equal(2, all:text(text, { comments = false }).count)
    local escaped = json.encode({ text })
    assert.same({ 1, 1 }, { all:text(escaped).count, all:text(escaped).allowed })
  end)

  it("can be allowed by fingerprint", function()
    local key = nvidia()
    local print = all:text(key).findings[1].fingerprint
    local r = all:text(key .. "\n" .. nvidia(), { allow = { print } })
    assert.same({ 1, 1 }, { r.count, r.allowed })
    assert.has_error(function()
      all:text(key, { allow = { "no hex" } })
    end, "allow[1] is not a fingerprint of 16 hex digits")
  end)
end)

describe("escaped text", function()
  local function nested(text, times)
    for _ = 1, times do
      text = json.encode({ type = "text", text = text })
    end
    return text
  end

  it("is looked through once, twice and three times, and stays JSON", function()
    for times = 1, 3 do
      local keys = { nvidia(), github(), nvidia() }
      local text = 'export A="'
        .. keys[1]
        .. '"\n\tB='
        .. keys[2]
        .. "\nC/é\u{1F600}"
        .. keys[3]
        .. "\n"
      local line = nested(text, times)
      local r = all:text(line .. "\n" .. line, { redact = true })
      assert.equal(6, r.count)
      for one in r.redacted:gmatch("[^\n]+") do
        local value = one
        for _ = 1, times do
          value = assert(json.decode(value)).text
        end
        local expected = text
        for i, key in ipairs(keys) do
          local f = r.findings[i]
          local mark = ("[REDACTED:%s:%s]"):format(f.rule, f.fingerprint:sub(1, 8))
          expected = expected:gsub(key:gsub("%-", "%%-"), mark)
        end
        assert.equal(expected, value)
      end
    end
  end)

  it("may hide the characters of a secret themselves", function()
    local sig = g("alnum", 20) .. "+" .. g("alnum", 21) .. "/"
    local text = '{"u":"https:\\/\\/a?x=1\\u0026sig='
      .. sig:gsub("+", "\\u002b"):gsub("/", "\\/")
      .. '\\u003d\\u0026y=2"}'
    local r = all:text(text, { redact = true })
    assert.equal("azure-sas-signature", r.findings[1].rule)
    assert.equal(#sig + 1, r.findings[1].length)
    local mark = "[REDACTED:azure-sas-signature:" .. r.findings[1].fingerprint:sub(1, 8) .. "]"
    assert.equal("https://a?x=1&sig=" .. mark .. "&y=2", json.decode(r.redacted).u)
  end)

  it("holds private keys on one line", function()
    local text, first, last = examples.positive("private-key-block", g)
    local line = json.encode({ key = text })
    local r = all:text(line, { redact = true })
    assert.equal("private-key-block", r.findings[1].rule)
    assert.equal(last - first + 1, r.findings[1].length)
    assert.is_nil(r.redacted:find(text:match("[%w+/]+\n[^\n]*\n[^\n]*$"), 1, true))
    assert.matches("^key:\n%[REDACTED:private%-key%-block:%x+%]\n$", json.decode(r.redacted).key)
  end)

  it("is found with terminal codes and continued lines inside", function()
    local key = nvidia()
    local colour = "\27[32m" .. key:sub(1, 20) .. "\27[0m\27[1;33m" .. key:sub(21) .. "\27[0m"
    local r = all:text("x " .. colour .. "\n", { redact = true })
    assert.equal("nvidia-api-key", r.findings[1].rule)
    assert.matches(
      "^x \27%[32m%[REDACTED:nvidia%-api%-key:%x+%]\27%[0m\27%[1;33m\27%[0m\n$",
      r.redacted
    )
    assert.equal("nvidia-api-key@1:1", found(key:sub(1, 30) .. "\\\n" .. key:sub(31)))
    assert.equal("nvidia-api-key@1:7", found("\\e[31m" .. key .. "\\e[0m"))
  end)

  it("that is none is found as it stands", function()
    assert.equal("nvidia-api-key@1:14", found("C:\\new\\users " .. nvidia()))
    assert.equal("nvidia-api-key@1:4", found("\\q " .. nvidia()))
  end)
end)

describe("a terminal recording", function()
  local function cast(version, events)
    local head = version == 2 and '{"version": 2, "width": 80, "height": 24}'
      or '{"version":3,"term":{"cols":80,"rows":24}}'
    local lines = { head }
    for i, event in ipairs(events) do
      lines[#lines + 1] = ("[%.6f, %s, %s]"):format(
        i / 10,
        json.encode(event[1]),
        json.encode(event[2])
      )
    end
    return table.concat(lines, "\n") .. "\n"
  end

  -- What the terminal shows, from a recording's text.
  local function played(text, kind)
    local out = {}
    for line in text:gmatch("[^\n]+") do
      local event = assert(json.decode(line))
      if event[2] == kind then
        out[#out + 1] = event[3]
      end
    end
    return table.concat(out)
  end

  it("is put together from its events", function()
    for _, version in ipairs({ 2, 3 }) do
      local key = nvidia()
      local events = { { "o", "$ echo " } }
      for c in key:gmatch(".") do
        events[#events + 1] = { "i", c }
        events[#events + 1] = { "o", c }
      end
      events[#events + 1] = { "o", "\r\n" }
      local r = all:text(cast(version, events), { redact = true })
      assert.equal(2, r.count)
      assert.equal("nvidia-api-key", r.findings[1].rule)
      assert.equal(3, r.findings[1].line)
      assert.matches("^%$ echo %[REDACTED:nvidia%-api%-key:%x+%]\r\n$", played(r.redacted, "o"))
      assert.matches("^%[REDACTED:nvidia%-api%-key:%x+%]$", played(r.redacted, "i"))
    end
  end)

  it("may have codes and a line's end of the shell inside a secret", function()
    local key = nvidia()
    local events = {
      { "o", "\27[1mtoken \27[32m" .. key:sub(1, 30) .. " \r" },
      { "o", "\27[32m" .. key:sub(31, 50) },
      { "o", key:sub(51) .. "\27[0m done\r\n" },
    }
    local r = all:text(cast(2, events), { redact = true })
    assert.equal(1, r.count)
    local text = played(r.redacted, "o")
    assert.is_nil(text:find(key:sub(5, 25), 1, true))
    assert.is_nil(text:find(key:sub(55), 1, true))
    assert.matches("done\r\n$", text)
  end)
end)

describe("a large input", function()
  local dir

  setup(function()
    dir = fs.tempdir({ prefix = "pai-scan-" })
  end)

  teardown(function()
    fs.remove(dir, { recursive = true })
  end)

  it("loses nothing at the border of a block", function()
    local key = nvidia()
    local filler = ("word \n"):rep(200000)
    local limit = 1024 * 1024 + 32 * 1024 -- where the first block is reported up to
    for shift = -80, 80, 4 do
      local before = filler:sub(1, limit + shift - 1) .. "\n"
      local text = before .. key .. "\n" .. filler:sub(1, 200000)
      local r = all:text(text, { redact = true })
      assert.equal(1, r.count, shift)
      assert.equal(#before, r.findings[1].offset)
      local _, lines = before:gsub("\n", "")
      assert.same({ lines + 1, 1 }, { r.findings[1].line, r.findings[1].column })
      local mark = "[REDACTED:nvidia-api-key:" .. r.findings[1].fingerprint:sub(1, 8) .. "]"
      assert.is_true(before .. mark .. "\n" .. filler:sub(1, 200000) == r.redacted)
    end
  end)

  it("is the same for one line of many blocks, escaped or not", function()
    local keys, parts = {}, {}
    for i = 1, 60 do
      keys[i] = nvidia()
      parts[i] = ('a "quoted" word\n'):rep(4000 + i * 13) .. keys[i] .. "\n"
    end
    local text = table.concat(parts)
    local line = json.encode({ text = text })
    assert.is_true(#line > 4 << 20)
    local r = all:text(line, { redact = true })
    assert.equal(60, r.count)
    local back = json.decode(r.redacted).text
    local clean = back:gsub("%[REDACTED:nvidia%-api%-key:%x+%]", "")
    assert.equal(#text - 60 * 70, #clean)
    for _, f in ipairs(r.findings) do
      assert.equal(1, f.line)
    end
    local path = dir .. "/line.jsonl"
    assert(fs.write(path, line))
    local of_file = all:file(path, { output = dir .. "/clean" })
    assert.equal(60, of_file.count)
    assert.is_true(fs.read(dir .. "/clean") == r.redacted)
  end)
end)

describe("odd input", function()
  it("of any kind is looked through to its end", function()
    local key = nvidia()
    local texts = {
      nothing = "",
      nul = "a\0b ",
      latin1 = "\xff\xfe\xc3( \xed\xa0\x80 ",
      backslashes = ("\\"):rep(300001),
      quotes = ('\\"'):rep(100000),
      escapes = ("\27["):rep(100000) .. "m ",
      surrogate = "\\ud83d \\u12 \\x ",
      deep = ("["):rep(200000) .. " ",
      keywords = ("password token secret api_key "):rep(20000),
      headers = (("-"):rep(5) .. "BEGIN "):rep(20000),
      equals = ("token="):rep(50000) .. " ",
      base64 = g("b64", 1000) .. (g("b64", 76) .. "\n"):rep(2000),
    }
    for name, text in pairs(texts) do
      local r = assert(all:text(text .. "\n" .. key .. "\n", { binary = true, redact = true }))
      assert.equal("nvidia-api-key", r.findings[#r.findings].rule, name)
      local f = r.findings[#r.findings]
      local mark = ("[REDACTED:nvidia-api-key:%s]\n"):format(f.fingerprint:sub(1, 8))
      assert.equal(#text + 1, f.offset, name)
      assert.is_true(mark == r.redacted:sub(-#mark), name)
    end
  end)

  it("that costs too much is given up, and said", function()
    local slow = assert(scan.compile({
      { id = "slow", keywords = { "slow" }, pattern = "slow((?:a+)+)b" },
    }))
    local r = slow:text("slow" .. ("a"):rep(60) .. "\n")
    assert.equal(0, r.count)
    assert.is_true(r.limited > 0)
  end)

  it("is the same after redacting what was redacted", function()
    local parts = {}
    for _, rule in ipairs(rules) do
      parts[#parts + 1] = (examples.positive(rule.id, g))
    end
    local text = table.concat(parts, "\n\n")
    local once = redacted(text)
    assert.equal("", found(once))
    assert.equal(once, redacted(once))
  end)
end)

describe("a rule that is wrong", function()
  local function refused(rule, message)
    local ok, e = pcall(scan.compile, { rule })
    assert.is_false(ok)
    assert.is_truthy(tostring(e):find(message, 1, true), tostring(e))
  end

  it("is refused by name", function()
    refused({ id = "Bad Id", pattern = "(a)", keywords = { "aaaa" } }, "its id")
    refused({ id = "a", pattern = "(a", keywords = { "aaaa" } }, "rule a: the expression is wrong")
    refused({ id = "a", pattern = "a", keywords = { "aaaa" } }, "0 groups")
    refused({ id = "a", pattern = "(a)", keywords = { "aaa" } }, "has not 4 to 40 bytes")
    refused({ id = "a", pattern = "(a)", keywords = {} }, "it has no keyword")
    refused({ id = "a", pattern = "(a)", keywords = { "aaaa" }, check = "x" }, "no check 'x'")
    refused({ id = "a", pattern = "(a)", keywords = { "aaaa" }, allow = "x" }, "no allow-list 'x'")
    refused({ pattern = "(a)" }, "no id")
  end)
end)
