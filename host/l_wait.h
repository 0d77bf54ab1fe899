/* A wait of a Lua function in a queue of waiters, with a deadline if wanted: for bindings. */
#ifndef PAI_L_WAIT_H
#define PAI_L_WAIT_H

#include "loop.h"
#include "task.h"

#include <lua.h>

typedef struct pai_l_wait { // a userdata on the waiting function's stack
  pai_waiter waiter;        // await &w->waiter.op
  pai_timer timer;
  bool timed_out;
} pai_l_wait;

// Pushes a wait that is in no queue yet. owner: index of the value that the queue is part of, which
// must live as long as the wait. timeout_ms < 0: none; else from now, over all joins.
PAI_LJMP pai_l_wait *pai_l_wait_push(lua_State *L, int owner, int64_t timeout_ms);
// Queues it (again); after the deadline it is over at once.
void pai_l_wait_join(pai_l_wait *w, pai_waitq *q);
void pai_l_wait_end(pai_l_wait *w); // leaves the queue, stops the deadline

#endif
