/* A server's WebSocket as Lua sees it: the same methods as a connection of pai.ws. Whoever waits on
 * it is in one queue and looks again at every change. */
#include "l_serve_ws.h"

#include "l_util.h"
#include "l_wait.h"

#include <limits.h>
#include <string.h>

#define CONN "pai.serve.conn"

enum { MESSAGE_MAX = 16 << 20, PING_MS = 30000, CLOSE_MS = 5000 };

typedef struct conn {
  pai_serve_ws ws;
  pai_waitq waiters;
  bool used; // it has an exchange
  char protocol[64];
} conn;

static void on_wake(void *ud) {
  pai_waitq_wake(&((conn *)ud)->waiters);
}

static conn *check_conn(lua_State *L) {
  return luaL_checkudata(L, 1, CONN);
}

static int conn_gc(lua_State *L) {
  conn *c = check_conn(L);
  if (c->used)
    pai_serve_ws_free(&c->ws);
  c->used = false;
  pai_waitq_wake(&c->waiters);
  return 0;
}

static int push_over(lua_State *L, const conn *c) {
  const pai_ws_codec *codec = &c->ws.codec;
  pai_error err = c->ws.err;
  bool clean = err.code == PAI_OK;
  if (clean)
    pai_error_set(&err, PAI_E_CLOSED, "the WebSocket was closed with code %d%s%.*s",
                  codec->close_code, codec->reason_len > 0 ? ": " : "", (int)codec->reason_len,
                  codec->reason);
  pai_l_fail(L, &err);
  if (err.code == PAI_E_CLOSED) {
    lua_pushliteral(L, "ECLOSED");
    lua_setfield(L, -2, "code");
    lua_pushboolean(L, clean);
    lua_setfield(L, -2, "clean");
  }
  lua_pushinteger(L, codec->close_code);
  lua_setfield(L, -2, "close_code");
  lua_pushlstring(L, codec->reason, codec->reason_len);
  lua_setfield(L, -2, "reason");
  return 2;
}

/* Waiting. A wait is at index 2. */

static pai_op *join(lua_State *L, conn *c, int idx) {
  pai_l_wait *w = lua_touserdata(L, idx);
  pai_l_wait_join(w, &c->waiters);
  return &w->waiter.op;
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

static int fail_timeout(lua_State *L, const char *what) {
  pai_error err;
  pai_error_set(&err, PAI_E_TIMEOUT, "%s", what);
  return pai_l_fail(L, &err);
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
      pai_serve_ws_taken(&c->ws);
      return 2;
    }
    if (c->ws.state == PAI_SERVE_WS_OVER) {
      end_wait(L);
      return push_over(L, c);
    }
    if (timed_out(L))
      return fail_timeout(L, "receive: no message came in time");
    pai_op *op = join(L, c, 2);
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
    if (c->ws.state == PAI_SERVE_WS_OVER) {
      end_wait(L);
      return push_over(L, c);
    }
    if (pai_serve_ws_unsent(&c->ws) <= PAI_SERVE_WS_HIGH) {
      end_wait(L);
      lua_pushboolean(L, 1);
      return 1;
    }
    if (timed_out(L))
      return fail_timeout(L, "send: the peer does not read");
    pai_op *op = join(L, c, 2);
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
  if (c->ws.state == PAI_SERVE_WS_OVER)
    return push_over(L, c);
  int rc = pai_serve_ws_send(&c->ws, kind == 1 ? PAI_WS_TEXT : PAI_WS_BINARY, data, len, &err);
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
    if (c->ws.state == PAI_SERVE_WS_OVER) {
      end_wait(L);
      if (c->ws.err.code != PAI_OK)
        return push_over(L, c);
      lua_pushboolean(L, 1);
      return 1;
    }
    pai_op *op = join(L, c, 2);
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
  int64_t wait_ms = opt_timeout(L, 4, CLOSE_MS);
  pai_error err;
  if (c->ws.state != PAI_SERVE_WS_OVER &&
      pai_serve_ws_close(&c->ws, (int)code, reason, len, wait_ms, &err) < 0)
    return pai_l_fail(L, &err);
  begin_wait(L, -1);
  return close_step(L, LUA_OK, 0);
}

