/* A request as a Lua table. See l_serve.h. */
#include "l_serve.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

static int hex_value(char c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c = (char)tolower((unsigned char)c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Pushes the decoded text; what is no valid %XX stays as it is.
static void push_decoded(lua_State *L, const char *s, size_t len, bool plus) {
  luaL_Buffer b;
  char *to = luaL_buffinitsize(L, &b, len);
  size_t n = 0;
  for (size_t i = 0; i < len; i++) {
    char c = s[i];
    if (c == '+' && plus) {
      c = ' ';
    } else if (c == '%' && len - i > 2 && hex_value(s[i + 1]) >= 0 && hex_value(s[i + 2]) >= 0) {
      c = (char)(hex_value(s[i + 1]) << 4 | hex_value(s[i + 2]));
      i += 2;
    }
    to[n++] = c;
  }
  luaL_pushresultsize(&b, n);
}

// query: name -> list of values, in order.
static void push_query(lua_State *L, const char *p) {
  lua_newtable(L);
  while (*p != '\0') {
    size_t len = strcspn(p, "&");
    const char *equals = memchr(p, '=', len);
    size_t name_len = equals != NULL ? (size_t)(equals - p) : len;
    if (len > 0) {
      push_decoded(L, p, name_len, true);
      lua_pushvalue(L, -1);
      if (lua_rawget(L, -3) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, -5);
      }
      size_t skip = equals != NULL ? name_len + 1 : len;
      push_decoded(L, p + skip, len - skip, true);
      lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
      lua_pop(L, 2);
    }
    p += len;
    if (*p == '&')
      p++;
  }
}

// Into the table on top; a header that comes again is added after a comma.
static void add_header(void *ud, const char *name, const char *value) {
  lua_State *L = ud;
  luaL_Buffer b;
  size_t len = strlen(name);
  char *lower = luaL_buffinitsize(L, &b, len);
  for (size_t i = 0; i < len; i++)
    lower[i] = (char)tolower((unsigned char)name[i]);
  luaL_pushresultsize(&b, len);
  lua_pushvalue(L, -1);
  if (lua_rawget(L, -3) == LUA_TSTRING) {
    lua_pushstring(L, strcmp(lua_tostring(L, -2), "cookie") == 0 ? "; " : ", ");
    lua_pushstring(L, value);
    lua_concat(L, 3);
  } else {
    lua_pop(L, 1);
    lua_pushstring(L, value);
  }
  lua_rawset(L, -3);
}

void pai_l_serve_push_request(lua_State *L, pai_exchange *x) {
  lua_createtable(L, 0, 6);
  lua_pushstring(L, x->method);
  lua_setfield(L, -2, "method");
  size_t path_len = strcspn(x->target, "?");
  push_decoded(L, x->target, path_len, false);
  lua_setfield(L, -2, "path");
  push_query(L, x->target[path_len] == '?' ? x->target + path_len + 1 : "");
  lua_setfield(L, -2, "query");
  lua_newtable(L);
  pai_exchange_headers(x, add_header, L);
  lua_setfield(L, -2, "headers");
  lua_pushlstring(L, x->body.data, x->body.len);
  lua_setfield(L, -2, "body");
  pai_buf_free(&x->body);
}
