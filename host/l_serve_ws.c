/* A server's WebSocket as Lua sees it. See l_serve_ws.h. */
#include "l_serve_ws.h"

#include "l_util.h"
#include "l_ws_conn.h"

#include <string.h>

enum { PING_MS = 30000 };

typedef struct conn {
  pai_l_ws base;
  pai_serve_ws ws;
} conn;

static void end(pai_l_ws *c) {
  pai_serve_ws_free(&((conn *)c)->ws);
}

/* The handler's task. ctx is the index of the connection; its wait is above it. */

static int run_over(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  int at = (int)ctx;
  pai_l_ws *c = lua_touserdata(L, at);
  while (c->ws->state != PAI_WS_OVER) {
    pai_op *op = pai_l_ws_join(L, c, at + 1);
    if (!pai_op_ready(L, op))
      return pai_await(L, op, ctx, run_over);
  }
  return 0;
}

static int run_done(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  pai_l_ws *c = lua_touserdata(L, (int)ctx);
  pai_error err;
  if (c->ws->state != PAI_WS_OVER &&
      pai_ws_close(c->ws, PAI_WS_NORMAL, NULL, 0, PAI_L_WS_CLOSE_MS, &err) < 0)
    return pai_l_raise(L, &err);
  return run_over(L, LUA_OK, ctx);
}

static int run_open(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  int at = (int)ctx;
  pai_l_ws *c = lua_touserdata(L, at);
  while (c->ws->state == PAI_WS_WAITING) {
    pai_op *op = pai_l_ws_join(L, c, at + 1);
    if (!pai_op_ready(L, op))
      return pai_await(L, op, ctx, run_open);
  }
  if (!c->ws->opened) // the client has gone before
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
  size_t max = pai_l_ws_opt_max(L, idx);
  int64_t ping_ms = pai_l_opt_duration(L, idx, "ping", PING_MS);
  const char *protocol = pai_l_opt_string(L, idx, "protocol", "");
  if (*protocol != '\0' &&
      (strlen(protocol) >= sizeof((pai_ws_conn *)0)->protocol || !pai_serve_ws_offers(x, protocol)))
    luaL_error(L, "the answer's protocol \"%s\" was not offered", protocol);
  conn *c = pai_l_ws_push(L, sizeof *c, offsetof(conn, ws.conn));
  struct MHD_Response *r = pai_serve_ws_new(&c->ws, x, accept, max, ping_ms);
  if (r == NULL)
    luaL_error(L, "out of memory for an answer");
  c->base.end = end;
  memcpy(c->ws.conn.protocol, protocol, strlen(protocol) + 1);
  if (*protocol != '\0')
    MHD_add_response_header(r, "Sec-WebSocket-Protocol", protocol);
  return r;
}
