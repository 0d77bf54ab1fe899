-- pai.secret: values out of documents, standard input and files that are edited. They are found in
-- no memory but the locked, which is left out of dumps.
local crypto = require("pai.crypto")
local exec = require("pai.exec")
local fs = require("pai.fs")
local secret = require("pai.secret")

local exe = require("pai").exe

describe("pai.secret", function()
  local dir

  before_each(function()
    dir = assert(fs.tempdir({ prefix = "pai-secret-" }))
  end)

  after_each(function()
    assert(fs.remove(dir, { recursive = true }))
  end)

  local function put(name, body)
    local path = dir .. "/" .. name
    assert(fs.write(path, body, { sync = false, mode = 384 }))
    return path
  end

  it("takes one text out of a document", function()
    local path = put("d.json", '{"a": {"b": "value-one", "n": 12}, "empty": ""}')
    local h = assert(secret.from_document(path, { json = { "a", "b" } }))
    assert.is_true(h:equals(assert(secret.from_file(put("v", "value-one")))))
    assert.equal("file " .. path, h:name())
    assert.equal("12", secret.field(path, { json = { "a", "n" } }))
    for _, keys in ipairs({ { "b" }, { "empty" }, { "a", "b", "c" } }) do
      local none, err = secret.field(path, { json = keys })
      assert.is_nil(none)
      assert.equal("ENOENT", err.code)
    end
    local whole = assert(secret.from_file(path))
    assert.is_true(h:equals(assert(secret.pick(whole, { json = { "a", "b" } }))))
    assert.equal("EPARSE", select(2, secret.field(path, { yaml = { "a" } })).code)
    assert.equal("ENOENT", select(2, secret.field(dir .. "/none", { json = { "a" } })).code)
  end)

  it("raises for a mistake of the caller", function()
    local path = put("d.json", "{}")
    local mistakes = { {}, { json = {} }, { json = { 1 } }, { json = "a" }, { xml = { "a" } } }
    for _, opts in ipairs(mistakes) do
      assert.error(function()
        secret.field(path, opts)
      end)
    end
    assert.error(function()
      secret.from_document(path)
    end)
    assert.error(function()
      secret.save_dotenv(path, "A", "a text")
    end)
    assert.error(function()
      secret.pick("a text", { json = { "a" } })
    end)
  end)

  it("is the same in a copy, which outlives it", function()
    local h = assert(secret.from_file(put("v", "value-of-copy")))
    local copy = h:copy()
    assert.not_equal(h, copy)
    assert.is_true(copy:equals(h))
    assert.equal(h:name(), copy:name())
  end)

  it("is refused as a name that no variable can have", function()
    local h = assert(secret.from_file(put("v", "value-one")))
    for _, name in ipairs({ "", "A B", "1A", "A=B", "A\n" }) do
      assert.is_nil((secret.save_dotenv(dir .. "/.env", name, h)))
    end
    assert.is_false(fs.exists(dir .. "/.env"))
    assert.equal(0, secret.save_dotenv(dir .. "/.env", "A", h))
    assert.equal(1, secret.save_dotenv(dir .. "/.env", "A", h))
    assert.equal(0, secret.save_dotenv(dir .. "/.env", "B"))
    assert.equal("A=value-one\n", fs.read(dir .. "/.env"))
    assert.equal(1, secret.save_dotenv(dir .. "/.env", "A"))
    assert.equal("", fs.read(dir .. "/.env"))
  end)

  it("lies in no memory but the locked, whatever it comes from", function()
    local first, second = crypto.hex(12), crypto.hex(12)
    local value = first .. second
    put("d.json", ('{"x": "a\\n%s", "a": {"b": "%s"}}'):format(value, value))
    put("d.yaml", ("z: 1\na:\n  b: '%s'\n"):format(value))
    put("docker.json", ('{"a": "%s"}'):format(crypto.base64_encode("user:" .. value)))
    put("input", value .. "\n")
    put(".env", ("A='%s'\nOTHER=1\n"):format(value))
    put(
      "script.lua",
      [[
      local dir, first, second = arg[1], arg[2], arg[3]
      local secret, exec = require("pai.secret"), require("pai.exec")
      -- Once a secret is loaded only root may open these.
      local mem, maps = assert(io.open("/proc/self/mem", "rb")), assert(io.open("/proc/self/smaps"))
      local got
      require("pai.task").run(function()
        local answer = assert(exec.run({ "cat", dir .. "/d.json" }, { stdout = "secret" }))
        got = {
          assert(secret.from_document(dir .. "/d.json", { json = { "a", "b" } })),
          assert(secret.from_document(dir .. "/d.yaml", { yaml = { "a", "b" } })),
          assert(secret.from_document(dir .. "/docker.json", { json = { "a" }, basic = true })),
          assert(secret.from_stdin()),
          assert(secret.pick(answer.stdout, { json = { "a", "b" } })),
          assert(secret.from_dotenv(dir .. "/.env", { OTHER = true })).A,
        }
        assert(secret.save_dotenv(dir .. "/.env", "A", got[1]:copy()))
        assert(secret.save_dotenv(dir .. "/new", "A", got[1]))
        for i = 2, #got do
          assert(got[i]:equals(got[1]), i)
        end
      end)
      collectgarbage() collectgarbage()
      local regions, current = {}, nil
      for line in maps:lines() do
        local from, to, flags = line:match("^(%x+)%-(%x+) (%S+) ")
        if from then
          current = { from = tonumber(from, 16), to = tonumber(to, 16), flags = flags }
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
      print(#got, found.locked > 0, found.other)
    ]]
    )
    local r = assert(exec.run({ exe, "lua", dir .. "/script.lua", dir, first, second }, {
      stdin = { file = dir .. "/input" },
      timeout = "60s",
    }))
    assert.equal("6\ttrue\t0\n", r.stdout)
    assert.equal(("A=%s\nOTHER=1\n"):format(value), fs.read(dir .. "/.env"))
  end)
end)
