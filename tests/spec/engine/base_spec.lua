-- Mounts that stand ready for tasks that follow one another: a task must not be able to tell, nor
-- find anything of the one before.
local S = dofile("tests/spec/engine/support.lua")
local base = require("pai.engine.base")
local exec = require("pai.exec")
local fs = require("pai.fs")
local task = require("pai.task")

-- In a base the host's /proc lies below the task's own.
local BASED <const> = "[ $(grep -c ' /proc ' /proc/self/mountinfo) = 2 ]"

local function as_task(fn)
  return function()
    task.run(fn)
  end
end

describe("mounts that stand ready", function()
  local engine

  before_each(function()
    engine = S.start()
  end)
  after_each(function()
    S.stop_all()
  end)

  -- What each of two scripts says in a run of its own, the second one in a base of the first. A
  -- machine that is slow at the wrong moment gets another try.
  local function say(first, second, more)
    for _ = 1, 20 do
      local said, based = {}, true
      for i, script in ipairs({ "true", "true", first, second }) do
        local t = S.sh("t", BASED .. " && echo based; " .. script, more)
        local q = engine:run({ name = "say", tasks = { t } })
        local lines = {}
        for line in engine:log(q.name):gmatch("[^\n]+") do
          lines[#lines + 1] = line:match("^%S+ %S+ %[t%] (.*)$")
        end
        assert.equal("COMPLETED", q.status, table.concat(lines, "\n"))
        based = based and (i <= 2 or lines[1] == "based")
        said[i] = table.concat(lines, "\n")
      end
      if based then
        return said[3], said[4]
      end
    end
    error("no task began in a base")
  end

  it("look like those that a task mounts itself", function()
    local look = "id; hostname; ls -lan / /osmo /osmo/* /osmo/*/* /dev/shm | grep -v proc; ls /dev"
      .. "; grep -E 'Cap|NoNew' /proc/self/status; ls /proc/1/fd; cat /proc/1/comm; umask; pwd"
      .. "; script -qec tty /dev/null; for d in / /dev /etc /osmo /sys /usr; do "
      .. "touch $d/x 2>&1; done; for d in /tmp /run /dev/shm; do echo x > $d/x && cat $d/x; done"
      .. "; cut -d' ' -f5- /proc/self/mountinfo | sed 's/ [a-z]*:[0-9]* - / - /' | sort"
    -- But for what lies below others, and numbers of the moment.
    local root = engine.paths.root:gsub("%p", "%%%0")
    local function seen(text)
      for _, pattern in ipairs({ "^based\n", "\n/proc [^\n]*", "\n[^\n]*" .. root .. "[^\n]*" }) do
        text = text:gsub(pattern, "")
      end
      return (text:gsub("%d+:%d%d", ""))
    end
    local q = engine:run({ name = "alone", tasks = { S.sh("t", look) } })
    local alone = {}
    for line in engine:log(q.name):gmatch("[^\n]+") do
      alone[#alone + 1] = line:match("^%S+ %S+ %[t%] (.*)$")
    end
    alone = table.concat(alone, "\n")
    assert.equal(seen(alone), seen((say(look, "true"))))
    assert.truthy(alone:find("Read%-only file system"), alone)
    assert.truthy(alone:find("/dev/pts/0", 1, true), alone)
    assert.truthy(alone:find("CapEff:%s+0000000000000000"), alone)
  end)

  it("keep nothing of a task for the next", function()
    local _, found = say(
      "for d in /tmp /run /dev/shm /osmo/run /osmo/data/output; do echo secret > $d/left; done; "
        .. "(sleep 600 &) ; (script -qec 'sleep 600' /dev/null >/dev/null 2>&1 &); sleep 0.1",
      "ls -A /tmp /run /dev/shm /osmo/run /osmo/data/output /dev/pts | tr '\\n' ' '; "
        .. "cat /proc/[0-9]*/comm | sort -u | tr '\\n' ' '"
    )
    assert.is_nil(found:find("left", 1, true), found)
    assert.is_nil(found:find("sleep", 1, true), found)
    assert.truthy(found:find("/dev/pts: ptmx", 1, true), found)
  end)

  it("show nothing of what they cover", function()
    fs.write(engine.state .. "/secret", "hidden")
    local script = "for way in '' 'unshare -Urm'; do for m in /proc /tmp /dev /osmo; do "
      .. "$way umount -l $m; done; $way cat %s/secret; $way ls %s; done; true"
    local _, found = say("true", script:format(engine.state, engine.paths.root))
    assert.is_nil(found:find("hidden", 1, true), found)
    assert.is_nil(found:find("engine.db", 1, true), found)
    assert.is_nil(found:find("credentials", 1, true), found)
  end)

  it("go when nobody wants them, and with the engine", function()
    local function holders()
      local out = {}
      for _, pid in ipairs(S.processes("echo up; exec sleep infinity")) do
        local f = io.open(("/proc/%d/cmdline"):format(pid), "rb")
        if f and f:read("a"):find(engine.paths.root, 1, true) then
          out[#out + 1] = pid
        end
      end
      return #out
    end
    say("true", "true")
    S.eventually(function()
      return holders() == 0
    end)
    say("true", "true")
    engine:kill()
    S.eventually(function()
      return holders() == 0
    end)
    engine:boot()
  end)
end)

describe("a base", function()
  local root, engine, job, said

  before_each(function()
    root = assert(fs.tempdir({ prefix = "pai-base-" }))
    said = {}
    engine = {
      paths = { root = root, real_root = root },
      complain = function(_, text)
        said[#said + 1] = text
      end,
    }
    job = { hide = { root }, inputs = {}, files = {}, gpu = 0 }
  end)
  after_each(function()
    fs.remove(root, { recursive = true })
  end)

  local function close(...)
    for _, one in ipairs({ ... }) do
      one.held.close()
    end
    engine.bases.count = 0
  end

  -- One that is there, whatever the machine does meanwhile.
  local function take()
    for _ = 1, 1000 do
      local found = base.take(engine, job)
      assert.same({}, said)
      if found then
        return found
      end
      task.sleep(20)
    end
    error("none is made")
  end

  it(
    "is made for the second of two tasks, and each has its own",
    as_task(function()
      assert.is_nil(base.take(engine, job))
      local one, two = take(), take()
      assert.are_not.equal(one.held.pid, two.held.pid)
      base.give(engine, { base = one })
      assert.equal(one, base.take(engine, job))
      close(one, two)
    end)
  )

  it(
    "is given up when the host's mounts or its root have changed, or it has ended",
    as_task(function()
      local first = take()
      for _, change in ipairs({
        function(b)
          b.mounts = b.mounts .. "another"
        end,
        function(b)
          b.root = {}
        end,
        function(b)
          b.held.close()
        end,
      }) do
        base.give(engine, { base = first })
        change(first)
        local second = take()
        assert.are_not.equal(first, second)
        first.held.close()
        assert.is_true(first.held.ended)
        first = second
      end
      close(first)
    end)
  )

  it(
    "is not for what is not in it",
    as_task(function()
      take().held.close()
      local input = { source = root .. "/x", at = "/osmo/data/input/0" }
      local link = root .. "/link"
      assert(fs.symlink("/run", link))
      local function fits(more)
        local other = { hide = job.hide, inputs = {}, files = {}, gpu = 0 }
        for key, value in pairs(more) do
          other[key] = value
        end
        return require("pai.engine.sandbox").fits_base(other)
      end
      assert.is_true(fits({ inputs = { input, { at = "/osmo/data/input/1" } } }))
      assert.is_true(fits({ inputs = { { source = "/usr/share", at = "/osmo/data/input/0" } } }))
      for _, source in ipairs({ "/run", "/tmp/x", link, "/proc/self" }) do
        assert.is_false(fits({ inputs = { { source = source, at = "/osmo/data/input/0" } } }))
      end
      assert.is_false(fits({ gpu = 1 }))
      assert.is_false(fits({ net = 1 }))
      assert.is_false(fits({ files = { { source = "/x", path = "/y" } } }))
      engine.bases.count = 0
    end)
  )

  it(
    "is done without where none can be made",
    as_task(function()
      local bin = root .. "/bin"
      assert(fs.mkdir(bin))
      assert(fs.write(bin .. "/bwrap", "#!/bin/sh\nexit 1\n", { mode = "0755" }))
      local start = exec.start
      finally(function()
        exec.start = start
      end)
      exec.start = function(argv, opts) -- luacheck: ignore 122
        opts.env = { PATH = bin }
        return start(argv, opts)
      end
      base.take(engine, job)
      for _ = 1, 1000 do
        if #said > 0 then
          break
        end
        assert.is_nil(base.take(engine, job))
        task.sleep(20)
      end
      assert.equal(1, #said)
      assert.is_nil(base.take(engine, job))
      assert.equal(0, engine.bases.count)
    end)
  )
end)
