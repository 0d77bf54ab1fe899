/* Lua tables to JSON. A table is gone through once: a list is written on the way, the members of an
 * object wait on the stack until their keys are in order. */
#include "json.h"
#include "l_json.h"
#include "l_util.h"
#include "secret.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#define SEAL_MAX ((int)PAI_SECRET_MAX)

#define STACK 8 // slots that are asked for at a time: a new task has few
#define HELD 64 // members of an object that wait on the stack; more are looked up again

typedef struct key_ref { // borrowed from the table being written
  uint64_t head;         // its first eight bytes, so that most keys compare as numbers
  const char *s;
  size_t len;
  int value; // stack index, 0 = not held
} key_ref;

typedef struct encoder {
  lua_State *L;
  pai_json_work *w;
  int depth;
  bool pretty, sort, replace;
  bool seal; // secrets may stand where texts do
} encoder;

static void write_value(encoder *e, int idx);

// A buffer with a secret in it must not grow: that would leave a copy behind.
static void check_room(encoder *e, size_t len) {
  if (e->seal && len > e->w->bytes.cap - e->w->bytes.len)
    luaL_error(e->L, "the JSON with secrets in it is over %d bytes", SEAL_MAX);
}

static void no_memory(encoder *e) {
  luaL_error(e->L, "out of memory while writing JSON");
}

static void put(encoder *e, const char *s, size_t len) {
  pai_buf *b = &e->w->bytes;
  check_room(e, len);
  if (pai_buf_reserve(b, len) < 0)
    no_memory(e);
  memcpy(b->data + b->len, s, len);
  pai_buf_advance(b, len);
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

// The items come in their order from lua_next, unless the table was filled in another one.
static bool write_items(encoder *e, int idx) {
  lua_State *L = e->L;
  lua_Integer n = 0;
  lua_pushnil(L);
  while (lua_next(L, idx) != 0) {
    if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) != ++n) {
      lua_pop(L, 2);
      return false;
    }
    if (n > 1)
      put(e, ",", 1);
    new_line(e);
    write_value(e, lua_gettop(L));
    lua_pop(L, 1);
  }
  return true;
}

static void write_items_by_number(encoder *e, int idx) {
  lua_State *L = e->L;
  lua_Integer n = (lua_Integer)lua_rawlen(L, idx), keys = 0;
  lua_pushnil(L);
  for (; lua_next(L, idx) != 0; keys++)
    lua_pop(L, 1);
  if (keys != n)
    luaL_error(L, "cannot encode a list of %d with %d keys: it has holes or names", (int)n,
               (int)keys);
  for (lua_Integer i = 1; i <= n; i++) {
    if (i > 1)
      put(e, ",", 1);
    new_line(e);
    lua_rawgeti(L, idx, i);
    write_value(e, lua_gettop(L));
    lua_pop(L, 1);
  }
}

static void write_list(encoder *e, int idx) {
  put(e, "[", 1);
  size_t start = e->w->bytes.len;
  e->depth++;
  if (!write_items(e, idx)) {
    pai_buf_truncate(&e->w->bytes, start);
    write_items_by_number(e, idx);
  }
  e->depth--;
  if (e->w->bytes.len > start)
    new_line(e);
  put(e, "]", 1);
}

static int compare_keys(const void *a, const void *b) {
  const key_ref *x = a, *y = b;
  if (x->head != y->head)
    return x->head < y->head ? -1 : 1;
  int order = memcmp(x->s, y->s, x->len < y->len ? x->len : y->len);
  return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

static uint64_t head_of(const char *s, size_t len) {
  unsigned char first[8] = {0};
  memcpy(first, s, len < 8 ? len : 8);
  uint64_t head = 0;
  for (int i = 0; i < 8; i++)
    head = head << 8 | first[i];
  return head;
}

static void sort_keys(key_ref *keys, size_t n) {
  if (n > HELD) {
    qsort(keys, n, sizeof *keys, compare_keys);
    return;
  }
  for (size_t i = 1; i < n; i++) {
    key_ref key = keys[i];
    size_t at = i;
    for (; at > 0 && compare_keys(&keys[at - 1], &key) > 0; at--)
      keys[at] = keys[at - 1];
    keys[at] = key;
  }
}

// Collects the keys, which stay alive since the table stays as it is meanwhile, and holds values.
static size_t collect(encoder *e, int idx) {
  lua_State *L = e->L;
  size_t n = 0;
  lua_pushnil(L);
  for (; lua_next(L, idx) != 0; n++) {
    key_ref key = {0};
    if (n < HELD && n % STACK == 0)
      luaL_checkstack(L, STACK + 8, "JSON");
    if (lua_type(L, -2) != LUA_TSTRING)
      luaL_error(L, "cannot encode a table with a %s among its keys as an object",
                 luaL_typename(L, -2));
    key.s = lua_tolstring(L, -2, &key.len);
    key.head = e->sort ? head_of(key.s, key.len) : 0;
    if (n < HELD) {
      lua_insert(L, -2);
      key.value = lua_gettop(L) - 1;
    } else {
      lua_pop(L, 1);
    }
    if (pai_buf_add(&e->w->keys, &key, sizeof key) < 0)
      no_memory(e);
  }
  return n;
}

static void write_object(encoder *e, int idx) {
  lua_State *L = e->L;
  size_t base = e->w->keys.len;
  size_t n = collect(e, idx);
  int top = lua_gettop(L);
  if (e->sort && n > 1)
    sort_keys((key_ref *)(void *)(e->w->keys.data + base), n);
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
    if (key.value == 0) {
      lua_pushlstring(L, key.s, key.len);
      lua_rawget(L, idx);
    }
    write_value(e, key.value != 0 ? key.value : top + 1);
    lua_settop(L, top);
  }
  e->depth--;
  if (n > 0)
    new_line(e);
  put(e, "}", 1);
  lua_settop(L, top - (int)(n < HELD ? n : HELD));
  pai_buf_truncate(&e->w->keys, base);
}

