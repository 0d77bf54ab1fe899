/* pai.json: JSON straight to and from Lua tables. What a table is made of is collected on the Lua
 * stack first, so that most tables are made with their final size; short strings that came before
 * are copied from a cache of stack slots, which is faster than interning them again. The memory
 * that only C knows (escapes, sort keys, output) belongs to one userdata, kept as an upvalue of the
 * functions, so nothing leaks when Lua raises. */
#include "alloc.h"
#include "json.h"
#include "l_json_paths.h"
#include "l_util.h"
#include "mask.h"
#include "secret.h"
#include "secret_mem.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARRAY_MT "pai.array"
#define WORK_MT "pai.json.work"
#define CACHE_SIZE 256   // keys, and as many values
#define CACHE_LONGEST 40 // bytes; Lua interns no longer ones
#define CACHE_FROM 2048  // bytes of text; a small one is read faster without
#define HASHES 1024
#define PAIRS 24 // members that wait on the stack before their table is made
#define ITEMS 64
#define KEEP (1 << 20) // bytes of work memory kept between calls
#define SEAL_MAX ((int)PAI_SECRET_MAX)

typedef struct key_ref { // borrowed from the table being written
  const char *s;
  size_t len;
} key_ref;

typedef struct work {
  pai_buf bytes;
  pai_buf keys;  // key_ref
  pai_buf picks; // pick
} work;

static int work_gc(lua_State *L) {
  work *w = lua_touserdata(L, 1);
  pai_buf_free(&w->bytes);
  pai_buf_free(&w->keys);
  pai_buf_free(&w->picks);
  return 0;
}

static work *work_begin(lua_State *L) {
  work *w = lua_touserdata(L, lua_upvalueindex(1));
  if (w->bytes.cap > KEEP)
    pai_buf_free(&w->bytes);
  pai_buf_clear(&w->bytes);
  pai_buf_clear(&w->keys);
  pai_buf_clear(&w->picks);
  return w;
}

void pai_json_push_array_mt(lua_State *L) {
  if (luaL_newmetatable(L, ARRAY_MT)) {
    lua_pushboolean(L, 0); // hidden: the one table is shared by all lists
    lua_setfield(L, -2, "__metatable");
  }
}

/* ---- decode ---- */

typedef struct decoder {
  lua_State *L;
  pai_json_reader r;
  const pai_json_pick *picks; // NULL: no paths are given
  bool all;                   // what no path names is taken too
  int warnings;               // stack index of the list for secrets that are not masked, 0 = none
  int depth, max_depth;
  int array_mt; // stack index
  int cache;    // stack index of slot 0, 0 = no cache
  bool keep_null, exact;
  struct {
    const char *s; // in the text
    uint32_t hash, len;
  } seen[2 * CACHE_SIZE];
} decoder;

// The members of one object while they are read.
typedef struct members {
  const char *open;             // its '{'
  int table;                    // stack index
  int waiting;                  // pairs on the stack
  bool twice;                   // a hash came twice: look each key up before it is set
  bool nulls;                   // a member is null
  uint64_t hashes[HASHES / 64]; // of the keys so far; not in here = not a duplicate
} members;

// 1: pushed a value; 0: nothing of it was picked; negative: error.
static int read_value(decoder *d, int node);

// Of length, first and last eight bytes: what differs elsewhere shares a slot, no more.
static uint32_t hash_bytes(const char *s, size_t len) {
  uint64_t a = 0, b = 0;
  if (len >= 8) {
    memcpy(&a, s, 8);
    memcpy(&b, s + len - 8, 8);
  } else {
    for (size_t i = 0; i < len; i++)
      a = a << 8 | (unsigned char)s[i];
  }
  uint64_t h = (a ^ len) * UINT64_C(0x9E3779B97F4A7C15);
  h = (h ^ h >> 32 ^ b) * UINT64_C(0xD6E8FEB86659FD93);
  return (uint32_t)(h >> 32);
}

