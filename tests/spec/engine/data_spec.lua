-- What a task sees and what is kept of it: environment, files, inputs, outputs, tokens.
local S = dofile("tests/spec/engine/support.lua")
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local pai = require("pai")

describe("a task", function()
  local engine, root

  setup(function()
    root = assert(fs.tempdir({ prefix = "pai-root-" }))
    engine = S.start({ roots = { root } })
  end)
  teardown(function()
    engine:stop()
    fs.remove(root, { recursive = true })
  end)

  local function say(script, more, workflow)
    local w = { name = "see", tasks = { S.sh("t", script, more) } }
    for key, value in pairs(workflow or {}) do
      w[key] = value
    end
    local q = engine:run(w)
    local lines = {}
    for line in engine:log(q.name):gmatch("[^\n]+") do
      lines[#lines + 1] = line:match("^%S+ %S+ %[t%] (.*)$")
    end
    return table.concat(lines, "\n"), S.tasks(q).t, q
  end

  it("has an environment of its own and nothing of the engine's", function()
    local text = say("env | sort", { environment = { FROM_SPEC = "a=b c" } })
    assert.truthy(text:find("FROM_SPEC=a=b c", 1, true))
    assert.truthy(text:find("HOME=/osmo/run/home", 1, true))
    assert.truthy(text:find("OSMO_CONFIG_FILE_DIR=/osmo/login/config", 1, true))
    assert.truthy(text:find("\nNVIDIA_VISIBLE_DEVICES=\n", 1, true))
    for _, name in ipairs({ "PAI_STATE", "XDG_", "LC_ALL", "TERM=" }) do
      assert.is_nil(("\n" .. text):find("\n" .. name, 1, true), name)
    end
  end)

  it("has namespaces of its own", function()
    local text = say(table.concat({
      "echo pids $(ls -d /proc/[0-9]* | wc -l)",
      "cat /proc/net/dev | tail -n +3 | cut -d: -f1",
      "uname -n",
      "echo private $(ls -A /tmp /run | grep -v : | wc -w)",
      "touch /usr/x /etc/x /x 2>/dev/null || echo read-only",
      "grep -c CapEff:.0000000000000000 /proc/self/status",
    }, "\n"))
    assert.truthy(tonumber(text:match("pids (%d+)")) < 8)
    assert.equal("lo", text:match("\n%s*(%S+)\n"))
    assert.truthy(text:find("\nt\nprivate 0\nread-only\n1", 1, true))
  end)

  it("cannot look into the engine's folder", function()
    local dir = engine.paths.real_root
    local text = say(("ls -A %s; cat %s/engine.db; true"):format(dir, dir))
    assert.is_nil(text:find("engine.db$"))
    assert.is_nil(text:find("SQLite", 1, true))
  end)

  it("finds the folders that the contract promises", function()
    local text = say(
      "pwd; for d in data/input data/output run/workspace login/config; do "
        .. "test -d /osmo/$d && echo $d; done; cat /osmo/login/config/config.yaml"
    )
    assert.equal(
      "/osmo/run/workspace\ndata/input\ndata/output\nrun/workspace\nlogin/config\n"
        .. "auth:\n  data: {}",
      text
    )
  end)

  it("gets its files, read-only, wherever they are asked for", function()
    local long = ("x"):rep(70000)
    local text = say(
      "cat /tmp/a.txt /opt/deep/b.txt /etc/pai-test /made/up/c; sha256sum < /tmp/d; "
        .. "test -w /tmp/a.txt || echo ro; test -x /tmp/a.txt || echo nox; "
        .. "test -e /etc/passwd && echo etc",
      {
        files = {
          { path = "/tmp/a.txt", contents = "one\n" },
          { path = "/opt/deep/b.txt", contents = "two\n" },
          { path = "/etc/pai-test", contents = "three\n" },
          { path = "/made/up/c", contents = crypto.base64_encode("four\n"), base64 = true },
          { path = "/tmp/d", contents = long },
        },
      }
    )
    assert.equal("one\ntwo\nthree\nfour\n" .. crypto.sha256(long) .. "  -\nro\nnox\netc", text)
  end)

  it("finds a file with a relative path in its working directory", function()
    local text = say("cat sub/note", { files = { { path = "sub/note", contents = "near\n" } } })
    assert.equal("near", text)
  end)

  it("may not climb with a file's path", function()
    for _, path in ipairs({ "../../x", "/tmp/../etc/x" }) do
      local answer, e = engine.client:submit({
        spec = S.spec({
          name = "climb",
          tasks = { S.sh("t", "true", { files = { { path = path, contents = "" } } }) },
        }),
      })
      assert.is_nil(answer)
      assert.truthy(e.message:find(path, 1, true))
    end
  end)

  it("fails by name for contents that are not base64", function()
    local _, t = say("true", { files = { { path = "/tmp/a", contents = "!?", base64 = true } } })
    assert.equal("FAILED", t.status)
    assert.equal(2032, t.exit_code)
    assert.truthy(t.failure_message:find("/tmp/a", 1, true))
  end)

  it("gets a file url as a file in its input folder", function()
    fs.write(root .. "/clip one.txt", "moving\n")
    local text =
      say("ls {{input:0}}; cat '{{input:0}}/clip one.txt'; echo x > '{{input:0}}/clip one.txt'", {
        inputs = { { url = "file://" .. root .. "/clip%20one.txt" } },
      })
    assert.truthy(text:find("^clip one.txt\nmoving\n"))
    assert.equal("moving\n", fs.read(root .. "/clip one.txt"))
  end)

  it("gets a folder url's content, filtered by its pattern", function()
    fs.mkdir(root .. "/set/sub", { parents = true })
    fs.write(root .. "/set/a.png", "a")
    fs.write(root .. "/set/b.txt", "b")
    fs.write(root .. "/set/sub/c.png", "c")
    local text = say("cd {{input:0}} && find . -type f | sort; cd {{input:1}} && find . -type f", {
      inputs = {
        { url = "file://" .. root .. "/set/", regex = [[.*\.png$]] },
        { url = "file://" .. root .. "/set/sub" },
      },
    })
    assert.equal("./a.png\n./sub/c.png\n./c.png", text)
  end)

  it("fails by name when an input is not there", function()
    local _, t = say("true", { inputs = { { url = "file://" .. root .. "/nothing" } } })
    assert.equal("FAILED", t.status)
    assert.equal(2010, t.exit_code)
    assert.truthy(t.failure_message:find("nothing", 1, true))
  end)

  it("puts its outputs under the url, directly and whole", function()
    local out = root .. "/deep/out"
    local _, t, q =
      say("mkdir {{output}}/d; echo 1 > {{output}}/d/one; echo {{workflow_id}} > {{output}}/id", {
        outputs = { { url = "file://" .. out } },
      })
    assert.equal("COMPLETED", t.status)
    assert.same({ "d/one", "id" }, fs.walk(out))
    assert.equal(q.name .. "\n", fs.read(out .. "/id"))
    -- Nothing depends on it and it has an output of its own: nothing else is kept.
    assert.equal("", q.outputs)
  end)

  it("adds to a folder that is there, and replaces what has the same name", function()
    local out = root .. "/merge"
    fs.mkdir(out .. "/d", { parents = true })
    fs.write(out .. "/kept", "old")
    fs.write(out .. "/d/both", "old")
    say("mkdir {{output}}/d; echo new > {{output}}/d/both; echo new > {{output}}/d/more", {
      outputs = { { url = "file://" .. out } },
    })
    assert.same({ "d/both", "d/more", "kept" }, fs.walk(out))
    assert.equal("new\n", fs.read(out .. "/d/both"))
  end)

  it("uploads what a pattern takes", function()
    local out = root .. "/some"
    say("touch {{output}}/a.json {{output}}/b.txt", {
      outputs = { { url = "file://" .. out, regex = [[.*\.json]] } },
    })
    assert.same({ "a.json" }, fs.walk(out))
  end)

  it("uploads after a failure too", function()
    local out = root .. "/late"
    local _, t = say("echo x > {{output}}/x; exit 9", { outputs = { { url = "file://" .. out } } })
    assert.equal("FAILED", t.status)
    assert.equal(9, t.exit_code)
    assert.same({ "x" }, fs.walk(out))
  end)

  it("uploads nothing when there is nothing", function()
    local text, t = say("true", { outputs = { { url = "file://" .. root .. "/empty" } } })
    assert.equal("COMPLETED", t.status)
    assert.equal("", text)
    assert.is_false(fs.exists(root .. "/empty"))
  end)

  it("leaves out links that lead out, and devices", function()
    local out = root .. "/links"
    say(
      "cd {{output}}; echo x > x; ln -s x good; ln -s /etc/passwd bad; ln -s ../../x worse; "
        .. "mkfifo p",
      {
        outputs = { { url = "file://" .. out } },
      }
    )
    assert.same({ "good", "x" }, fs.walk(out))
  end)

  it("leaves the target as it was when the disk is full", function()
    local out = root .. "/small"
    fs.mkdir(out)
    local mounted = exec.run({ "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", out })
    if not mounted then
      pending("mounting needs root")
      return
    end
    fs.write(out .. "/old", "old")
    local _, t = say("head -c 3000000 /dev/zero > {{output}}/big", {
      outputs = { { url = "file://" .. out } },
    })
    local names = fs.list(out)
    exec.run({ "umount", out })
    assert.equal("FAILED", t.status)
    assert.equal(2012, t.exit_code)
    assert.truthy(t.failure_message:find("No space left", 1, true))
    assert.same({ "old" }, names)
  end)

  it("hands its output to the tasks that take it as an input", function()
    local q = engine:run({
      name = "chain",
      tasks = {
        S.sh("make", "mkdir {{output}}/d; echo 1 > {{output}}/d/one; echo 2 > {{output}}/two"),
        S.sh("none", "true"),
        S.sh(
          "take",
          "cd {{input:0}}; find . -type f | sort; touch new || echo ro; ls -A {{input:none}}",
          {
            inputs = { { task = "make" }, { task = "none" } },
          }
        ),
      },
    })
    assert.equal("COMPLETED", q.status)
    local log = engine:log(q.name, { task = "take" })
    assert.truthy(log:find("./d/one", 1, true))
    assert.truthy(log:find("] ro", 1, true))
    assert.equal("file://" .. engine.paths.runs .. "/" .. q.name .. "/data", q.outputs)
    -- A later run can take it as well.
    local later = engine:run({
      name = "later",
      tasks = {
        S.sh("t", "cat {{input:0}}/two", { inputs = { { task = q.name .. ":make" } } }),
      },
    })
    assert.truthy(engine:log(later.name):find("[t] 2", 1, true))
  end)
end)

describe("file urls", function()
  local engine, root

  setup(function()
    root = assert(fs.tempdir({ prefix = "pai-root-" }))
    fs.mkdir(root .. "/in", { parents = true })
    engine = S.start({ roots = { root .. "/in" } })
  end)
  teardown(function()
    engine:stop()
    fs.remove(root, { recursive = true })
  end)

  local function refused(entry)
    local answer, e = engine.client:submit({
      spec = S.spec({ name = "no", tasks = { S.sh("t", "true", entry) } }),
    })
    assert.is_nil(answer)
    return e
  end

  it("are refused by name outside the allowed roots", function()
    fs.symlink("/etc", root .. "/in/out")
    for _, url in ipairs({
      "file:///etc/passwd",
      "file://" .. root,
      "file://" .. root .. "/in/out/passwd",
      "file://" .. root .. "/inside",
    }) do
      local e = refused({ inputs = { { url = url } } })
      assert.equal("CREDENTIAL", e.error_code)
      assert.truthy(e.message:find(url, 1, true))
      assert.equal("CREDENTIAL", refused({ outputs = { { url = url } } }).error_code)
    end
  end)

  it("may not climb with dots or name another host", function()
    assert.truthy(
      refused({ inputs = { { url = "file://" .. root .. "/in/../x" } } }).message:find(
        "..",
        1,
        true
      )
    )
    assert.truthy(refused({ inputs = { { url = "file://host/in" } } }))
  end)

  it("are the only urls beside those of object stores", function()
    for _, url in ipairs({ "http://127.0.0.1/key", "ftp://bucket/key", "bucket/key" }) do
      local e = refused({ inputs = { { url = url } } })
      assert.truthy(e.message:find(url, 1, true), e.message)
    end
  end)

  it("may not reach into the engine's own folder", function()
    assert(engine:request("POST", "/api/pai/roots", { json = { roots = { engine.state } } }))
    local e = refused({ outputs = { { url = "file://" .. engine.state .. "/engine/runs" } } })
    assert.truthy(e.message:find("own folder", 1, true))
    e = refused({ outputs = { { url = "file://" .. engine.state } } })
    assert.truthy(e.message:find("own folder", 1, true))
  end)

  -- What pai engine roots says, and its exit code.
  local function roots(...)
    local argv = { pai.exe, "engine", "roots", "--state", engine.state, ... }
    local r = assert(exec.run(argv, { accept = "any", timeout = "60s" }))
    return r.stdout, r.code, r.stderr
  end

  it("lie under roots that can be listed and taken away", function()
    local own, other = root .. "/in", root .. "/other"
    local url = "file://" .. other .. "/x"
    assert(engine:request("POST", "/api/pai/roots", { json = { roots = { other } } }))
    assert.truthy(roots():find(own .. "\n" .. other .. "\n", 1, true))
    local spec =
      S.spec({ name = "may", tasks = { S.sh("t", "true", { outputs = { { url = url } } }) } })
    assert(engine.client:submit({ spec = spec, validation_only = true }))
    -- All or none: one of these is no root.
    local _, code, said = roots("remove", other, root .. "/none")
    assert.are_not.equal(0, code)
    assert.truthy(said:find(root .. "/none is none of the roots", 1, true), said)
    assert.truthy(roots():find(other, 1, true))
    local left = roots("remove", other)
    assert.truthy(left:find(own, 1, true))
    assert.is_nil(left:find(other, 1, true))
    assert.equal("CREDENTIAL", refused({ outputs = { { url = url } } }).error_code)
    assert.equal('{"roots":[]}\n', (roots("remove", "--all", "--json")))
    assert.equal("", (roots("remove", "--all")))
    for _, words in ipairs({ { "remove" }, { "remove", "--all", own }, { "--all" }, { "add" } }) do
      _, code = roots(table.unpack(words))
      assert.equal(2, code)
    end
    assert(engine:request("POST", "/api/pai/roots", { json = { roots = { own } } }))
  end)

  it("need roots that are absolute paths", function()
    for _, root_given in ipairs({ "/", "relative", "/a/../b", "" }) do
      local status, body =
        engine:request("POST", "/api/pai/roots", { json = { roots = { root_given } } })
      assert.equal(400, status)
      assert.equal("USAGE", body.error_code)
    end
  end)
end)
