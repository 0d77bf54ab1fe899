/* pai.ws: WebSocket connections; ws.c does the work. A connection's user value holds what it
 * borrows. */
#include "l_http_tls.h"
#include "l_util.h"
#include "l_ws_conn.h"
#include "secret.h"
#include "task.h"
#include "ws.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
  ARG = 1, // stack slots of l_connect
  SELF = 2,
  KEEP = 3, // list of what the connection borrows
  HEADERS_MAX = 100
};

typedef struct conn {
  pai_l_ws base;
  pai_ws ws;
} conn;

int luaopen_pai_ws(lua_State *L);

static void end(pai_l_ws *c) {
  pai_ws_end(&((conn *)c)->ws);
}

/* Options. */

static void keep(lua_State *L) {
  lua_rawseti(L, KEEP, (lua_Integer)lua_rawlen(L, KEEP) + 1);
}

static const char *keep_string(lua_State *L, const char *name) {
  const char *s = pai_l_opt_string(L, ARG, name, NULL);
  if (s != NULL) {
    lua_getfield(L, ARG, name);
    keep(L);
  }
  return s;
}

static bool is_token(const char *s, size_t len) {
  for (size_t i = 0; i < len; i++)
    if (!isalnum((unsigned char)s[i]) && (s[i] == '\0' || strchr("!#$%&'*+-.^_`|~", s[i]) == NULL))
      return false;
  return len > 0;
}

// The value on top: kept and popped.
static void add_header(lua_State *L, pai_ws_options *o, pai_ws_header *list, const char *name,
                       const char *prefix) {
  static const char *const ours[] = {"host", "upgrade", "connection", "content-length",
                                     "transfer-encoding"};
  if (o->header_count >= HEADERS_MAX)
    luaL_error(L, "option 'headers': more than %d headers", HEADERS_MAX);
  bool taken = strncasecmp(name, "sec-websocket-", 14) == 0;
  for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
    taken = taken || strcasecmp(name, ours[i]) == 0;
  if (taken || !is_token(name, strlen(name)))
    luaL_error(L, "option 'headers': \"%s\" cannot be given", name);
  pai_ws_header *h = &list[o->header_count++];
  *h = (pai_ws_header){.name = name, .prefix = prefix};
  const pai_secret *secret = pai_secret_test(L, -1);
  if (secret != NULL)
    h->value = pai_secret_data(secret, &h->value_len);
  else if (lua_type(L, -1) == LUA_TSTRING || lua_type(L, -1) == LUA_TNUMBER)
    h->value = lua_tolstring(L, -1, &h->value_len);
  else
    luaL_error(L, "a header must be a string or a secret, not a %s", luaL_typename(L, -1));
  for (size_t i = 0; i < h->value_len; i++)
    if (h->value[i] == '\r' || h->value[i] == '\n' || h->value[i] == '\0')
      luaL_error(L, "option 'headers': the value of \"%s\" has a line end or a zero byte", name);
  keep(L);
}

static void take_headers(lua_State *L, pai_ws_options *o) {
  pai_ws_header *list = lua_newuserdatauv(L, (HEADERS_MAX + 1) * sizeof *list, 0);
  keep(L);
  o->headers = list;
  int type = lua_getfield(L, ARG, "headers");
  if (type != LUA_TTABLE && type != LUA_TNIL)
    luaL_error(L, "option 'headers' must be a table");
  if (type == LUA_TTABLE) {
    for (lua_pushnil(L); lua_next(L, KEEP + 1) != 0;) {
      if (lua_type(L, -2) != LUA_TSTRING)
        luaL_error(L, "option 'headers' must be a table from name to value");
      lua_pushvalue(L, -2);
      keep(L);
      add_header(L, o, list, lua_tostring(L, -2), "");
    }
  }
  if (lua_getfield(L, ARG, "bearer") != LUA_TNIL) {
    for (size_t i = 0; i < o->header_count; i++)
      if (strcasecmp(list[i].name, "authorization") == 0)
        luaL_error(L, "options 'bearer' and an Authorization header exclude each other");
    add_header(L, o, list, "Authorization", "Bearer ");
  }
  lua_settop(L, KEEP);
}

