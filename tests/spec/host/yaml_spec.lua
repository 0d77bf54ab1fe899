local json = require("pai.json")
local yaml = require("pai.yaml")

local null = yaml.null

local function failure(text, opts)
  local value, err = yaml.decode(text, opts)
  assert.is_nil(value)
  assert.is_table(err)
  return err
end

-- The value of one plain scalar under a schema.
local function scalar(text, schema)
  return assert(yaml.decode("- " .. text, { schema = schema }))[1]
end

describe("yaml.decode", function()
  it("reads maps, lists and every kind of scalar", function()
    local v = assert(yaml.decode([[
name: grip
list:
- 1
- two
- {three: 3.5, four: [~, true]}
text: |
  line one
  line two
folded: >-
  a
  b
quoted: "tab\tnul\0"
empty: {}
none: []
]]))
    assert.equal("grip", v.name)
    assert.same({ 1, "two", { three = 3.5, four = { null, true } } }, v.list)
    assert.equal("line one\nline two\n", v.text)
    assert.equal("a b", v.folded)
    assert.equal("tab\tnul\0", v.quoted)
    assert.is_false(json.is_array(v.empty))
    assert.is_true(json.is_array(v.none))
    assert.is_true(json.is_array(v.list))
    assert.equal('{"four":[null,true],"three":3.5}', json.encode(v.list[3]))
  end)

  it("shares null and lists with pai.json", function()
    assert.equal(json.null, yaml.null)
    assert.equal("[]", json.encode(yaml.decode("[]")))
    assert.equal("{}", json.encode(yaml.decode("{}")))
  end)

  it("resolves the core schema and nothing more", function()
    local cases = {
      ["true"] = true,
      ["True"] = true,
      ["FALSE"] = false,
      ["null"] = null,
      ["~"] = null,
      [""] = null,
      ["12"] = 12,
      ["-0"] = 0,
      ["+7"] = 7,
      ["007"] = 7,
      ["0o17"] = 15,
      ["0xFf"] = 255,
      ["1e3"] = 1000.0,
      ["-.5"] = -0.5,
      ["1."] = 1.0,
      [".inf"] = math.huge,
      ["-.INF"] = -math.huge,
      ["yes"] = "yes",
      ["off"] = "off",
      ["n"] = "n",
      ["1_000"] = "1_000",
      ["1:30"] = "1:30",
      ["2024-05-06"] = "2024-05-06",
      ["0b1"] = "0b1",
      ["-0x1"] = "-0x1",
      ["0o8"] = "0o8",
      ["0x"] = "0x",
      ["."] = ".",
      ["-"] = "-",
      ["+"] = "+",
      ["e1"] = "e1",
      ["1e"] = "1e",
      ["tRue"] = "tRue",
      [".Inf"] = math.huge,
      ["12a"] = "12a",
      ["9223372036854775807"] = math.maxinteger,
      ["-9223372036854775808"] = math.mininteger,
    }
    for text, expected in pairs(cases) do
      local got = scalar(text == "-" and "'-'" or text, "core")
      assert.equal(expected, got, text)
      assert.equal(math.type(expected), math.type(got), text)
    end
    local nan = scalar(".nan", "core")
    assert.is_true(nan ~= nan)
    assert.equal("float", math.type(scalar("9223372036854775808", "core")))
    assert.equal(18446744073709551616.0, scalar("0x10000000000000000", "core"))
  end)

  it("resolves 1.1 as Kubernetes and OSMO read it", function()
    local cases = {
      ["yes"] = true,
      ["Off"] = false,
      ["n"] = "n",
      ["y"] = "y",
      ["017"] = 15,
      ["0o17"] = "0o17",
      ["1_000"] = 1000,
      ["0b101"] = 5,
      ["-0x1f"] = -31,
      ["1:30"] = 90,
      ["1:30.5"] = 90.5,
      ["1e3"] = "1e3",
      ["1.0e3"] = "1.0e3",
      ["1.0e+3"] = 1000.0,
      [".5"] = 0.5,
      ["-.5"] = "-.5",
      ["08"] = "08",
      ["2024-05-06"] = "2024-05-06",
      ["="] = "=",
      ["190:20:30"] = 685230,
      ["1:60"] = "1:60",
      ["0:1"] = "0:1",
      ["+.inf"] = math.huge,
      ["tRUE"] = "tRUE",
    }
    for text, expected in pairs(cases) do
      local got = scalar(text, "1.1")
      assert.equal(expected, got, text)
      assert.equal(math.type(expected), math.type(got), text)
    end
  end)

  it("never resolves a quoted scalar, and obeys the tags it knows", function()
    assert.same({ "1", "true", "", "~" }, yaml.decode([=[['1', "true", '', "~"]]=]))
    assert.same({ "1", 3, 4.0, "no" }, yaml.decode("[!!str 1, !!int '3', !!float 4, ! no]"))
    assert.equal("float", math.type(yaml.decode("!!float 4")))
    for _, text in ipairs({ "!a 1", "!!int x", "!!binary aGk=", "!a {a: 1}", "!!set {a}" }) do
      assert.equal("EPARSE", failure(text).code, text)
    end
    assert.same({ a = 1 }, yaml.decode("!!map {a: 1}"))
  end)

  it("gives a timestamp as text, or as a table when asked", function()
    local text = "day: 2024-05-06\nat: 2001-12-14t21:59:43.10-05:00\n"
    assert.equal("2024-05-06", yaml.decode(text, { schema = "1.1" }).day)
    local v = yaml.decode(text, { schema = "1.1", timestamps = "table" })
    assert.equal("2024-05-06", v.day.timestamp)
    assert.equal("2001-12-14t21:59:43.10-05:00", tostring(v.at))
    assert.equal(text, yaml.encode(v, { order = { "day" } }))
  end)

  it("makes every key a string", function()
    local text = "1: a\nno: b\n~: c\n1.5: d\n'2': e\n"
    local v = yaml.decode(text, { schema = "1.1" })
    assert.same({ ["1"] = "a", ["false"] = "b", ["null"] = "c", ["1.5"] = "d", ["2"] = "e" }, v)
    v = yaml.decode(text, { schema = "1.1", keys = "python" })
    assert.same({ ["1"] = "a", ["False"] = "b", ["None"] = "c", ["1.5"] = "d", ["2"] = "e" }, v)
    assert.equal("b", yaml.decode(text).no)
    assert.matches("must be a scalar", failure("? [a]\n: b").message)
  end)

  it("refuses a key that is there twice; in 1.1 the last wins unless strict", function()
    local text = "a: 1\nb: 2\na: 3\n"
    local err = failure(text)
    assert.equal("EPARSE", err.code)
    assert.same({ 3, 1 }, { err.line, err.column })
    assert.matches('line 3, column 1: the key "a" is there twice', err.message, 1, true)
    assert.same({ a = 3, b = 2 }, yaml.decode(text, { schema = "1.1" }))
    failure(text, { schema = "1.1", strict = true })
  end)

  it("merges with <<: own keys win, then the earlier of a list", function()
    local v = assert(yaml.decode([[
a: &a {x: 1, y: 1}
b: &b {y: 2, z: 2}
one: {<<: *a, y: 9}
two: {y: 9, <<: [*a, *b]}
nested: &n
  <<: *b
  w: 4
three: {<<: *n}
quoted: {"<<": 1}
]]))
    assert.same({ x = 1, y = 9 }, v.one)
    assert.same({ x = 1, y = 9, z = 2 }, v.two)
    assert.same({ w = 4, y = 2, z = 2 }, v.three)
    assert.same({ ["<<"] = 1 }, v.quoted)
    assert.same({ y = 2, z = 2 }, v.b)
    assert.equal("EPARSE", failure("a: {<<: 1}").code)
    assert.equal("EPARSE", failure("a: {<<: [1]}").code)
  end)

  it("gives the same table for an alias, also for scalars and redefined anchors", function()
    local v = yaml.decode("a: &x {k: 1}\nb: *x\nc: &y text\nd: *y\ne: &x 2\nf: *x\n*y : key\n")
    assert.equal(v.a, v.b)
    assert.equal("text", v.d)
    assert.equal(2, v.f)
    assert.equal("key", v.text)
  end)

  it("refuses unknown aliases, circles and bombs", function()
    assert.matches('no anchor "x"', failure("a: *x").message)
    assert.matches("inside the value", failure("&a [*a]").message)
    assert.matches("inside the value", failure("&a {b: [1, {c: *a}]}").message)
    assert.equal("EPARSE", failure("--- &a 1\n--- *a\n", { all = true }).code)
    local bomb = { "a0: &a0 [x, x, x, x, x, x, x, x, x]" }
    for i = 1, 12 do
      local alias = ("*a%d, "):format(i - 1):rep(9)
      bomb[#bomb + 1] = ("a%d: &a%d [%s]"):format(i, i, alias)
    end
    local err = failure(table.concat(bomb, "\n"))
    assert.equal("ELIMIT", err.code)
    assert.matches("aliases come to more", err.message)
    err = failure("a: &a 1\nb: [" .. ("*a, "):rep(11) .. "]", { max_aliases = 10 })
    assert.equal("ELIMIT", err.code)
    assert.is_table(yaml.decode("a: &a 1\nb: [" .. ("*a, "):rep(10) .. "]", { max_aliases = 10 }))
  end)

  it("holds the limits on depth and size", function()
    local function nested(n)
      return ("["):rep(n) .. ("]"):rep(n)
    end
    assert.is_table(yaml.decode(nested(128)))
    assert.equal("ELIMIT", failure(nested(129)).code)
    assert.is_table(yaml.decode(nested(3), { max_depth = 3 }))
    assert.equal("ELIMIT", failure(nested(4), { max_depth = 3 }).code)
    assert.is_table(yaml.decode(nested(900), { max_depth = 900 }))
    for _, text in ipairs({ ("["):rep(100000), ("{a: "):rep(100000), ("- "):rep(100000) }) do
      assert.is_string(failure(text, { max_depth = 900 }).code)
    end
    assert.equal("ELIMIT", failure("abcd", { max_size = 3 }).code)
    assert.equal("abc", yaml.decode("abc", { max_size = 3 }))
  end)

  it("reads one document, or all of them", function()
    assert.equal(null, yaml.decode(""))
    assert.equal(null, yaml.decode("# nothing\n"))
    assert.same({}, yaml.decode("", { all = true }))
    assert.same({ { a = 1 }, 2, null }, yaml.decode("a: 1\n--- 2\n---\n", { all = true }))
    assert.matches("a second document", failure("--- 1\n--- 2\n").message)
    assert.equal("EPARSE", failure("a: 1\n--- [\n", { all = true }).code)
  end)

  it("says on which line a value stands", function()
    local text = "a: 1\nb:\n  c:\n  - x\n  - d: 2\n"
    local v, lines = yaml.decode(text, { positions = true })
    assert.equal(2, v.b.c[2].d)
    assert.same({ a = 1, b = 2, ["b.c"] = 3, ["b.c.1"] = 4, ["b.c.2"] = 5, ["b.c.2.d"] = 5 }, lines)
    local _, all = yaml.decode("a: 1\n---\nb: 2\n", { all = true, positions = true })
    assert.equal(3, all["2.b"])
  end)

  it("says line and column of what is wrong", function()
    local cases = {
      { "a: b: c", 1, 5 },
      { "a:\n  - b\n c: d\n", 3, 2 },
      { "a: [1,\n  2", 3, 1 },
      { "ok: 1\nbad: \1", 2, 6 },
      { "ok: 1\n\tx: 1", 2, 1 },
      { 'ok: "\\q"', 1, 6 },
      { "a: \255", 1, 4 },
      { "%YAML 3.0\n---\na", 1, 1 },
    }
    for _, case in ipairs(cases) do
      local err = failure(case[1])
      assert.equal("EPARSE", err.code, case[1])
      assert.equal(case[2], err.line, err.message)
      assert.matches("^line " .. case[2] .. ", column ", err.message)
      assert.equal(err.message, tostring(err))
    end
  end)

  it("raises for the caller's mistakes", function()
    assert.error_matches(function()
      yaml.decode("a", { shema = "1.1" })
    end, "unknown option 'shema'")
    assert.error_matches(function()
      yaml.decode("a", { schema = "1.2" })
    end, "option 'schema'")
    assert.error_matches(function()
      yaml.decode("a", { max_depth = 901 })
    end, "max_depth")
    assert.error(function()
      yaml.decode(nil)
    end)
  end)
end)

describe("yaml.encode", function()
  it("writes block style with sorted keys, or in a given order", function()
    local pod = { kind = "Pod", apiVersion = "v1", spec = { list = { 1, { a = true } }, b = 1.5 } }
    assert.equal(
      "apiVersion: v1\nkind: Pod\nspec:\n  b: 1.5\n  list:\n  - 1\n  - a: true\n",
      yaml.encode(pod)
    )
    assert.matches(
      "^kind: Pod\nspec:\n  list:",
      yaml.encode(pod, { order = { "kind", "spec", "list" } })
    )
  end)

  it("tells empty lists from empty maps, and writes null", function()
    assert.equal("a: []\nb: {}\nc: null\n", yaml.encode({ a = json.array({}), b = {}, c = null }))
  end)

  it("quotes what another reader would take for something else", function()
    for _, text in ipairs({
      "",
      "~",
      "null",
      "true",
      "Yes",
      "no",
      "off",
      "y",
      "n",
      "1",
      "0o17",
      "017",
      "1e3",
      "1_000",
      "1:30",
      "0x1f",
      "-.5",
      ".inf",
      ".nan",
      "2024-05-06",
      "=",
      "<<",
      "- a",
      "a: b",
      "# c",
      " a",
      "a ",
      "'",
      '"',
      "{",
      "[",
      "*a",
      "&a",
      "!a",
      "%a",
      "@a",
      "`a",
      "|",
      ">",
      "?",
      "-",
      "---",
      "...",
      ("1"):rep(500),
    }) do
      local written = yaml.encode({ k = text })
      assert.is_truthy(written:match("^k: ['\"]"), text)
      for _, schema in ipairs({ "core", "1.1" }) do
        assert.equal(text, yaml.decode(written, { schema = schema }).k)
        local key = yaml.decode(yaml.encode({ [text] = 1 }), { schema = schema })
        assert.equal(1, key[text], text)
      end
    end
    assert.equal("k: plain text\n", yaml.encode({ k = "plain text" }))
  end)

  it("writes several lines as a literal block", function()
    assert.equal("k: |\n  a\n  b\n", yaml.encode({ k = "a\nb\n" }))
    assert.equal("k: |-\n  a\n  b\n", yaml.encode({ k = "a\nb" }))
    assert.equal("- |+\n  a\n\n- b\n", yaml.encode({ "a\n\n", "b" }))
  end)

  it("brings every string back", function()
    local strings = {
      "a\n\nb\n\n",
      "\n",
      "\n\n",
      "\n a",
      " a\nb",
      "a \nb",
      "a\tb\n",
      "\ta\nb",
      "cr\rlf\r\n",
      "a\r",
      "nel\u{85}x",
      "ls\u{2028}x\ny",
      "ps\u{2029}",
      "bom\u{feff}",
      "\0",
      "\27[1m\n",
      "ünï\ncødé\n",
      "\u{1F600}",
      "#\n#",
      "- a\n- b",
      "a: b\nc: d",
      "  \n  ",
      "x\n\n\n",
      "\\n",
      "'\n'",
      "\u{a0}",
      "-\n",
      "...\n---\n",
      "a\n...",
      "trailing \n",
    }
    for _, text in ipairs(strings) do
      local places = { text, { text, text }, { k = text }, { a = { { text } }, b = text } }
      for _, place in ipairs(places) do
        local written = yaml.encode(place)
        assert.same(place, yaml.decode(written), written)
        assert.same(
          { place, place },
          yaml.decode(yaml.encode({ place, place }, { all = true }), { all = true })
        )
      end
    end
  end)

  it("brings every number back as what it was", function()
    for _, n in ipairs({
      0,
      -1,
      math.maxinteger,
      math.mininteger,
      1.0,
      -0.5,
      1e20,
      1e-7,
      0.1,
      1e300,
    }) do
      for _, schema in ipairs({ "core", "1.1" }) do
        local back = yaml.decode(yaml.encode({ n }), { schema = schema })[1]
        assert.equal(n, back)
        assert.equal(math.type(n), math.type(back))
      end
    end
    assert.same({ math.huge, -math.huge }, yaml.decode(yaml.encode({ math.huge, -math.huge })))
    assert.equal(".nan\n", yaml.encode(0 / 0))
  end)

  it("writes several documents", function()
    local text = yaml.encode({ { a = 1 }, "x", { 2 } }, { all = true })
    assert.same({ { a = 1 }, "x", { 2 } }, yaml.decode(text, { all = true }))
    assert.equal("", yaml.encode({}, { all = true }))
  end)

  it("raises for what has no place in YAML", function()
    local circle = {}
    circle.me = circle
    for what, value in pairs({
      ["holes or names"] = { 1, a = 2 },
      ["a function"] = { print },
      ["among its keys"] = { [true] = 1 },
      ["circle"] = circle,
      ["UTF%-8"] = { "\255" },
    }) do
      assert.error_matches(function()
        yaml.encode(value)
      end, what)
    end
    assert.error_matches(function()
      yaml.encode({}, { sort = true })
    end, "unknown option")
  end)
end)
