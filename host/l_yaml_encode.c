/* Lua values become libyaml's events as they are walked. See l_yaml.h. */
#include "json.h"
#include "l_util.h"
#include "l_yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct key_ref { // borrowed from the table that is walked
  const char *text;
  size_t len;
  lua_Integer rank; // place in the option order, after all of it for the others
} key_ref;

typedef struct encoder {
  lua_State *L;
  pai_l_yaml_work *w;
  pai_error err;
  int order; // stack index: key -> rank
  int array_mt;
  int depth;
} encoder;

static void write_value(encoder *e);

// Raises when rc says so. The caller's value is at fault, or memory is out.
static void check(encoder *e, int rc) {
  if (rc < 0)
    luaL_error(e->L, "cannot encode as YAML: %s", e->err.message);
}

static int compare_keys(const void *a, const void *b) {
  const key_ref *x = a, *y = b;
  if (x->rank != y->rank)
    return x->rank < y->rank ? -1 : 1;
  int order = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);
  return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

// Pushes the sorted keys of the map on top as a userdata; returns how many there are.
static size_t push_keys(encoder *e, int map, key_ref **out) {
  lua_State *L = e->L;
  size_t n = 0;
  for (lua_pushnil(L); lua_next(L, map) != 0; lua_pop(L, 1), n++)
    if (lua_type(L, -2) != LUA_TSTRING)
      luaL_error(L, "cannot encode a table with a %s among its keys as a YAML map",
                 luaL_typename(L, -2));
  key_ref *keys = lua_newuserdatauv(L, (n + 1) * sizeof *keys, 0);
  size_t i = 0;
  for (lua_pushnil(L); lua_next(L, map) != 0; lua_pop(L, 1), i++) {
    keys[i].text = lua_tolstring(L, -2, &keys[i].len);
    lua_pushvalue(L, -2);
    lua_rawget(L, e->order);
    keys[i].rank = lua_isnil(L, -1) ? LUA_MAXINTEGER : lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  qsort(keys, n, sizeof *keys, compare_keys);
  *out = keys;
  return n;
}

static void write_map(encoder *e) {
  lua_State *L = e->L;
  int map = lua_gettop(L);
  key_ref *keys;
  size_t n = push_keys(e, map, &keys);
  check(e, pai_yaml_writer_map(&e->w->writer, true, &e->err));
  for (size_t i = 0; i < n; i++) {
    check(e, pai_yaml_writer_string(&e->w->writer, keys[i].text, keys[i].len, &e->err));
    lua_pushlstring(L, keys[i].text, keys[i].len);
    lua_rawget(L, map);
    write_value(e);
    lua_pop(L, 1);
  }
  check(e, pai_yaml_writer_map(&e->w->writer, false, &e->err));
  lua_settop(L, map);
}

static void write_list(encoder *e, lua_Integer n) {
  lua_State *L = e->L;
  lua_Integer keys = 0;
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1))
    keys++;
  if (keys != n)
    luaL_error(L, "cannot encode a list of %d with %d keys: it has holes or names", (int)n,
               (int)keys);
  check(e, pai_yaml_writer_list(&e->w->writer, true, &e->err));
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    write_value(e);
    lua_pop(L, 1);
  }
  check(e, pai_yaml_writer_list(&e->w->writer, false, &e->err));
}

static void write_table(encoder *e) {
  lua_State *L = e->L;
  if (e->depth >= PAI_L_YAML_DEPTH_MOST)
    luaL_error(L, "cannot encode tables nested deeper than %d levels (or in a circle)",
               (int)PAI_L_YAML_DEPTH_MOST);
  luaL_checkstack(L, 10, "YAML");
  bool list = false;
  if (lua_getmetatable(L, -1)) {
    list = lua_rawequal(L, -1, e->array_mt);
    luaL_getmetatable(L, PAI_L_YAML_TIMESTAMP);
    bool timestamp = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    if (timestamp) {
      lua_getfield(L, -1, "timestamp");
      check(e, pai_yaml_writer_plain(&e->w->writer, luaL_checkstring(L, -1), &e->err));
      lua_pop(L, 1);
      return;
    }
  }
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  e->depth++;
  if (list || n > 0)
    write_list(e, n);
  else
    write_map(e);
  e->depth--;
}

static void write_number(encoder *e) {
  lua_State *L = e->L;
  char text[48];
  if (lua_isinteger(L, -1))
    snprintf(text, sizeof text, "%lld", (long long)lua_tointeger(L, -1));
  else
    pai_yaml_format_float(lua_tonumber(L, -1), text, sizeof text);
  check(e, pai_yaml_writer_plain(&e->w->writer, text, &e->err));
}

// Writes the value on top of the stack and leaves it there.
static void write_value(encoder *e) {
  lua_State *L = e->L;
  size_t len;
  const char *text;
  switch (lua_type(L, -1)) {
  case LUA_TSTRING:
    text = lua_tolstring(L, -1, &len);
    check(e, pai_yaml_writer_string(&e->w->writer, text, len, &e->err));
    return;
  case LUA_TNUMBER:
    write_number(e);
    return;
  case LUA_TBOOLEAN:
    text = lua_toboolean(L, -1) ? "true" : "false";
    check(e, pai_yaml_writer_plain(&e->w->writer, text, &e->err));
    return;
  case LUA_TTABLE:
    write_table(e);
    return;
  case LUA_TLIGHTUSERDATA:
    if (lua_touserdata(L, -1) == (const void *)&pai_json_null) {
      check(e, pai_yaml_writer_plain(&e->w->writer, "null", &e->err));
      return;
    }
    break;
  default:
    break;
  }
  luaL_error(L, "cannot encode a %s as YAML", luaL_typename(L, -1));
}

// Leaves a table key -> rank on the stack.
static int push_order(lua_State *L) {
  lua_newtable(L);
  int order = lua_gettop(L);
  if (lua_isnil(L, 2) || lua_getfield(L, 2, "order") == LUA_TNIL) {
    lua_settop(L, order);
    return order;
  }
  if (!lua_istable(L, -1))
    luaL_error(L, "option 'order' must be a list of keys");
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  for (lua_Integer i = 1; i <= n; i++) {
    lua_rawgeti(L, -1, i);
    lua_pushinteger(L, i);
    lua_rawset(L, order);
  }
  lua_settop(L, order);
  return order;
}

static void write_document(encoder *e) {
  check(e, pai_yaml_writer_document(&e->w->writer, true, &e->err));
  write_value(e);
  check(e, pai_yaml_writer_document(&e->w->writer, false, &e->err));
}

int pai_l_yaml_encode(lua_State *L) {
  static const char *const options[] = {"order", "all", NULL};
  luaL_checkany(L, 1);
  pai_l_check_options(L, 2, options);
  lua_settop(L, 2);
  bool all = pai_l_opt_bool(L, 2, "all", false);
  encoder e = {.L = L};
  e.order = push_order(L);
  pai_json_push_array_mt(L);
  e.array_mt = lua_gettop(L);
  e.w = pai_l_yaml_push_work(L);
  check(&e, pai_yaml_writer_init(&e.w->writer, &e.w->out, &e.err));
  if (all)
    luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer n = all ? (lua_Integer)lua_rawlen(L, 1) : 1;
  for (lua_Integer i = 1; i <= n; i++) {
    if (all)
      lua_rawgeti(L, 1, i);
    else
      lua_pushvalue(L, 1);
    write_document(&e);
    lua_pop(L, 1);
  }
  check(&e, pai_yaml_writer_finish(&e.w->writer, &e.err));
  lua_pushlstring(L, e.w->out.data, e.w->out.len);
  return 1;
}