static void take_protocols(lua_State *L, pai_ws_options *o) {
  int type = lua_getfield(L, ARG, "protocols");
  if (type != LUA_TNIL && type != LUA_TTABLE)
    luaL_error(L, "option 'protocols' must be a list of names");
  lua_Integer n = type == LUA_TTABLE ? (lua_Integer)lua_rawlen(L, -1) : 0;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (lua_Integer i = 1; i <= n; i++) {
    size_t len;
    if (i > 1)
      luaL_addstring(&b, ", ");
    lua_rawgeti(L, KEEP + 1, i);
    const char *name = lua_tolstring(L, -1, &len);
    if (name == NULL || !is_token(name, len))
      luaL_error(L, "option 'protocols' must be a list of names");
    luaL_addvalue(&b);
  }
  luaL_pushresult(&b);
  if (n > 0)
    o->protocols = lua_tostring(L, -1);
  keep(L);
  lua_settop(L, KEEP);
}

static void take_options(lua_State *L, pai_ws_options *o) {
  take_headers(L, o);
  take_protocols(L, o);
  o->url = keep_string(L, "url");
  if (o->url == NULL)
    luaL_error(L, "option 'url' is missing");
  o->unix_socket = keep_string(L, "unix_socket");
  o->proxy = keep_string(L, "proxy");
  pai_l_http_tls(L, ARG, KEEP, &o->tls);
  o->timeout_ms = pai_l_opt_duration(L, ARG, "timeout", 30000);
  o->ping_ms = pai_l_opt_duration(L, ARG, "ping", 0);
  o->max_message = pai_l_ws_opt_max(L, ARG);
  lua_settop(L, KEEP);
}

/* What a connection that is over says. */

static void set_string(lua_State *L, const char *name, const char *s, size_t len) {
  lua_pushlstring(L, s, len);
  lua_setfield(L, -2, name);
}

static void set_refusal(lua_State *L, const pai_ws *w) {
  set_string(L, "code", "EHTTP", 5);
  lua_pushinteger(L, w->status);
  lua_setfield(L, -2, "status");
  lua_pushboolean(L, w->status == 425 || w->status == 429 || w->status >= 502);
  lua_setfield(L, -2, "retryable");
  set_string(L, "body", w->head.data + w->head_end, w->head.len - w->head_end);
}

static void explain(lua_State *L, const pai_ws_conn *ws) {
  const pai_ws *w = (const pai_ws *)ws;
  if (w->status != 0)
    set_refusal(L, w);
  if (w->os_error != 0 && strerrorname_np(w->os_error) != NULL) {
    lua_pushstring(L, strerrorname_np(w->os_error));
    lua_setfield(L, -2, "errno");
  }
  if (w->tls_error) {
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "retryable");
    lua_pushboolean(L, true);
    lua_setfield(L, -2, "tls");
  }
}

/* Connecting. */

static int look_connect(lua_State *L, pai_l_ws *c) {
  if (c->ws->state == PAI_WS_WAITING)
    return -1;
  // If it was open only for a moment, what came and its end are still to be had.
  if (!c->ws->opened || c->ws->err.code == PAI_E_CANCELED)
    return pai_l_ws_push_over(L, c);
  lua_pushvalue(L, 1);
  return 1;
}

static int l_connect(lua_State *L) {
  static const char *const options[] = {
      "url",         "headers", "bearer", "protocols", "unix_socket", "ca_file", "proxy",
      "max_message", "timeout", "ping",   "tls",       "connect_to",  NULL};
  luaL_checktype(L, ARG, LUA_TTABLE);
  lua_settop(L, ARG);
  pai_l_check_options(L, ARG, options);
  conn *c = pai_l_ws_push(L, sizeof *c, offsetof(conn, ws.conn));
  c->base.explain = explain;
  c->base.cancel_ends = true;
  lua_createtable(L, 4, 0);
  lua_pushvalue(L, KEEP);
  lua_setiuservalue(L, SELF, 1);
  pai_ws_options o = {0};
  take_options(L, &o);
  pai_error err;
  int rc = pai_ws_start(&c->ws, &o, &err);
  c->base.end = end;
  if (rc < 0)
    return pai_l_fail(L, &err);
  lua_copy(L, SELF, 1);
  return pai_l_ws_wait(L, look_connect, -1);
}

static const luaL_Reg functions[] = {
    {"connect", l_connect},
    {NULL, NULL},
};

static int library_gc(lua_State *L) {
  (void)L;
  curl_global_cleanup();
  return 0;
}

int luaopen_pai_ws(lua_State *L) {
  // made first, so it is finalised last
  lua_newuserdatauv(L, 0, 0);
  lua_newtable(L);
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    return luaL_error(L, "start libcurl: out of memory");
  lua_pushcfunction(L, library_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_setfield(L, LUA_REGISTRYINDEX, "pai.ws.library");
  pai_l_ws_types(L);
  luaL_newlib(L, functions);
  return 1;
}
