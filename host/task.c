/* Tasks: the scheduler and pai_await. See task.h.
 *
 * A task is a userdata "pai.task" whose first user value is its coroutine; while it has not ended
 * the registry table "pai.tasks" keeps it, by its address. Whatever waits for the host, at any
 * depth of coroutines, yields one value, the address of `mark`; every resume in between is ours,
 * yields the same outwards, and the scheduler gets it. The mark is left on top of the stack of each
 * coroutine that waits so, and of a task's that has ended: it says that nobody else may resume it.
 *
 * What Lua cannot yield across (a comparator of table.sort) is counted in `pinned`: there an await
 * turns the loop itself and holds the other tasks back. */
#include "task.h"

#include "l_util.h"
#include "loop.h"

#include <lauxlib.h>
#include <string.h>

enum {
  BURST = 32,     // awaits in a row that needed no wait before the others get a turn
  PATIENCE = 100, // refused awaits, or bursts of computing, after which a cancelled task is dropped
  UV_CO = 1,
  UV_TRACE = 2
};

struct pai_task {
  lua_State *co;  // owned by user value UV_CO
  pai_task *next; // in the queue of ready tasks
  pai_op *op;     // what it waits for, borrowed
  lua_KFunction k;
  lua_KContext ctx;
  pai_task_done done;
  void *ud;
  pai_waitq waiters;
  int nargs;  // for the first resume
  int status; // LUA_OK or the error's, once ended
  int nres;   // results left on co's stack once ended
  int burst;
  int shield;  // > 0: cancellation is held back
  int strikes; // times it went on after its cancellation
  bool queued, started, ended;
  bool canceled; // asked to stop
  bool stopped;  // and did: it ended with ECANCELED
  bool dropped;  // and would not
  bool seen;     // somebody waited for it
};

static bool run_ready(void *ud);

static const char mark;
static lua_State *main_state;
static pai_task *current;
static pai_task *first_ready, *last_ready;
static int pinned;     // C calls above the current task that can't be yielded across
static int held;       // > 0: no task may run
static bool preempted; // the yield that is under way came from the hook

static void (*reporter)(const char *text, size_t len);

lua_State *pai_main_state(void) {
  return main_state;
}

void pai_task_set_main_state(lua_State *L) {
  main_state = L;
  current = first_ready = last_ready = NULL;
  pai_loop_set_ready(run_ready, NULL);
}

void pai_task_set_reporter(void (*fn)(const char *text, size_t len)) {
  reporter = fn;
}

pai_task *pai_task_current(void) {
  return current;
}

pai_waitq *pai_task_waiters(pai_task *t) {
  t->seen = true;
  return &t->waiters;
}

void pai_task_shield(pai_task *t, int delta) {
  t->shield += delta;
}

pai_task_state pai_task_get_state(pai_task *t) {
  if (!t->ended)
    return t->started && t->op != NULL && !t->queued ? PAI_TASK_WAITING : PAI_TASK_READY;
  if (t->status == LUA_OK)
    return PAI_TASK_DONE;
  return t->stopped ? PAI_TASK_CANCELED : PAI_TASK_FAILED;
}

static void make_ready(pai_task *t) {
  if (t->queued || t->ended)
    return;
  t->queued = true;
  t->next = NULL;
  if (last_ready != NULL)
    last_ready->next = t;
  else
    first_ready = t;
  last_ready = t;
}

/* Ops. */

void pai_op_init(pai_op *op, void (*cancel)(pai_op *op)) {
  *op = (pai_op){.cancel = cancel};
}

void pai_op_complete(pai_op *op) {
  if (op->done)
    return;
  op->done = true;
  if (op->waiter != NULL)
    make_ready(op->waiter);
}

static void op_cancel(pai_op *op) {
  if (op->done || op->canceled)
    return;
  op->canceled = true;
  if (op->cancel != NULL)
    op->cancel(op);
}

static void waiter_cancel(pai_op *op) {
  pai_waiter *w = (pai_waiter *)op; // op is its first member
  pai_waitq_leave(w);
  pai_op_complete(op);
}

void pai_waitq_join(pai_waitq *q, pai_waiter *w) {
  pai_op_init(&w->op, waiter_cancel);
  w->queue = q;
  w->next = NULL;
  w->prev = q->last;
  if (q->last != NULL)
    q->last->next = w;
  else
    q->first = w;
  q->last = w;
}

