/* pai.task: tasks, events, sleeping, signals. The scheduler is task.c. */
#include "l_util.h"
#include "l_wait.h"
#include "loop.h"
#include "task.h"

#include <lauxlib.h>
#include <signal.h>
#include <string.h>

int luaopen_pai_task(lua_State *L);

static const char *const state_names[] = {"ready", "waiting", "done", "failed", "canceled"};

// Pushes a wait in queue q, which belongs to the value at 1.
static pai_op *push_wait(lua_State *L, pai_waitq *q, int64_t timeout_ms) {
  pai_l_wait *w = pai_l_wait_push(L, 1, timeout_ms);
  pai_l_wait_join(w, q);
  return &w->waiter.op;
}

static bool wait_over(lua_State *L) {
  pai_l_wait *w = lua_touserdata(L, -1);
  pai_l_wait_end(w);
  return w->timed_out;
}

static int64_t opt_timeout(lua_State *L, int arg) {
  return lua_isnoneornil(L, arg) ? -1 : pai_l_check_duration(L, arg);
}

static pai_task *check_task(lua_State *L, int arg) {
  return luaL_checkudata(L, arg, "pai.task");
}

static pai_task *spawn(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  pai_task *t = NULL;
  pai_error err;
  if (pai_task_spawn(L, lua_gettop(L) - 1, NULL, NULL, &t, &err) < 0)
    pai_l_raise(L, &err);
  pai_task_push(L, t);
  return t;
}

static int l_spawn(lua_State *L) {
  spawn(L);
  return 1;
}

static bool has_ended(pai_task *t) {
  return pai_task_get_state(t) >= PAI_TASK_DONE;
}

static int task_wait_k(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  pai_task *t = check_task(L, 1);
  wait_over(L);
  if (has_ended(t))
    return pai_task_results(L, t);
  pai_error err;
  pai_error_set(&err, PAI_E_TIMEOUT, "wait for a task: it has not ended in time");
  return pai_l_raise(L, &err);
}

static int l_task_wait(lua_State *L) {
  pai_task *t = check_task(L, 1);
  int64_t timeout_ms = opt_timeout(L, 2);
  if (has_ended(t))
    return pai_task_results(L, t);
  if (t == pai_task_current())
    return luaL_error(L, "a task cannot wait for itself");
  pai_task_check_wait(L);
  return pai_await(L, push_wait(L, pai_task_waiters(t), timeout_ms), 0, task_wait_k);
}

static int l_task_cancel(lua_State *L) {
  pai_task_cancel(check_task(L, 1));
  return 0;
}

static int l_task_status(lua_State *L) {
  lua_pushstring(L, state_names[pai_task_get_state(check_task(L, 1))]);
  return 1;
}

static int l_task_trace(lua_State *L) {
  check_task(L, 1);
  pai_task_push_trace(L, 1);
  return 1;
}

static int l_task_tostring(lua_State *L) {
  pai_task *t = check_task(L, 1);
  lua_pushfstring(L, "task: %p (%s)", (void *)t, state_names[pai_task_get_state(t)]);
  return 1;
}

static int l_current(lua_State *L) {
  pai_task *t = pai_task_current();
  if (t == NULL)
    lua_pushnil(L);
  else
    pai_task_push(L, t);
  return 1;
}

static int run_k(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  wait_over(L);
  return pai_task_results(L, check_task(L, 1));
}

static int run_stopped(lua_State *L, int status, lua_KContext ctx);

// run's caller was cancelled: so is the main task, and it is waited for.
static int run_failed(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  pai_task *t = check_task(L, 1);
  if (status == LUA_OK || status == LUA_YIELD)
    return lua_gettop(L) - 1;
  if (has_ended(t))
    return lua_error(L);
  pai_task_cancel(t);
  if (pai_task_current() != NULL)
    pai_task_shield(pai_task_current(), 1);
  return pai_await(L, push_wait(L, pai_task_waiters(t), -1), 0, run_stopped);
}

static int run_stopped(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  if (pai_task_current() != NULL)
    pai_task_shield(pai_task_current(), -1);
  lua_pop(L, 1); // the wait; the error is below
  return lua_error(L);
}

static int run_wait(lua_State *L) {
  pai_task *t = check_task(L, 1);
  return pai_await(L, push_wait(L, pai_task_waiters(t), -1), 0, run_k);
}

static int l_run(lua_State *L) {
  pai_task_check_wait(L);
  spawn(L);
  lua_pushcfunction(L, run_wait);
  lua_pushvalue(L, 1);
  return run_failed(L, lua_pcallk(L, 1, LUA_MULTRET, 0, 0, run_failed), 0);
}

static int sleep_k(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  wait_over(L);
  return 0;
}

static int l_sleep(lua_State *L) {
  static pai_waitq nobody; // only the timer ends it
  int64_t ms = pai_l_check_duration(L, 1);
  return pai_await(L, push_wait(L, &nobody, ms), 0, sleep_k);
}

static int l_now(lua_State *L) {
  lua_pushinteger(L, pai_now_ms());
  return 1;
}

typedef struct event {
  pai_waitq waiters;
  bool set;
} event;

static int l_event(lua_State *L) {
  event *e = lua_newuserdatauv(L, sizeof *e, 0);
  *e = (event){.set = false};
  luaL_setmetatable(L, "pai.task.event");
  return 1;
}

static event *check_event(lua_State *L) {
  return luaL_checkudata(L, 1, "pai.task.event");
}

static int l_event_set(lua_State *L) {
  event *e = check_event(L);
  e->set = true;
  pai_waitq_wake(&e->waiters);
  return 0;
}

static int l_event_clear(lua_State *L) {
  check_event(L)->set = false;
  return 0;
}

