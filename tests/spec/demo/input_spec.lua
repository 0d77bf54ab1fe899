-- Bad input to the VDA recipe: a clear message, the right exit code, nothing half written.
local support = dofile("tests/spec/demo/support.lua")
local exec = require("pai.exec")
local fs = require("pai.fs")

describe("pai run vda with bad input:", function()
  local bench

  before_each(function()
    bench = support.new()
  end)

  after_each(function()
    support.remove(bench)
  end)

  -- Runs and checks: exit code, that all patterns are in the text, that no media was left.
  local function refused(code, patterns, argv, opts)
    local command = { "run", "--allow-dirty", "vda" }
    table.move(argv, 1, #argv, #command + 1, command)
    local r = bench:pai(command, opts)
    local said = r.stdout .. r.stderr
    assert.are.equal(code, r.code, said)
    for _, pattern in ipairs(patterns) do
      assert.is_truthy(said:find(pattern), ("%q is not in:\n%s"):format(pattern, said))
    end
    assert.is_nil(said:find("traceback", 1, true), said)
    assert.are.same({}, fs.glob(bench.dir .. "/media/vda/runs/*/outputs"))
    assert.are.same({}, fs.glob(bench.dir .. "/media/vda/runs/*/display/*"))
  end

  it("no such video", function()
    refused(1, { "nothere%.mp4" }, { "video=nothere.mp4" })
  end)

  it("a text file named .mp4", function()
    bench:write("text.mp4", "this is no video\n")
    refused(1, { "text%.mp4", "[Vv]ideo" }, { "video=text.mp4" })
  end)

  it("an empty file", function()
    bench:write("empty.mp4", "")
    refused(1, { "empty%.mp4" }, { "video=empty.mp4" })
  end)

  it("a video without a frame", function()
    support.video(bench.dir .. "/none.avi", { "-c:v", "mpeg4", "-frames:v", "0" })
    refused(1, { "none%.avi", "[Vv]ideo" }, { "video=none.avi" })
  end)

  it("a file with sound only", function()
    assert(exec.run({
      "ffmpeg",
      "-v",
      "error",
      "-f",
      "lavfi",
      "-i",
      "sine=duration=1",
      "-c:a",
      "aac",
      bench.dir .. "/sound.mp4",
    }))
    refused(1, { "sound%.mp4", "[Vv]ideo" }, { "video=sound.mp4" })
  end)

  it("an unknown flow, with the nearest name", function()
    refused(2, { "e2e_super_resolutoin", "e2e_super_resolution" }, { "flow=e2e_super_resolutoin" })
  end)

  it("an unknown input, with the nearest name", function()
    refused(2, { "vidoe", "video" }, { "vidoe=clip.mp4" })
  end)

  it("a number that is none", function()
    refused(2, { "seconds", "soon" }, { "seconds=soon" })
  end)

  it("an output folder that is a file", function()
    support.video(bench.dir .. "/clip.mp4")
    bench:write("taken", "a file\n")
    refused(1, { "taken" }, { "video=clip.mp4", "out=taken" })
    assert.are.equal("a file\n", fs.read(bench.dir .. "/taken"))
  end)

  it("an output folder that can't be written to", function()
    support.video(bench.dir .. "/clip.mp4")
    local out = bench.root .. "/fixed"
    assert(fs.mkdir(out))
    -- Root may write whatever a folder's mode says, but not to what is mounted for reading.
    local root = assert(exec.run({ "id", "-u" })).stdout == "0\n"
    if root and not exec.run({ "mount", "-t", "tmpfs", "-o", "ro,size=4k", "tmpfs", out }) then
      pending("a small file system can't be mounted here")
      return
    end
    assert(root or fs.chmod(out, "0555"))
    local r = bench:pai({ "run", "--allow-dirty", "vda", "video=clip.mp4", "out=" .. out })
    local listed = fs.list(out)
    assert(not root or exec.run({ "umount", "-l", out }))
    local said = r.stdout .. r.stderr
    assert.are.equal(1, r.code, said)
    assert.is_truthy(said:find(out, 1, true), said)
    assert.is_truthy(said:find("writ", 1, true), said)
    assert.are.same({}, listed)
    assert.are.same({}, support.workflows(bench))
  end)

  it("ffmpeg missing", function()
    support.video(bench.dir .. "/clip.mp4")
    local bin = bench.root .. "/bin"
    assert(fs.mkdir(bin))
    for _, name in ipairs({ "sh", "python3", "git", "env" }) do
      assert(fs.symlink("/usr/bin/" .. name, bin .. "/" .. name))
    end
    refused(1, { "ffmpeg", "apt" }, { "video=clip.mp4" }, { env = { PATH = bin } })
  end)

  it("a disk that is full", function()
    local disk = bench.root .. "/disk"
    assert(fs.mkdir(disk))
    local mounted = exec.run({ "mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", disk })
    if not mounted then
      pending("a small file system can't be mounted here")
      return
    end
    support.video(bench.dir .. "/clip.mp4")
    local r = bench:pai({ "run", "--allow-dirty", "vda", "video=clip.mp4", "out=" .. disk })
    local said = r.stdout .. r.stderr
    local left = fs.glob(disk .. "/runs/*/display/*")
    assert(exec.run({ "umount", "-l", disk }))
    assert.are.equal(1, r.code, said)
    assert.is_truthy(said:lower():find("space", 1, true), said)
    assert.are.same({}, left)
  end)

  it("a video whose name cannot be a workflow's", function()
    support.video(bench.dir .. "/9 odd näme.mp4")
    local r = bench:pai({
      "run",
      "--allow-dirty",
      "vda",
      "video=9 odd näme.mp4",
      "seconds=0",
      "flow=auto_labeling",
    })
    assert.are.equal(0, r.code, r.stdout .. r.stderr)
  end)

  it("never replaces the user's video by the demo", function()
    bench:write("text.mp4", "this is no video\n")
    local r = bench:pai({ "run", "--allow-dirty", "vda", "video=text.mp4" })
    assert.is_nil((r.stdout .. r.stderr):find("vtest", 1, true))
    assert.are.equal("this is no video\n", fs.read(bench.dir .. "/text.mp4"))
  end)
end)