void pai_waitq_leave(pai_waiter *w) {
  if (w->queue == NULL)
    return;
  if (w->prev != NULL)
    w->prev->next = w->next;
  else
    w->queue->first = w->next;
  if (w->next != NULL)
    w->next->prev = w->prev;
  else
    w->queue->last = w->prev;
  w->queue = NULL;
}

void pai_waitq_wake(pai_waitq *q) {
  while (q->first != NULL) {
    pai_waiter *w = q->first;
    pai_waitq_leave(w);
    pai_op_complete(&w->op);
  }
}

/* Waiting. */

static bool can_suspend(lua_State *L) {
  return current != NULL && pinned == 0 && lua_isyieldable(L);
}

static bool is_refused(const pai_task *t) {
  return t->canceled && t->shield == 0;
}

void pai_task_check_wait(lua_State *L) {
  if (current != NULL && !can_suspend(L))
    luaL_error(L, "cannot wait for another task here: the caller is inside a C function such as "
                  "table.sort or string.gsub");
}

static int raise_canceled(lua_State *L) {
  pai_error err;
  pai_error_set(&err, PAI_E_CANCELED, "the task was canceled");
  return pai_l_raise(L, &err);
}

static void wait_here(lua_State *L, pai_op *op) {
  pai_task *t = current;
  pai_error err = {.code = PAI_OK};
  if (t != NULL) {
    t->op = op;
    held++;
    if (is_refused(t))
      op_cancel(op);
  }
  int rc = 0;
  while (!op->done && rc == 0)
    rc = pai_loop_turn(-1, &err);
  if (t != NULL) {
    t->op = NULL;
    held--;
  }
  if (rc < 0)
    pai_l_raise(L, &err);
}

bool pai_op_ready(lua_State *L, pai_op *op) {
  if (can_suspend(L))
    return op->done && !is_refused(current) && current->burst++ < BURST;
  if (!op->done)
    wait_here(L, op);
  return !op->canceled;
}

static int await_k(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  pai_task *t = current;
  pai_op *op = t->op;
  lua_KFunction k = t->k;
  t->op = NULL;
  op->waiter = NULL;
  return op->canceled ? raise_canceled(L) : k(L, status, t->ctx);
}

int pai_await(lua_State *L, pai_op *op, lua_KContext ctx, lua_KFunction k) {
  pai_task *t = current;
  if (!can_suspend(L)) {
    if (!op->done)
      wait_here(L, op);
    return op->canceled ? raise_canceled(L) : k(L, LUA_YIELD, ctx);
  }
  bool refused = is_refused(t);
  if (op->done && !refused && t->burst++ < BURST)
    return k(L, LUA_YIELD, ctx);
  t->op = op;
  t->k = k;
  t->ctx = ctx;
  op->waiter = t;
  if (refused) {
    op_cancel(op);
    op->canceled = true;
    if (++t->strikes > PATIENCE)
      t->dropped = true;
  }
  if (op->done)
    make_ready(t);
  lua_pushlightuserdata(L, (void *)&mark);
  return lua_yieldk(L, 1, 0, await_k);
}

/* Coroutines inside a task. */

bool pai_task_is_suspended(lua_State *co) {
  return lua_gettop(co) > 0 && lua_touserdata(co, -1) == &mark;
}

int pai_task_resume(lua_State *L, lua_State *co, int nargs, int *nres, bool *suspended) {
  int pin = !lua_isyieldable(L);
  pinned += pin;
  int status = lua_resume(co, L, nargs, nres);
  pinned -= pin;
  *suspended = false;
  if (status != LUA_YIELD)
    return status;
  if (preempted) { // a hook leaves room on the stack
    preempted = false;
    lua_pushlightuserdata(co, (void *)&mark);
  }
  *suspended = pai_task_is_suspended(co);
  return status;
}

int pai_task_pass(lua_State *L, lua_KContext ctx, lua_KFunction k) {
  lua_pushlightuserdata(L, (void *)&mark);
  return lua_yieldk(L, 1, ctx, k);
}

int pai_task_close(lua_State *co) {
  pinned++;
  int status = lua_resetthread(co);
  pinned--;
  return status;
}

