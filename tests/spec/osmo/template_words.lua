-- What random templates are made of: values, and what is done with them, rightly and wrongly.
local M = {}

-- "a; b" as a list.
local function list(text)
  local out = {}
  for item in (text:gsub("%s+", " ") .. ";"):gmatch("%s*(.-)%s*;") do
    out[#out + 1] = item
  end
  return out
end

-- As JSON, for both sides.
M.variables = [[{"n": 3, "z": 0, "f": 2.5, "s": "ab Cd", "e": "", "w": " x-y ", "xs": [3, 1, 2],
  "ws": ["b", "a", "C"], "d": {"a": 1, "b": "x", "k": [1, 2]}, "t": true, "none_": null,
  "rows": [{"id": 1, "g": "p"}, {"id": 2, "g": "q"}, {"id": 3, "g": "p"}], "u": "\u4e2d-\u6587"}]]

M.NAMES = { "n", "z", "f", "s", "e", "w", "xs", "ws", "d", "t", "none_", "rows", "u" }
M.LITERALS = {
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
M.BINARY = list([[
  +; -; *; /; //; %; **; ~; ==; !=; <; <=; >; >=; and; or; in; not in
]])
M.FILTERS = list([[
  upper; lower; title; capitalize; trim; length; list; first; last; join; join('-'); sort;
  sort(reverse=true); unique|list; reverse|list; sum; min; max; int; int(7); float; abs; round;
  round(1); round(2, 'floor'); default('d'); default('d', true); string; replace('a', 'Z');
  replace('a', 'Z', 1); tojson; batch(2)|list; slice(2)|list; map('upper')|list;
  map(attribute='id')|list; select('odd')|list; reject('none')|list;
  selectattr('id', '>', 1)|list; rejectattr('g', 'equalto', 'p')|list; groupby('g')|list;
  dictsort; items|list; indent(2); indent(2, true); string|truncate(4);
  string|truncate(5, true, '..', 0); wordcount; center(9); e; urlencode; filesizeformat;
  striptags; attr('x')|default('no'); format(1); count; sum(attribute='id');
  max(attribute='id'); sort(attribute='id')|length; map('int')|list; select|list; list|length;
  join(d='+', attribute='g'); join('/', 'id'); sort(case_sensitive=true); sort(false, true);
  sort(reverse=true, attribute='g,id')|map(attribute='id')|join; unique(true)|join;
  unique(attribute='g')|map(attribute='id')|list; default(default_value='q', boolean=true);
  d('q'); map(attribute='zz', default=7)|list; map('round', 1)|list; map('default', 'x')|list;
  map('replace', 'a', 'b')|list; map('length')|list; groupby('g')|map('first')|list;
  groupby(attribute='zz', default='n')|list; groupby('g')|map(attribute='list')|list;
  dictsort(true); dictsort(by='value')|list; dictsort(false, 'key', true); tojson(indent=2);
  tojson(1); escape; safe; forceescape; string|escape|upper; indent(width=3, blank=true);
  indent('>>'); indent(1, true, true); int(base=16); int(0, 2); float(default=1.5);
  round(method='ceil'); round(-1); round(precision=3, method='common'); slice(2, 'x')|list;
  slice(3)|map('list')|list; batch(2, 'x')|list; batch(linecount=2)|map('join')|list;
  truncate(3, end='~', leeway=0); truncate(length=6, killwords=true); filesizeformat(true);
  selectattr('g')|list|length; selectattr('g', 'in', ['p'])|map(attribute='id')|join(',');
  rejectattr('zz', 'defined')|list|length; select('gt', 1)|list; select('string')|list;
  reject('in', [1, 2])|list; select('divisibleby', 2)|list; sum(start=5); sum('id', 1);
  max(case_sensitive=true); min(attribute='g'); first|default('none'); last|string;
  replace('', '-'); replace(old='a', new='b', count=1); trim('a'); trim(' x'); attr('upper')();
  format('a', 'b'); format(a=1); reverse|join; title|length; items|map('first')|list;
  list|tojson; center(width=7); nosuch; upper(1); join(1, 2, 3); length(); default()
]])
M.METHODS = list([[
  upper(); lower(); title(); split(); split(','); split(' ', 1); strip(); replace('b', '');
  startswith('a'); endswith('d'); find('b'); count('a'); join(['p', 'q']); isdigit(); zfill(6);
  center(8, '*'); format(1, 2); splitlines(); rsplit('b', 1); items(); keys(); values();
  get('a'); get('zz', 5); index(1); count(1); append(4); pop(); swapcase(); partition('b');
  ljust(7); rjust(7, '.'); copy(); isupper(); capitalize(); lstrip('a'); removeprefix('a');
  removesuffix('d'); casefold(); expandtabs(4); isalpha(); isalnum(); isspace(); istitle();
  isdecimal(); isnumeric(); isidentifier(); isascii(); islower(); rfind('b'); rindex('b');
  index('b'); rpartition(' '); strip('a'); rstrip(); lstrip('-');
  count(''); split(sep=','); split(maxsplit=1); split(''); splitlines(true);
  startswith(('a', 'b')); endswith('d', 0, 2); find('b', 1); format(*[1, 2]); format(a='x');
  join('xy'); join(xs); pop(0); pop('zz', 1); extend([1]); insert(0, 9); remove(1); reverse();
  sort(); clear(); update({'q': 1}); setdefault('q', 2); fromkeys([1, 2]); popitem();
  bit_length(); is_integer(); real; numerator; __class__; __len__();
  zz()
]])
M.TESTS = list([[
  defined; undefined; none; string; number; integer; float; boolean; mapping; sequence;
  iterable; odd; even; divisibleby 2; divisibleby(3); lower; upper; in [1, 2, 'a']; eq 3;
  equalto('a'); gt 1; sameas none; true; false; callable; not none; not defined; escaped;
  sameas true; ne 3; != 3; == 3; lt 2; le 2; ge 2; greaterthan 1; lessthan(2); not in xs;
  in xs; in s; nosuch; divisibleby; divisibleby 0; odd is true; string is not none;
  defined and true; number or 1; mapping == false
]])

M.SOURCES = {
  "xs",
  "ws",
  "range(3)",
  "range(1, 7, 2)",
  "s",
  "d",
  "rows",
  "[]",
  "range(5, 0, -2)",
  "xs|sort",
  "(1, 2)",
  "d.values()",
  "xs + ws",
  "none_",
  "n",
  "range(n)",
  "nope",
  "ws|reverse",
  "rows|groupby('g')",
  "dict(a=1, b=2)",
  "xs[1:]",
  "s.split()",
}

M.INSIDE = {
  "{{ loop.index0 }}/{{ loop.length }},",
  "{{ loop.last }}",
  "{{ loop.revindex }}",
  "{{ i }}",
  "{{ loop.cycle('a', 'b', n) }}",
  "{{ loop.changed(i) }}",
  "{{ loop.previtem|default('-') }}{{ loop.nextitem|default('-') }}",
  "{{ loop.depth }}{{ loop.depth0 }}{{ loop.revindex0 }}{{ loop.first }}",
  "{% set n = n + 1 %}{{ n }}",
  "{% set ns.x = ns.x ~ loop.index %}",
  "{% for j in [1, 2] %}{{ loop.index }}{% endfor %}",
  "{{ loop }}",
  "{{ loop.zz }}",
  "{% if loop.index is odd %}o{% else %}e{% endif %}",
}

M.TAGS = {
  "include 'x'",
  "import 'x' as y",
  "extends 'x'",
  "from 'x' import y",
  "do xs.append(1)",
  "break",
  "continue",
  "debug",
  "trans",
  "endif",
  "else",
  "block c",
  "autoescape true",
  "set",
  "for",
  "if",
  "raw x",
}

M.EXPRESSIONS = {
  "range(f)|list",
  "range(3)|list",
  "dict(a=s)",
  "cycler('a', 'b').next()",
  "joiner(',')()",
  "xs is iterable",
  "xs[0] < xs[1] < xs[2]",
  "1 < n <= 3 != z",
  "n if n else",
  "s[::2]",
  "xs[-2:]",
  "d['a']",
  "d.get('zz')",
  "rows[0].id",
  "rows[0]['g'] ~ n",
  "'%s %d' % (s, n)",
  "'%05.2f' % f",
  "'%x' % 255",
  "'{:>5}'.format(n)",
  "'{0!r:.3}'.format(s)",
  "-n ** 2",
  "2 ** -1",
  "7 // -2",
  "-7 % 3",
  "7.5 // 2",
  "n / z",
  "f % 0",
  "s * 2",
  "xs * 2",
  "s + n",
  "not n == 3",
  "n in xs and 'a' not in s",
  "xs == [3, 1, 2]",
  "{'a': 1} == d",
  "none_ ~ t",
  "(n)",
  "((n, s))",
  "[xs, d]",
  "{n: s}",
  "{'k': xs}['k'][0]",
  "s|upper ~ w|trim",
  "n|string|length",
  "xs|map('string')|join",
  "u|length",
  "u|upper",
  "u[0]",
  "u|urlencode",
  "u|tojson",
  "w|e",
  "context",
  "super()",
  "xs.0",
  "s.0",
  "n.real",
  "f.is_integer()",
  "true + 1",
  "true ~ none",
  "1 if t",
  "loop",
}

M.MACRO_BODIES = { "{{ varargs }}", "{{ kwargs }}", "{{ caller() }}", "", "{{ w.name }}" }

return M
