/* Headers, authorization and body of a request. See l_http_options.h. */
#include "l_buf.h"
#include "l_http_options.h"
#include "l_json_call.h"
#include "l_util.h"
#include "secret.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum {
  HEADER_MAX = 1000,
  OWN_HEADERS = 2 // Authorization and Content-Type
};

static bool is_token(const char *s, size_t len) {
  for (size_t i = 0; i < len; i++)
    if (!isalnum((unsigned char)s[i]) && (s[i] == '\0' || strchr("!#$%&'*+-.^_`|~", s[i]) == NULL))
      return false;
  return len > 0;
}

static void add_header(lua_State *L, pai_l_http_headers *list, const char *name,
                       pai_l_http_value v) {
  if (!is_token(name, strlen(name)))
    luaL_error(L, "option 'headers': \"%s\" is no name of a header", name);
  for (size_t i = 0; i < v.len; i++)
    if (v.data[i] == '\r' || v.data[i] == '\n' || v.data[i] == '\0')
      luaL_error(L, "option 'headers': the value of \"%s\" has a line end or a zero byte", name);
  if (list->count >= list->room)
    luaL_error(L, "option 'headers' changed while it was read");
  list->items[list->count++] = (pai_http_header){name, "", v.data, v.len, v.secret};
}

// Makes room for the headers in the table on top (or nil) and for our own.
static void make_room(lua_State *L, pai_l_http_headers *list) {
  size_t n = OWN_HEADERS;
  if (lua_istable(L, -1)) {
    for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1))
      n += lua_istable(L, -1) ? (size_t)lua_rawlen(L, -1) : 1;
  }
  if (n > HEADER_MAX)
    luaL_error(L, "option 'headers': more than %d headers", HEADER_MAX);
  list->items = lua_newuserdatauv(L, n * sizeof *list->items, 0);
  list->room = n;
  pai_l_http_keep(L);
}

void pai_l_http_take_headers(lua_State *L, pai_l_http_headers *list) {
  int type = lua_getfield(L, PAI_L_HTTP_ARG, "headers");
  if (type != LUA_TTABLE && type != LUA_TNIL)
    luaL_error(L, "option 'headers' must be a table");
  int headers = lua_gettop(L);
  make_room(L, list);
  if (type == LUA_TTABLE) {
    for (lua_pushnil(L); lua_next(L, headers) != 0;) {
      if (lua_type(L, -2) != LUA_TSTRING)
        luaL_error(L, "option 'headers' must be a table from name to value");
      const char *name = lua_tostring(L, -2);
      lua_pushvalue(L, -2);
      pai_l_http_keep(L);
      if (!lua_istable(L, -1)) {
        add_header(L, list, name, pai_l_http_take(L, "a header"));
        continue;
      }
      lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
      for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, i);
        add_header(L, list, name, pai_l_http_take(L, "a header"));
      }
      lua_pop(L, 1);
    }
  }
  lua_settop(L, headers - 1);
}

static bool has_header(const pai_l_http_headers *list, const char *name) {
  for (size_t i = 0; i < list->count; i++)
    if (strcasecmp(list->items[i].name, name) == 0)
      return true;
  return false;
}