void pai_task_preempt(lua_State *L) {
  pai_task *t = current;
  if (t != NULL && is_refused(t) && ++t->strikes > PATIENCE) {
    // From here on every instruction of the recipe raises: no pcall can go on.
    lua_sethook(L, lua_gethook(L), LUA_MASKCOUNT, 1);
    t->strikes = PATIENCE;
    raise_canceled(L);
  }
  if (!can_suspend(L))
    return;
  preempted = true;
  lua_yield(L, 0);
}

/* The life of a task. */

static bool is_canceled_error(lua_State *L, int idx) {
  if (lua_type(L, idx) != LUA_TTABLE)
    return false;
  lua_pushliteral(L, "code");
  lua_rawget(L, idx);
  const char *code = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  bool is = strcmp(code, "ECANCELED") == 0;
  lua_pop(L, 1);
  return is;
}

static int message_handler(lua_State *L) {
  pai_task *t = current;
  lua_settop(L, 1);
  const char *text = lua_type(L, 1) == LUA_TSTRING ? lua_tostring(L, 1) : NULL;
  if (t == NULL || is_canceled_error(L, 1))
    return 1;
  pai_task_push(L, t);
  luaL_traceback(L, L, text, 1);
  lua_setiuservalue(L, -2, UV_TRACE);
  lua_settop(L, 1);
  return 1;
}

// Continues task_body: the results or the error object are above the message handler.
static int task_ended(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  pai_task *t = current;
  t->status = status == LUA_YIELD ? LUA_OK : status;
  if (t->status == LUA_OK)
    return lua_gettop(L) - 1;
  t->stopped = t->canceled && is_canceled_error(L, lua_gettop(L));
  return 1;
}

static int task_body(lua_State *L) {
  lua_pushcfunction(L, message_handler);
  lua_insert(L, 1);
  int nargs = lua_gettop(L) - 2;
  return task_ended(L, lua_pcallk(L, nargs, LUA_MULTRET, 1, 0, task_ended), 0);
}

void pai_task_push(lua_State *L, pai_task *t) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, "pai.tasks");
  lua_rawgetp(L, -1, t);
  lua_remove(L, -2);
}

// function, arguments -> the task's userdata, kept in the registry until it has ended
static int new_task(lua_State *L) {
  int nargs = lua_gettop(L) - 1;
  pai_task *t = lua_newuserdatauv(L, sizeof *t, 2);
  *t = (pai_task){.nargs = nargs + 1};
  luaL_setmetatable(L, "pai.task");
  lua_State *co = lua_newthread(L);
  luaL_checkstack(co, nargs + LUA_MINSTACK, "too many arguments");
  lua_setiuservalue(L, -2, UV_CO);
  luaL_getsubtable(L, LUA_REGISTRYINDEX, "pai.tasks");
  lua_pushvalue(L, -2);
  lua_rawsetp(L, -2, t);
  lua_pop(L, 1);
  lua_insert(L, 1);
  t->co = co;
  lua_pushcfunction(co, task_body);
  lua_xmove(L, co, nargs + 1);
  return 1;
}

int pai_task_spawn(lua_State *L, int nargs, pai_task_done done, void *ud, pai_task **out,
                   pai_error *err) {
  if (!lua_checkstack(L, LUA_MINSTACK)) {
    lua_pop(L, nargs + 1);
    return pai_error_set(err, PAI_E_NOMEM, "start a task: out of memory");
  }
  lua_pushcfunction(L, new_task);
  lua_insert(L, -(nargs + 2));
  if (lua_pcall(L, nargs + 1, 1, 0) != LUA_OK) {
    lua_pop(L, 1);
    return pai_error_set(err, PAI_E_NOMEM, "start a task: out of memory");
  }
  pai_task *t = lua_touserdata(L, -1);
  lua_pop(L, 1);
  t->done = done;
  t->ud = ud;
  make_ready(t);
  if (out != NULL)
    *out = t;
  return 0;
}

void pai_task_cancel(pai_task *t) {
  if (t->ended || t->canceled)
    return;
  t->canceled = true;
  if (t->op != NULL && t->shield == 0)
    op_cancel(t->op);
}