// kind 0: a key, 1: a value; each has its own half of the cache.
static void push_string(decoder *d, const char *s, size_t len, uint32_t hash, int kind) {
  if (d->cache == 0 || len == 0 || len > CACHE_LONGEST || s < d->r.text || s >= d->r.end) {
    lua_pushlstring(d->L, s, len);
    return;
  }
  uint32_t slot = hash % CACHE_SIZE + (kind == 0 ? 0 : CACHE_SIZE);
  if (d->seen[slot].hash == hash && d->seen[slot].len == len &&
      memcmp(d->seen[slot].s, s, len) == 0) {
    lua_pushvalue(d->L, d->cache + (int)slot);
    return;
  }
  lua_pushlstring(d->L, s, len);
  lua_copy(d->L, -1, d->cache + (int)slot);
  d->seen[slot].s = s;
  d->seen[slot].hash = hash;
  d->seen[slot].len = (uint32_t)len;
}

static int no_memory(decoder *d) {
  return pai_error_set(d->r.err, PAI_E_NOMEM, "out of memory while reading JSON");
}

static int too_deep(decoder *d) {
  return pai_json_fail(&d->r, d->r.p, PAI_E_LIMIT, "nested deeper than %d levels", d->max_depth);
}

// Finds the second member called key in the object that begins at `open`, to say where it is.
static int duplicate(decoder *d, const char *open) {
  size_t len, other_len;
  const char *key = lua_tolstring(d->L, -1, &len), *other;
  pai_json_reader r = d->r;
  bool seen = false;
  for (r.p = open + 1;; r.p++) { // past '{' or ','
    pai_json_space(&r);
    const char *at = r.p++;
    if (pai_json_read_string(&r, &other, &other_len) < 0)
      break;
    if (len == other_len && memcmp(key, other, len) == 0) {
      if (seen)
        return pai_json_fail(&d->r, at, PAI_E_PARSE, "the key \"%.60s\" is there twice", key);
      seen = true;
    }
    pai_json_space(&r);
    r.p++;
    pai_json_space(&r);
    if (pai_json_skip(&r, d->max_depth) < 0)
      break;
    pai_json_space(&r);
  }
  return pai_json_fail(&d->r, d->r.p, PAI_E_PARSE, "the key \"%.60s\" is there twice", key);
}

// Moves the waiting pairs from the stack into the table, which is made now if it is nil.
static int flush_pairs(decoder *d, members *m, bool last) {
  lua_State *L = d->L;
  if (lua_isnil(L, m->table)) {
    lua_createtable(L, 0, last ? m->waiting : m->waiting * 2);
    lua_replace(L, m->table);
  }
  for (; m->waiting > 0; m->waiting--) {
    if (m->twice) {
      lua_pushvalue(L, -2);
      if (lua_rawget(L, m->table) != LUA_TNIL) {
        lua_pop(L, 2);
        return duplicate(d, m->open);
      }
      lua_pop(L, 1);
    }
    lua_rawset(L, m->table);
  }
  return 0;
}

// Takes the members out again that hold null; they had to be there to find duplicates.
static void drop_nulls(lua_State *L, int table) {
  lua_pushnil(L);
  while (lua_next(L, table) != 0) {
    bool null = lua_touserdata(L, -1) == (const void *)&pai_json_null;
    lua_pop(L, 1);
    if (null) {
      lua_pushvalue(L, -1);
      lua_pushnil(L);
      lua_rawset(L, table);
    }
  }
}

static int find_pick(const decoder *d, int node, const char *key, size_t len) {
  for (int c = d->picks[node].child; c != 0; c = d->picks[c].next)
    if (d->picks[c].len == len && memcmp(d->picks[c].key, key, len) == 0)
      return c;
  return -1;
}