static int l_protocol(lua_State *L) {
  const conn *c = check_conn(L);
  if (c->protocol[0] == '\0')
    return 0;
  lua_pushstring(L, c->protocol);
  return 1;
}

static int l_is_open(lua_State *L) {
  const conn *c = check_conn(L);
  lua_pushboolean(L, c->ws.state == PAI_SERVE_WS_OPEN && !c->ws.codec.close_sent &&
                         !c->ws.codec.close_seen);
  return 1;
}

/* The handler's task. ctx is the index of the connection; its wait is above it. */

static int run_over(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  int at = (int)ctx;
  conn *c = lua_touserdata(L, at);
  while (c->ws.state != PAI_SERVE_WS_OVER) {
    pai_op *op = join(L, c, at + 1);
    if (!pai_op_ready(L, op))
      return pai_await(L, op, ctx, run_over);
  }
  return 0;
}

static int run_done(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  conn *c = lua_touserdata(L, (int)ctx);
  pai_error err;
  if (c->ws.state != PAI_SERVE_WS_OVER &&
      pai_serve_ws_close(&c->ws, PAI_WS_NORMAL, NULL, 0, CLOSE_MS, &err) < 0)
    return pai_l_raise(L, &err);
  return run_over(L, LUA_OK, ctx);
}

static int run_open(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  int at = (int)ctx;
  conn *c = lua_touserdata(L, at);
  while (c->ws.state == PAI_SERVE_WS_WAITING) {
    pai_op *op = join(L, c, at + 1);
    if (!pai_op_ready(L, op))
      return pai_await(L, op, ctx, run_open);
  }
  if (!c->ws.opened) // the client has gone before
    return 0;
  lua_pushvalue(L, at - 1);
  lua_pushvalue(L, at);
  lua_callk(L, 1, 0, ctx, run_done);
  return run_done(L, LUA_OK, ctx);
}

int pai_l_serve_ws_run(lua_State *L) {
  int at = lua_gettop(L);
  pai_l_wait_push(L, at, -1);
  return run_open(L, LUA_OK, at);
}

struct MHD_Response *pai_l_serve_ws_push(lua_State *L, pai_exchange *x, int idx,
                                         const char *accept) {
  lua_Integer max = pai_l_opt_integer(L, idx, "max_message", MESSAGE_MAX);
  if (max < 1 || max > INT_MAX)
    luaL_error(L, "the answer's max_message must be between 1 and %d", INT_MAX);
  int64_t ping_ms = pai_l_opt_duration(L, idx, "ping", PING_MS);
  const char *protocol = pai_l_opt_string(L, idx, "protocol", "");
  if (*protocol != '\0' &&
      (strlen(protocol) >= sizeof((conn *)0)->protocol || !pai_serve_ws_offers(x, protocol)))
    luaL_error(L, "the answer's protocol \"%s\" was not offered", protocol);
  conn *c = lua_newuserdatauv(L, sizeof *c, 0);
  *c = (conn){.ws = {.wake = on_wake, .ud = c}};
  luaL_setmetatable(L, CONN);
  memcpy(c->protocol, protocol, strlen(protocol) + 1);
  struct MHD_Response *r = pai_serve_ws_new(&c->ws, x, accept, (size_t)max, ping_ms);
  if (r == NULL)
    luaL_error(L, "out of memory for an answer");
  c->used = true;
  if (*protocol != '\0')
    MHD_add_response_header(r, "Sec-WebSocket-Protocol", protocol);
  return r;
}

static const luaL_Reg methods[] = {
    {"receive", l_receive},   {"send", l_send},       {"close", l_close},
    {"protocol", l_protocol}, {"is_open", l_is_open}, {NULL, NULL},
};

void pai_l_serve_ws_types(lua_State *L) {
  luaL_newmetatable(L, CONN);
  lua_pushcfunction(L, conn_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
