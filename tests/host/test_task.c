/* Tasks seen from C: spawning, cancelling, ops that complete at any time, deep and long waits; and
 * every binding of the core with the n-th allocation failing, for every n. */
#include "alloc.h"
#include "guard.h"
#include "harness.h"
#include "l_util.h"
#include "loop.h"
#include "registry.h"
#include "task.h"

#include <dirent.h>
#include <lauxlib.h>
#include <lualib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static pai_error err;
static size_t fail_at; // Lua's n-th allocation and the retry after its emergency collection

static void *failing_alloc(void *ud, void *ptr, size_t osize, size_t nsize) {
  if (nsize > (ptr != NULL ? osize : 0) && fail_at > 0 && --fail_at <= 1)
    return NULL;
  return pai_lua_alloc(ud, ptr, osize, nsize);
}

static int open_all(lua_State *L) {
  luaL_openlibs(L);
  pai_coroutine_install(L);
  pai_registry_install(L);
  return 0;
}

static lua_State *new_state(void) {
  static pai_lua_heap heap;
  heap = (pai_lua_heap){.used = 0};
  lua_State *L = lua_newstate(failing_alloc, &heap);
  pai_task_set_main_state(L);
  lua_pushcfunction(L, open_all);
  CHECK(lua_pcall(L, 0, 0, 0) == LUA_OK);
  return L;
}

static bool run_text(lua_State *L, const char *text) {
  bool ok = luaL_loadstring(L, text) == LUA_OK && lua_pcall(L, 0, 0, 0) == LUA_OK;
  if (!ok) {
    const char *message = luaL_tolstring(L, -1, NULL);
    printf("# %s\n", message);
    lua_pop(L, 2);
  }
  return ok;
}

/* An op that a test completes by hand. */
static pai_op *slow_op;

static void slow_cancel(pai_op *op) {
  pai_op_complete(op);
}

static int slow_k(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  lua_pushinteger(L, (lua_Integer)ctx);
  return 1;
}

static int l_slow(lua_State *L) {
  slow_op = lua_newuserdatauv(L, sizeof *slow_op, 0);
  pai_op_init(slow_op, slow_cancel);
  return pai_await(L, slow_op, 42, slow_k);
}

static int l_at_once(lua_State *L) {
  pai_op *op = lua_newuserdatauv(L, sizeof *op, 0);
  pai_op_init(op, NULL);
  pai_op_complete(op);
  pai_op_complete(op);
  return pai_await(L, op, 7, slow_k);
}

static int done_calls, done_status;
static lua_Integer done_value;

static void on_done(void *ud, lua_State *co, int status, int nresults) {
  CHECK(ud == &done_calls && nresults == 1);
  done_calls++;
  done_status = status;
  done_value = lua_tointeger(co, -1);
}

static pai_task *spawn(lua_State *L, const char *text) {
  pai_task *t = NULL;
  done_calls = 0;
  CHECK(luaL_loadstring(L, text) == LUA_OK);
  CHECK(pai_task_spawn(L, 0, on_done, &done_calls, &t, &err) == 0);
  CHECK(lua_gettop(L) == 0);
  return t;
}

static void an_op_is_completed_from_outside(void) {
  lua_State *L = new_state();
  lua_register(L, "slow", l_slow);
  pai_task *t = spawn(L, "return coroutine.wrap(function() return slow() + 1 end)()");
  CHECK(pai_loop_turn(0, &err) == 0);
  CHECK(done_calls == 0 && pai_task_get_state(t) == PAI_TASK_WAITING);
  pai_op_complete(slow_op);
  CHECK(pai_task_get_state(t) == PAI_TASK_READY);
  CHECK(pai_loop_turn(0, &err) == 0);
  CHECK(done_calls == 1 && done_status == LUA_OK && done_value == 43);
  lua_close(L);
}

static void an_op_that_is_done_needs_no_wait_and_no_stack(void) {
  lua_State *L = new_state();
  lua_register(L, "at_once", l_at_once);
  spawn(L, "local n = 0 for i = 1, 100000 do n = n + at_once() end return n");
  int turns = 0;
  for (; done_calls == 0 && turns < 100000; turns++)
    CHECK(pai_loop_turn(0, &err) == 0);
  CHECK(done_value == 700000);
  CHECK(turns > 1000); // and still lets the others have their turn
  CHECK(run_text(L, "for i = 1, 1000 do assert(at_once() == 7) end")); // outside any task too
  lua_close(L);
}

static void a_cancelled_task_ends_with_ecanceled(void) {
  lua_State *L = new_state();
  lua_register(L, "slow", l_slow);
  pai_task *t = spawn(L, "local ok, e = pcall(slow) error(e, 0)");
  CHECK(pai_loop_turn(0, &err) == 0);
  pai_task_cancel(t);
  pai_task_cancel(t);
  CHECK(pai_loop_turn(0, &err) == 0);
  CHECK(done_calls == 1 && done_status == LUA_ERRRUN);
  t = spawn(L, "return 1"); // before it has begun
  pai_task_cancel(t);
  CHECK(pai_loop_turn(0, &err) == 0);
  CHECK(done_calls == 1 && done_status != LUA_OK);
  t = spawn(L, "while true do pcall(slow) end"); // will not listen
  pai_task_cancel(t);
  CHECK(pai_loop_turn(0, &err) == 0);
  t = spawn(L, "while true do pcall(slow) end");
  CHECK(pai_loop_turn(0, &err) == 0);
  pai_task_cancel(t);
  for (int i = 0; i < 1000 && done_calls == 0; i++)
    CHECK(pai_loop_turn(0, &err) == 0);
  CHECK(done_calls == 1);
  lua_close(L);
}

