-- Schema "1.1" promises what PyYAML's safe_load gives; PyYAML itself is the judge here.
local exec = require("pai.exec")
local fs = require("pai.fs")
local json = require("pai.json")
local yaml = require("pai.yaml")

-- Reads a list of texts, answers with a list of values. What JSON cannot say becomes a table with
-- one key that begins with "py:".
local script = [==[
import datetime, json, math, sys
import yaml

def plain(v):
    if isinstance(v, bool) or v is None or isinstance(v, str):
        return v
    if isinstance(v, int):
        return v if -2**63 <= v < 2**63 else {"py:float": repr(float(v))}
    if isinstance(v, float):
        return {"py:float": "nan" if math.isnan(v) else repr(v)}
    if isinstance(v, (datetime.date, datetime.datetime)):
        return {"py:time": True}
    if isinstance(v, list):
        return [plain(x) for x in v]
    if isinstance(v, dict):
        return {str(k): plain(x) for k, x in v.items()}
    return {"py:other": type(v).__name__}

def load(text):
    try:
        return {"ok": plain(yaml.safe_load(text))}
    except Exception as e:
        return {"error": type(e).__name__}

json.dump([load(t) for t in json.load(open(sys.argv[1]))], open(sys.argv[2], "w"))
]==]

local function plain(v)
  if v == yaml.null then
    return json.null
  elseif math.type(v) == "float" then
    if v ~= v then
      return { ["py:float"] = "nan" }
    elseif v == math.huge or v == -math.huge then
      return { ["py:float"] = v > 0 and "inf" or "-inf" }
    end
    return { ["py:float"] = v }
  elseif type(v) ~= "table" then
    return v
  elseif v.timestamp then
    return { ["py:time"] = true }
  end
  local out = json.is_array(v) and json.array({}) or {}
  for k, x in pairs(v) do
    out[k] = plain(x)
  end
  return out
end

-- Python's repr of a float against the number itself.
local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b and math.type(a) == math.type(b)
  elseif a["py:float"] and b["py:float"] then
    return a["py:float"] == b["py:float"] or tonumber(a["py:float"]) == tonumber(b["py:float"])
  elseif json.is_array(a) ~= json.is_array(b) then
    return false
  end
  for k, v in pairs(a) do
    if not same(v, b[k]) then
      return false
    end
  end
  for k in pairs(b) do
    if a[k] == nil then
      return false
    end
  end
  return true
end