// Reads `"key" : value` and pushes both; pushes nothing if nothing of it was picked.
static int read_member(decoder *d, members *m, int node) {
  pai_json_reader *r = &d->r;
  const char *key;
  size_t len;
  if (*r->p != '"')
    return pai_json_unexpected(r, "a key");
  r->p++;
  int rc = pai_json_read_string(r, &key, &len);
  if (rc < 0)
    return rc;
  int child = node >= 0 ? find_pick(d, node, key, len) : -1;
  bool take = d->all || child >= 0;
  if (take) {
    uint32_t hash = hash_bytes(key, len), bit = hash / CACHE_SIZE % HASHES;
    m->twice = m->twice || (m->hashes[bit / 64] >> bit % 64 & 1) != 0;
    m->hashes[bit / 64] |= UINT64_C(1) << bit % 64;
    push_string(d, key, len, hash, 0);
  }
  pai_json_space(r);
  if (*r->p != ':')
    return pai_json_unexpected(r, "':'");
  r->p++;
  pai_json_space(r);
  if (!take)
    return pai_json_skip(r, d->max_depth - d->depth);
  rc = read_value(d, child);
  if (rc == 0)
    lua_pop(d->L, 1);
  if (rc == 1) {
    m->waiting++;
    m->nulls = m->nulls || lua_islightuserdata(d->L, -1);
  }
  return rc;
}

// p is after the '{'.
static int read_members(decoder *d, members *m, int node) {
  pai_json_reader *r = &d->r;
  for (;;) {
    int rc = read_member(d, m, node);
    if (rc >= 0 && m->waiting == PAIRS)
      rc = flush_pairs(d, m, false);
    if (rc < 0)
      return rc;
    pai_json_space(r);
    char c = *r->p;
    if (c != ',' && c != '}')
      return pai_json_unexpected(r, "',' or '}'");
    r->p++;
    if (c == '}')
      return 0;
    pai_json_space(r);
  }
}

static int read_object(decoder *d, int node) {
  lua_State *L = d->L;
  members m = {.open = d->r.p++};
  if (++d->depth > d->max_depth)
    return too_deep(d);
  if (!lua_checkstack(L, 2 * PAIRS + 8))
    return no_memory(d);
  lua_pushnil(L);
  m.table = lua_gettop(L);
  int rc = 0;
  pai_json_space(&d->r);
  if (*d->r.p == '}')
    d->r.p++;
  else
    rc = read_members(d, &m, node);
  if (rc == 0)
    rc = flush_pairs(d, &m, true);
  if (rc == 0 && m.nulls && !d->keep_null)
    drop_nulls(L, m.table);
  d->depth--;
  return rc < 0 ? rc : 1;
}

static void flush_items(lua_State *L, int table, int n, lua_Integer have, bool last) {
  if (lua_isnil(L, table)) {
    lua_createtable(L, last ? n : n * 2, 0);
    lua_replace(L, table);
  }
  for (; n > 0; n--)
    lua_rawseti(L, table, have + n);
}

static int read_list(decoder *d, int node) {
  pai_json_reader *r = &d->r;
  lua_State *L = d->L;
  r->p++;
  if (++d->depth > d->max_depth)
    return too_deep(d);
  if (!lua_checkstack(L, ITEMS + 8))
    return no_memory(d);
  lua_pushnil(L);
  int table = lua_gettop(L), n = 0;
  lua_Integer have = 0;
  pai_json_space(r);
  if (*r->p == ']') {
    r->p++;
  } else {
    for (;;) {
      int rc = read_value(d, node);
      if (rc < 0)
        return rc;
      if (rc == 0) // nothing picked: its place stays
        lua_pushlightuserdata(L, (void *)&pai_json_null);
      if (++n == ITEMS) {
        flush_items(L, table, n, have, false);
        have += n;
        n = 0;
      }
      pai_json_space(r);
      char c = *r->p;
      if (c != ',' && c != ']')
        return pai_json_unexpected(r, "',' or ']'");
      r->p++;
      if (c == ']')
        break;
      pai_json_space(r);
    }
  }
  flush_items(L, table, n, have, true);
  lua_pushvalue(L, d->array_mt);
  lua_setmetatable(L, table);
  d->depth--;
  return 1;
}