static void a_state_may_be_closed_with_tasks_in_flight(void) {
  lua_State *L = new_state();
  lua_register(L, "slow", l_slow);
  CHECK(run_text(L, "local task, exec = require 'pai.task', require 'pai.exec'\n"
                    "for i = 1, 10 do task.spawn(task.sleep, '10s') end\n"
                    "task.spawn(exec.run, {'sleep', '10'})\n"
                    "task.spawn(function() task.event():wait() end)\n"
                    "task.spawn(function() coroutine.wrap(function() slow() end)() end)\n"
                    "task.on_signal(function() end)\n"
                    "task.sleep(1)"));
  lua_close(L);
  CHECK(pai_loop_turn(-1, &err) == PAI_E_INTERNAL); // nothing is left in the loop
}

static int count_fds(void) {
  DIR *dir = opendir("/proc/self/fd");
  int n = 0;
  while (dir != NULL && readdir(dir) != NULL)
    n++;
  closedir(dir);
  return n;
}

static const char every_binding[] =
    "local task, exec = require 'pai.task', require 'pai.exec'\n"
    "local sandbox = require 'pai.sandbox'\n"
    "local f = assert(sandbox.load('return coroutine.wrap(function() return 1 end)()', '@recipe:x',"
    " sandbox.env()))\n"
    "task.run(function()\n"
    "  local ev = task.event()\n"
    "  local t = task.spawn(function() task.sleep(1) ev:set() return 'x' end)\n"
    "  local gen = coroutine.wrap(function() task.sleep(1) coroutine.yield(2) end)\n"
    "  assert(gen() == 2 and f() == 1 and ev:wait('1s') and t:wait() == 'x')\n"
    "  local r = assert(exec.run({'sh', '-c', 'cat; echo e >&2'},\n"
    "    {stdin = 'in', env = {A = 'b'}, on_line = function() end, timeout = '20s'}))\n"
    "  assert(r.stdout == 'in' and r.stderr == 'e\\n')\n"
    "  local p <close> = assert(exec.start({'cat'}, {stdin = 'pipe'}))\n"
    "  assert(p:write('l\\n') and p:read_line() == 'l')\n"
    "  local c = task.spawn(task.sleep, '10s') task.sleep(0) c:cancel()\n"
    "  local ok, e = pcall(c.wait, c) assert(not ok)\n"
    "  if type(e) ~= 'table' or e.code ~= 'ECANCELED' then error(e, 0) end\n"
    "end)\n";

static void each_allocation_of_lua_may_fail(void) {
  fail_at = 0;
  lua_State *L = new_state();
  CHECK(run_text(L, every_binding));
  lua_close(L);
  int before = count_fds(), failures = 0;
  bool done = false;
  for (size_t n = 1; n < 5000 && !done; n += n < 600 ? 1 : 7) {
    L = new_state();
    int loaded = luaL_loadstring(L, every_binding);
    CHECK(loaded == LUA_OK);
    fail_at = n + 1;
    int status = lua_pcall(L, 0, 0, 0);
    done = fail_at > 0 && status == LUA_OK; // not reached any more
    fail_at = 0;
    failures += status != LUA_OK;
    lua_close(L);
    CHECK(count_fds() == before);
  }
  CHECK(done && failures > 100);
}

static void each_allocation_of_the_host_may_fail(void) {
  int before = count_fds();
  bool done = false;
  int failures = 0;
  for (size_t n = 1; n < 5000 && !done; n += n < 500 ? 1 : 7) {
    lua_State *L = new_state();
    CHECK(luaL_loadstring(L, every_binding) == LUA_OK);
    pai_alloc_fail_at(n); // one of Lua's: it collects garbage and tries again
    int status = lua_pcall(L, 0, 0, 0);
    done = pai_alloc_fail_at(0) > 0;
    CHECK(!done || status == LUA_OK);
    failures += status != LUA_OK;
    lua_close(L);
    CHECK(count_fds() == before);
  }
  CHECK(done && failures > 5);
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], PAI_GUARD_ARG) == 0)
    return pai_guard_main();
  sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
  RUN(an_op_is_completed_from_outside);
  RUN(an_op_that_is_done_needs_no_wait_and_no_stack);
  RUN(a_cancelled_task_ends_with_ecanceled);
  if (under_valgrind())
    return finish();
  RUN(a_state_may_be_closed_with_tasks_in_flight);
  RUN(each_allocation_of_lua_may_fail);
  RUN(each_allocation_of_the_host_may_fail);
  return finish();
}