-- Asks PyYAML about every text and returns the texts over which we differ.
local function differences(texts)
  local dir = fs.tempdir({ prefix = "pai-yaml" })
  fs.write(fs.join(dir, "in.json"), json.encode(texts))
  local out = fs.join(dir, "out.json")
  assert(
    exec.run({ "/usr/bin/python3", "-c", script, fs.join(dir, "in.json"), out }, { timeout = "2m" })
  )
  local answers = assert(json.decode(assert(fs.read(out))))
  fs.remove(dir, { recursive = true })
  local found = {}
  for i, text in ipairs(texts) do
    local value, err = yaml.decode(text, { schema = "1.1", keys = "python", timestamps = "table" })
    local answer = answers[i]
    if value == nil then
      if not answer.error then
        found[#found + 1] = ("%q: we refuse (%s), PyYAML does not"):format(text, err.message)
      end
    elseif answer.error or not same(plain(value), answer.ok) then
      found[#found + 1] = ("%q: %s, PyYAML %s"):format(
        text,
        json.encode(plain(value)),
        json.encode(answer)
      )
    end
  end
  return found
end

-- A small generator of our own: the corpus is the same in every run.
local state = 20260728
local function random(n)
  state = (state * 1103515245 + 12345) % 2147483648
  return state // 65536 % n + 1
end

local function pick(list)
  return list[random(#list)]
end

describe("schema 1.1 beside PyYAML", function()
  it("resolves 4,000 generated scalars alike", function()
    local texts = {}
    local alphabet = {}
    for c in ("0123456789+-._:eExXobaAfF~ynTZ"):gmatch(".") do
      alphabet[#alphabet + 1] = c
    end
    for _ = 1, 3000 do
      local s = {}
      for i = 1, random(8) do
        s[i] = pick(alphabet)
      end
      texts[#texts + 1] = "- " .. table.concat(s)
    end
    local parts = {
      "-",
      "+",
      "0",
      "1",
      "08",
      "12",
      "_",
      ".",
      ":",
      "59",
      "60",
      "e",
      "E",
      "+3",
      "-05",
      "0x",
      "0b",
      "inf",
      "Inf",
      "nan",
      "NaN",
      "2024",
      "-01",
      " ",
      "T",
      "t",
      "12:30:00",
      "Z",
      "yes",
      "No",
      "ON",
      "null",
      "~",
      "y",
    }
    for _ = 1, 1000 do
      local s = {}
      for i = 1, random(5) do
        s[i] = pick(parts)
      end
      texts[#texts + 1] = "- " .. table.concat(s)
    end
    assert.same({}, differences(texts))
  end)

  it("reads generated documents alike", function()
    local function value(depth)
      local kind = depth > 3 and random(6) or random(10)
      if kind <= 6 then
        return pick({
          "a",
          "1",
          "yes",
          "'q'",
          '"d\\n"',
          "2.5",
          "~",
          "0x1f",
          "1:30",
          "x y",
          "''",
          "-1",
        })
      elseif kind <= 8 then
        local items = {}
        for i = 1, random(4) - 1 do
          items[i] = value(depth + 1)
        end
        return "[" .. table.concat(items, ", ") .. "]"
      end
      local items = {}
      for i = 1, random(4) - 1 do
        items[i] = pick({ "a", "b", "c", "1", "no", "'x'" }) .. ": " .. value(depth + 1)
      end
      return "{" .. table.concat(items, ", ") .. "}"
    end
    local function block(indent, depth)
      local pad = ("  "):rep(indent)
      local lines = {}
      for _ = 1, random(4) do
        local kind = depth > 3 and 1 or random(4)
        local key = pick({ "name", "on", "12", "k-e.y", "a b", "'q'", "~" })
        if kind == 1 then
          lines[#lines + 1] = pad .. key .. ": " .. value(2)
        elseif kind == 2 then
          lines[#lines + 1] = pad .. key .. ":\n" .. block(indent + 1, depth + 1)
        elseif kind == 3 then
          lines[#lines + 1] = pad .. key .. ":\n" .. pad .. "- " .. value(2) .. "\n" .. pad .. "- z"
        else
          lines[#lines + 1] = pad
            .. key
            .. pick({ ": |", ": >-", ": |+" })
            .. "\n"
            .. pad
            .. "  text # not\n\n"
            .. pad
            .. "    more"
        end
      end
      return table.concat(lines, "\n")
    end
    local texts = {}
    for _ = 1, 400 do
      texts[#texts + 1] = block(0, 0) .. "\n"
    end
    assert.same({}, differences(texts))
  end)

  it("treats anchors, merges, duplicates, tags and errors alike", function()
    assert.same(
      {},
      differences({
        "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n",
        "a: &a {x: 1}\nb: &b {x: 2, z: 1}\nc: {<<: [*a, *b], w: 1}\n",
        "a: &a {x: 1}\nb: &b {x: 2}\nc: {<<: *a, <<: *b}\n",
        "a: &a {x: 1, x: 2}\nb: {<<: *a}\n",
        "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, x: 9}\n",
        "<<: {a: 1}\nb: 2\n",
        "a: {<<: 1}\n",
        "a: {<<: [1]}\n",
        "a: {'<<': 1}\n",
        "! '12'",
        "a: 1\na: 2\n",
        "a: 1\nb: &x 1\nc: *x\n",
        "a: *nope\n",
        "!!str 1",
        "!!int '3'",
        "!!float 3",
        "!!null ''",
        "!!bool 'yes'",
        "!foo 1",
        "! 12",
        "--- 1\n--- 2\n",
        "",
        "---\n...\n",
        "# only\n",
        "%YAML 1.1\n---\na: 1\n",
        "a: b: c\n",
        "a: [1, 2\n",
        "\ta: 1\n",
        "a: '\n",
        "{a: 1",
        "- a\nb: 1\n",
        'a: "\\x41\\u00e9"\n',
        "a: >\n  x\n  y\n\n  z\nb: |2\n   x\n",
        "? a\n: b\n? c\n",
        "- - 1\n  - 2\n- \n  a: b\n",
        "a:\n- 1\n- 2\n",
        "key with spaces: value # comment\n",
        "a: 'it''s'\n",
        "[a, [b, {c: d}], ]\n",
        "a: 1 \nb:   2\n",
        "'a': \"b\"\n",
        "a: {b: , c: ~}\n",
        "- &a a\n- *a\n- &b [1]\n- *b\n",
        "- 99999999999999999999\n- -9223372036854775809\n- 0xffffffffffffffffff\n",
      })
    )
  end)

  it("writes what PyYAML reads back as the same", function()
    local odd = {
      "",
      "~",
      "yes",
      "1",
      "1:30",
      "0o7",
      "2024-05-06",
      "=",
      "a: b",
      "# x",
      "- x",
      " lead",
      "trail ",
      "a\nb\n",
      "a\n\n",
      "\n",
      " \n x",
      "tab\t",
      "cr\r\n",
      "\u{85}",
      "\u{2028}",
      "ünï",
      "'",
      '"',
      "{",
      "%",
      "@",
      "`",
      "\0",
      "\27",
      "multi\n  indent\n",
      "---",
      "...",
    }
    local texts = {}
    for i, a in ipairs(odd) do
      texts[#texts + 1] = yaml.encode({ [a] = odd[#odd + 1 - i], list = { a, { a } } })
    end
    texts[#texts + 1] =
      yaml.encode({ 1, 1.0, 1e20, 1e-7, true, yaml.null, json.array({}), {}, math.mininteger })
    assert.same({}, differences(texts))
  end)
end)