static int l_event_is_set(lua_State *L) {
  lua_pushboolean(L, check_event(L)->set);
  return 1;
}

static int event_wait_k(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  lua_pushboolean(L, !wait_over(L));
  return 1;
}

static int l_event_wait(lua_State *L) {
  event *e = check_event(L);
  int64_t timeout_ms = opt_timeout(L, 2);
  if (e->set) {
    lua_pushboolean(L, 1);
    return 1;
  }
  pai_task_check_wait(L);
  return pai_await(L, push_wait(L, &e->waiters, timeout_ms), 0, event_wait_k);
}

static int shield_k(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  if (pai_task_current() != NULL)
    pai_task_shield(pai_task_current(), -1);
  return status == LUA_OK || status == LUA_YIELD ? lua_gettop(L) : lua_error(L);
}

static int l_shield(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  if (pai_task_current() != NULL)
    pai_task_shield(pai_task_current(), 1);
  return shield_k(L, lua_pcallk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, 0, shield_k), 0);
}

/* on_signal: the hook is a userdata, its function the first user value; registry["pai.signals"]
 * keeps it by its address until it is removed. */

static const struct {
  const char *name;
  int signo;
} signals[] = {
    {"SIGINT", SIGINT}, {"SIGTERM", SIGTERM}, {"SIGHUP", SIGHUP}, {"SIGWINCH", SIGWINCH}};
enum { SIGNALS = sizeof signals / sizeof signals[0] };

static const char *signal_name(int signo) {
  int i = 0;
  while (i < SIGNALS - 1 && signals[i].signo != signo)
    i++;
  return signals[i].name;
}

// The list of names at 2 as bits; 0, which means all, when there is none.
static uint32_t signal_set(lua_State *L) {
  uint32_t set = 0;
  if (lua_isnoneornil(L, 2))
    return 0;
  luaL_checktype(L, 2, LUA_TTABLE);
  for (lua_Integer n = 1; lua_geti(L, 2, n) != LUA_TNIL; n++) {
    const char *name = luaL_tolstring(L, -1, NULL);
    int i = 0;
    while (i < SIGNALS && strcmp(signals[i].name, name) != 0)
      i++;
    luaL_argcheck(L, i < SIGNALS, 2, "only SIGINT, SIGTERM, SIGHUP and SIGWINCH can be handled");
    set |= 1u << signals[i].signo;
    lua_pop(L, 2);
  }
  lua_pop(L, 1);
  luaL_argcheck(L, set != 0, 2, "no signal is named");
  return set;
}

static int start_handler(lua_State *L) {
  pai_signal_hook *h = lua_touserdata(L, 1);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, "pai.signals");
  lua_rawgetp(L, -1, h);
  lua_getiuservalue(L, -1, 1);
  lua_pushstring(L, signal_name((int)lua_tointeger(L, 2)));
  pai_error err;
  if (pai_task_spawn(L, 1, NULL, NULL, NULL, &err) < 0)
    return pai_l_raise(L, &err);
  return 0;
}

static void on_signal(pai_signal_hook *h, int signo) {
  lua_State *L = pai_main_state();
  lua_pushcfunction(L, start_handler);
  lua_pushlightuserdata(L, h);
  lua_pushinteger(L, signo);
  if (lua_pcall(L, 2, 0, 0) != LUA_OK)
    lua_pop(L, 1); // out of memory: the signal is lost, the next one may be heard
}

static int signal_gc(lua_State *L) {
  pai_signal_del(lua_touserdata(L, 1));
  return 0;
}

static int signal_remove(lua_State *L) {
  pai_signal_hook *h = lua_touserdata(L, lua_upvalueindex(1));
  pai_signal_del(h);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, "pai.signals");
  lua_pushnil(L);
  lua_rawsetp(L, -2, h);
  return 0;
}

static int l_on_signal(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 2);
  pai_signal_hook *h = lua_newuserdatauv(L, sizeof *h, 1);
  *h = (pai_signal_hook){.fn = on_signal, .set = signal_set(L)};
  luaL_setmetatable(L, "pai.task.signal");
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, "pai.signals");
  lua_pushvalue(L, -2);
  lua_rawsetp(L, -2, h);
  lua_pop(L, 1);
  lua_pushcclosure(L, signal_remove, 1);
  pai_error err;
  if (pai_signal_add(h, &err) < 0)
    return pai_l_raise(L, &err);
  return 1;
}

static const luaL_Reg task_methods[] = {{"wait", l_task_wait},
                                        {"cancel", l_task_cancel},
                                        {"status", l_task_status},
                                        {"trace", l_task_trace},
                                        {NULL, NULL}};

static const luaL_Reg event_methods[] = {{"set", l_event_set},
                                         {"clear", l_event_clear},
                                         {"is_set", l_event_is_set},
                                         {"wait", l_event_wait},
                                         {NULL, NULL}};

static const luaL_Reg functions[] = {
    {"spawn", l_spawn}, {"current", l_current}, {"run", l_run},       {"sleep", l_sleep},
    {"now", l_now},     {"event", l_event},     {"shield", l_shield}, {"on_signal", l_on_signal},
    {NULL, NULL}};

static void new_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc) {
  luaL_newmetatable(L, name);
  if (methods != NULL) {
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
  }
  if (gc != NULL) {
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
}

int luaopen_pai_task(lua_State *L) {
  new_type(L, "pai.task", task_methods, pai_task_gc);
  lua_pushcfunction(L, l_task_tostring);
  lua_setfield(L, -2, "__tostring");
  new_type(L, "pai.task.event", event_methods, NULL);
  new_type(L, "pai.task.signal", NULL, signal_gc);
  luaL_newlib(L, functions);
  return 1;
}
