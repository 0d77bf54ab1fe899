/* What every binding shares. See l_util.h. */
#include "l_util.h"

#include <stdio.h>
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

void pai_l_check_options(lua_State *L, int idx, const char *const *names) {
  if (lua_isnoneornil(L, idx))
    return;
  luaL_checktype(L, idx, LUA_TTABLE);
  idx = lua_absindex(L, idx);
  lua_pushnil(L);
  while (lua_next(L, idx) != 0) {
    lua_pop(L, 1);
    const char *key = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    bool known = false;
    for (const char *const *n = names; key != NULL && *n != NULL && !known; n++)
      known = strcmp(*n, key) == 0;
    if (!known) {
      luaL_Buffer b;
      luaL_buffinit(L, &b);
      for (const char *const *n = names; *n != NULL; n++) {
        luaL_addstring(&b, n == names ? "" : ", ");
        luaL_addstring(&b, *n);
      }
      luaL_pushresult(&b);
      luaL_error(L, "unknown option '%s' (known: %s)", key != NULL ? key : "?",
                 lua_tostring(L, -1));
    }
  }
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

// The duration on top of the stack; what names it in the message.
static int64_t duration_at_top(lua_State *L, const char *what) {
  int64_t ms = 0;
  if (lua_type(L, -1) == LUA_TNUMBER) {
    int ok;
    ms = lua_tointegerx(L, -1, &ok);
    if (!ok || ms < 0)
      luaL_error(L, "%s must be a whole, positive number of milliseconds", what);
    return ms;
  }
  size_t len;
  const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : NULL;
  if (text == NULL || pai_parse_duration(text, len, &ms) < 0)
    luaL_error(L, "%s must be a duration such as \"30s\", \"10m\" or milliseconds", what);
  return ms;
}

int64_t pai_l_opt_duration(lua_State *L, int idx, const char *name, int64_t def_ms) {
  if (get_field(L, idx, name) != LUA_TNIL) {
    char what[64];
    snprintf(what, sizeof what, "option '%s'", name);
    def_ms = duration_at_top(L, what);
  }
  lua_pop(L, 1);
  return def_ms;
}

int64_t pai_l_check_duration(lua_State *L, int arg) {
  char what[32];
  snprintf(what, sizeof what, "argument %d", arg);
  lua_pushvalue(L, arg);
  int64_t ms = duration_at_top(L, what);
  lua_pop(L, 1);
  return ms;
}
