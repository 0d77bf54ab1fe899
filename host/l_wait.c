/* A wait with a deadline. See l_wait.h. */
#include "l_wait.h"

#include "l_util.h"

#include <lauxlib.h>

static void on_timeout(pai_timer *timer) {
  pai_l_wait *w = timer->ud;
  w->timed_out = true;
  pai_waitq_leave(&w->waiter);
  pai_op_complete(&w->waiter.op);
}

static int wait_gc(lua_State *L) {
  pai_l_wait_end(lua_touserdata(L, 1));
  return 0;
}

pai_l_wait *pai_l_wait_push(lua_State *L, int owner, int64_t timeout_ms) {
  owner = lua_absindex(L, owner);
  pai_l_wait *w = lua_newuserdatauv(L, sizeof *w, 1);
  *w = (pai_l_wait){.timer = {.fn = on_timeout, .ud = w}};
  lua_pushvalue(L, owner);
  lua_setiuservalue(L, -2, 1);
  if (luaL_newmetatable(L, "pai.wait")) {
    lua_pushcfunction(L, wait_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  pai_error err;
  if (timeout_ms >= 0 && pai_timer_start(&w->timer, timeout_ms, &err) < 0)
    pai_l_raise(L, &err);
  return w;
}

void pai_l_wait_join(pai_l_wait *w, pai_waitq *q) {
  pai_waitq_leave(&w->waiter);
  pai_waitq_join(q, &w->waiter);
  if (w->timed_out) {
    pai_waitq_leave(&w->waiter);
    pai_op_complete(&w->waiter.op);
  }
}

void pai_l_wait_end(pai_l_wait *w) {
  pai_timer_stop(&w->timer);
  pai_waitq_leave(&w->waiter);
}