// Reports an error that nobody took. Stack: the task's userdata, the error object.
static int report(lua_State *L) {
  lua_getiuservalue(L, 1, UV_TRACE);
  const char *trace = lua_tostring(L, -1);
  const char *text = luaL_tolstring(L, 2, NULL);
  bool whole = trace != NULL && lua_type(L, 2) == LUA_TSTRING; // the text leads the traceback
  text = lua_pushfstring(L, "pai: a task failed: %s%s%s\n", whole ? trace : text,
                         trace != NULL && !whole ? "\n" : "", trace != NULL && !whole ? trace : "");
  if (reporter != NULL)
    reporter(text, strlen(text));
  return 0;
}

static int release(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, "pai.tasks");
  lua_pushnil(L);
  lua_rawsetp(L, -2, lua_touserdata(L, 1));
  return 0;
}

// Pushes result or error object number i of an ended task from co's stack to L.
static void push_result(lua_State *L, pai_task *t, int i) {
  lua_pushvalue(t->co, i); // finish left room for it
  lua_xmove(t->co, L, 1);
}

int pai_task_gc(lua_State *L) {
  pai_task *t = lua_touserdata(L, 1);
  if (t->ended && pai_task_get_state(t) == PAI_TASK_FAILED && !t->seen && t->done == NULL) {
    t->seen = true;
    lua_pushcfunction(L, report);
    lua_pushvalue(L, 1);
    push_result(L, t, 1);
    lua_call(L, 2, 0);
  }
  return 0;
}

int pai_task_results(lua_State *L, pai_task *t) {
  t->seen = true;
  if (t->status == LUA_OK) {
    luaL_checkstack(L, t->nres, "too many results");
    for (int i = 1; i <= t->nres; i++)
      push_result(L, t, i);
    return t->nres;
  }
  if (t->dropped || !t->started)
    return raise_canceled(L);
  push_result(L, t, 1);
  return lua_error(L);
}

void pai_task_push_trace(lua_State *L, int idx) {
  lua_getiuservalue(L, idx, UV_TRACE);
}

static void finish(pai_task *t, int status, int nres) {
  lua_State *co = t->co;
  if (status != LUA_OK) { // dropped, or no memory even for the message handler
    pai_task_close(co);
    lua_settop(co, 1); // the error object
    t->status = status;
    nres = 1;
  }
  t->nres = nres;
  t->ended = true;
  if (t->done != NULL)
    t->done(t->ud, co, t->status, nres);
  pai_waitq_wake(&t->waiters);
  lua_checkstack(co, 2);
  lua_pushlightuserdata(co, (void *)&mark);
  lua_pushcfunction(main_state, release);
  lua_pushlightuserdata(main_state, t);
  if (lua_pcall(main_state, 1, 0, 0) != LUA_OK)
    lua_pop(main_state, 1);
}

// Resumes t once, or closes it where it stands if it would not stop. False when it has ended.
static bool step(pai_task *t) {
  lua_State *co = t->co;
  int nres = 0;
  if (t->dropped || (!t->started && t->canceled)) {
    t->op = NULL;
    t->stopped = true;
    finish(t, LUA_ERRRUN, 1);
    return false;
  }
  if (t->started)
    lua_pop(co, 1); // the mark
  int nargs = t->started ? 0 : t->nargs;
  t->started = true;
  int status = lua_resume(co, main_state, nargs, &nres);
  if (status != LUA_YIELD) {
    finish(t, status, nres);
    return false;
  }
  if (preempted || !pai_task_is_suspended(co)) { // by the hook, or a plain yield: others' turn
    preempted = false;
    lua_pop(co, nres);
    lua_pushlightuserdata(co, (void *)&mark);
  }
  return true;
}

static void run_task(pai_task *t) {
  pai_task *before = current;
  int pinned_before = pinned;
  current = t;
  pinned = 0;
  t->burst = 0;
  if (step(t) && t->op == NULL)
    make_ready(t);
  current = before;
  pinned = pinned_before;
}

static bool run_ready(void *ud) {
  (void)ud;
  if (held > 0)
    return false;
  pai_task *last = last_ready;
  bool some = last != NULL;
  for (bool more = some; more;) {
    pai_task *t = first_ready;
    more = t != last;
    first_ready = t->next;
    if (first_ready == NULL)
      last_ready = NULL;
    t->queued = false;
    run_task(t);
  }
  return some; // what they did may have ended the wait that turns the loop
}
