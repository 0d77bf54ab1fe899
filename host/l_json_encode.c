/* Lua tables to JSON. */
#include "json.h"
#include "l_json.h"
#include "l_util.h"
#include "secret.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#define SEAL_MAX ((int)PAI_SECRET_MAX)

typedef struct key_ref { // borrowed from the table being written
  const char *s;
  size_t len;
} key_ref;

typedef struct encoder {
  lua_State *L;
  pai_json_work *w;
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

static void write_table(encoder *e) {
  lua_State *L = e->L;
  if (e->depth >= PAI_JSON_MAX_DEPTH)
    luaL_error(L, "cannot encode tables nested deeper than %d levels (or in a circle)",
               PAI_JSON_MAX_DEPTH);
  luaL_checkstack(L, 8, "JSON");
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1), keys = 0;
  bool marked = pai_json_is_marked(L);
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
  write_value(&e);
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
  write_value(&e);
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