static int read_scalar(decoder *d) {
  lua_State *L = d->L;
  pai_json_reader *r = &d->r;
  int rc;
  switch (*r->p) {
  case '"': {
    const char *s;
    size_t len;
    r->p++;
    rc = pai_json_read_string(r, &s, &len);
    if (rc == 0)
      push_string(d, s, len, d->cache != 0 ? hash_bytes(s, len) : 0, 1);
    break;
  }
  case 't':
    rc = pai_json_read_word(r, "true", 4);
    lua_pushboolean(L, 1);
    break;
  case 'f':
    rc = pai_json_read_word(r, "false", 5);
    lua_pushboolean(L, 0);
    break;
  case 'n':
    rc = pai_json_read_word(r, "null", 4);
    lua_pushlightuserdata(L, (void *)&pai_json_null);
    break;
  default: {
    pai_json_number number = {0};
    if (*r->p != '-' && (*r->p < '0' || *r->p > '9'))
      return pai_json_unexpected(r, "a value");
    rc = pai_json_read_number(r, d->exact, &number);
    if (rc == 0 && number.is_float)
      lua_pushnumber(L, number.d);
    else if (rc == 0)
      lua_pushinteger(L, number.i);
  }
  }
  return rc < 0 ? rc : 1;
}

// A string that becomes a handle: its bytes pass through memory that is wiped, never through Lua.
static int read_secret(decoder *d, const pai_json_pick *at) {
  pai_json_reader *r = &d->r;
  const char *s, *begin = r->p;
  size_t len;
  char name[80];
  if (*begin == 'n')
    return read_scalar(d);
  if (*begin != '"')
    return pai_json_fail(r, begin, PAI_E_PARSE, "a secret is a string or null");
  r->p++;
  int rc = pai_json_read_string(r, &s, &len);
  if (rc < 0)
    return rc;
  if (at->key != NULL)
    snprintf(name, sizeof name, "json %.*s", (int)(at->len < 60 ? at->len : 60), at->key);
  else
    snprintf(name, sizeof name, "json item");
  pai_secret *secret = pai_secret_new(name, s, len, r->err);
  const char *unfit = pai_mask_unfit(s, len);
  pai_wipe(r->scratch->data, r->scratch->cap);
  if (secret == NULL)
    return r->err->code;
  pai_secret_push(d->L, secret);
  if (unfit != NULL) {
    lua_pushfstring(d->L, "%s is not masked in output: it is %s", name, unfit);
    lua_rawseti(d->L, d->warnings, (lua_Integer)lua_rawlen(d->L, d->warnings) + 1);
  }
  return 1;
}

static int read_value(decoder *d, int node) {
  char c = *d->r.p;
  const pai_json_pick *at = node >= 0 ? &d->picks[node] : NULL;
  if (at != NULL && at->secret)
    return read_secret(d, at);
  bool all = d->all,
       fits = at != NULL && ((c == '{' && at->child != 0) || (c == '[' && at->each != 0));
  d->all = all || (at != NULL && at->whole);
  int rc;
  if (!fits && !d->all)
    rc = pai_json_skip(&d->r, d->max_depth - d->depth);
  else if (c == '{')
    rc = read_object(d, fits ? node : -1);
  else if (c == '[')
    rc = read_list(d, fits ? at->each : -1);
  else
    rc = read_scalar(d);
  d->all = all;
  return rc;
}

// The text at index 1: a string, or a handle whose text is not to become one.
static const char *check_text(lua_State *L, size_t *len, bool secrets) {
  const pai_secret *handle = pai_secret_test(L, 1);
  if (handle == NULL) {
    luaL_checktype(L, 1, LUA_TSTRING);
    return lua_tolstring(L, 1, len);
  }
  luaL_argcheck(L, secrets, 1, "the text is a secret: name its secret values in option 'secret'");
  return pai_secret_data(handle, len);
}