void pai_l_http_take_bearer(lua_State *L, pai_l_http_headers *list) {
  if (lua_getfield(L, PAI_L_HTTP_ARG, "bearer") == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  if (has_header(list, "authorization"))
    luaL_error(L, "options 'bearer' and an Authorization header exclude each other");
  pai_l_http_value v = pai_l_http_take(L, "option 'bearer'");
  add_header(L, list, "Authorization", v);
  list->items[list->count - 1].prefix = "Bearer ";
}

void pai_l_http_take_basic(lua_State *L, pai_http_options *o, const pai_l_http_headers *list) {
  int type = lua_getfield(L, PAI_L_HTTP_ARG, "basic");
  if (type == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  if (type != LUA_TTABLE)
    luaL_error(L, "option 'basic' must be {user, secret}");
  if (has_header(list, "authorization"))
    luaL_error(L, "option 'basic' and another authorization exclude each other");
  int basic = lua_gettop(L);
  lua_rawgeti(L, basic, 1);
  pai_l_http_value user = pai_l_http_take(L, "the user of option 'basic'");
  lua_rawgeti(L, basic, 2);
  pai_l_http_value password = pai_l_http_take(L, "the password of option 'basic'");
  if (strlen(user.data) != user.len || strlen(password.data) != password.len ||
      strchr(user.data, ':') != NULL)
    luaL_error(L, "option 'basic': a zero byte, or a colon in the user");
  o->user = user.data;
  o->password = password.data;
  lua_pop(L, 1);
}

// "name=value&..." of the table on top, whose values may be secrets.
static void take_form(lua_State *L, pai_http_options *o) {
  int form = lua_gettop(L);
  if (!lua_istable(L, form))
    luaL_error(L, "option 'form' must be a table from name to value");
  pai_buf *text = pai_l_new_buf(L, PAI_SECRET_MAX);
  if (pai_buf_reserve(text, PAI_SECRET_MAX) < 0) // so that a secret is in one place only
    luaL_error(L, "out of memory");
  bool fits = true;
  for (lua_pushnil(L); lua_next(L, form) != 0;) {
    size_t len;
    if (lua_type(L, -2) != LUA_TSTRING)
      luaL_error(L, "option 'form' must be a table from name to value");
    const char *name = lua_tolstring(L, -2, &len);
    fits = fits && (text->len == 0 || pai_buf_add(text, "&", 1) == 0);
    fits = fits && pai_http_escape(text, name, len) == 0 && pai_buf_add(text, "=", 1) == 0;
    pai_l_http_value v = pai_l_http_take(L, "a value of option 'form'");
    fits = fits && pai_http_escape(text, v.data, v.len) == 0;
  }
  pai_error err;
  int rc = fits ? pai_secret_push_new(L, "a form", text->data, text->len, &err)
                : pai_error_set(&err, PAI_E_LIMIT, "option 'form' is too large");
  explicit_bzero(text->data, text->cap);
  if (rc < 0)
    pai_l_raise(L, &err);
  o->body = pai_secret_data(pai_secret_test(L, -1), &o->body_len);
  o->body_secret = true;
  pai_l_http_keep(L);
  lua_settop(L, form - 1);
}

void pai_l_http_take_body(lua_State *L, pai_http_options *o, pai_l_http_headers *list) {
  if (lua_getfield(L, PAI_L_HTTP_ARG, "form") != LUA_TNIL) {
    take_form(L, o);
    add_header(L, list, "Content-Type",
               (pai_l_http_value){"application/x-www-form-urlencoded", 33, false});
  } else {
    lua_pop(L, 1);
  }
  bool json = lua_getfield(L, PAI_L_HTTP_ARG, "json") != LUA_TNIL;
  bool body = lua_getfield(L, PAI_L_HTTP_ARG, "body") != LUA_TNIL;
  if (json && body)
    luaL_error(L, "options 'json' and 'body' exclude each other");
  if (o->body != NULL && (json || body))
    luaL_error(L, "option 'form' and another body exclude each other");
  if (json) {
    pai_l_push_json_function(L, "encode");
    lua_pushvalue(L, -3);
    lua_call(L, 1, 1);
    lua_replace(L, -2);
    if (!has_header(list, "content-type"))
      add_header(L, list, "Content-Type", (pai_l_http_value){"application/json", 16, false});
  }
  if (json || body) {
    pai_l_http_value v = pai_l_http_take(L, "option 'body'");
    o->body = v.data;
    o->body_len = v.len;
    o->body_secret = v.secret;
    lua_pop(L, 1);
  } else {
    lua_pop(L, 2);
  }
}
