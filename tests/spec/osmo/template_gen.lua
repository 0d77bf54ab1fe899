-- Random templates for the comparison with Jinja: a grammar whose words are mostly used rightly, so
-- that most of what comes out renders, and some of it fails.
local M = {}

-- Own generator, so that a seed means the same everywhere.
local function random(seed)
  local state = seed
  return function(n)
    state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
    return (state >> 33) % n + 1
  end
end

-- As JSON, for both sides.
M.variables = [[{"n": 3, "z": 0, "f": 2.5, "s": "ab Cd", "e": "", "w": " x-y ", "xs": [3, 1, 2],
  "ws": ["b", "a", "C"], "d": {"a": 1, "b": "x", "k": [1, 2]}, "t": true, "none_": null,
  "rows": [{"id": 1, "g": "p"}, {"id": 2, "g": "q"}, {"id": 3, "g": "p"}], "u": "\u4e2d-\u6587"}]]

local NAMES = { "n", "z", "f", "s", "e", "w", "xs", "ws", "d", "t", "none_", "rows", "u" }
local LITERALS = {
  "0",
  "1",
  "2",
  "-3",
  "10",
  "1_000",
  "0x1F",
  "2.5",
  "1e3",
  "0.1",
  "'a'",
  '"b c"',
  "''",
  "'it''s'",
  "'\\n'",
  "'\\x41'",
  "true",
  "False",
  "none",
  "[1, 'x']",
  "[]",
  "(1, 2)",
  "(1,)",
  "{'a': 1}",
  "{}",
  "'a,b,c'",
  "'<b>&'",
  "'%s-%s'",
  "1e16",
  "1e-7",
  "123456789.125",
}
local BINARY = {
  "+",
  "-",
  "*",
  "/",
  "//",
  "%",
  "**",
  "~",
  "==",
  "!=",
  "<",
  "<=",
  ">",
  ">=",
  "and",
  "or",
  "in",
  "not in",
}
local FILTERS = {
  "upper",
  "lower",
  "title",
  "capitalize",
  "trim",
  "length",
  "list",
  "first",
  "last",
  "join",
  "join('-')",
  "sort",
  "sort(reverse=true)",
  "unique|list",
  "reverse|list",
  "sum",
  "min",
  "max",
  "int",
  "int(7)",
  "float",
  "abs",
  "round",
  "round(1)",
  "round(2, 'floor')",
  "default('d')",
  "default('d', true)",
  "string",
  "replace('a', 'Z')",
  "replace('a', 'Z', 1)",
  "tojson",
  "batch(2)|list",
  "slice(2)|list",
  "map('upper')|list",
  "map(attribute='id')|list",
  "select('odd')|list",
  "reject('none')|list",
  "selectattr('id', '>', 1)|list",
  "rejectattr('g', 'equalto', 'p')|list",
  "groupby('g')|list",
  "dictsort",
  "items|list",
  "indent(2)",
  "indent(2, true)",
  "string|truncate(4)",
  "string|truncate(5, true, '..', 0)",
  "wordcount",
  "center(9)",
  "e",
  "urlencode",
  "filesizeformat",
  "striptags",
  "attr('x')|default('no')",
  "format(1)",
  "count",
  "sum(attribute='id')",
  "max(attribute='id')",
  "sort(attribute='id')|length",
  "map('int')|list",
  "select|list",
  "list|length",
}
local METHODS = {
  "upper()",
  "lower()",
  "title()",
  "split()",
  "split(',')",
  "split(' ', 1)",
  "strip()",
  "replace('b', '')",
  "startswith('a')",
  "endswith('d')",
  "find('b')",
  "count('a')",
  "join(['p', 'q'])",
  "isdigit()",
  "zfill(6)",
  "center(8, '*')",
  "format(1, 2)",
  "splitlines()",
  "rsplit('b', 1)",
  "items()",
  "keys()",
  "values()",
  "get('a')",
  "get('zz', 5)",
  "index(1)",
  "count(1)",
  "append(4)",
  "pop()",
  "swapcase()",
  "partition('b')",
  "ljust(7)",
  "rjust(7, '.')",
  "copy()",
  "isupper()",
  "capitalize()",
  "lstrip('a')",
  "removeprefix('a')",
}
local TESTS = {
  "defined",
  "undefined",
  "none",
  "string",
  "number",
  "integer",
  "float",
  "boolean",
  "mapping",
  "sequence",
  "iterable",
  "odd",
  "even",
  "divisibleby 2",
  "divisibleby(3)",
  "lower",
  "upper",
  "in [1, 2, 'a']",
  "eq 3",
  "equalto('a')",
  "gt 1",
  "sameas none",
  "true",
  "false",
  "callable",
  "not none",
  "not defined",
}

