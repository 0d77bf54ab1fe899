-- pai.exec: children, their streams, their environment, and how they and their groups end.
local exec = require("pai.exec")
local fs = require("pai.fs")
local secret = require("pai.secret")
local task = require("pai.task")

local function sh(script, opts)
  return exec.run({ "sh", "-c", script }, opts)
end

local function in_task(fn)
  return function()
    return task.run(fn)
  end
end

local function took(fn, ...)
  local start = task.now()
  local results = table.pack(fn(...))
  return task.now() - start, table.unpack(results, 1, results.n)
end

local function gone(pid)
  for _ = 1, 300 do
    local p = fs.process(pid)
    if not p or p.state == "Z" then
      return true
    end
    task.sleep(10)
  end
  return false
end

-- A file that holds a fresh secret, opened as one.
local function new_secret()
  local s = secret.generate(24)
  local r = assert(exec.run({ "cat" }, { stdin = s, raw = true }))
  return s, r.stdout
end

describe("pai.exec", function()
  local dir

  before_each(function()
    dir = assert(fs.tempdir({ prefix = "pai-exec-" }))
  end)

  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  describe("run", function()
    it("gives code and both streams", function()
      local r = assert(sh("echo out; echo err >&2"))
      assert.equal(0, r.code)
      assert.is_nil(r.signal)
      assert.equal("out\n", r.stdout)
      assert.equal("err\n", r.stderr)
      assert.is_false(r.truncated)
      assert.is_false(r.held)
      assert.is_true(r.duration_ms >= 0)
    end)

    it("never uses a shell", function()
      local r = assert(exec.run({ "echo", "$HOME; echo x", "*", "`id`" }))
      assert.equal("$HOME; echo x * `id`\n", r.stdout)
    end)

    it("says what failed, and what the program said last", function()
      local r, err = sh("echo a; echo first >&2; echo 'no such thing ' >&2; exit 3")
      assert.is_nil(r)
      assert.equal("EEXIT", err.code)
      assert.equal(3, err.exit)
      assert.is_nil(err.signal)
      assert.equal("a\n", err.stdout)
      assert.equal('"sh" ended with exit code 3: no such thing', tostring(err))
    end)

    it("takes the codes that are accepted", function()
      assert.equal(3, assert(sh("exit 3", { accept = { 0, 3 } })).code)
      assert.equal(9, assert(sh("exit 9", { accept = "any" })).code)
      assert.is_nil((sh("exit 0", { accept = { 1 } })))
      assert.has_error(function()
        sh("exit 0", { accept = "all" })
      end)
    end)

    it("keeps a signal apart from a code", function()
      local r, err = sh("kill -9 $$", { accept = { 0, 9, 137 } })
      assert.is_nil(r)
      assert.equal("EEXIT", err.code)
      assert.is_nil(err.exit)
      assert.equal("SIGKILL", err.signal)
    end)

    it("reports what cannot be started, with the errno", function()
      local _, err = exec.run({ "no-such-program-anywhere" })
      assert.equal("ENOENT", err.code)
      assert.matches("no%-such%-program%-anywhere", err.message)
      assert.equal("EACCES", select(2, exec.run({ "/etc/passwd" })).code)
      assert.equal("ENOENT", select(2, exec.run({ "true" }, { cwd = dir .. "/none" })).code)
      assert(fs.write(dir .. "/script", "echo no interpreter line\n", { mode = 493 }))
      assert.equal("ENOEXEC", select(2, exec.run({ dir .. "/script" })).code)
    end)

    it("runs in a folder, also a program named relative to it", function()
      assert(fs.write(dir .. "/tool", "#!/bin/sh\npwd\n", { mode = 493 }))
      local here = fs.realpath(dir)
      assert.equal(here .. "\n", assert(exec.run({ "./tool" }, { cwd = dir })).stdout)
    end)

    it("refuses mistakes of the caller", function()
      for _, bad in ipairs({
        { {} },
        { "echo" },
        { { "" } },
        { { "echo", {} } },
        { { "echo", "a\0b" } },
        { { "echo" }, { nonsense = 1 } },
        { { "echo" }, { env = { ["A=B"] = "x" } } },
        { { "echo" }, { env = { A = {} } } },
        { { "echo" }, { env = { A = "x\0" } } },
        { { "echo" }, { stdout = "somewhere" } },
        { { "echo" }, { stdin = 3 } },
        { { "echo" }, { stdout = { path = "x" } } },
        { { "echo" }, { timeout = "soon" } },
        { { "echo" }, { max_output = -1 } },
        { { "echo" }, { on_line = "x" } },
      }) do
        assert.has_error(function()
          exec.run(table.unpack(bad))
        end)
      end
    end)

    it("keeps at most max_output of a stream, and reads the rest", function()
      local r = assert(sh("head -c 300000 /dev/zero; echo end >&2", { max_output = 1000 }))
      assert.equal(1000, #r.stdout)
      assert.is_true(r.truncated)
      assert.equal("end\n", r.stderr)
    end)

    it("passes bytes through unharmed when they are raw", function()
      local r = assert(sh("printf '\\000\\377\\200a\\r\\n'", { raw = true }))
      assert.equal("\0\xff\x80a\r\n", r.stdout)
    end)

    it("tells pid and start time at the start", function()
      local pid, start
      assert(sh("exec sleep 0.01", {
        on_start = function(...)
          pid, start = ...
          assert.equal(start, fs.process(pid).start_time)
        end,
      }))
      assert.is_true(pid > 1 and start > 0)
    end)
  end)

  describe("environment", function()
    local function names(opts)
      local found = {}
      for name in assert(exec.run({ "env" }, opts)).stdout:gmatch("([%w_]+)=[^\n]*\n") do
        found[name] = true
      end
      return found
    end

    it("is small by default, and what is named", function()
      local allowed = { PATH = 1, HOME = 1, USER = 1, LANG = 1, LC_ALL = 1, TZ = 1, TMPDIR = 1 }
      allowed.TERM = 1
      for name in pairs(names()) do
        assert.is_truthy(allowed[name] or name:match("^XDG_"), name)
      end
      local r = assert(exec.run({ "env" }, { env = { PAI_A = "x y", N = 7, HOME = false } }))
      assert.matches("PAI_A=x y\n", r.stdout)
      assert.matches("N=7\n", r.stdout)
      assert.is_nil(r.stdout:match("HOME="))
    end)

    it("is ours when that is asked for, less what is overridden", function()
      local outer = assert(exec.run({ pai.exe, "lua", "/dev/stdin" }, {
        env = { PAI_OUTER = "outer", PAI_SAME = "old" },
        stdin = [[
          local opts = { inherit_env = true, env = { PAI_SAME = "new" } }
          io.write(assert(pai.exec.run({ "env" }, opts)).stdout)
        ]],
      }))
      assert.matches("PAI_OUTER=outer\n", outer.stdout)
      assert.matches("PAI_SAME=new\n", outer.stdout)
      assert.is_nil(outer.stdout:match("PAI_SAME=old"))
    end)

    it("gives its PATH to the search for the program", function()
      assert(fs.write(dir .. "/only-here", "#!/bin/sh\necho found\n", { mode = 493 }))
      assert.equal("ENOENT", select(2, exec.run({ "only-here" })).code)
      local r = assert(exec.run({ "only-here" }, { env = { PATH = dir .. ":/usr/bin:/bin" } }))
      assert.equal("found\n", r.stdout)
    end)
  end)

  describe("stdin", function()
    it("is text of any size, a file, or nothing", function()
      assert.equal("abc", assert(exec.run({ "cat" }, { stdin = "abc" })).stdout)
      assert.equal("", assert(exec.run({ "cat" }, { stdin = "" })).stdout)
      assert.equal("", assert(exec.run({ "cat" })).stdout)
      local big = ("0123456789abcdef"):rep(200000)
      local r = assert(exec.run({ "cat" }, { stdin = big }))
      assert.is_true(r.stdout == big)
      assert(fs.write(dir .. "/in", "from a file"))
      assert.equal(
        "from a file",
        assert(exec.run({ "cat" }, { stdin = { file = dir .. "/in" } })).stdout
      )
      assert.equal(
        "ENOENT",
        select(2, exec.run({ "cat" }, { stdin = { file = dir .. "/x" } })).code
      )
    end)

    it("may be left unread", function()
      assert.equal(0, assert(exec.run({ "true" }, { stdin = ("x"):rep(1000000) })).code)
    end)
  end)

  describe("a terminal", function()
    it("belongs to the child that inherits it, and comes back", function()
      assert(fs.write(
        dir .. "/ask.lua",
        [[
          for i = 1, 2 do
            local opts = { stdin = "inherit", timeout = "10s" }
            local r = assert(pai.exec.run({ "sh", "-c", "read x; echo got $x" }, opts))
            io.write(r.stdout)
          end
          io.write("read ", io.read("l"), "\n")
        ]]
      ))
      local lines = "(for w in one two three; do sleep 0.3; echo $w; done; sleep 0.3)"
      local r = assert(sh(lines .. ' | script -qec "$RUN" /dev/null', {
        env = { RUN = pai.exe .. " lua " .. dir .. "/ask.lua" },
        timeout = "60s",
      }))
      assert.matches("got one\r?\n", r.stdout)
      assert.matches("got two\r?\n", r.stdout)
      assert.matches("read three\r?\n", r.stdout)
    end)
  end)

  describe("output", function()
    it("goes to files, together, or nowhere", function()
      local file = dir .. "/log"
      local r =
        assert(sh("echo one; echo two >&2", { stdout = { file = file }, stderr = "stdout" }))
      assert.equal("", r.stdout)
      assert.equal("one\ntwo\n", fs.read(file))
      assert.equal(384, fs.stat(file).mode & 511)
      assert(sh("echo three", { stdout = { file = file, append = true } }))
      assert.equal("one\ntwo\nthree\n", fs.read(file))
      r = assert(sh("echo a; echo b >&2", { stdout = "null", stderr = "null" }))
      assert.equal("", r.stdout .. r.stderr)
      local _, err = sh("true", { stdout = { file = dir .. "/none/log" } })
      assert.equal("ENOENT", err.code)
    end)

    it("comes line by line while it is written", function()
      local lines, early = {}, nil
      local r = assert(sh("echo a; echo b >&2; sleep 0.1; printf 'c\\n\\nend'", {
        on_line = function(line, stream)
          lines[#lines + 1] = stream .. ":" .. line
          early = early or task.now()
        end,
      }))
      assert.is_true(task.now() - early >= 80)
      table.sort(lines, function(a, b)
        return a < b
      end)
      assert.same({ "stderr:b", "stdout:", "stdout:a", "stdout:c", "stdout:end" }, lines)
      assert.equal("a\nc\n\nend", r.stdout)
    end)

    it("comes as it is written when that is asked for, prompts too", function()
      local s, value = new_secret()
      local seen, asked = "", nil
      local p = assert(exec.start({ "sh", "-c", 'printf "$S? "; read x; printf "got $x"' }, {
        stdin = "pipe",
        env = { S = s },
        on_output = function(text, stream)
          assert.equal("stdout", stream)
          seen = seen .. text
          asked = asked or text
        end,
      }))
      task.run(function()
        local waiter = task.spawn(p.wait, p)
        for _ = 1, 500 do
          if asked then
            break
          end
          task.sleep(10)
        end
        assert.is_true(p:write(value .. "\n"))
        waiter:wait("10s")
      end)
      assert.equal("*** ? got ***", (seen:gsub("%?", " ?", 1)))
      assert.matches("^%*%*%*", asked)
      assert.has_error(function()
        exec.run({ "true" }, { on_line = print, on_output = print })
      end)
    end)

    it(
      "waits for an on_line that waits",
      in_task(function()
        local count = 0
        local r = assert(sh("i=0; while [ $i -lt 200 ]; do echo $i; i=$((i+1)); done", {
          on_line = function()
            task.sleep(0)
            count = count + 1
          end,
        }))
        assert.equal(200, count)
        assert.equal(0, r.code)
      end)
    )

    it(
      "stops the program when on_line raises",
      in_task(function()
        local pid
        local ms, ok, e = took(pcall, sh, "echo $$; exec sleep 30", {
          on_line = function(line)
            pid = math.tointeger(tonumber(line))
            error({ code = "MINE" })
          end,
        })
        assert.is_false(ok)
        assert.equal("MINE", e.code)
        assert.is_true(ms < 5000, ms)
        assert.is_true(gone(pid))
      end)
    )
  end)

  describe("secrets", function()
    it("are masked in output, in lines, and across writes", function()
      local s, value = new_secret()
      local lines = {}
      local cut = #value // 2
      local script = ("printf '%%s' 'a %s'; sleep 0.05; printf '%%s\\n' '%s b'; cat"):format(
        "$ONE",
        "$TWO"
      )
      local r = assert(exec.run({ "sh", "-c", (script:gsub("'([^']*%$[^']*)'", '"%1"')) }, {
        env = { ONE = value:sub(1, cut), TWO = value:sub(cut + 1), WHOLE = s },
        stdin = s,
        on_line = function(line)
          lines[#lines + 1] = line
        end,
      }))
      assert.equal("a *** b\n***", r.stdout)
      assert.same({ "a *** b", "***" }, lines)
      local _, err = exec.run(
        { "sh", "-c", 'echo "bad $WHOLE" >&2; exit 1' },
        { env = { WHOLE = s } }
      )
      assert.equal("bad ***\n", err.stderr)
      assert.is_nil(tostring(err):find(value, 1, true))
      assert.is_not_nil(tostring(err):find("bad ***", 1, true))
    end)

    it("are masked in messages, also where output is raw and in paths", function()
      local _, value = new_secret()
      local opts = { raw = true, stdin = "no " .. value .. "\n" }
      local _, err = exec.run({ "sh", "-c", "cat >&2; exit 1" }, opts)
      assert.equal("no " .. value .. "\n", err.stderr)
      assert.equal('"sh" ended with exit code 1: no ***', err.message)
      for _, bad in ipairs({
        { cwd = "/none/" .. value },
        { stdout = { file = "/none/" .. value } },
        { stdin = { file = "/none/" .. value } },
      }) do
        _, err = exec.run({ "true" }, bad)
        assert.equal("ENOENT", err.code)
        assert.matches("/none/%*%*%*", err.message)
      end
    end)

    it("never reach the argument vector", function()
      local s, value = new_secret()
      for _, arg in ipairs({ s, value, "--token=" .. value }) do
        local ok, e = pcall(exec.run, { "echo", "x", arg })
        assert.is_false(ok)
        assert.equal("EACCES", e.code)
        assert.matches('argument 2 of "echo" is a secret', e.message)
        assert.is_nil(e.message:find(value, 1, true))
      end
    end)

    it("are what a program prints, when that is asked for", function()
      local r = assert(sh("printf 'made-by-a-tool-1234\\n'", { stdout = "secret" }))
      assert.equal("***", tostring(r.stdout))
      assert.equal(#"made-by-a-tool-1234", r.stdout:len())
      local again = assert(exec.run({ "cat" }, { stdin = "(made-by-a-tool-1234)" }))
      assert.equal("(***)", again.stdout)
      local big, err = sh("head -c 3000000 /dev/zero", { stdout = "secret" })
      assert.is_nil(big)
      assert.equal("ELIMIT", err.code)
    end)
  end)

  describe("the end", function()
    it("comes with the timeout: TERM, grace, KILL, for the whole group", function()
      local pids = dir .. "/pids"
      local ms, r, err = took(
        sh,
        "trap '' TERM; sh -c 'trap \"\" TERM; echo $$ >>"
          .. pids
          .. "; while :; do sleep 0.1; done' & echo $$ >>"
          .. pids
          .. "; wait; while :; do sleep 0.1; done",
        { timeout = 200, grace = 200 }
      )
      assert.is_nil(r)
      assert.equal("ETIMEDOUT", err.code)
      assert.is_true(err.retryable)
      assert.equal("SIGKILL", err.signal)
      assert.is_true(ms >= 390 and ms < 5000, ms)
      local count = 0
      for pid in fs.read(pids):gmatch("%d+") do
        assert.is_true(gone(math.tointeger(tonumber(pid))))
        count = count + 1
      end
      assert.equal(2, count)
    end)

    it("is soft when the program listens to TERM", function()
      local r, err = sh("trap 'echo bye; exit 5' TERM; while :; do sleep 0.01; done", {
        timeout = 200,
        grace = "20s",
      })
      assert.is_nil(r)
      assert.equal("ETIMEDOUT", err.code)
      assert.equal(5, err.exit)
      assert.equal("bye\n", err.stdout)
    end)

    it("does not wait for a grandchild that keeps the pipe", function()
      local ms, r = took(sh, "sleep 30 & echo $!; exit 4", { hold = 50, accept = { 4 } })
      assert.equal(4, r.code)
      assert.is_true(r.held)
      assert.is_true(ms < 3000, ms)
      assert(exec.run({ "kill", (r.stdout:gsub("%s", "")) }))
    end)

    it(
      "comes with a cancellation, and only then does the caller go on",
      in_task(function()
        local pidfile = dir .. "/pid"
        local t = task.spawn(function()
          sh(
            "trap 'sleep 0.05; exit' TERM; echo $$ >" .. pidfile .. "; while :; do sleep 0.01; done"
          )
        end)
        while not (fs.exists(pidfile) and fs.stat(pidfile).size > 0) do
          task.sleep(5)
        end
        t:cancel()
        local ok, e = pcall(t.wait, t)
        assert.is_false(ok)
        assert.equal("ECANCELED", e.code)
        assert.is_nil(fs.process(math.tointeger(tonumber(fs.read(pidfile)))))
      end)
    )

    it("takes children along when pai is killed, and grandchildren", function()
      local p = assert(exec.start({ pai.exe, "lua", "/dev/stdin" }, {
        stdin = [[
          local grandchild = "trap '' TERM; echo $$; while :; do sleep 0.05; done"
          pai.exec.run({ "sh", "-c", "trap '' TERM; sh -c \"$G\" & echo $$; wait" }, {
            env = { G = grandchild },
            on_line = function(line) io.write(line, "\n") io.flush() end })
        ]],
      }))
      local pids = {}
      for i = 1, 2 do
        pids[i] = math.tointeger(tonumber((assert(p:read_line("10s")))))
      end
      assert(p:kill("KILL"))
      for _, pid in ipairs(pids) do
        local dead = false
        for _ = 1, 1000 do
          local process = fs.process(pid)
          if not process or process.state == "Z" then
            dead = true
            break
          end
          task.sleep(10)
        end
        assert.is_true(dead)
      end
    end)
  end)

  describe("start", function()
    it("reads lines of both streams and writes", function()
      local p =
        assert(exec.start({ "sh", "-c", "while read l; do echo got $l; done; echo end >&2" }, {
          stdin = "pipe",
        }))
      assert.is_true(p.pid > 1)
      assert.equal(fs.process(p.pid).start_time, p.start_time)
      assert.is_true(p:write("a\nb\n"))
      assert.same({ "got a", "stdout" }, { p:read_line("5s") })
      assert.same({ "got b", "stdout" }, { p:read_line("5s") })
      local line, err = p:read_line(10)
      assert.is_nil(line)
      assert.equal("ETIMEDOUT", err.code)
      p:close_stdin()
      assert.same({ "end", "stderr" }, { p:read_line("5s") })
      assert.same({ nil }, { p:read_line() })
      assert.equal(0, assert(p:wait()).code)
      assert.equal("EPIPE", select(2, p:write("x")).code)
    end)

    it("keeps what nobody read for wait, and gives the same result again", function()
      local p = assert(exec.start({ "sh", "-c", "echo a; exit 2" }))
      local r, err = p:wait()
      assert.is_nil(r)
      assert.equal("a\n", err.stdout)
      assert.equal(2, select(2, p:wait()).exit)
      assert.equal("ESRCH", select(2, p:kill()).code)
    end)

    it("lets wait give up while the program goes on", function()
      local p <close> = assert(exec.start({ "sleep", "30" }))
      local r, err = p:wait(20)
      assert.is_nil(r)
      assert.equal("ETIMEDOUT", err.code)
      assert.is_true(p:kill("INT"))
      assert.equal("SIGINT", select(2, p:wait()).signal)
      assert.has_error(function()
        p:kill("NOSUCH")
      end)
    end)

    it("is waited for when a reader of its lines was cancelled", function()
      task.run(function()
        local ended
        local up = task.event()
        local reader = task.spawn(function()
          local script = "trap 'echo on; sleep 0.2; echo off; exit 7' TERM; echo up; "
            .. "while :; do sleep 0.05; done"
          local p = assert(exec.start({ "sh", "-c", script }, { accept = "any" }))
          assert.equal("up", (p:read_line("10s")))
          up:set()
          pcall(p.read_line, p)
          p:stop()
          ended = p:wait().code
        end)
        up:wait("10s")
        task.sleep("20ms")
        reader:cancel()
        pcall(reader.wait, reader)
        assert.equal(7, ended)
      end)
    end)

    it("ends the program with its variable", function()
      local pid
      do
        local p <close> = assert(exec.start({ "sleep", "30" }))
        pid = p.pid
      end
      assert.is_nil(fs.process(pid))
      local p = assert(exec.start({ "sh", "-c", "sleep 30 & wait" }))
      pid = p.pid
      p = nil
      collectgarbage()
      collectgarbage()
      assert.is_true(p == nil and gone(pid))
      p = assert(exec.start({ "sleep", "30" }))
      p:stop()
      assert.equal("SIGTERM", select(2, p:wait()).signal)
    end)

    it(
      "waits in write while the program is slow to read",
      in_task(function()
        local go = dir .. "/go"
        local p <close> = assert(
          exec.start(
            { "sh", "-c", "while [ ! -e " .. go .. " ]; do sleep 0.01; done; wc -c" },
            { stdin = "pipe" }
          )
        )
        local writer = task.spawn(function()
          for _ = 1, 4 do
            assert(p:write(("x"):rep(1 << 20)))
          end
          p:close_stdin()
        end)
        task.sleep(50)
        assert.equal("waiting", writer:status())
        assert(fs.write(go, ""))
        writer:wait("10s")
        assert.equal(tostring(4 << 20), (p:read_line("10s"):gsub("%s", "")))
      end)
    )
  end)

  describe("detach", function()
    it("starts what outlives us, in its own session", function()
      local file = dir .. "/out"
      local r = assert(exec.run({ pai.exe, "lua", "/dev/stdin", file }, {
        stdin = [[
          local pid = assert(pai.exec.detach({ "sh", "-c", "sleep 0.3; echo alive; exec sleep 30" },
            { stdout = { file = arg[1] } }))
          io.write(pid)
        ]],
      }))
      local pid = math.tointeger(tonumber(r.stdout))
      for _ = 1, 300 do
        if fs.read(file) == "alive\n" then
          break
        end
        task.sleep(10)
      end
      assert.equal("alive\n", fs.read(file))
      assert(exec.run({ "kill", tostring(pid) }))
      assert.is_true(gone(pid))
      assert.equal("ENOENT", select(2, exec.detach({ "no-such-program-anywhere" })).code)
      assert.has_error(function()
        exec.detach({ "true" }, { stdout = "capture" })
      end)
    end)
  end)

  describe("many children", function()
    local function fds()
      return #fs.list("/proc/self/fd")
    end

    it(
      "leave no descriptor behind",
      in_task(function()
        assert(exec.run({ "true" }))
        local before = fds()
        for _ = 1, 200 do
          assert(exec.run({ "true" }))
        end
        local list = {}
        for i = 1, 200 do
          list[i] = task.spawn(exec.run, { "sh", "-c", "echo " .. i })
        end
        for i = 1, 200 do
          assert.equal(i .. "\n", list[i]:wait().stdout)
        end
        list = nil
        collectgarbage()
        collectgarbage()
        assert.is_true(list == nil and fds() <= before)
      end)
    )

    it("fail by name when descriptors are out, and work again after", function()
      local r =
        assert(exec.run({ "sh", "-c", "ulimit -n 24; exec " .. pai.exe .. " lua /dev/stdin" }, {
          stdin = [[
          local exec = require("pai.exec")
          assert(exec.run({ "true" }))
          local open, err = {}, nil
          repeat
            local p
            p, err = exec.start({ "sleep", "30" })
            open[#open + 1] = p
          until err
          for _, p in ipairs(open) do p:stop() end
          open = nil
          collectgarbage()
          collectgarbage()
          io.write(err.code, " ", assert(exec.run({ "echo", "again" })).stdout)
        ]],
        }))
      assert.equal("EMFILE again\n", r.stdout)
    end)
  end)
end)
