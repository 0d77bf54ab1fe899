-- The modules that are loaded at need have nothing of the host in them: Lua, the loop, the tasks
-- and the masker come from the executable, so there is one of each in a process.
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")

local modules = {
  crypto = "libcrypto",
  db = "libsqlite3",
  http = "libcurl",
  serve = "libmicrohttpd",
  sign = "libcrypto",
  ws = "libcurl",
  yaml = "libyaml",
  scan = "libpcre2-8",
}

local function path_of(name)
  return fs.join(pai.lib, "pai", name .. ".so")
end

local function output(argv)
  return assert(exec.run(argv)).stdout
end

-- The dynamic symbols of a file as a set; kind "--defined-only" or "--undefined-only".
local function symbols(path, kind)
  local set = {}
  for line in output({ "nm", "-D", kind, "--format=posix", path }):gmatch("[^\n]+") do
    set[line:match("^[^%s@]+")] = true
  end
  return set
end

-- Runs Lua text in a pai of its own and gives what it printed as JSON.
local function in_fresh_pai(text)
  local dir = fs.tempdir({ prefix = "pai-modules" })
  fs.write(fs.join(dir, "run.lua"), text)
  local r = assert(exec.run({ pai.exe, "lua", fs.join(dir, "run.lua") }, { timeout = "1m" }))
  fs.remove(dir, { recursive = true })
  return assert(json.decode(r.stdout))
end

describe("a loadable module", function()
  local host

  setup(function()
    host = symbols(pai.exe, "--defined-only")
  end)

  for name, library in pairs(modules) do
    it(name .. " links its library, and neither Lua nor the host", function()
      local needed = {}
      for lib in output({ "readelf", "-d", path_of(name) }):gmatch("NEEDED[^%[]*%[([^%]]+)%]") do
        needed[#needed + 1] = lib
        assert.is_nil(lib:find("lua", 1, true), lib)
        assert.is_nil(lib:find("pai", 1, true), lib)
      end
      assert.matches(library, table.concat(needed, " "), 1, true)
    end)

    it(name .. " defines nothing that the host defines", function()
      local count = 0
      for symbol in pairs(symbols(path_of(name), "--defined-only")) do
        assert.is_nil(host[symbol], symbol)
        local ours = symbol:find("^pai_") or symbol == "luaopen_pai_" .. name
        assert.is_truthy(ours or symbol:find("^_") or symbol:find("asan"), symbol)
        count = count + 1
      end
      assert.is_true(count > 0)
    end)

    it(name .. " finds all it takes of Lua and the host in the executable", function()
      local count = 0
      for symbol in pairs(symbols(path_of(name), "--undefined-only")) do
        if symbol:find("^lua") or symbol:find("^pai_") then
          assert.is_true(host[symbol], symbol)
          count = count + 1
        end
      end
      assert.is_true(count > 10)
    end)
  end

  it("is not loaded before it is used", function()
    local r = in_fresh_pai([[
      local json = require("pai.json")
      local maps = io.open("/proc/self/maps"):read("a")
      local seen = {}
      for name in maps:gmatch("/(lib[%w_-]+)[%w.-]*%.so") do
        seen[name] = true
      end
      print(json.encode(seen))
    ]])
    for _, library in pairs(modules) do
      assert.is_nil(r[library])
    end
    assert.is_nil(r["liblua5"])
  end)

  it("shares one loop with all others", function()
    local r = in_fresh_pai([[
      local json, fs, task = require("pai.json"), require("pai.fs"), require("pai.task")
      local function epolls()
        local n = 0
        for _, fd in ipairs(fs.list("/proc/self/fd")) do
          if (fs.readlink("/proc/self/fd/" .. fd) or ""):find("eventpoll", 1, true) then
            n = n + 1
          end
        end
        return n
      end
      local before = epolls()
      task.sleep(1)
      local loop = epolls()
      for _, name in ipairs({ "crypto", "db", "http", "yaml" }) do
        require("pai." .. name)
      end
      require("pai.http").request({ url = "http://127.0.0.1:1/" })
      local after_http = epolls()
      local srv = assert(require("pai.serve").listen({ handler = function() return {} end }))
      require("pai.http").request({ url = "http://127.0.0.1:" .. srv:port() })
      local with_server = epolls()
      srv:close()
      print(json.encode({ before, loop, after_http, with_server, epolls() }))
    ]])
    -- The server's library has two of its own: for requests, and for what was upgraded.
    assert.same({ 0, 1, 1, 3, 1 }, r)
  end)

  it("shares one masker with all others", function()
    local r = in_fresh_pai([[
      local json, fs, secret = require("pai.json"), require("pai.fs"), require("pai.secret")
      local dir = fs.tempdir({})
      local value = require("pai.crypto").hex(12)
      fs.write(dir .. "/value", value, { mode = 384 })
      assert(secret.from_file(dir .. "/value"))
      fs.remove(dir, { recursive = true })
      local _, err = require("pai.http").request({ url = "http://127.0.0.1:1/" .. value })
      local srv = assert(require("pai.serve").listen({ handler = function() error(value) end }))
      local _, answer = require("pai.http").request({ url = "http://127.0.0.1:" .. srv:port() })
      srv:close()
      local hidden = (err.message .. answer.body):find(value) == nil
      print(json.encode({ err.message, answer.body, hidden }))
    ]])
    assert.is_true(r[3])
    assert.matches("/***:", r[1], 1, true)
    assert.matches("Internal server error: ", r[2], 1, true)
    assert.matches("***", r[2], 1, true)
  end)
end)