local function generator(seed)
  local rnd = random(seed)
  local function pick(list)
    return list[rnd(#list)]
  end
  local expr

  local function atom()
    local kind = rnd(12)
    if kind <= 5 then
      return pick(NAMES)
    elseif kind <= 10 then
      return pick(LITERALS)
    elseif kind == 11 then
      return "loop.index"
    end
    return "nope"
  end

  local function postfix(depth)
    local base = depth > 0 and rnd(4) == 1 and "(" .. expr(depth - 1) .. ")" or atom()
    local kind = rnd(14)
    if kind == 1 then
      -- not of a literal: Jinja works that out beforehand and is milder then
      return pick(NAMES)
        .. "["
        .. pick({ "0", "-1", "1", "9", "'a'", ":2", "1:", "::-1", "-2:" })
        .. "]"
    elseif kind == 2 then
      return pick(NAMES) .. "." .. pick({ "a", "k", "zz", "0", "b" })
    elseif kind <= 5 then
      return base .. "." .. pick(METHODS)
    elseif kind <= 9 then
      return base .. (rnd(2) == 1 and "|" or " | ") .. pick(FILTERS)
    elseif kind == 10 then
      return base .. " is " .. pick(TESTS)
    end
    return base
  end

  expr = function(depth)
    local kind = rnd(10)
    if depth <= 0 or kind <= 4 then
      return postfix(depth)
    elseif kind <= 7 then
      return expr(depth - 1) .. " " .. pick(BINARY) .. " " .. expr(depth - 1)
    elseif kind == 8 then
      local other = rnd(3) > 1 and " else " .. expr(depth - 1) or ""
      return expr(depth - 1) .. " if " .. expr(depth - 1) .. other
    elseif kind == 9 then
      return "not " .. expr(depth - 1)
    end
    return "[" .. expr(depth - 1) .. ", " .. expr(depth - 1) .. "]"
  end

  local function open()
    return pick({ "{% ", "{%- ", "{% ", "{%+ " })
  end
  local function close()
    return pick({ " %}", " -%}", " %}", "%}" })
  end
  local function tag(text)
    return open() .. text .. close()
  end

  local body
  local function statement(depth)
    local kind = rnd(15)
    if kind <= 4 then
      return pick({ "{{ ", "{{- " }) .. expr(2) .. pick({ " }}", " -}}" })
    elseif kind <= 7 then
      return pick({ "text", "\n", "  a: b\n", "\r\n", " # x ", "}}", "{", "\n\n  - " })
    elseif kind == 8 then
      return pick({ "{# note #}", "{#- a -#}", " {#- {{ x }} #}\n" })
    elseif kind == 9 then
      return "{% raw %}{{ x }}{% endraw %}"
    elseif kind == 10 then
      return tag("set v = " .. expr(1))
    elseif depth <= 0 then
      return "."
    elseif kind == 11 then
      return tag("if " .. expr(1))
        .. body(depth - 1)
        .. tag("elif t")
        .. "E"
        .. tag("else")
        .. body(depth - 1)
        .. tag("endif")
    elseif kind == 12 then
      local target = pick({ "i", "i", "a, b", "n" })
      local source = target == "a, b" and "d.items()"
        or pick({ "xs", "ws", "range(3)", "range(1, 7, 2)", "s", "d", "rows", "[]" })
      local cond = rnd(4) == 1 and " if " .. pick({ "i", "i != 1", "n" }) or ""
      local other = rnd(4) == 1 and tag("else") .. "none" or ""
      local inside = pick({
        "{{ loop.index0 }}/{{ loop.length }},",
        "{{ loop.last }}",
        "{{ loop.revindex }}",
        "{{ i }}",
      })
      return tag("for " .. target .. " in " .. source .. cond)
        .. inside
        .. body(depth - 1)
        .. other
        .. tag("endfor")
    elseif kind == 13 then
      return tag("macro m(a, b=2)")
        .. "<{{ a }}|{{ b }}>"
        .. tag("endmacro")
        .. "{{ m("
        .. expr(0)
        .. ") }}"
    elseif kind == 14 then
      return tag("set v") .. body(depth - 1) .. tag("endset") .. "{{ v|length }}"
    end
    return tag("with q = " .. expr(1)) .. "{{ q }}" .. body(depth - 1) .. tag("endwith")
  end

  body = function(depth)
    local parts = {}
    for i = 1, rnd(3) do
      parts[i] = statement(depth)
    end
    return table.concat(parts)
  end
  return body
end

---@param seed integer
---@return string
function M.template(seed)
  return generator(seed)(2)
end

return M
