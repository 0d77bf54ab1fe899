/* Coroutine tasks over the loop, and the one way for a C primitive to suspend its caller.
 *
 * A primitive that waits keeps a pai_op in a userdata on the caller's stack, starts its work, and
 * ends with `return pai_await(L, op, ctx, k)`. When the work is done (in a loop callback, or at
 * once) it calls pai_op_complete. k then runs on the same stack and returns the results.
 * Inside a task the coroutine is suspended, also through coroutine.wrap and resume; outside any
 * task, and where Lua can't yield (a comparator of table.sort, a callback of string.gsub, require),
 * the loop is turned until the op is done, in the second case without running other tasks.
 * If the task was cancelled, op->cancel is called; the primitive completes the op as soon as it
 * has stopped, and pai_await raises ECANCELED in place of calling k. */
#ifndef PAI_TASK_H
#define PAI_TASK_H

#include "error.h"

#include <lua.h>
#include <stdbool.h>

#define PAI_LJMP // before a prototype: may raise (longjmp)
#define MAY_LJMP(call) call

typedef struct pai_task pai_task;
typedef struct pai_op pai_op;
struct pai_op {
  void (*cancel)(pai_op *op); // stop soon, then complete; NULL = just waits on
  pai_task *waiter;           // private to task.c
  bool done;
  bool canceled; // cancel was called
};

void pai_op_init(pai_op *op, void (*cancel)(pai_op *op));
void pai_op_complete(pai_op *op); // idempotent; any time, also before anybody waits
PAI_LJMP int pai_await(lua_State *L, pai_op *op, lua_KContext ctx, lua_KFunction k);
// For a primitive that awaits in a loop: true when op is done; where pai_await would not suspend,
// first waits for it, so that `if (!pai_op_ready(L, op)) return pai_await(...)` never nests.
PAI_LJMP bool pai_op_ready(lua_State *L, pai_op *op);
// Whether other tasks go on while L waits. Raises when false would mean to wait for ever: call it
// before awaiting what only another task can do.
PAI_LJMP void pai_task_check_wait(lua_State *L);

// A queue of ops that wait for the same thing; zero it first. Both structs are owned by the caller.
typedef struct pai_waiter pai_waiter;
typedef struct pai_waitq {
  pai_waiter *first, *last;
} pai_waitq;
struct pai_waiter {
  pai_op op; // cancelled by leaving the queue
  pai_waitq *queue;
  pai_waiter *next, *prev;
};
void pai_waitq_join(pai_waitq *q, pai_waiter *w); // initialises w
void pai_waitq_leave(pai_waiter *w);              // safe when not in a queue
void pai_waitq_wake(pai_waitq *q);                // completes and removes all

// Starts a task from C: the function and nargs arguments on top of L are popped. done (may be
// NULL) runs in the loop when it ended, with its status (LUA_OK or an error code) and its results
// or error object on top of co's stack. Errors with done == NULL go to the reporter, unless
// somebody waited for the task.
typedef void (*pai_task_done)(void *ud, lua_State *co, int status, int nresults);
int pai_task_spawn(lua_State *L, int nargs, pai_task_done done, void *ud, pai_task **out,
                   pai_error *err);
void pai_task_cancel(pai_task *t); // borrowed until its done callback has run

lua_State *pai_main_state(void); // the state that main.c made; borrowed for the process's life
void pai_task_set_main_state(lua_State *L);
// Gets the text of an error that nobody took, with its traceback. NULL: it is lost.
void pai_task_set_reporter(void (*fn)(const char *text, size_t len));

/* For the bindings of this module and the sandbox. */

typedef enum pai_task_state {
  PAI_TASK_READY,
  PAI_TASK_WAITING,
  PAI_TASK_DONE,
  PAI_TASK_FAILED,
  PAI_TASK_CANCELED
} pai_task_state;

pai_task *pai_task_current(void);                       // NULL outside any task
pai_task_state pai_task_get_state(pai_task *t);         // borrowed
PAI_LJMP void pai_task_push(lua_State *L, pai_task *t); // the userdata, metatable "pai.task"
pai_waitq *pai_task_waiters(pai_task *t);               // woken when t has ended
// Pushes the results (and returns their number) or raises the error of a task that has ended.
PAI_LJMP int pai_task_results(lua_State *L, pai_task *t);
int pai_task_gc(lua_State *L); // __gc of "pai.task": an error that nobody took is reported
void pai_task_push_trace(lua_State *L, int idx); // of the failed task at idx, or nil
void pai_task_shield(pai_task *t, int delta);    // +1 holds cancellation back, -1 undoes it

// Runs co under whoever runs L, as lua_resume does. *suspended: it waits for the host, so L must
// pass that on with pai_task_pass.
int pai_task_resume(lua_State *L, lua_State *co, int nargs, int *nres, bool *suspended);
PAI_LJMP int pai_task_pass(lua_State *L, lua_KContext ctx, lua_KFunction k);
bool pai_task_is_suspended(lua_State *co); // waits for the host: not to be resumed or closed
int pai_task_close(lua_State *co);         // lua_resetthread; its handlers may wait
// From a count hook: gives the other tasks a turn, or ends a cancelled task that does not stop.
PAI_LJMP void pai_task_preempt(lua_State *L);

#endif
