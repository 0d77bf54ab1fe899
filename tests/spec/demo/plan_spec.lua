-- `pai plan vda` changes nothing: no file, no engine, no request but reads.
local support = dofile("tests/spec/demo/support.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")
local pai = require("pai")

describe("pai plan vda", function()
  local bench

  before_each(function()
    bench = support.new()
    support.video(bench.dir .. "/clip.mp4")
    assert(fs.mkdir(bench.state))
  end)

  after_each(function()
    support.remove(bench)
  end)

  it("leaves the folder and the state as they were", function()
    local before = support.picture(bench.dir) .. "\n--\n" .. support.picture(bench.state)
    for _, argv in ipairs({
      { "plan", "vda", "video=clip.mp4" },
      { "plan", "vda" },
      { "plan", "vda", "--json", "flow=e2e" },
    }) do
      local r = bench:pai(argv)
      assert.are.equal(0, r.code, r.stderr)
      assert.is_truthy(r.stdout:find("submit", 1, true))
    end
    assert.are.equal(before, support.picture(bench.dir) .. "\n--\n" .. support.picture(bench.state))
    assert.are.same({}, fs.list(bench.state))
  end)

  -- Every system call of pai and its children that could change a file.
  local CALLS <const> = "trace=openat,open,creat,mkdir,mkdirat,unlink,unlinkat,rename,renameat,"
    .. "renameat2,link,linkat,symlink,symlinkat,chmod,fchmodat,truncate,ftruncate,mknod,mknodat,"
    .. "rmdir,openat2,fchmod,chown,fchown,lchown,fchownat,setxattr,utimensat,connect,bind"

  -- What a plan and its children changed, or asked beyond this machine's files.
  local function changes(argv)
    local log = bench.root .. "/trace"
    local command = {
      "strace",
      "-f",
      "-qq",
      "-o",
      log,
      "-e",
      CALLS,
      pai.exe,
      "plan",
      "vda",
    }
    table.move(argv, 1, #argv, #command + 1, command)
    local r = assert(exec.run(command, {
      cwd = bench.dir,
      env = { PAI_STATE = bench.state, HOME = bench.root .. "/home", XDG_CACHE_HOME = false },
      timeout = "120s",
    }))
    assert.is_truthy(r.stdout:find("digest", 1, true))
    local seen, wrong = 0, {}
    for line in assert(fs.read(log)):gmatch("[^\n]+") do
      seen = seen + 1
      -- A request may be under way: whoever asks for one over the network, asks.
      local failed = line:find("= %-1 ") and not line:find("AF_INET", 1, true)
      local path = line:match('"([^"]*)"') or ""
      local device = path:find("^/dev/") or path:find("^/proc/self/")
      local writes = line:find("O_WRONLY", 1, true)
        or line:find("O_RDWR", 1, true)
        or line:find("O_CREAT", 1, true)
        or not line:find("open", 1, true)
      local is_call = not line:find("---", 1, true) and not line:find("+++", 1, true)
      if is_call and writes and not failed and not device then
        wrong[#wrong + 1] = line
      end
    end
    assert.is_true(seen > 20, "the trace holds the calls")
    return wrong
  end

  it("opens nothing for writing and makes nothing, nor does a child of it", function()
    assert.are.same({}, changes({ "video=clip.mp4" }))
  end)

  it("fetches no demo for one either", function()
    assert.are.same({}, changes({}))
    assert.is_false(fs.exists(bench.root .. "/home"))
  end)
end)
