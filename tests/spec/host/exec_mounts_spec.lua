-- pai.exec in the mounts of another process.
local exec = require("pai.exec")
local fs = require("pai.fs")
local pai = require("pai")
local task = require("pai.task")

local HOLD <const> = { "--", "/bin/sh", "-c", "echo $$; exec sleep 600" }

local function in_task(fn)
  return function()
    return task.run(fn)
  end
end

describe("a program in the mounts of another process", function()
  local dir, holder, pid

  -- A sandbox whose /tmp is its own, and a process in it.
  local function hold()
    local argv = { "bwrap", "--unshare-user", "--die-with-parent", "--ro-bind", "/", "/" }
    table.move({ "--tmpfs", "/tmp", "--dir", "/tmp/inside" }, 1, 4, #argv + 1, argv)
    table.move(HOLD, 1, #HOLD, #argv + 1, argv)
    holder = assert(exec.start(argv, { stdin = "null", accept = "any" }))
    pid = math.tointeger(tonumber((assert(holder:read_line()))))
  end

  before_each(function()
    dir = assert(fs.tempdir({ prefix = "pai-mounts-" }))
  end)
  after_each(function()
    fs.remove(dir, { recursive = true })
  end)

  local function inside(fn)
    return in_task(function()
      hold()
      local ok, e = pcall(fn)
      holder:kill("KILL")
      holder:wait()
      assert(ok, e)
    end)
  end

  it(
    "sees those, and its folder there",
    inside(function()
      local r =
        assert(exec.run({ "sh", "-c", "ls /tmp; pwd; echo x 2>/dev/null >/etc/x; echo $?" }, {
          mounts_of = pid,
          cwd = "/tmp/inside",
        }))
      assert.equal("inside\n/tmp/inside\n", r.stdout:match("^inside\n/tmp/inside\n"))
      assert.is_nil(r.stdout:find("\n0\n", 1, true))
      -- We ourselves have not moved.
      assert.is_true(fs.exists(dir))
      assert(exec.run({ "test", "-d", dir }))
    end)
  )

  it(
    "is not started where these cannot be had",
    inside(function()
      local r, e = exec.run({ "true" }, { mounts_of = pid, cwd = dir })
      assert.is_nil(r)
      assert.equal("ENOENT", e.code)
      local gone = assert(exec.run({ "sh", "-c", "echo $$" })).stdout
      r, e = exec.run({ "true" }, { mounts_of = math.tointeger(tonumber((gone:gsub("%s", "")))) })
      assert.is_nil(r)
      assert.equal("ENOENT", e.code)
      assert.truthy(e.message:find("mounts of process", 1, true))
      for _, wrong in ipairs({ -1, 1 << 40 }) do
        assert.has_error(function()
          exec.run({ "true" }, { mounts_of = wrong })
        end, "option 'mounts_of' must be the number of a process")
      end
    end)
  )

  it(
    "ends with pai all the same",
    inside(function()
      local script = dir .. "/start.lua"
      assert(fs.write(
        script,
        [[
        local exec, task = require("pai.exec"), require("pai.task")
        task.run(function()
          local p = exec.start({ "sleep", "600" }, { mounts_of = math.tointeger(tonumber(arg[1])) })
          print(p.pid)
          io.stdout:flush()
          p:wait()
        end)]]
      ))
      local parent =
        assert(exec.start({ pai.exe, "lua", script, tostring(pid) }, { accept = "any" }))
      local child = math.tointeger(tonumber((assert(parent:read_line()))))
      assert.truthy(fs.process(child))
      parent:kill("KILL")
      parent:wait()
      for _ = 1, 3000 do
        local p = fs.process(child)
        if not p or p.state == "Z" then
          return
        end
        task.sleep(10)
      end
      error("it is still there")
    end)
  )
end)
