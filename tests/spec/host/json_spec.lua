local json = require("pai.json")

-- A value after a trip through text.
local function trip(v)
  return json.decode(json.encode(v))
end

-- Decodes and returns the error, its place included.
local function failure(text, opts)
  local v, err = json.decode(text, opts)
  assert.is_nil(v)
  return err
end

describe("json.decode", function()
  it("reads every kind of value", function()
    local v = assert(json.decode('  {"a":[1,-2,0.5,true,false,null,"x"],"b":{},"c":[]}\n'))
    assert.same({ 1, -2, 0.5, true, false, json.null, "x" }, v.a)
    assert.is_nil(next(v.b))
    assert.is_nil(next(v.c))
    assert.is_true(json.is_array(v.c))
    assert.is_false(json.is_array(v.b))
  end)

  it("keeps 64-bit integers exact and tells them from floats", function()
    local v = json.decode("[9007199254740993,9223372036854775807,-9223372036854775808,1.0,1e2]")
    assert.equal(9007199254740993, v[1])
    assert.equal(math.maxinteger, v[2])
    assert.equal(math.mininteger, v[3])
    assert.equal("integer", math.type(v[1]))
    assert.equal("float", math.type(v[4]))
    assert.equal("float", math.type(v[5]))
  end)

  it("makes a larger integer a float, or an error with exact", function()
    assert.equal(9223372036854775808.0, json.decode("9223372036854775808"))
    assert.equal("float", math.type(json.decode("-9223372036854775809")))
    local err = failure("[9223372036854775808]", { exact = true })
    assert.equal("ELIMIT", err.code)
    assert.equal(2, err.column)
  end)

  it("keeps the sign of zero", function()
    assert.equal(-math.huge, 1 / json.decode("-0"))
    assert.equal("integer", math.type(json.decode("0")))
  end)

  it("reads floats to the last bit", function()
    for _, text in ipairs({ "0.1", "1.7976931348623157e308", "5e-324", "123456789.123456789" }) do
      assert.equal(tonumber(text), json.decode(text))
    end
    assert.equal(0.30000000000000004, trip(0.30000000000000004))
    assert.equal(2 ^ 63, trip(2.0 ^ 63))
  end)

  it("reads escapes, surrogate pairs and NUL", function()
    assert.equal(
      '"\\/\b\f\n\r\té😀\0.',
      json.decode([["\"\\\/\b\f\n\r\t\u00e9\ud83d\uDE00\u0000."]])
    )
  end)

  it("gives null as the sentinel, or leaves such members out", function()
    local text = '{"a":null,"b":[null,1],"c":{"d":null}}'
    assert.equal(json.null, json.decode(text).a)
    local v = json.decode(text, { null = false })
    assert.is_nil(v.a)
    assert.same({ json.null, 1 }, v.b)
    assert.same({}, v.c)
  end)

  local broken = {
    { "", "EPARSE", 1, 1 },
    { "[1,2", "EPARSE", 1, 5 },
    { "[1,]", "EPARSE", 1, 4 },
    { '{"a":1,}', "EPARSE", 1, 8 },
    { '{"a" 1}', "EPARSE", 1, 6 },
    { "{1:2}", "EPARSE", 1, 2 },
    { "[1] 2", "EPARSE", 1, 5 },
    { "\n\n [tru]", "EPARSE", 3, 3 },
    { "01", "EPARSE", 1, 1 },
    { "1.", "EPARSE", 1, 3 },
    { "1e", "EPARSE", 1, 3 },
    { "-", "EPARSE", 1, 2 },
    { "+1", "EPARSE", 1, 1 },
    { "NaN", "EPARSE", 1, 1 },
    { "1e999", "ELIMIT", 1, 1 },
    { '"abc', "EPARSE", 1, 5 },
    { '"a\nb"', "EPARSE", 1, 3 },
    { [["\x"]], "EPARSE", 1, 2 },
    { [["\u12g4"]], "EPARSE", 1, 2 },
    { [["\ud800"]], "EPARSE", 1, 2 },
    { [["\udc00\ud800"]], "EPARSE", 1, 2 },
    { '["é", x]', "EPARSE", 1, 7 },
    { "[1,2}", "EPARSE", 1, 5 },
    { "'a'", "EPARSE", 1, 1 },
    { "[1]\0", "EPARSE", 1, 4 },
  }
  for _, case in ipairs(broken) do
    it(("refuses %q with its place"):format(case[1]), function()
      local err = failure(case[1])
      assert.same({ case[2], case[3], case[4] }, { err.code, err.line, err.column })
      assert.matches("^line %d+, column %d+: ", tostring(err))
      assert.is_false(err.retryable)
    end)
  end

  it("refuses invalid UTF-8 wherever it stands", function()
    for _, bytes in ipairs({
      "\xff",
      "\x80",
      "\xc0\xaf",
      "\xe0\x80\x80",
      "\xed\xa0\x80",
      "\xf4\x90\x80\x80",
      "\xf5\x80\x80\x80",
      "\xe2\x82",
    }) do
      assert.matches("invalid UTF%-8", failure('["ok","' .. bytes .. '"]').message)
      assert.matches("invalid UTF%-8", failure('{"longer than eight ' .. bytes .. '":1}').message)
    end
  end)

  it("refuses a key that is there twice and says where", function()
    local err = failure('{"a":{"b":1},\n "c":[{"a":1}], "a":2}')
    assert.same({ 2, 17 }, { err.line, err.column })
    assert.matches('"a"', err.message, 1, true)
    failure([[{"a":1,"\u0061":2}]])
    failure('{"a":null,"a":1}', { null = false })
    local many = {}
    for i = 1, 100 do
      many[i] = ('"key%d":%d'):format(i, i)
    end
    assert.is_table(json.decode("{" .. table.concat(many, ",") .. "}"))
    for _, twice in ipairs({ 1, 23, 24, 25, 60, 100 }) do
      local text = "{" .. table.concat(many, ",") .. (',"key%d":0}'):format(twice)
      assert.matches('"key' .. twice .. '"', failure(text).message, 1, true)
    end
  end)

  -- Keys are guessed from those of the object before: every way to guess wrong.
  it("reads lists of objects whose keys come and go, in any order", function()
    local names = { "a", "ab", "abc", "", "b", "é", 'q"', "back\\slash", "nested", ("k"):rep(41) }
    local seed = 7
    local function random(n)
      seed = (seed * 1103515245 + 12345) % 2147483648
      return seed // 65536 % n + 1
    end
    local function object(depth)
      local parts, expected, used = {}, {}, {}
      for _ = 1, random(#names) do
        local name = names[random(#names)]
        if not used[name] then
          used[name] = true
          local text, value
          if depth > 0 and random(3) == 1 then
            text, value = object(depth - 1)
          elseif random(2) == 1 then
            value = "value " .. random(9)
            text = '"' .. value .. '"'
          else
            value = "a" .. random(1000000)
            text = '"' .. value .. '"'
          end
          parts[#parts + 1] = json.encode(name) .. ":" .. text
          expected[name] = value
        end
      end
      return "{" .. table.concat(parts, ",") .. "}", expected
    end
    for _ = 1, 20 do
      local texts, expected = {}, {}
      for i = 1, 200 do
        texts[i], expected[i] = object(3)
      end
      assert.same(expected, json.decode("[" .. table.concat(texts, ", ") .. "]"))
    end
  end)

  it("finds a key that is there twice in a late row, and one that is cut off", function()
    local row = '{"name":"one","size":1}'
    local rows = (row .. ",\n"):rep(200)
    local err = failure("[" .. rows .. '{"name":"one","name":"two"}]')
    assert.matches('the key "name" is there twice', err.message, 1, true)
    assert.equal(201, err.line)
    assert.equal(15, err.column)
    err = failure("[" .. rows .. '{"na')
    assert.matches("unexpected end in a string", err.message, 1, true)
    err = failure("[" .. rows .. '{"name')
    assert.matches("unexpected end in a string", err.message, 1, true)
  end)

  it("ends with an error, not a crash, when nested too deep", function()
    for _, pair in ipairs({ { "[", "]" }, { '{"a":', "}" } }) do
      local err = failure(pair[1]:rep(10000) .. "1" .. pair[2]:rep(10000))
      assert.equal("ELIMIT", err.code)
      assert.is_table(json.decode(pair[1]:rep(512) .. "1" .. pair[2]:rep(512)))
      assert.equal("ELIMIT", failure(pair[1]:rep(513) .. "1" .. pair[2]:rep(513)).code)
      assert.is_table(
        json.decode(pair[1]:rep(4000) .. "1" .. pair[2]:rep(4000), { max_depth = 4096 })
      )
    end
    assert.equal("ELIMIT", failure("[[1]]", { max_depth = 1 }).code)
    local deep = '{"skip":' .. ("["):rep(10000) .. ("]"):rep(10000) .. ',"a":1}'
    assert.equal("ELIMIT", failure(deep, { pick = { "a" } }).code)
  end)

  it("raises for a caller's mistakes", function()
    assert.error_matches(function()
      json.decode(12)
    end, "string expected")
    assert.error_matches(function()
      json.decode("1", { deep = 1 })
    end, "unknown option 'deep'")
    assert.error_matches(function()
      json.decode("1", { max_depth = 0 })
    end, "max_depth")
    assert.error_matches(function()
      json.decode("1", { pick = { "a..b" } })
    end, "a%.%.b")
  end)
end)

describe("json.decode with pick", function()
  local text = [[{"kind":"List","items":[
    {"metadata":{"name":"a","labels":{"app.io/name":"x","n":1}},
     "spec":{"z":[1,{"}":"]"}]},"big":"\"]}"},
    {"metadata":{"name":"b"}}, 7, {"spec":null}],"count":4}]]

  it("takes the named paths and skips the rest", function()
    local v = assert(json.decode(text, { pick = { "items[].metadata.name", "count" } }))
    assert.same({
      count = 4,
      items = { { metadata = { name = "a" } }, { metadata = { name = "b" } }, json.null, {} },
    }, v)
  end)

  it("takes a whole branch, an odd name, a list in a list", function()
    local v = json.decode(text, { pick = { "items[].metadata" } })
    assert.same({ name = "a", labels = { ["app.io/name"] = "x", n = 1 } }, v.items[1].metadata)
    v = json.decode(text, { pick = { 'items[].metadata.labels["app.io/name"]' } })
    assert.same({ metadata = { labels = { ["app.io/name"] = "x" } } }, v.items[1])
    assert.same({ { { a = 1 } } }, json.decode('[[{"a":1,"b":2}]]', { pick = { "[][].a" } }))
  end)

  it("takes the longer of two paths as part of the shorter", function()
    local v = json.decode('{"a":{"b":1,"c":2}}', { pick = { "a.b", "a" } })
    assert.same({ a = { b = 1, c = 2 } }, v)
  end)

  it("finds an end that is missing in what it skips", function()
    for _, cut in ipairs({ '{"a":[1,{"b":2}', '{"a":"x', '{"a":[1}}', '{"a":{"b":1]}' }) do
      assert.equal("EPARSE", failure(cut, { pick = { "z" } }).code)
    end
    assert.same({}, json.decode('{"a":"\\\\","b":"\\\\\\"}"}', { pick = { "z" } }))
  end)
end)

describe("json.encode", function()
  it("sorts keys by their bytes", function()
    assert.equal('{"B":1,"a":2,"aa":3,"b":4}', json.encode({ b = 4, a = 2, B = 1, aa = 3 }))
  end)

  it("tells lists from objects, the empty ones too", function()
    assert.equal("{}", json.encode({}))
    assert.equal("[]", json.encode(json.array({})))
    assert.equal("[]", json.encode(json.array()))
    assert.equal('{"a":[],"b":{}}', json.encode(json.decode('{"b":{},"a":[]}')))
    assert.equal("[1,[2]]", json.encode({ 1, { 2 } }))
  end)

  it("indents", function()
    local text = json.encode({ a = { 1, {} }, b = json.array() }, { pretty = true })
    assert.equal('{\n  "a": [\n    1,\n    {}\n  ],\n  "b": []\n}\n', text)
  end)

  it("writes numbers so that they read back the same", function()
    assert.equal("[1,1.0,-0.0,0.1,1e+100]", json.encode({ 1, 1.0, -0.0, 0.1, 1e100 }))
    assert.equal("9223372036854775807", json.encode(math.maxinteger))
    assert.equal("-9223372036854775808", json.encode(math.mininteger))
    math.randomseed(11)
    for _ = 1, 2000 do
      local n = string.unpack("d", string.pack("i8", math.random(0)))
      if n == n and math.abs(n) ~= math.huge then
        assert.equal(n, trip(n))
      end
    end
  end)

  it("writes short decimals as they are, the sign and whole floats too", function()
    for _, text in ipairs({
      "0.5",
      "-0.5",
      "1.25",
      "0.001",
      "123456789.123456",
      "-999999999.999999",
      "5.0",
      "-0.0",
      "1500.0",
      "0.1",
      "0.3",
      "1e-05",
      "1e+15",
      "1000000000.5",
      "0.30000000000000004",
      "3.141592653589793",
      "0.0009765625",
    }) do
      assert.equal(text, json.encode(json.decode(text)))
    end
    for i = 1, 2000 do
      local d = (i * 7919 % 1000003 - 500000) / (i % 2 == 0 and 1000 or 7)
      local written = json.encode(d)
      assert.equal(d, tonumber(written))
      local plain = ("%.15g"):format(d)
      if tonumber(plain) == d then
        assert.equal(tonumber(plain), tonumber(written))
        assert.equal(plain, (written:gsub("%.0$", "")))
      end
    end
  end)

  it("writes lists that were filled from their end, and objects of many keys in order", function()
    local list, object, expected = {}, {}, {}
    for i = 20, 1, -1 do
      list[i] = i
    end
    for i = 1, 200 do
      object[("%03d long common beginning"):format(i)] = i
      expected[i] = ('"%03d long common beginning":%d'):format(i, i)
    end
    assert.equal("[1,2,3", json.encode(list):sub(1, 6))
    assert.equal("{" .. table.concat(expected, ",") .. "}", json.encode(object))
    assert.equal(
      '{"":1,"a":2,"a\\u0000":3,"aa":4,"same begin":5,"same beginning":6,"same begio":7}',
      json.encode({
        ["same begio"] = 7,
        a = 2,
        ["a\0"] = 3,
        [""] = 1,
        aa = 4,
        ["same beginning"] = 6,
        ["same begin"] = 5,
      })
    )
    list[25] = 25
    assert.has_error(function()
      json.encode(list)
    end)
  end)

  it("escapes what must be and nothing else", function()
    assert.equal(
      [["\"\\/\b\f\n\r\t\u0000\u001fé😀]] .. '\127"',
      json.encode('"\\/\b\f\n\r\t\0\31é😀\127')
    )
  end)

  it("raises for what JSON cannot hold", function()
    local circle = {}
    circle[1] = circle
    for _, v in ipairs({
      { print },
      { 0 / 0 },
      { math.huge },
      { 1, nil, 3 },
      { 1, a = 2 },
      { [0] = 1, 2 },
      { [1.5] = 1 },
      { [true] = 1 },
      { coroutine.create(print) },
      { "\xff" },
      { ["\xff"] = 1 },
      circle,
    }) do
      assert.error_matches(function()
        json.encode(v)
      end, "cannot encode")
    end
    assert.error(function()
      json.encode()
    end)
    assert.equal("[1]", json.encode({ 1 })) -- and works on after that
  end)

  it("replaces invalid UTF-8 when asked to", function()
    assert.equal('"a�b��"', json.encode("a\xffb\xe2\x82", { replace = true }))
  end)

  it("does not let a list's mark be changed", function()
    local list = json.decode("[]")
    assert.is_false(getmetatable(list))
    assert.error(function()
      setmetatable(list, {})
    end)
  end)
end)

describe("a document of many shapes", function()
  local function value(depth)
    local kind = math.random(depth > 4 and 5 or 7)
    if kind == 1 then
      return math.random(0)
    elseif kind == 2 then
      return math.random() * 10 ^ math.random(-20, 20)
    elseif kind == 3 then
      return math.random(2) == 1
    elseif kind == 4 then
      return json.null
    elseif kind == 5 then
      local s = {}
      for i = 1, math.random(0, 50) do
        s[i] = utf8.char(math.random(0, 0x7ff))
      end
      return table.concat(s)
    end
    local t = kind == 6 and json.array() or {}
    for i = 1, math.random(0, 120 // 4 ^ depth + 1) do
      t[kind == 6 and i or ("k" .. math.random(1000))] = value(depth + 1)
    end
    return t
  end

  it("has its empty strings back, also when it is large", function()
    local list = {}
    for i = 1, 2000 do
      list[i] = i % 3 == 0 and "" or "s" .. i % 700
    end
    assert.same({ list, { [""] = "" } }, json.decode(json.encode({ list, { [""] = "" } })))
  end)

  it("comes back the same", function()
    math.randomseed(3)
    for _ = 1, 60 do
      local v = json.array({ value(0), value(0), value(0) })
      local text = json.encode(v)
      assert.equal(text, json.encode((json.decode(text))))
      assert.equal(text, json.encode((json.decode(json.encode(v, { pretty = true })))))
    end
  end)
end)
