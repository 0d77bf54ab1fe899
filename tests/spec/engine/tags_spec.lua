-- Tags that pools.yaml allows: put on runs, taken off, shown and asked for.
local S = dofile("tests/spec/engine/support.lua")
local fs = require("pai.fs")
local json = require("pai.json")
local pools = require("pai.engine.pools")

describe("tags of the engine", function()
  local dir, engine, env

  setup(function()
    dir = assert(fs.tempdir({ prefix = "pai-tags-" }))
    assert(fs.write(dir .. "/pools.yaml", "tags: [keep, demo]\npools: {}\n"))
    env = { PAI_ENGINE_POOLS = dir .. "/pools.yaml" }
    engine = S.start({ env = env })
  end)
  teardown(function()
    engine:stop()
    fs.remove(dir, { recursive = true })
  end)

  local function change(id, query)
    return engine:request("POST", "/api/workflow/" .. id .. "/tag?" .. query)
  end

  local function tags(id)
    return select(2, engine:request("GET", "/api/workflow/" .. id)).tags
  end

  local function names(query)
    local out = {}
    for i, w in ipairs(select(2, engine:request("GET", "/api/workflow?" .. query)).workflows) do
      out[i] = w.name
    end
    return table.concat(out, " ")
  end

  it("are put on runs, taken off, shown and asked for, and outlive a killed engine", function()
    local one = engine:run({ name = "one", tasks = { S.sh("t", "true") } }).name
    local two = engine:run({ name = "two", tasks = { S.sh("t", "true") } }).name
    assert.same({ tags = { "keep", "demo" } }, select(2, engine:request("GET", "/api/tag")))
    assert.same({}, tags(one))
    local status, answer = change(one, "add=keep&add=demo&add=keep")
    assert.equal(200, status)
    assert.equal(json.null, answer)
    assert(engine.client:tag(two, { add = { "demo" } }))
    assert.same({ "demo", "keep" }, tags(one))
    assert.equal(one, names("tags=keep"))
    assert.equal(one .. " " .. two, names("tags=keep&tags=demo"))
    assert.equal("", names("tags=other"))
    assert.equal(200, (change(one, "remove=demo&remove=other")))
    engine:kill()
    engine:boot({ env = env })
    assert.same({ "keep" }, tags(one))
    assert.equal(two, names("tags=demo"))
    local uuid = engine.client:query(two).uuid
    assert.equal(200, (change(uuid, "remove=demo&add=keep")))
    assert.same({ "keep" }, tags(two))
  end)

  it("are refused where nobody allows them, and change nothing then", function()
    local id = engine:run({ name = "no", tasks = { S.sh("t", "true") } }).name
    local status, answer = change(id, "add=keep&add=other")
    assert.equal(400, status)
    assert.equal("USER", answer.error_code)
    assert.matches("only set specified tags: keep, demo", answer.message, 1, true)
    assert.same({}, tags(id))
    assert.equal("No tags specified!", select(2, change(id, "")).message)
    assert.equal("DATABASE", select(2, change("none-1", "add=keep")).error_code)
  end)

  it("are words in pools.yaml", function()
    for _, text in ipairs({ "tags: keep", "tags: [1]", "tags: ['a b']", "tags: ['']" }) do
      assert(fs.write(dir .. "/bad.yaml", text .. "\npools: {}\n"))
      local ok, e = pcall(pools.load, dir .. "/bad.yaml")
      assert.is_false(ok, text)
      assert.matches("bad.yaml: tags: ", e.message, 1, true)
    end
  end)
end)