static int l_decode(lua_State *L) {
  static const char *const options[] = {"null", "max_depth", "pick", "exact", "secret", NULL};
  size_t len;
  pai_l_check_options(L, 2, options);
  lua_settop(L, 2);
  decoder d = {.L = L};
  lua_Integer depth = pai_l_opt_integer(L, 2, "max_depth", PAI_JSON_MAX_DEPTH);
  if (depth < 1 || depth > PAI_JSON_DEPTH_CEILING)
    return luaL_error(L, "option 'max_depth' must be 1 to %d", PAI_JSON_DEPTH_CEILING);
  d.max_depth = (int)depth;
  d.keep_null = pai_l_opt_bool(L, 2, "null", true);
  d.exact = pai_l_opt_bool(L, 2, "exact", false);
  work *w = work_begin(L);
  d.all = !pai_json_paths(L, &w->picks, "pick");
  bool secrets = pai_json_paths(L, &w->picks, "secret");
  d.picks = (const pai_json_pick *)(const void *)w->picks.data;
  const char *text = check_text(L, &len, secrets);
  // What is decoded on the way to a handle stays in one place, where it is wiped.
  if (secrets && pai_buf_reserve(&w->bytes, len + 1) < 0)
    return luaL_error(L, "out of memory for JSON");
  if (secrets) {
    lua_newtable(L);
    d.warnings = lua_gettop(L);
  }
  pai_error err;
  pai_json_reader_init(&d.r, text, len, &w->bytes, &err);
  lua_pushvalue(L, lua_upvalueindex(2));
  d.array_mt = lua_gettop(L);
  if (len >= CACHE_FROM) {
    luaL_checkstack(L, 2 * CACHE_SIZE + LUA_MINSTACK, "JSON");
    d.cache = lua_gettop(L) + 1;
    lua_settop(L, lua_gettop(L) + 2 * CACHE_SIZE);
  }
  pai_json_space(&d.r);
  int rc = read_value(&d, w->picks.len > 0 ? 0 : -1);
  if (rc == 0)
    lua_pushnil(L);
  if (rc >= 0) {
    pai_json_space(&d.r);
    if (d.r.p < d.r.end)
      rc = pai_json_unexpected(&d.r, "the end");
  }
  if (secrets)
    pai_wipe(w->bytes.data, w->bytes.cap);
  if (rc >= 0 && !secrets)
    return 1;
  if (rc >= 0) {
    lua_pushnil(L);
    lua_pushvalue(L, d.warnings);
    return 3;
  }
  pai_l_fail(L, &err);
  if (d.r.line != 0) {
    lua_pushinteger(L, d.r.line);
    lua_setfield(L, -2, "line");
    lua_pushinteger(L, d.r.column);
    lua_setfield(L, -2, "column");
  }
  return 2;
}

/* ---- encode ---- */

typedef struct encoder {
  lua_State *L;
  work *w;
  int depth;
  bool pretty, sort, replace;
  bool seal; // secrets may stand where texts do
} encoder;

static void write_value(encoder *e);

// A buffer with a secret in it must not grow: that would leave a copy behind.
static void check_room(encoder *e, size_t len) {
  if (e->seal && len > e->w->bytes.cap - e->w->bytes.len)
    luaL_error(e->L, "the JSON with secrets in it is over %d bytes", SEAL_MAX);
}

static void put(encoder *e, const char *s, size_t len) {
  check_room(e, len);
  if (pai_buf_add(&e->w->bytes, s, len) < 0)
    luaL_error(e->L, "out of memory while writing JSON");
}

static void new_line(encoder *e) {
  if (!e->pretty)
    return;
  put(e, "\n", 1);
  for (int i = 0; i < e->depth; i++)
    put(e, "  ", 2);
}

static void write_string(encoder *e, const char *s, size_t len) {
  check_room(e, len > SEAL_MAX ? len : 6 * len + 2);
  int rc = pai_json_write_string(&e->w->bytes, s, len, e->replace);
  if (rc == PAI_E_PARSE)
    luaL_error(e->L, "cannot encode a string that is not valid UTF-8 (option replace = true puts "
                     "U+FFFD in its place)");
  if (rc < 0)
    luaL_error(e->L, "out of memory while writing JSON");
}

