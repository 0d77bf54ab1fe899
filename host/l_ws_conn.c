/* WebSocket connections in Lua. See l_ws_conn.h. A wait is at index 2. */
#include "l_ws_conn.h"

#include "l_util.h"

#include <limits.h>
#include <string.h>

#define CONN "pai.ws.conn"

static void on_wake(void *ud) {
  pai_waitq_wake(&((pai_l_ws *)ud)->waiters);
}

static pai_l_ws *check_conn(lua_State *L) {
  return luaL_checkudata(L, 1, CONN);
}

static int conn_gc(lua_State *L) {
  pai_l_ws *c = check_conn(L);
  if (c->end != NULL)
    c->end(c);
  c->end = NULL;
  pai_waitq_wake(&c->waiters);
  return 0;
}

size_t pai_l_ws_opt_max(lua_State *L, int idx) {
  lua_Integer max = pai_l_opt_integer(L, idx, "max_message", PAI_L_WS_MESSAGE_MAX);
  if (max < 1 || max > INT_MAX)
    luaL_error(L, "option 'max_message' must be between 1 and %d", INT_MAX);
  return (size_t)max;
}

void *pai_l_ws_push(lua_State *L, size_t size, size_t ws_offset) {
  pai_l_ws *c = lua_newuserdatauv(L, size, 1);
  memset(c, 0, size);
  c->ws = (pai_ws_conn *)((char *)c + ws_offset);
  c->ws->wake = on_wake;
  c->ws->ud = c;
  luaL_setmetatable(L, CONN);
  return c;
}

int pai_l_ws_push_over(lua_State *L, const pai_l_ws *c) {
  const pai_ws_codec *codec = &c->ws->codec;
  pai_error err = c->ws->err;
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
  if (c->ws->opened) {
    lua_pushinteger(L, codec->close_code);
    lua_setfield(L, -2, "close_code");
    lua_pushlstring(L, codec->reason, codec->reason_len);
    lua_setfield(L, -2, "reason");
  }
  if (c->explain != NULL)
    c->explain(L, c->ws);
  return 2;
}

/* Waiting. */

static void on_cancel(pai_op *op) {
  pai_waiter *waiter = (pai_waiter *)op;
  pai_l_ws *c = (pai_l_ws *)((char *)waiter->queue - offsetof(pai_l_ws, waiters));
  pai_waitq_leave(waiter);
  pai_ws_abort(c->ws, PAI_E_CANCELED, "canceled");
  pai_op_complete(op);
}

_Static_assert(offsetof(pai_waiter, op) == 0, "on_cancel casts");

