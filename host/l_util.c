/* What every binding shares. See l_util.h. */
#include "l_util.h"

#include <string.h>

static int error_tostring(lua_State *L) {
  lua_getfield(L, 1, "message");
  return 1;
}

void pai_l_push_error(lua_State *L, const pai_error *err) {
  lua_createtable(L, 0, 4);
  lua_pushstring(L, pai_error_name(err));
  lua_setfield(L, -2, "code");
  lua_pushstring(L, err->message);
  lua_setfield(L, -2, "message");
  lua_pushboolean(L, err->code == PAI_E_TIMEOUT || err->code == PAI_E_NETWORK);
  lua_setfield(L, -2, "retryable");
  if (luaL_newmetatable(L, "pai.error")) {
    lua_pushcfunction(L, error_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushliteral(L, "pai.error"); // all errors share it: nobody is to change it
    lua_setfield(L, -2, "__metatable");
  }
  lua_setmetatable(L, -2);
}

int pai_l_fail(lua_State *L, const pai_error *err) {
  lua_pushnil(L);
  pai_l_push_error(L, err);
  return 2;
}

int pai_l_raise(lua_State *L, const pai_error *err) {
  pai_l_push_error(L, err);
  return lua_error(L);
}

static int unknown_option(lua_State *L, const char *key, const char *const *names) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (const char *const *n = names; *n != NULL; n++) {
    luaL_addstring(&b, n == names ? "" : ", ");
    luaL_addstring(&b, *n);
  }
  luaL_pushresult(&b);
  return luaL_error(L, "unknown option '%s' (known: %s)", key != NULL ? key : "?",
                    lua_tostring(L, -1));
}

uint64_t pai_l_given_options(lua_State *L, int idx, const char *const *names) {
  uint64_t given = 0;
  if (lua_isnoneornil(L, idx))
    return given;
  luaL_checktype(L, idx, LUA_TTABLE);
  idx = lua_absindex(L, idx);
  for (lua_pushnil(L); lua_next(L, idx) != 0;) {
    lua_pop(L, 1);
    const char *key = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    const char *const *n = names;
    while (key != NULL && *n != NULL && strcmp(*n, key) != 0)
      n++;
    if (key == NULL || *n == NULL)
      unknown_option(L, key, names);
    if (n - names < 64)
      given |= UINT64_C(1) << (n - names);
  }
  return given;
}

void pai_l_check_options(lua_State *L, int idx, const char *const *names) {
  (void)pai_l_given_options(L, idx, names);
}

// Pushes the field or nil. Returns its type.
static int get_field(lua_State *L, int idx, const char *name) {
  if (lua_isnoneornil(L, idx)) {
    lua_pushnil(L);
    return LUA_TNIL;
  }
  return lua_getfield(L, idx, name);
}

lua_Integer pai_l_opt_integer(lua_State *L, int idx, const char *name, lua_Integer def) {
  if (get_field(L, idx, name) != LUA_TNIL) {
    int ok;
    def = lua_tointegerx(L, -1, &ok);
    if (!ok || lua_type(L, -1) != LUA_TNUMBER)
      luaL_error(L, "option '%s' must be an integer", name);
  }
  lua_pop(L, 1);
  return def;
}

bool pai_l_opt_bool(lua_State *L, int idx, const char *name, bool def) {
  int type = get_field(L, idx, name);
  if (type == LUA_TBOOLEAN)
    def = lua_toboolean(L, -1);
  else if (type != LUA_TNIL)
    luaL_error(L, "option '%s' must be true or false", name);
  lua_pop(L, 1);
  return def;
}

const char *pai_l_opt_string(lua_State *L, int idx, const char *name, const char *def) {
  int type = get_field(L, idx, name);
  if (type == LUA_TSTRING)
    def = lua_tostring(L, -1);
  else if (type != LUA_TNIL)
    luaL_error(L, "option '%s' must be a string", name);
  lua_pop(L, 1);
  return def;
}

int pai_parse_duration(const char *text, size_t len, int64_t *out_ms) {
  static const struct {
    const char *unit;
    int64_t ms;
  } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
  int64_t n = 0;
  size_t i = 0;
  for (; i < len && text[i] >= '0' && text[i] <= '9'; i++) {
    if (n > INT64_MAX / 1000000000)
      return PAI_E_PARSE;
    n = n * 10 + (text[i] - '0');
  }
  for (size_t u = 0; i > 0 && u < sizeof units / sizeof units[0]; u++) {
    size_t unit_len = strlen(units[u].unit);
    if (len - i == unit_len && memcmp(text + i, units[u].unit, unit_len) == 0) {
      *out_ms = n * units[u].ms;
      return 0;
    }
  }
  return PAI_E_PARSE;
}

// The duration on top of the stack: that of option `name`, or of argument `arg`.
static int64_t duration_at_top(lua_State *L, const char *name, int arg) {
  int64_t ms = 0;
  size_t len;
  const char *problem = "a duration such as \"30s\", \"10m\" or milliseconds";
  if (lua_type(L, -1) == LUA_TNUMBER) {
    int ok;
    ms = lua_tointegerx(L, -1, &ok);
    if (ok && ms >= 0)
      return ms;
    problem = "a whole, positive number of milliseconds";
  } else if (lua_type(L, -1) == LUA_TSTRING) {
    const char *text = lua_tolstring(L, -1, &len);
    if (pai_parse_duration(text, len, &ms) == 0)
      return ms;
  }
  if (name != NULL)
    luaL_error(L, "option '%s' must be %s", name, problem);
  return luaL_error(L, "argument %d must be %s", arg, problem);
}

int64_t pai_l_opt_duration(lua_State *L, int idx, const char *name, int64_t def_ms) {
  if (get_field(L, idx, name) != LUA_TNIL)
    def_ms = duration_at_top(L, name, 0);
  lua_pop(L, 1);
  return def_ms;
}

int64_t pai_l_check_duration(lua_State *L, int arg) {
  lua_pushvalue(L, arg);
  int64_t ms = duration_at_top(L, NULL, arg);
  lua_pop(L, 1);
  return ms;
}
