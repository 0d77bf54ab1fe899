local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local mask = require("pai.mask")
local secret = require("pai.secret")

local exe = require("pai").exe

-- Values are put together here, so that no file holds one.
local function canary(name)
  return ("canary-%s-%s"):format(name, ("x7Kq"):rep(4))
end

describe("pai.secret", function()
  local dir

  before_each(function()
    dir = assert(fs.tempdir({ prefix = "pai-secret-" }))
  end)

  after_each(function()
    assert(fs.remove(dir, { recursive = true }))
  end)

  local function put(name, text)
    local path = dir .. "/" .. name
    assert(fs.write(path, text, { sync = false, mode = 384 }))
    return path
  end

  -- Runs a Lua script in a pai of its own; returns what it wrote.
  local function script(text, env)
    local r, err = exec.run({ exe, "lua", put("script.lua", text) }, { env = env, raw = true })
    assert(r, tostring(err) .. (err and err.stderr or ""))
    return r.stdout, r.stderr
  end

  it("prints as *** and does not join with text", function()
    local path = put("token", canary("file") .. "\n")
    local h = assert(secret.from_file(path))
    assert.equal("***", tostring(h))
    assert.equal("a *** b", ("a %s b"):format(h))
    assert.equal("file " .. path, h:name())
    assert.equal(#canary("file"), h:len())
    assert.is_true(h:masked())
    for _, join in ipairs({
      function()
        return h .. "x"
      end,
      function()
        return "x" .. h
      end,
      function()
        return table.concat({ h })
      end,
      function()
        return #h
      end,
      function()
        return json.encode({ h })
      end,
      function()
        h.value = 1
      end,
    }) do
      assert.error(join)
    end
    assert.is_false(getmetatable(h))
    assert.is_nil(h.value)
  end)

  it("registers its value with the process-wide masker", function()
    assert(secret.from_file(put("token", canary("mask"))))
    assert.equal("see ***!", mask.text("see " .. canary("mask") .. "!"))
    assert.is_true(mask.find("--token=" .. canary("mask")))
  end)

  it("stays masked when the handle is gone", function()
    assert(secret.from_file(put("token", canary("gone"))))
    collectgarbage()
    collectgarbage()
    assert.is_true(mask.find(canary("gone")))
  end)

  it("is equal to another of the same value", function()
    local a = secret.from_file(put("a", canary("same")))
    local b = secret.from_file(put("b", canary("same") .. "\r\n"))
    local c = secret.from_file(put("c", canary("other")))
    assert.is_true(a:equals(b))
    assert.is_false(a:equals(c))
    assert.error_matches(function()
      a:equals(canary("same"))
    end, "pai.secret expected")
  end)

  it("comes from the environment", function()
    local out = script(
      [[local secret = require("pai.secret")
        local h, warning = secret.from_env("TOKEN")
        print(h, h:name(), h:len(), warning)
        print(select(2, secret.from_env("MISSING")), select(2, secret.from_env("MISSING")).code)
        print(select(2, secret.from_env("EMPTY")))]],
      { TOKEN = canary("env"), EMPTY = "" }
    )
    assert.equal(
      ([[
***	env TOKEN	%d	nil
the environment variable MISSING is not set	ENOENT
the environment variable EMPTY is empty
]]):format(#canary("env")),
      out
    )
  end)

  it("warns of a value that is not masked", function()
    local h, warning = secret.from_file(put("short", "12345"))
    assert.equal("***", tostring(h))
    assert.is_false(h:masked())
    assert.matches("file .*/short is not masked in output: it is shorter than 6 bytes", warning)
    local _, of_word = secret.from_file(put("word", "docker\n"))
    assert.matches("ordinary output", of_word)
    assert.equal("docker 12345", mask.text("docker 12345"))
  end)

  it("says why a file gives none", function()
    local h, err = secret.from_file(dir .. "/none")
    assert.is_nil(h)
    assert.equal("ENOENT", err.code)
    h, err = secret.from_file(put("empty", ""))
    assert.is_nil(h)
    assert.matches("is empty", tostring(err))
    h, err = secret.from_file(put("large", ("x"):rep(2 << 20)))
    assert.is_nil(h)
    assert.equal("ELIMIT", err.code)
    h, err = secret.from_file(dir)
    assert.is_nil(h)
    assert.equal("EISDIR", err.code)
  end)

  it("is generated at random", function()
    local a, b = secret.generate(16), secret.generate(16)
    assert.equal(32, a:len())
    assert.is_false(a:equals(b))
    assert.error(function()
      secret.generate(4)
    end)
  end)

  describe("from a .env file", function()
    -- Writes the file and returns what each name is found as by comparing with a list of values.
    local function parse(text, candidates)
      local got, warnings = secret.from_dotenv(put(".env", text))
      if not got then
        return got, warnings
      end
      local out = {}
      for name, h in pairs(got) do
        out[name] = "?"
        for i, value in ipairs(candidates) do
          if h:equals(assert(secret.from_file(put("candidate", value)))) then
            out[name] = candidates[i]
          end
        end
      end
      return out, warnings
    end

    it("reads the forms that people write", function()
      local text = table.concat({
        "\xEF\xBB\xBF# comment with A=B",
        "PLAIN=plain-value-1",
        "export EXPORTED=exported-value",
        "  SPACED  =  spaced value 2  ",
        "COMMENT=with-comment-3 # this one",
        "HASH=with#hash-inside",
        "SINGLE='it''",
        "",
      }, "\n")
      text = text:gsub("SINGLE='it''", "SINGLE='$HOME `id` \\n #4' # not run")
      text = text
        .. 'DOUBLE="tab\\t quote\\" slash\\\\ dollar\\$ keep\\q"\r\n'
        .. "CRLF=crlf-value-5\r\n"
        .. 'LINES="first line\nsecond line"\n'
        .. "EMPTY=\n"
        .. "EMPTY_QUOTED=''\n"
        .. "TWICE=the-first-one\nTWICE=the-second-one\n"
        .. "_x1=last-line-no-end"
      assert.same({
        PLAIN = "plain-value-1",
        EXPORTED = "exported-value",
        SPACED = "spaced value 2",
        COMMENT = "with-comment-3",
        HASH = "with#hash-inside",
        SINGLE = "$HOME `id` \\n #4",
        DOUBLE = 'tab\t quote" slash\\ dollar$ keep\\q',
        CRLF = "crlf-value-5",
        LINES = "first line\nsecond line",
        TWICE = "the-second-one",
        _x1 = "last-line-no-end",
      }, (parse(text, {
        "plain-value-1",
        "exported-value",
        "spaced value 2",
        "with-comment-3",
        "with#hash-inside",
        "$HOME `id` \\n #4",
        'tab\t quote" slash\\ dollar$ keep\\q',
        "crlf-value-5",
        "first line\nsecond line",
        "the-second-one",
        "last-line-no-end",
      })))
    end)

    it("never runs anything", function()
      put("run", "")
      local got = assert(
        secret.from_dotenv(put(".env", ("A=$(touch %s/ran)\nB=`touch %s/ran`\n"):format(dir, dir)))
      )
      assert.is_truthy(got.A and got.B)
      assert.is_false(fs.exists(dir .. "/ran"))
      assert.is_nil(os.getenv("A"))
    end)

    it("names the line of a mistake, never what stands in it", function()
      for text, line in pairs({
        ["A=1\nnot a pair\n"] = 2,
        ["\n\n1A=x\n"] = 3,
        ["A=1\nB='open\nC=2\n"] = 2,
        ['A="x" y\n'] = 1,
        ["A-B=1\n"] = 1,
        ["=x\n"] = 1,
        ["A=a\0b\n"] = 1,
      }) do
        local got, err = secret.from_dotenv(put(".env", text))
        assert.is_nil(got, text)
        assert.equal("EPARSE", err.code)
        assert.matches(('/.env", line %d: '):format(line), err.message, 1, true)
        assert.is_nil(err.message:find("open", 1, true))
      end
      assert.equal("ENOENT", select(2, secret.from_dotenv(dir .. "/none")).code)
    end)

    it("lists what is not masked", function()
      local _, warnings = secret.from_dotenv(put(".env", "SHORT=abc\nLONG=long-enough-value\n"))
      assert.equal(1, #warnings)
      assert.matches("SHORT", warnings[1])
    end)
  end)

  it("never lies in the Lua heap, nor in any other memory but the locked", function()
    -- The value reaches the child through a file; it looks for it, put together from halves, in all
    -- of its writable memory, and finds it only in what is left out of dumps, which is ours.
    local path = put("token", canary("heap") .. "\n")
    -- With an escape, so that it is decoded on the way.
    local document = put(
      "document.json",
      ('[{"token":"another-value"},{"token":"\\u%04x%s"}]'):format(
        canary("heap"):byte(),
        canary("heap"):sub(2)
      )
    )
    local out = script(([[
      local secret, out = require("pai.secret"), require("pai.out")
      -- Once a secret is loaded only root may open these.
      local mem, maps = assert(io.open("/proc/self/mem", "rb")), assert(io.open("/proc/self/smaps"))
      local h = assert(secret.from_file(%q))
      out.stdout("the value: ", tostring(h), "\n")
      local list = assert(require("pai.json").decode(assert(secret.from_file(%q)),
        { secret = { "[].token" } }))
      out.stdout(tostring(list[2].token:equals(h)), "\n")
      local got = require("pai.exec").run({ "/bin/cat" }, { stdin = h, stdout = "secret" })
      out.stdout(tostring(got.stdout), "\n")
      local first, second = %q, %q
      collectgarbage() collectgarbage()
      local regions, current = {}, nil
      for line in maps:lines() do
        local from, to, flags, name = line:match("^(%%x+)%%-(%%x+) (%%S+) %%S+ %%S+ %%S+%%s*(.*)")
        if from then
          current = { from = tonumber(from, 16), to = tonumber(to, 16), flags = flags, name = name }
          regions[#regions + 1] = current
        elseif line:match("^VmFlags:") then
          current.locked = line:match(" dd") ~= nil
        end
      end
      local found = { locked = 0, other = 0 }
      for _, r in ipairs(regions) do
        if r.flags:sub(1, 2) == "rw" and r.to - r.from < 1 << 30 then
          mem:seek("set", r.from)
          local text = mem:read(r.to - r.from) or ""
          local at = text:find(first, 1, true)
          while at do
            if text:sub(at + #first, at + #first + #second - 1) == second then
              local where = r.locked and "locked" or "other"
              found[where] = found[where] + 1
            end
            at = text:find(first, at + 1, true)
          end
          text = nil
          collectgarbage()
        end
      end
      local root = require("pai.fs").stat("/proc/self/exe", { follow = false }).uid == 0
      local _, uid = require("pai.fs").user()
      print(found.locked > 0, found.other, (io.open("/proc/self/mem") == nil) == (uid ~= 0), root)
    ]]):format(path, document, canary("heap"):sub(1, 10), canary("heap"):sub(11)))
    assert.equal("the value: ***\ntrue\n***\ntrue\t0\ttrue\ttrue\n", out)
  end)

  describe("from JSON", function()
    local function doc(text)
      return assert(secret.from_file(put("doc.json", text)))
    end

    it("becomes a handle at the paths that are named", function()
      local text = ([[{"user":"me","auths":[{"host":"a","key":"%s"},{"host":"b","key":null}],
        "token":"%s\u0021\n","n":[1,2]}]]):format(canary("key"), canary("token"))
      local got, err, warnings =
        json.decode(doc(text), { secret = { "auths[].key", "token", "none.here" } })
      assert.is_nil(err)
      assert.same({}, warnings)
      assert.equal("me", got.user)
      assert.same({ 1, 2 }, got.n)
      assert.equal("b", got.auths[2].host)
      assert.equal(json.null, got.auths[2].key)
      assert.equal("***", tostring(got.auths[1].key))
      assert.equal("json key", got.auths[1].key:name())
      local same = assert(secret.from_file(put("same", canary("token") .. "!\n\n")))
      assert.is_true(got.token:equals(same))
      assert.is_true(mask.find(canary("key")))
    end)

    it("goes with pick, which then takes nothing else but the secrets", function()
      local text = ('{"a":{"b":1,"c":"%s"},"d":{"e":"%s"},"f":2}'):format(canary("c"), canary("e"))
      local got = json.decode(doc(text), { pick = { "a" }, secret = { "a.c", "d.e" } })
      assert.equal(1, got.a.b)
      assert.equal("***", tostring(got.a.c))
      assert.equal("***", tostring(got.d.e))
      assert.is_nil(got.f)
      local whole = json.decode(('"%s"'):format(canary("c")), { secret = { "x" } })
      assert.equal(canary("c"), whole)
    end)

    it("says what is not masked, and refuses what is no string", function()
      local _, _, warnings = json.decode(doc('{"pin":"1234","x":""}'), { secret = { "pin", "x" } })
      assert.equal("json pin is not masked in output: it is shorter than 6 bytes", warnings[1])
      assert.equal(2, #warnings)
      local got, err = json.decode(doc('{"pin":123456789}'), { secret = { "pin" } })
      assert.is_nil(got)
      assert.equal("EPARSE", err.code)
      assert.equal("line 1, column 8: a secret is a string or null", err.message)
      assert.error_matches(function()
        json.decode(doc('{"a":"b"}'))
      end, "name its secret values in option 'secret'")
      assert.error_matches(function()
        json.decode("{}", { secret = { "a..b" } })
      end, "option 'secret': 'a..b' is no path")
      assert.error_matches(function()
        json.decode("{}", { secret = {} })
      end, "at least one path")
    end)

    it("names no secret in an error", function()
      for _, tail in ipairs({ "", '"', '","x":1,"x":2}', "\\q", '"]' }) do
        local got, err = json.decode(doc('{"t":"' .. canary("bad") .. tail), { secret = { "t" } })
        assert.is_nil(got)
        assert.is_nil(tostring(err):find(canary("bad"), 1, true))
      end
    end)
  end)

  it("does not show in the arguments or the environment of a child", function()
    local h = assert(secret.from_file(put("token", canary("argv"))))
    local ran, err = pcall(exec.run, { "/bin/echo", "--token=" .. canary("argv") })
    assert.is_false(ran)
    assert.matches("argument 1", tostring(err))
    assert.is_nil(tostring(err):find(canary("argv"), 1, true))
    local proc = assert(exec.start({ "/bin/cat" }, { stdin = h, stdout = "null" }))
    local seen = {}
    for _, name in ipairs({ "cmdline", "environ" }) do
      local f = io.open(("/proc/%d/%s"):format(proc.pid, name), "rb")
      seen[#seen + 1] = f and f:read("a") or ""
    end
    assert(proc:wait("5s"))
    assert.is_nil(table.concat(seen):find(canary("argv"), 1, true))
  end)

  describe("asked for on the terminal", function()
    -- Runs a script with a terminal of its own and types the answer; returns what was shown.
    local function typed(text, answer)
      local command = ("'%s' lua '%s'"):format(exe, put("script.lua", text))
      local line = ([[{ sleep 0.4; printf '%s'; sleep 0.2; } | script -qec "%s" /dev/null]]):format(
        answer,
        command
      )
      return assert(
        exec.run(
          { "/bin/sh", "-c", line },
          { raw = true, timeout = "20s", env = { TERM = "dumb" } }
        )
      ).stdout
    end

    local ask = [[
      local secret, exec = require("pai.secret"), require("pai.exec")
      local h, err = secret.prompt("Token: ")
      print(h, h and h:len(), err)
      local r = exec.run({ "stty", "-a" }, { stdin = "inherit" })
      print(r.stdout:match("[ ;](%-?echo)[ ;]"))
    ]]

    it("is not shown while it is typed", function()
      local shown = typed(ask, canary("tty") .. "\\n")
      assert.equal(("Token: \r\n***\t%d\tnil\r\necho\r\n"):format(#canary("tty")), shown)
    end)

    it("is no answer when nothing is typed", function()
      assert.matches(
        "Token: \r\nnil\tnil\tthe question got no answer\r\necho",
        typed(ask, "\\n"),
        1,
        true
      )
    end)

    it("needs a terminal", function()
      local r = assert(exec.run({
        "setsid",
        "-w",
        exe,
        "lua",
        put("s.lua", ask:match("^(.-)print") .. "print(h, err.code)"),
      }))
      assert.matches("^nil\tENXIO", r.stdout)
    end)
  end)
end)
