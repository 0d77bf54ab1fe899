/* The query of a request's URL. See l_http_options.h. */
#include "l_buf.h"
#include "l_http_options.h"
#include "l_util.h"
#include "secret.h"

#include <stdlib.h>
#include <string.h>

static void escape_onto(lua_State *L, pai_buf *url, const char *text, size_t len) {
  if (pai_http_escape(url, text, len) < 0)
    luaL_error(L, "the URL is too long");
}

// name at index -2 and value on top: adds "name=value", pops the value.
static void add_parameter(lua_State *L, pai_buf *url, char *mark) {
  size_t len;
  if (pai_secret_test(L, -1) != NULL)
    luaL_error(L, "option 'query': a secret cannot be part of a URL; use a header");
  if (lua_type(L, -1) == LUA_TBOOLEAN) {
    lua_pushstring(L, lua_toboolean(L, -1) ? "true" : "false");
    lua_replace(L, -2);
  }
  if (lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER)
    luaL_error(L, "option 'query': a value must be a string, a number or a boolean");
  if (pai_buf_add(url, mark, 1) < 0)
    luaL_error(L, "the URL is too long");
  *mark = '&';
  const char *name = lua_tolstring(L, -2, &len);
  escape_onto(L, url, name, len);
  if (pai_buf_add(url, "=", 1) < 0)
    luaL_error(L, "the URL is too long");
  const char *text = lua_tolstring(L, -1, &len);
  escape_onto(L, url, text, len);
  lua_pop(L, 1);
}

static int compare_names(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The names of the table on top, sorted, as a userdata above it.
static const char **push_names(lua_State *L, size_t *count) {
  int table = lua_gettop(L);
  size_t n = 0;
  for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1), n++)
    if (lua_type(L, -2) != LUA_TSTRING)
      luaL_error(L, "option 'query' must be a table from name to value");
  const char **names = lua_newuserdatauv(L, (n + 1) * sizeof *names, 0);
  size_t i = 0;
  for (lua_pushnil(L); lua_next(L, table) != 0; lua_pop(L, 1))
    names[i++] = lua_tostring(L, -2);
  qsort(names, n, sizeof *names, compare_names);
  *count = n;
  return names;
}

const char *pai_l_http_take_query(lua_State *L, const char *url) {
  if (lua_getfield(L, PAI_L_HTTP_ARG, "query") != LUA_TTABLE)
    luaL_error(L, "option 'query' must be a table");
  int query = lua_gettop(L);
  pai_buf *whole = pai_l_new_buf(L, 1 << 20);
  lua_insert(L, query); // the buffer below the table
  query++;
  char mark = strchr(url, '?') != NULL ? '&' : '?';
  if (pai_buf_add(whole, url, strcspn(url, "#")) < 0)
    luaL_error(L, "the URL is too long");
  size_t count;
  const char **names = push_names(L, &count);
  for (size_t i = 0; i < count; i++) {
    lua_pushstring(L, names[i]);
    if (lua_getfield(L, query, names[i]) != LUA_TTABLE) {
      add_parameter(L, whole, &mark);
    } else {
      int list = lua_gettop(L);
      lua_Integer n = (lua_Integer)lua_rawlen(L, list);
      for (lua_Integer k = 1; k <= n; k++) {
        lua_pushvalue(L, list - 1);
        lua_rawgeti(L, list, k);
        add_parameter(L, whole, &mark);
        lua_pop(L, 1);
      }
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
  }
  lua_settop(L, query);
  pai_l_push_buf(L, whole);
  url = lua_tostring(L, -1);
  pai_l_http_keep(L);
  lua_settop(L, query - 2);
  return url;
}