pai_op *pai_l_ws_join(lua_State *L, pai_l_ws *c, int idx) {
  pai_l_wait *w = lua_touserdata(L, idx);
  pai_l_wait_join(w, &c->waiters);
  if (c->cancel_ends && !w->timed_out)
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

static int64_t opt_timeout(lua_State *L, int arg, int64_t def) {
  return lua_isnoneornil(L, arg) ? def : pai_l_check_duration(L, arg);
}

static int wait_step(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  pai_l_ws *c = check_conn(L);
  for (;;) {
    int n = ((pai_l_ws_look)ctx)(L, c);
    if (n >= 0) {
      end_wait(L);
      return n;
    }
    pai_op *op = pai_l_ws_join(L, c, 2);
    if (!pai_op_ready(L, op))
      return pai_await(L, op, ctx, wait_step);
  }
}

int pai_l_ws_wait(lua_State *L, pai_l_ws_look look, int64_t timeout_ms) {
  lua_settop(L, 1);
  pai_l_wait_push(L, 1, timeout_ms);
  return wait_step(L, LUA_OK, (lua_KContext)look);
}

/* Methods. */

static int look_receive(lua_State *L, pai_l_ws *c) {
  const char *data;
  size_t len;
  int opcode = pai_ws_codec_peek(&c->ws->codec, &data, &len);
  if (opcode != 0) {
    lua_pushlstring(L, data, len);
    lua_pushstring(L, opcode == PAI_WS_TEXT ? "text" : "binary");
    pai_ws_codec_pop(&c->ws->codec);
    pai_ws_taken(c->ws);
    return 2;
  }
  if (c->ws->state == PAI_WS_OVER)
    return pai_l_ws_push_over(L, c);
  return timed_out(L) ? fail_timeout(L, "receive: no message came in time") : -1;
}

static int l_receive(lua_State *L) {
  check_conn(L);
  return pai_l_ws_wait(L, look_receive, opt_timeout(L, 2, -1));
}

static int look_send(lua_State *L, pai_l_ws *c) {
  if (c->ws->state == PAI_WS_OVER)
    return pai_l_ws_push_over(L, c);
  if (pai_ws_unsent(c->ws) <= PAI_WS_HIGH) {
    lua_pushboolean(L, 1);
    return 1;
  }
  return timed_out(L) ? fail_timeout(L, "send: the peer does not read") : -1;
}

static int l_send(lua_State *L) {
  static const char *const kinds[] = {"binary", "text", NULL};
  pai_l_ws *c = check_conn(L);
  size_t len;
  const char *data = luaL_checklstring(L, 2, &len);
  int kind = luaL_checkoption(L, 3, "binary", kinds);
  int64_t timeout_ms = opt_timeout(L, 4, 30000);
  pai_error err;
  if (c->ws->state == PAI_WS_OVER)
    return pai_l_ws_push_over(L, c);
  int rc = pai_ws_send(c->ws, kind == 1 ? PAI_WS_TEXT : PAI_WS_BINARY, data, len, &err);
  if (rc == PAI_E_ARG)
    return luaL_argerror(L, 2, err.message);
  return rc < 0 ? pai_l_fail(L, &err) : pai_l_ws_wait(L, look_send, timeout_ms);
}

static int look_close(lua_State *L, pai_l_ws *c) {
  if (c->ws->state != PAI_WS_OVER)
    return -1;
  if (c->end != NULL && c->ws->err.code != PAI_OK)
    return pai_l_ws_push_over(L, c);
  lua_pushboolean(L, 1);
  return 1;
}

static int l_close(lua_State *L) {
  pai_l_ws *c = check_conn(L);
  size_t len = 0;
  lua_Integer code = luaL_optinteger(L, 2, PAI_WS_NORMAL);
  luaL_argcheck(L, code > 0 && code < 65536 && pai_ws_code_ok((int)code), 2,
                "not a code that a Close may have");
  const char *reason = luaL_optlstring(L, 3, "", &len);
  int64_t wait_ms = opt_timeout(L, 4, PAI_L_WS_CLOSE_MS);
  pai_error err;
  if (c->ws->state != PAI_WS_OVER && pai_ws_close(c->ws, (int)code, reason, len, wait_ms, &err) < 0)
    return pai_l_fail(L, &err);
  return pai_l_ws_wait(L, look_close, -1);
}

static int l_protocol(lua_State *L) {
  const pai_l_ws *c = check_conn(L);
  if (c->ws->protocol[0] == '\0')
    return 0;
  lua_pushstring(L, c->ws->protocol);
  return 1;
}

static int l_is_open(lua_State *L) {
  const pai_ws_conn *ws = check_conn(L)->ws;
  lua_pushboolean(L, ws->state == PAI_WS_OPEN && !ws->codec.close_sent && !ws->codec.close_seen);
  return 1;
}

static const luaL_Reg methods[] = {
    {"receive", l_receive},   {"send", l_send},       {"close", l_close},
    {"protocol", l_protocol}, {"is_open", l_is_open}, {NULL, NULL},
};

void pai_l_ws_types(lua_State *L) {
  if (luaL_newmetatable(L, CONN)) {
    lua_pushcfunction(L, conn_gc);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, conn_gc);
    lua_setfield(L, -2, "__close");
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 1);
}
