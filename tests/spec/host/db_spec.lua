local db = require("pai.db")
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local task = require("pai.task")

describe("pai.db", function()
  local dir, path, d

  before_each(function()
    dir = fs.tempdir({ prefix = "pai-db" })
    path = fs.join(dir, "store.db")
    d = assert(db.open(path))
    assert(d:exec("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, n, at)"))
  end)

  after_each(function()
    d:close()
    fs.remove(dir, { recursive = true })
  end)

  it("opens with a write-ahead log, foreign keys and a private file", function()
    assert.equal("wal", d:row("PRAGMA journal_mode").journal_mode)
    assert.equal(1, d:row("PRAGMA foreign_keys").foreign_keys)
    assert.equal(5000, d:row("PRAGMA busy_timeout").timeout)
    d:run("INSERT INTO t (name) VALUES ('x')")
    for _, name in ipairs(fs.list(dir)) do
      assert.equal(384, fs.stat(fs.join(dir, name)).mode & 511, name) -- 0600
    end
  end)

  it("brings every value back as what it was", function()
    for i, v in ipairs({
      0,
      -1,
      9007199254740993,
      math.maxinteger,
      math.mininteger,
      1.0,
      -0.5,
      1e300,
      "",
      "text",
      "a\0b",
      "ünï",
      "12",
    }) do
      local r = assert(d:run("INSERT INTO t (id, n) VALUES (?, ?)", i, v))
      assert.same({ changes = 1, last_id = i }, r)
      local back = d:row("SELECT n FROM t WHERE id = ?", i).n
      assert.equal(v, back)
      assert.equal(math.type(v), math.type(back))
    end
    d:run("INSERT INTO t (id, n) VALUES (100, ?)", { blob = "\0\255\1" })
    assert.same(
      { n = "\0\255\1", kind = "blob" },
      d:row("SELECT n, typeof(n) kind FROM t WHERE id = 100")
    )
    d:run("INSERT INTO t (id, n) VALUES (101, ?)", true)
    assert.equal(1, d:row("SELECT n FROM t WHERE id = 101").n)
  end)

  it("takes nil and null for NULL, and leaves NULL columns out", function()
    d:run("INSERT INTO t (id, name, n, at) VALUES (?, ?, ?, ?)", 1, nil, json.null, nil)
    assert.same({ id = 1 }, d:row("SELECT * FROM t"))
    assert.is_nil(d:row("SELECT * FROM t WHERE id = 2"))
    assert.same({}, d:rows("SELECT * FROM t WHERE id = 2"))
    assert.equal("[]", json.encode(d:rows("SELECT * FROM t WHERE id = 2")))
  end)

  it("counts changes", function()
    for i = 1, 5 do
      d:run("INSERT INTO t (n) VALUES (?)", i)
    end
    assert.equal(3, d:run("UPDATE t SET name = NULL WHERE n > 2").changes)
    assert.equal(0, d:run("UPDATE t SET name = NULL WHERE n > 20").changes)
    assert.equal(0, d:run("CREATE TABLE u (x)").changes)
    assert.same({ { n = 1 }, { n = 2 } }, d:rows("SELECT n FROM t ORDER BY id LIMIT ?", 2))
  end)

  it("gives SQLite's name of an error", function()
    d:run("INSERT INTO t (name) VALUES ('a')")
    local value, err = d:run("INSERT INTO t (name) VALUES ('a')")
    assert.is_nil(value)
    assert.equal("SQLITE_CONSTRAINT_UNIQUE", err.code)
    assert.is_false(err.retryable)
    assert.matches("UNIQUE constraint failed: t.name", tostring(err), 1, true)
    value, err = d:rows("SELEKT 1")
    assert.is_nil(value)
    assert.equal("SQLITE_ERROR", err.code)
    value, err = d:exec("SELECT 1; SELEKT 2")
    assert.is_nil(value)
    assert.equal("SQLITE_ERROR", err.code)
    -- and the statement that failed can be used again
    assert.equal(1, d:run("INSERT INTO t (name) VALUES ('b')").changes)
  end)

  it("raises for the caller's mistakes", function()
    local cases = {
      ["has 2 parameters, 1 were given"] = { "SELECT ?, ?", 1 },
      ["has 0 parameters, 1 were given"] = { "SELECT 1", nil, n = 2 },
      ["one SQL statement at a time"] = { "SELECT 1; SELECT 2" },
      ["nil, boolean, number, string"] = { "SELECT ?", print },
      ["{blob = string}"] = { "SELECT ?", {} },
    }
    for what, args in pairs(cases) do
      local ok, err = pcall(d.rows, d, table.unpack(args, 1, args.n or #args))
      assert.is_false(ok)
      assert.is_truthy(tostring(err):find(what, 1, true), err)
    end
    assert.error_matches(function()
      d:rows("  -- nothing")
    end, "one SQL statement")
    assert.is_table(d:rows("SELECT 1 ; \n"))
    assert.error_matches(function()
      db.open(path, { readwrite = true })
    end, "unknown option")
  end)

  it("refuses to store a secret", function()
    fs.write(fs.join(dir, "key"), "do not store", { mode = 384 })
    local key = assert(require("pai.secret").from_file(fs.join(dir, "key")))
    assert.error_matches(function()
      d:run("INSERT INTO t (name) VALUES (?)", key)
    end, "secret cannot be stored")
  end)

  it("works with more statements than its cache holds", function()
    for round = 1, 2 do
      for i = 1, 200 do
        assert.equal(i + round, d:row(("SELECT %d + ? AS x"):format(i), round).x)
      end
    end
    -- the schema changes under a cached statement
    d:run("INSERT INTO t (id) VALUES (1)")
    assert.same({ id = 1 }, d:row("SELECT * FROM t"))
    d:exec("ALTER TABLE t ADD COLUMN extra DEFAULT 'e'")
    assert.same({ id = 1, extra = "e" }, d:row("SELECT * FROM t"))
  end)

  it("commits a transaction and gives on what its function returns", function()
    local a, b = d:transaction(function(inside)
      inside:run("INSERT INTO t (n) VALUES (1)")
      return "x", inside:row("SELECT count(*) AS n FROM t").n
    end)
    assert.same({ "x", 1 }, { a, b })
    assert.equal(1, d:row("SELECT count(*) AS n FROM t").n)
  end)

  it("rolls back on an error and raises it again", function()
    local thrown = { code = "EMINE" }
    local ok, err = pcall(d.transaction, d, function()
      d:run("INSERT INTO t (n) VALUES (1)")
      error(thrown)
    end)
    assert.is_false(ok)
    assert.equal(thrown, err)
    assert.equal(0, d:row("SELECT count(*) AS n FROM t").n)
    d:transaction(function()
      local inner, why = pcall(d.transaction, d, print)
      assert.is_false(inner)
      assert.matches("in a transaction already", why)
      assert.is_false(pcall(d.close, d))
    end)
  end)

  it("refuses a transaction that waits, in a task and outside any", function()
    local function wait_inside()
      return pcall(d.transaction, d, function()
        d:run("INSERT INTO t (n) VALUES (1)")
        task.sleep(1)
      end)
    end
    local ok, err = wait_inside()
    assert.is_false(ok)
    assert.matches("must not wait", err)
    ok, err = task.run(wait_inside)
    assert.is_false(ok)
    assert.matches("must not wait", err)
    assert.equal(0, d:row("SELECT count(*) AS n FROM t").n)
  end)

  it("keeps other tasks out of a transaction", function()
    local seen
    pcall(d.transaction, d, function()
      task.spawn(function()
        seen = { pcall(d.run, d, "INSERT INTO t (n) VALUES (2)") }
      end)
      task.sleep(10)
    end)
    assert.is_false(seen[1])
    assert.matches("transaction of another task", seen[2])
  end)

  it(
    "raises when another connection holds the lock, and says that it may be tried again",
    function()
      local other = assert(db.open(path))
      other:exec("PRAGMA busy_timeout = 10")
      d:transaction(function()
        d:run("INSERT INTO t (n) VALUES (1)")
        local ok, err = pcall(other.transaction, other, print)
        assert.is_false(ok)
        assert.equal("SQLITE_BUSY", err.code)
        assert.is_true(err.retryable)
        -- readers see the state before
        assert.equal(0, other:row("SELECT count(*) AS n FROM t").n)
      end)
      assert.equal(1, other:row("SELECT count(*) AS n FROM t").n)
      other:close()
    end
  )

  it("reads only when told so", function()
    d:run("INSERT INTO t (n) VALUES (1)")
    local reader = assert(db.open(path, { readonly = true }))
    assert.equal(1, reader:row("SELECT n FROM t").n)
    local value, err = reader:run("INSERT INTO t (n) VALUES (2)")
    assert.is_nil(value)
    assert.equal("SQLITE_READONLY", err.code)
    reader:close()
  end)

  it("says what is wrong with a file", function()
    local value, err = db.open(fs.join(dir, "none", "x.db"))
    assert.is_nil(value)
    assert.equal("ENOENT", err.code)
    value, err = db.open(fs.join(dir, "none.db"), { readonly = true })
    assert.is_nil(value)
    assert.equal("ENOENT", err.code)
    fs.write(fs.join(dir, "text"), ("no database\n"):rep(100))
    value, err = db.open(fs.join(dir, "text"))
    assert.is_nil(value)
    assert.equal("SQLITE_NOTADB", err.code)
  end)

  it("is closed once and for all", function()
    local other = assert(db.open(":memory:"))
    other:exec("CREATE TABLE m (x)")
    other:rows("SELECT * FROM m")
    other:close()
    other:close()
    assert.error_matches(function()
      other:rows("SELECT 1")
    end, "the database is closed")
    d:close()
    -- the last connection takes the log away: nothing was left open
    assert.same({ "store.db" }, fs.list(dir))
    d = assert(db.open(path))
    do
      local scoped <close> = assert(db.open(":memory:"))
      assert.is_userdata(scoped)
    end
  end)

  it("keeps what was committed when the process is killed", function()
    local script = fs.join(dir, "writer.lua")
    fs.write(
      script,
      [[
      local d = assert(require("pai.db").open(arg[1]))
      d:transaction(function() d:run("INSERT INTO t (n) VALUES (1)") end)
      d:exec("BEGIN IMMEDIATE; INSERT INTO t (n) VALUES (2)")
      local pid = require("pai.fs").readlink("/proc/self")
      require("pai.exec").run({ "kill", "-KILL", pid })
    ]]
    )
    local r, err = exec.run({ pai.exe, "lua", script, path }, { accept = { 0 } })
    assert.is_nil(r)
    assert.equal("SIGKILL", err.signal)
    assert.same({ { n = 1 } }, d:rows("SELECT n FROM t"))
  end)
end)
