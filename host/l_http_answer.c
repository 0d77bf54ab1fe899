/* Answers and errors of requests. See l_http_answer.h. */
#include "l_http_answer.h"

#include "l_json_call.h"
#include "l_util.h"
#include "secret.h"

#include <string.h>

#define RESPONSE "pai.http.response"

enum { NAME_USUAL = 64 };

static bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

// Pushes the name in small letters.
static void push_name(lua_State *L, const char *name, size_t len) {
  char small[NAME_USUAL];
  luaL_Buffer b;
  char *lower = len <= sizeof small ? small : luaL_buffinitsize(L, &b, len);
  for (size_t i = 0; i < len; i++)
    lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] | 0x20 : name[i]);
  if (lower == small)
    lua_pushlstring(L, small, len);
  else
    luaL_pushresultsize(&b, len);
}

// One header line without its end, into the table on top. A name that comes again is added to the
// value before it.
static void add_line(lua_State *L, const char *line, size_t len) {
  const char *colon = memchr(line, ':', len);
  if (colon == NULL)
    return;
  push_name(L, line, (size_t)(colon - line));
  const char *from = colon + 1, *end = line + len;
  while (from < end && is_blank(*from))
    from++;
  while (end > from && is_blank(end[-1]))
    end--;
  lua_pushvalue(L, -1);
  if (lua_rawget(L, -3) == LUA_TSTRING) {
    bool cookie = strcmp(lua_tostring(L, -2), "set-cookie") == 0;
    lua_pushstring(L, cookie ? "\n" : ", "); // a cookie may hold a comma
    lua_pushlstring(L, from, (size_t)(end - from));
    lua_concat(L, 3);
  } else {
    lua_pop(L, 1);
    lua_pushlstring(L, from, (size_t)(end - from));
  }
  lua_rawset(L, -3);
}

static void push_headers(lua_State *L, const pai_http *h) {
  const char *p = h->head.data, *end = p + h->head.len;
  lua_createtable(L, 0, h->head_lines);
  while (p < end) {
    const char *eol = memchr(p, '\n', (size_t)(end - p));
    size_t len = (size_t)((eol != NULL ? eol : end) - p);
    size_t line_len = len > 0 && p[len - 1] == '\r' ? len - 1 : len;
    if (line_len > 0)
      add_line(L, p, line_len);
    p += len + 1;
  }
}

// Fields that the answer and the error of a wrong status have in common, into the table on top.
static void set_answer(lua_State *L, const pai_http *h) {
  lua_pushinteger(L, h->status);
  lua_setfield(L, -2, "status");
  push_headers(L, h);
  lua_setfield(L, -2, "headers");
  if (pai_http_accepted(h) && h->o.body_wiped && !h->o.stream && h->o.output == NULL &&
      h->o.into == NULL) {
    pai_error err;
    if (pai_secret_push_new(L, "an answer", h->body.data, h->body.len, &err) < 0)
      pai_l_raise(L, &err);
    lua_setfield(L, -2, "secret");
  } else if (!pai_http_accepted(h) || (!h->o.stream && h->o.output == NULL && h->o.into == NULL)) {
    lua_pushlstring(L, h->body.data, h->body.len);
    lua_setfield(L, -2, "body");
  }
  if (h->followed) {
    lua_pushstring(L, h->url);
    lua_setfield(L, -2, "url");
  }
}

static int response_json(lua_State *L) {
  pai_l_push_json_function(L, "decode");
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_call(L, 1, 2);
  return 2;
}

// res.json() and res:json() both work.
static int response_index(lua_State *L) {
  if (lua_type(L, 2) != LUA_TSTRING || strcmp(lua_tostring(L, 2), "json") != 0)
    return 0;
  lua_pushliteral(L, "body");
  if (lua_rawget(L, 1) != LUA_TSTRING)
    return luaL_error(L, "the answer has no body here: it went to on_data or to a file");
  lua_pushcclosure(L, response_json, 1);
  return 1;
}

static int push_failure(lua_State *L, const pai_http *h) {
  pai_l_fail(L, &h->err);
  if (h->err.code == PAI_E_NETWORK && h->os_error != 0) {
    lua_pushstring(L, strerrorname_np(h->os_error));
    lua_setfield(L, -2, "errno");
  }
  if (h->tls_error) {
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "retryable");
    lua_pushboolean(L, true);
    lua_setfield(L, -2, "tls");
  }
  if (h->o.into != NULL) {
    lua_pushinteger(L, (lua_Integer)h->written);
    lua_setfield(L, -2, "written");
  }
  return 2;
}

static int push_status_error(lua_State *L, const pai_http *h) {
  pai_error err;
  char url[160];
  pai_http_show_url(h->url, url, sizeof url);
  pai_error_set(&err, PAI_E_PROTO, "%s %s: the server answered %d", h->method, url, h->status);
  pai_l_fail(L, &err);
  lua_pushliteral(L, "EHTTP");
  lua_setfield(L, -2, "code");
  lua_pushboolean(L, pai_http_is_retryable_status(h->status));
  lua_setfield(L, -2, "retryable");
  set_answer(L, h);
  return 2;
}

int pai_l_http_push_answer(lua_State *L, const pai_http *h) {
  if (h->err.code != PAI_OK)
    return push_failure(L, h);
  if (!pai_http_accepted(h))
    return push_status_error(L, h);
  lua_createtable(L, 0, 5);
  set_answer(L, h);
  if (h->o.into != NULL) {
    lua_pushinteger(L, (lua_Integer)h->written);
    lua_setfield(L, -2, "written");
  }
  luaL_setmetatable(L, RESPONSE);
  return 1;
}

void pai_l_http_answer_type(lua_State *L) {
  luaL_newmetatable(L, RESPONSE);
  lua_pushcfunction(L, response_index);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
