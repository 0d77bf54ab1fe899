-- pai exec as somebody meets it who works with the program behind it: what it prints comes through
-- at once and unchanged, but for the secrets; what is typed, signals and exit codes as without pai.
local support = dofile("tests/spec/run/support.lua")
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local task = require("pai.task")

describe("pai exec", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    bench:remove()
  end)

  local function sh(script, opts)
    return bench:pai({ "exec", "--", "sh", "-c", script }, opts)
  end

  -- Not a literal, so that it is found nowhere but where the program printed it.
  local function new_value()
    return "canary-" .. crypto.hex(10)
  end

  -- A script that prints $MY_TOKEN in two writes, with something done in between.
  local function halves(first, between, second)
    local script = 'a=${MY_TOKEN%%????????}; printf %s "$a"; %s; printf %s "${MY_TOKEN#"$a"}"'
    return script:format(first, between, second)
  end

  -- Starts pai exec with a script and an open standard input; the second result gives what was
  -- printed so far, the third waits until it holds a text.
  local function conversation(script, env)
    local all = { PAI_STATE = bench.state }
    for k, v in pairs(env or {}) do
      all[k] = v
    end
    local seen = { stdout = "", stderr = "" }
    local proc = assert(exec.start({ pai.exe, "exec", "--", "sh", "-c", script }, {
      cwd = bench.dir,
      env = all,
      stdin = "pipe",
      accept = "any",
      timeout = "30s",
      raw = true,
      on_output = function(text, stream)
        seen[stream] = seen[stream] .. text
      end,
    }))
    local waiter = task.spawn(proc.wait, proc)
    local function until_seen(text, stream)
      for _ = 1, 1000 do
        if seen[stream]:find(text, 1, true) then
          return true
        end
        task.sleep(10)
      end
      return false
    end
    return proc, seen, until_seen, waiter
  end

  it("shows a prompt before its answer, on both streams", function()
    task.run(function()
      local script = 'printf "name? "; read n; printf "age? " >&2; read a; printf "%s-%s" $n $a'
      local proc, seen, until_seen, waiter = conversation(script)
      local _ <close> = proc
      assert.is_true(until_seen("name? ", "stdout"))
      assert.are.equal("waiting", waiter:status())
      proc:write("Ada\n")
      assert.is_true(until_seen("age? ", "stderr"))
      proc:write("36\n")
      assert.are.equal(0, waiter:wait("10s").code)
      assert.are.same({ stdout = "name? Ada-36", stderr = "age? " }, seen)
    end)
  end)

  it("shows a prompt that ends as a secret begins once that is no secret", function()
    task.run(function()
      local value = new_value()
      local script = 'printf "say ca"; read x; printf "ke"; read x'
      local proc, seen, until_seen, waiter = conversation(script, { MY_TOKEN = value })
      local _ <close> = proc
      assert.is_true(until_seen("say ", "stdout"))
      proc:write("\n")
      assert.is_true(until_seen("say cake", "stdout"))
      proc:write("\n")
      assert.are.equal(0, waiter:wait("10s").code)
      assert.are.equal("say cake", seen.stdout)
    end)
  end)

  it("changes no byte", function()
    local texts = { "no newline", "one\n", "\n", "\n\n", "a\r\nb\rc", "a\nb", "\0\1\255\n" }
    for _, text in ipairs(texts) do
      bench:write("text", text)
      local r = assert(exec.run({ pai.exe, "exec", "--", "sh", "-c", "cat text; cat text >&2" }, {
        cwd = bench.dir,
        env = { PAI_STATE = bench.state },
        raw = true,
      }))
      assert.are.same({ text, text }, { r.stdout, r.stderr })
    end
    assert.are.equal("", sh("true").stdout)
  end)

  it("passes much output on whole", function()
    local r = sh("seq 1 200000")
    assert.are.equal(1288895, #r.stdout)
    assert.are.equal("199999\n200000\n", r.stdout:sub(-14))
  end)

  it("masks a secret that comes in two writes", function()
    task.run(function()
      local value = new_value()
      local script = halves('"<%s"', "read x", '"%s>"') .. "; read x"
      local proc, seen, until_seen, waiter = conversation(script, { MY_TOKEN = value })
      local _ <close> = proc
      assert.is_true(until_seen("<", "stdout"))
      task.sleep(100)
      assert.are.equal("<", seen.stdout)
      proc:write("\n")
      assert.is_true(until_seen(">", "stdout"))
      proc:write("\n")
      waiter:wait("10s")
      assert.are.equal("<***>", seen.stdout)
    end)
  end)

  it("masks what is in .env, also in two writes and without a newline", function()
    local value = new_value()
    assert(exec.run({ "git", "init", "-q", bench.dir }))
    bench:write(".gitignore", ".env\n")
    bench:write(".env", "STORED=" .. value .. "\n")
    fs.chmod(bench.dir .. "/.env", "0600")
    local script = "MY_TOKEN=$(cut -d= -f2 .env); " .. halves("%s", "sleep 0.1", "%s")
    assert.are.equal("***", sh(script).stdout)
    -- the same output is not masked where nothing says that it is secret
    fs.remove(bench.dir .. "/.git", { recursive = true })
    assert.are.equal(value, sh(script).stdout)
  end)

  it("passes standard input on, to its end", function()
    assert.are.equal("in", sh("cat", { stdin = "in" }).stdout)
    local text = ("0123456789\n"):rep(30000)
    assert.are.equal(text, sh("cat", { stdin = text }).stdout)
  end)

  it("passes the exit code on, and has its own", function()
    for _, code in ipairs({ 0, 1, 7, 125, 255 }) do
      assert.are.equal(code, sh("exit " .. code).code)
    end
    local r = bench:pai({ "exec", "--", "pai-spec-no-such-program" })
    assert.are.equal(127, r.code)
    assert.matches("pai%-spec%-no%-such%-program", r.stderr)
    r = bench:pai({ "exec", "--", bench:write("plain", "text") })
    assert.are.equal(126, r.code)
    assert.matches("^pai exec: ", r.stderr)
  end)

  it("gives 125 when it can't do its own work", function()
    -- no descriptor is left for the program's pipes
    local r = assert(exec.run({ "sh", "-c", 'ulimit -n 6; exec "$0" exec -- true', pai.exe }, {
      cwd = bench.dir,
      env = { PAI_STATE = bench.state },
      accept = { 125 },
    }))
    assert.matches("^pai exec: .*[Tt]oo many open files", r.stderr)
  end)

  it("tells how a signal ended the program, as a shell does", function()
    for name, number in pairs({ TERM = 15, KILL = 9, USR1 = 10, SEGV = 11 }) do
      assert.are.equal(128 + number, sh(("ulimit -c 0; kill -%s $$"):format(name)).code, name)
    end
    local r = sh("printf half; kill -KILL $$")
    assert.are.same({ "half", 137 }, { r.stdout, r.code })
  end)
end)