static void write_list(encoder *e, lua_Integer n) {
  lua_State *L = e->L;
  put(e, "[", 1);
  e->depth++;
  for (lua_Integer i = 1; i <= n; i++) {
    if (i > 1)
      put(e, ",", 1);
    new_line(e);
    lua_rawgeti(L, -1, i);
    write_value(e);
    lua_pop(L, 1);
  }
  e->depth--;
  if (n > 0)
    new_line(e);
  put(e, "]", 1);
}

static int compare_keys(const void *a, const void *b) {
  const key_ref *x = a, *y = b;
  int order = memcmp(x->s, y->s, x->len < y->len ? x->len : y->len);
  return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

// Keys are collected first, also when they are not sorted: the table stays as it is meanwhile, so
// the strings stay alive.
static void write_object(encoder *e) {
  lua_State *L = e->L;
  size_t base = e->w->keys.len, n = 0;
  lua_pushnil(L);
  for (; lua_next(L, -2) != 0; n++) {
    key_ref key;
    lua_pop(L, 1);
    if (lua_type(L, -1) != LUA_TSTRING)
      luaL_error(L, "cannot encode a table with a %s among its keys as an object",
                 luaL_typename(L, -1));
    key.s = lua_tolstring(L, -1, &key.len);
    if (pai_buf_add(&e->w->keys, &key, sizeof key) < 0)
      luaL_error(L, "out of memory while writing JSON");
  }
  if (e->sort && n > 1)
    qsort(e->w->keys.data + base, n, sizeof(key_ref), compare_keys);
  put(e, "{", 1);
  e->depth++;
  for (size_t i = 0; i < n; i++) {
    key_ref key;
    memcpy(&key, e->w->keys.data + base + i * sizeof key, sizeof key);
    if (i > 0)
      put(e, ",", 1);
    new_line(e);
    write_string(e, key.s, key.len);
    put(e, ": ", e->pretty ? 2 : 1);
    lua_pushlstring(L, key.s, key.len);
    lua_rawget(L, -2);
    write_value(e);
    lua_pop(L, 1);
  }
  e->depth--;
  if (n > 0)
    new_line(e);
  put(e, "}", 1);
  pai_buf_truncate(&e->w->keys, base);
}

static bool is_marked(lua_State *L) {
  if (!lua_getmetatable(L, -1))
    return false;
  bool marked = lua_rawequal(L, -1, lua_upvalueindex(2));
  lua_pop(L, 1);
  return marked;
}

static void write_table(encoder *e) {
  lua_State *L = e->L;
  if (e->depth >= PAI_JSON_MAX_DEPTH)
    luaL_error(L, "cannot encode tables nested deeper than %d levels (or in a circle)",
               PAI_JSON_MAX_DEPTH);
  luaL_checkstack(L, 8, "JSON");
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1), keys = 0;
  bool marked = is_marked(L);
  if (n == 0 && !marked) {
    write_object(e);
    return;
  }
  lua_pushnil(L);
  for (; lua_next(L, -2) != 0; keys++)
    lua_pop(L, 1);
  if (keys != n)
    luaL_error(L, "cannot encode a list of %d with %d keys: it has holes or names", (int)n,
               (int)keys);
  write_list(e, n);
}

static void write_number(encoder *e) {
  int rc;
  check_room(e, 64);
  if (lua_isinteger(e->L, -1))
    rc = pai_json_write_integer(&e->w->bytes, lua_tointeger(e->L, -1));
  else
    rc = pai_json_write_float(&e->w->bytes, lua_tonumber(e->L, -1));
  if (rc == PAI_E_ARG)
    luaL_error(e->L, "cannot encode a number that is not finite");
  if (rc < 0)
    luaL_error(e->L, "out of memory while writing JSON");
}