static void write_table(encoder *e, int idx) {
  lua_State *L = e->L;
  if (e->depth >= PAI_JSON_MAX_DEPTH)
    luaL_error(L, "cannot encode tables nested deeper than %d levels (or in a circle)",
               PAI_JSON_MAX_DEPTH);
  luaL_checkstack(L, 8, "JSON");
  if (lua_rawlen(L, idx) == 0 && !pai_json_is_marked(L, idx))
    write_object(e, idx);
  else
    write_list(e, idx);
}

static void write_number(encoder *e, int idx) {
  int rc;
  check_room(e, 64);
  if (lua_isinteger(e->L, idx))
    rc = pai_json_write_integer(&e->w->bytes, lua_tointeger(e->L, idx));
  else
    rc = pai_json_write_float(&e->w->bytes, lua_tonumber(e->L, idx));
  if (rc == PAI_E_ARG)
    luaL_error(e->L, "cannot encode a number that is not finite");
  if (rc < 0)
    no_memory(e);
}

static void write_value(encoder *e, int idx) {
  lua_State *L = e->L;
  size_t len;
  const char *s;
  switch (lua_type(L, idx)) {
  case LUA_TSTRING:
    s = lua_tolstring(L, idx, &len);
    write_string(e, s, len);
    return;
  case LUA_TNUMBER:
    write_number(e, idx);
    return;
  case LUA_TBOOLEAN:
    s = lua_toboolean(L, idx) ? "true" : "false";
    put(e, s, strlen(s));
    return;
  case LUA_TTABLE:
    write_table(e, idx);
    return;
  case LUA_TLIGHTUSERDATA:
    if (lua_touserdata(L, idx) == (const void *)&pai_json_null) {
      put(e, "null", 4);
      return;
    }
    break;
  case LUA_TUSERDATA:
    if (e->seal && pai_secret_test(L, idx) != NULL) {
      s = pai_secret_data(pai_secret_test(L, idx), &len);
      write_string(e, s, len);
      return;
    }
    break;
  default:
    break;
  }
  luaL_error(L, "cannot encode a %s", luaL_typename(L, idx));
}

int pai_json_l_encode(lua_State *L) {
  static const char *const options[] = {"pretty", "sort", "replace", NULL};
  luaL_checkany(L, 1);
  pai_l_check_options(L, 2, options);
  lua_settop(L, 2);
  encoder e = {.L = L};
  e.pretty = pai_l_opt_bool(L, 2, "pretty", false);
  e.sort = pai_l_opt_bool(L, 2, "sort", true);
  e.replace = pai_l_opt_bool(L, 2, "replace", false);
  e.w = pai_json_work_begin(L);
  lua_pushvalue(L, 1);
  write_value(&e, lua_gettop(L));
  if (e.pretty)
    put(&e, "\n", 1);
  lua_pushlstring(L, e.w->bytes.data, e.w->bytes.len);
  return 1;
}

static int seal_body(lua_State *L) {
  pai_error err;
  encoder e = {.L = L, .w = pai_json_work_begin(L), .sort = true, .seal = true};
  if (pai_buf_reserve(&e.w->bytes, SEAL_MAX) < 0)
    luaL_error(L, "out of memory while writing JSON");
  write_value(&e, lua_gettop(L));
  if (pai_secret_push_new(L, "JSON", e.w->bytes.data, e.w->bytes.len, &err) < 0)
    return pai_l_raise(L, &err);
  return 1;
}

// The memory is reserved before the first secret is written, so that there is one copy to wipe,
// and it is wiped also when a value cannot be written.
int pai_json_l_seal(lua_State *L) {
  pai_json_work *w = lua_touserdata(L, lua_upvalueindex(1));
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
