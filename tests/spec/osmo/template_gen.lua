-- Random templates for the comparison with Jinja: a grammar whose words are mostly used rightly, so
-- that most of what comes out renders, and some of it fails.
local words = dofile("tests/spec/osmo/template_words.lua")

local M = { variables = words.variables }

-- Own generator, so that a seed means the same everywhere.
local function random(seed)
  local state = seed
  return function(n)
    state = (state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
    return (state >> 33) % n + 1
  end
end

local function generator(seed)
  local rnd = random(seed)
  local function pick(list)
    return list[rnd(#list)]
  end
  local expr

  local function atom()
    local kind = rnd(12)
    if kind <= 5 then
      return pick(words.NAMES)
    elseif kind <= 10 then
      return pick(words.LITERALS)
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
      return pick(words.NAMES)
        .. "["
        .. pick({ "0", "-1", "1", "9", "'a'", ":2", "1:", "::-1", "-2:" })
        .. "]"
    elseif kind == 2 then
      return pick(words.NAMES) .. "." .. pick({ "a", "k", "zz", "0", "b" })
    elseif kind <= 5 then
      return base .. "." .. pick(words.METHODS)
    elseif kind <= 9 then
      return base .. (rnd(2) == 1 and "|" or " | ") .. pick(words.FILTERS)
    elseif kind == 10 then
      return base .. " is " .. pick(words.TESTS)
    end
    return base
  end

  expr = function(depth)
    local kind = rnd(10)
    if depth <= 0 or kind <= 4 then
      return postfix(depth)
    elseif kind <= 7 then
      return expr(depth - 1) .. " " .. pick(words.BINARY) .. " " .. expr(depth - 1)
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
    local kind = rnd(26)
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
      local source = target == "a, b" and "d.items()" or pick(words.SOURCES)
      local cond = rnd(4) == 1 and " if " .. pick({ "i", "i != 1", "n" }) or ""
      local other = rnd(4) == 1 and tag("else") .. "none" or ""
      local inside = pick(words.INSIDE)
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
    if kind == 16 then
      return tag("set ns = namespace(x=" .. expr(0) .. ")")
        .. tag("set ns.x = " .. expr(1))
        .. "{{ ns.x }}"
    elseif kind == 17 then
      return tag(
        "filter "
          .. pick({ "upper", "trim", "replace('a', 'b')", "indent(2)", "length", "trim|title" })
      ) .. body(depth - 1) .. tag("endfilter")
    elseif kind == 18 then
      return tag(
        "set a, b = " .. pick({ "1, 2", "xs", "(n, s)", "d.items()|first", "[1, 2]", "s" })
      ) .. "{{ a }}{{ b }}"
    elseif kind == 19 then
      return tag("macro w(x, y=n)")
        .. "{{ x }}{{ y }}"
        .. pick(words.MACRO_BODIES)
        .. tag("endmacro")
        .. pick({
          "{{ w(1) }}",
          "{{ w() }}",
          "{{ w(1, 2, 3) }}",
          "{{ w(1, z=2) }}",
          "{{ w(y=1, x=" .. expr(0) .. ") }}",
          tag("call w(1)") .. "C" .. tag("endcall"),
          "{{ w.arguments }}",
        })
    elseif kind == 20 then
      return tag("for i in " .. pick({ "[[1, [2]], 3]", "d", "rows" }) .. " recursive")
        .. "<{{ i }}"
        .. pick({
          "{% if i is iterable and i is not string and i is not mapping %}{{ loop(i) }}{% endif %}",
          "{{ loop.depth }}",
        })
        .. ">"
        .. tag("endfor")
    elseif kind == 21 then
      return tag(pick(words.TAGS))
    elseif kind == 22 then
      return tag("set v | " .. pick({ "upper", "trim", "length", "replace('a', 'b')" }))
        .. body(depth - 1)
        .. tag("endset")
        .. "{{ v }}"
    elseif kind == 23 then
      return "{{ " .. pick(words.EXPRESSIONS) .. " }}"
    end
    if kind >= 24 then
      return "{{ " .. expr(3) .. " }}"
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