// Writes the value on top of the stack and leaves it there.
static void write_value(encoder *e) {
  lua_State *L = e->L;
  size_t len;
  const char *s;
  switch (lua_type(L, -1)) {
  case LUA_TSTRING:
    s = lua_tolstring(L, -1, &len);
    write_string(e, s, len);
    return;
  case LUA_TNUMBER:
    write_number(e);
    return;
  case LUA_TBOOLEAN:
    s = lua_toboolean(L, -1) ? "true" : "false";
    put(e, s, strlen(s));
    return;
  case LUA_TTABLE:
    write_table(e);
    return;
  case LUA_TLIGHTUSERDATA:
    if (lua_touserdata(L, -1) == (const void *)&pai_json_null) {
      put(e, "null", 4);
      return;
    }
    break;
  case LUA_TUSERDATA:
    if (e->seal && pai_secret_test(L, -1) != NULL) {
      s = pai_secret_data(pai_secret_test(L, -1), &len);
      write_string(e, s, len);
      return;
    }
    break;
  default:
    break;
  }
  luaL_error(L, "cannot encode a %s", luaL_typename(L, -1));
}

static int l_encode(lua_State *L) {
  static const char *const options[] = {"pretty", "sort", "replace", NULL};
  luaL_checkany(L, 1);
  pai_l_check_options(L, 2, options);
  lua_settop(L, 2);
  encoder e = {.L = L};
  e.pretty = pai_l_opt_bool(L, 2, "pretty", false);
  e.sort = pai_l_opt_bool(L, 2, "sort", true);
  e.replace = pai_l_opt_bool(L, 2, "replace", false);
  e.w = work_begin(L);
  lua_pushvalue(L, 1);
  write_value(&e);
  if (e.pretty)
    put(&e, "\n", 1);
  lua_pushlstring(L, e.w->bytes.data, e.w->bytes.len);
  return 1;
}

static int seal_body(lua_State *L) {
  pai_error err;
  encoder e = {.L = L, .w = work_begin(L), .sort = true, .seal = true};
  if (pai_buf_reserve(&e.w->bytes, SEAL_MAX) < 0)
    luaL_error(L, "out of memory while writing JSON");
  write_value(&e);
  if (pai_secret_push_new(L, "JSON", e.w->bytes.data, e.w->bytes.len, &err) < 0)
    return pai_l_raise(L, &err);
  return 1;
}

// The memory is reserved before the first secret is written, so that there is one copy to wipe,
// and it is wiped also when a value cannot be written.
static int l_seal(lua_State *L) {
  work *w = lua_touserdata(L, lua_upvalueindex(1));
  luaL_checkany(L, 1);
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushcclosure(L, seal_body, 2);
  lua_insert(L, 1);
  int status = lua_pcall(L, 1, 1, 0);
  if (w->bytes.data != NULL)
    explicit_bzero(w->bytes.data, w->bytes.cap);
  return status == LUA_OK ? 1 : lua_error(L);
}

static int l_array(lua_State *L) {
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, 1);
  return 1;
}

static int l_is_array(lua_State *L) {
  lua_settop(L, 1);
  lua_pushboolean(L, is_marked(L));
  return 1;
}

static const luaL_Reg functions[] = {
    {"decode", l_decode},     {"encode", l_encode}, {"array", l_array},
    {"is_array", l_is_array}, {"seal", l_seal},     {NULL, NULL},
};

int luaopen_pai_json(lua_State *L);
int luaopen_pai_json(lua_State *L) {
  luaL_newlibtable(L, functions);
  work *w = lua_newuserdatauv(L, sizeof *w, 0);
  *w = (work){0};
  pai_buf_init(&w->bytes, (size_t)1 << 31);
  pai_buf_init(&w->keys, (size_t)1 << 30);
  pai_buf_init(&w->picks, (size_t)1 << 20);
  if (luaL_newmetatable(L, WORK_MT)) {
    lua_pushcfunction(L, work_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  pai_json_push_array_mt(L);
  luaL_setfuncs(L, functions, 2);
  lua_pushlightuserdata(L, (void *)&pai_json_null);
  lua_setfield(L, -2, "null");
  return 1;
}
