/* pai.ws: WebSocket connections; ws.c does the work. A connection is a userdata whose user value
 * holds what it borrows. Whoever waits on it is in one queue and looks again at every change. */
#include "l_util.h"
#include "l_wait.h"
#include "secret.h"
#include "task.h"
#include "ws.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define CONN "pai.ws.conn"

enum {
  ARG = 1, // stack slots of l_connect
  SELF = 2,
  KEEP = 3, // list of what the connection borrows
  HEADERS_MAX = 100,
  MESSAGE_MAX = 16 << 20
};

typedef struct conn {
  pai_ws ws;
  pai_waitq waiters;
  bool used; // started, so that there is something to end
} conn;

int luaopen_pai_ws(lua_State *L);

static void on_wake(void *ud) {
  pai_waitq_wake(&((conn *)ud)->waiters);
}

static conn *check_conn(lua_State *L) {
  return luaL_checkudata(L, 1, CONN);
}

static int conn_gc(lua_State *L) {
  conn *c = check_conn(L);
  if (c->used)
    pai_ws_end(&c->ws);
  c->used = false;
  pai_waitq_wake(&c->waiters);
  return 0;
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

// A field of the table on top: a PEM text or a secret.
static const char *take_pem(lua_State *L, const char *name, size_t *len) {
  int type = lua_getfield(L, -1, name);
  const pai_secret *secret = pai_secret_test(L, -1);
  const char *data = NULL;
  if (secret != NULL)
    data = pai_secret_data(secret, len);
  else if (type == LUA_TSTRING)
    data = lua_tolstring(L, -1, len);
  else if (type != LUA_TNIL)
    luaL_error(L, "a field of option 'tls' must be a string or a secret");
  keep(L);
  return data;
}

static void take_tls(lua_State *L, pai_ws_options *o) {
  static const char *const fields[] = {"ca", "cert", "key", "insecure", NULL};
  if (lua_getfield(L, ARG, "tls") != LUA_TNIL) {
    pai_l_check_options(L, -1, fields);
    o->ca = take_pem(L, "ca", &o->ca_len);
    o->cert = take_pem(L, "cert", &o->cert_len);
    o->key = take_pem(L, "key", &o->key_len);
    if ((o->cert == NULL) != (o->key == NULL))
      luaL_error(L, "option 'tls': a certificate and its key go together");
    o->insecure = pai_l_opt_bool(L, lua_gettop(L), "insecure", false);
  }
  const char *to = pai_l_opt_string(L, ARG, "connect_to", NULL);
  if (to != NULL) {
    o->connect_to = lua_pushfstring(L, "::%s", to);
    keep(L);
  }
  lua_settop(L, KEEP);
}

static void take_options(lua_State *L, pai_ws_options *o) {
  take_headers(L, o);
  take_protocols(L, o);
  o->url = keep_string(L, "url");
  if (o->url == NULL)
    luaL_error(L, "option 'url' is missing");
  o->unix_socket = keep_string(L, "unix_socket");
  o->ca_file = keep_string(L, "ca_file");
  o->proxy = keep_string(L, "proxy");
  take_tls(L, o);
  o->timeout_ms = pai_l_opt_duration(L, ARG, "timeout", 30000);
  o->ping_ms = pai_l_opt_duration(L, ARG, "ping", 0);
  lua_Integer max = pai_l_opt_integer(L, ARG, "max_message", MESSAGE_MAX);
  if (max < 1 || max > INT_MAX)
    luaL_error(L, "option 'max_message' must be between 1 and %d", INT_MAX);
  o->max_message = (size_t)max;
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

static int push_over(lua_State *L, const conn *c) {
  const pai_ws *w = &c->ws;
  pai_error err = w->err;
  if (!c->used) {
    pai_error_set(&err, PAI_E_CLOSED, "the connection was dropped");
    pai_l_fail(L, &err);
    set_string(L, "code", "ECLOSED", 7);
    return 2;
  }
  bool clean = w->err.code == PAI_OK;
  if (clean)
    pai_error_set(&err, PAI_E_CLOSED, "the WebSocket was closed with code %d%s%.*s",
                  w->codec.close_code, w->codec.reason_len > 0 ? ": " : "",
                  (int)w->codec.reason_len, w->codec.reason);
  pai_l_fail(L, &err);
  if (err.code == PAI_E_CLOSED) {
    set_string(L, "code", "ECLOSED", 7);
    lua_pushboolean(L, clean);
    lua_setfield(L, -2, "clean");
  }
  if (w->status != 0)
    set_refusal(L, w);
  if (w->opened) {
    lua_pushinteger(L, w->codec.close_code);
    lua_setfield(L, -2, "close_code");
    set_string(L, "reason", w->codec.reason, w->codec.reason_len);
  }
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
  return 2;
}

/* Waiting. A wait is at index 2; when its task is cancelled the connection ends. */

static void on_cancel(pai_op *op) {
  pai_waiter *waiter = (pai_waiter *)op;
  conn *c = (conn *)((char *)waiter->queue - offsetof(conn, waiters));
  pai_waitq_leave(waiter);
  pai_ws_abort(&c->ws, PAI_E_CANCELED, "canceled");
  pai_op_complete(op);
}

_Static_assert(offsetof(pai_waiter, op) == 0, "on_cancel casts");

static pai_op *join(lua_State *L, conn *c) {
  pai_l_wait *w = lua_touserdata(L, 2);
  pai_l_wait_join(w, &c->waiters);
  if (!w->timed_out)
    w->waiter.op.cancel = on_cancel;
  return &w->waiter.op;
}

static int fail_timeout(lua_State *L, const char *what) {
  pai_error err;
  pai_error_set(&err, PAI_E_TIMEOUT, "%s", what);
  return pai_l_fail(L, &err);
}

static bool timed_out(lua_State *L) {
  return ((pai_l_wait *)lua_touserdata(L, 2))->timed_out;
}

static void end_wait(lua_State *L) {
  pai_l_wait_end(lua_touserdata(L, 2));
}

static void begin_wait(lua_State *L, int64_t timeout_ms) {
  lua_settop(L, 1);
  pai_l_wait_push(L, 1, timeout_ms);
}

static int64_t opt_timeout(lua_State *L, int arg, int64_t def) {
  return lua_isnoneornil(L, arg) ? def : pai_l_check_duration(L, arg);
}

static int receive_step(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  conn *c = check_conn(L);
  for (;;) {
    const char *data;
    size_t len;
    int opcode = pai_ws_codec_peek(&c->ws.codec, &data, &len);
    if (opcode != 0) {
      end_wait(L);
      lua_pushlstring(L, data, len);
      lua_pushstring(L, opcode == PAI_WS_TEXT ? "text" : "binary");
      pai_ws_codec_pop(&c->ws.codec);
      pai_ws_taken(&c->ws);
      return 2;
    }
    if (c->ws.state == PAI_WS_OVER) {
      end_wait(L);
      return push_over(L, c);
    }
    if (timed_out(L))
      return fail_timeout(L, "receive: no message came in time");
    pai_op *op = join(L, c);
    if (!pai_op_ready(L, op))
      return pai_await(L, op, ctx, receive_step);
  }
}

static int l_receive(lua_State *L) {
  check_conn(L);
  begin_wait(L, opt_timeout(L, 2, -1));
  return receive_step(L, LUA_OK, 0);
}

static int send_step(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  conn *c = check_conn(L);
  for (;;) {
    if (c->ws.state == PAI_WS_OVER) {
      end_wait(L);
      return push_over(L, c);
    }
    if (pai_ws_unsent(&c->ws) <= PAI_WS_HIGH) {
      end_wait(L);
      lua_pushboolean(L, 1);
      return 1;
    }
    if (timed_out(L))
      return fail_timeout(L, "send: the peer does not read");
    pai_op *op = join(L, c);
    if (!pai_op_ready(L, op))
      return pai_await(L, op, ctx, send_step);
  }
}

static int l_send(lua_State *L) {
  static const char *const kinds[] = {"binary", "text", NULL};
  conn *c = check_conn(L);
  size_t len;
  const char *data = luaL_checklstring(L, 2, &len);
  int kind = luaL_checkoption(L, 3, "binary", kinds);
  int64_t timeout_ms = opt_timeout(L, 4, 30000);
  pai_error err;
  if (!c->used || c->ws.state == PAI_WS_OVER)
    return push_over(L, c);
  int rc = pai_ws_send(&c->ws, kind == 1 ? PAI_WS_TEXT : PAI_WS_BINARY, data, len, &err);
  if (rc == PAI_E_ARG)
    return luaL_argerror(L, 2, err.message);
  if (rc < 0)
    return pai_l_fail(L, &err);
  begin_wait(L, timeout_ms);
  return send_step(L, LUA_OK, 0);
}

static int close_step(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  conn *c = check_conn(L);
  for (;;) {
    if (c->ws.state == PAI_WS_OVER) {
      end_wait(L);
      if (c->ws.err.code != PAI_OK)
        return push_over(L, c);
      lua_pushboolean(L, 1);
      return 1;
    }
    pai_op *op = join(L, c);
    if (!pai_op_ready(L, op))
      return pai_await(L, op, ctx, close_step);
  }
}

static int l_close(lua_State *L) {
  conn *c = check_conn(L);
  size_t len = 0;
  lua_Integer code = luaL_optinteger(L, 2, PAI_WS_NORMAL);
  luaL_argcheck(L, code > 0 && code < 65536 && pai_ws_code_ok((int)code), 2,
                "not a code that a Close may have");
  const char *reason = luaL_optlstring(L, 3, "", &len);
  int64_t wait_ms = opt_timeout(L, 4, 5000);
  pai_error err;
  if (c->used && c->ws.state != PAI_WS_OVER) {
    if (pai_ws_close(&c->ws, (int)code, reason, len, wait_ms, &err) < 0)
      return pai_l_fail(L, &err);
  } else if (!c->used) {
    lua_pushboolean(L, 1);
    return 1;
  }
  begin_wait(L, -1);
  return close_step(L, LUA_OK, 0);
}

static int l_protocol(lua_State *L) {
  const conn *c = check_conn(L);
  if (c->ws.protocol[0] == '\0')
    return 0;
  lua_pushstring(L, c->ws.protocol);
  return 1;
}

static int l_is_open(lua_State *L) {
  const conn *c = check_conn(L);
  lua_pushboolean(L, c->used && c->ws.state == PAI_WS_OPEN && !c->ws.codec.close_sent &&
                         !c->ws.codec.close_seen);
  return 1;
}

/* Connecting. The connection at 1, its wait at 2. */

static int connect_step(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  conn *c = check_conn(L);
  for (;;) {
    if (c->ws.state == PAI_WS_OPEN) {
      end_wait(L);
      lua_settop(L, 1);
      return 1;
    }
    if (c->ws.state == PAI_WS_OVER) {
      end_wait(L);
      // It was open, if only for a moment: what came, and its end, are still to be had.
      if (c->ws.opened && c->ws.err.code != PAI_E_CANCELED) {
        lua_settop(L, 1);
        return 1;
      }
      return push_over(L, c);
    }
    pai_op *op = join(L, c);
    if (!pai_op_ready(L, op))
      return pai_await(L, op, ctx, connect_step);
  }
}

static int l_connect(lua_State *L) {
  static const char *const options[] = {
      "url",         "headers", "bearer", "protocols", "unix_socket", "ca_file", "proxy",
      "max_message", "timeout", "ping",   "tls",       "connect_to",  NULL};
  luaL_checktype(L, ARG, LUA_TTABLE);
  lua_settop(L, ARG);
  pai_l_check_options(L, ARG, options);
  conn *c = lua_newuserdatauv(L, sizeof *c, 1);
  *c = (conn){.ws = {.wake = on_wake, .ud = c}};
  luaL_setmetatable(L, CONN);
  lua_createtable(L, 4, 0);
  lua_pushvalue(L, KEEP);
  lua_setiuservalue(L, SELF, 1);
  pai_ws_options o = {0};
  take_options(L, &o);
  pai_error err;
  int rc = pai_ws_start(&c->ws, &o, &err);
  c->used = true;
  if (rc < 0)
    return pai_l_fail(L, &err);
  lua_copy(L, SELF, 1);
  begin_wait(L, -1);
  return connect_step(L, LUA_OK, 0);
}

static const luaL_Reg methods[] = {
    {"receive", l_receive},   {"send", l_send},       {"close", l_close},
    {"protocol", l_protocol}, {"is_open", l_is_open}, {NULL, NULL},
};

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
  luaL_newmetatable(L, CONN);
  lua_pushcfunction(L, conn_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, conn_gc);
  lua_setfield(L, -2, "__close");
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
