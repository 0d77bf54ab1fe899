/* The event loop: one thread, epoll, a heap of timers, signals through an eventfd.
 * One loop a process. Callbacks run between coroutine resumes, never inside one. */
#ifndef PAI_LOOP_H
#define PAI_LOOP_H

#include "error.h"

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pai_io pai_io;
struct pai_io {                            // owned by the caller, zero it first
  void (*fn)(pai_io *io, uint32_t events); // EPOLL… bits
  void *ud;                                // the caller's
  int fd;                                  // set by pai_io_start
  uint32_t events;
  bool active;
  bool background; // it alone is nothing to wait for; may be set before it is started
};
// Watches fd (borrowed until pai_io_stop); level-triggered. events: EPOLLIN, EPOLLOUT.
int pai_io_start(pai_io *io, int fd, uint32_t events, pai_error *err);
int pai_io_change(pai_io *io, uint32_t events, pai_error *err);
void pai_io_set_background(pai_io *io, bool background);
void pai_io_stop(pai_io *io); // safe inside any callback, and when not active

typedef struct pai_timer pai_timer;
struct pai_timer {          // owned by the caller, zero it first
  void (*fn)(pai_timer *t); // runs once; start it again for a period
  void *ud;
  int64_t due_ms; // on the clock of pai_now_ms
  uint64_t seq;   // private: order of starting
  size_t slot;    // place in the heap + 1, 0 = not running
};
int pai_timer_start(pai_timer *t, int64_t after_ms, pai_error *err); // restarts a running one
void pai_timer_stop(pai_timer *t);                                   // safe when not running

int64_t pai_now_ms(void); // CLOCK_MONOTONIC

typedef struct pai_signal_hook pai_signal_hook;
struct pai_signal_hook { // called in the loop for SIGINT SIGTERM SIGHUP SIGWINCH
  void (*fn)(pai_signal_hook *h, int signo);
  void *ud;
  uint32_t set; // bits 1 << signo of those it wants, 0 = all four
  pai_signal_hook *next;
};
// While a hook wants a signal, the signal does nothing but run the hooks, newest first. If the loop
// does not turn, the third of a kind ends the process with 128 + its number.
int pai_signal_add(pai_signal_hook *h, pai_error *err);
void pai_signal_del(pai_signal_hook *h); // safe inside a hook, and when not added

int pai_loop_init(pai_error *err); // idempotent; called by whoever needs the loop first
// One turn: runs ready tasks, then waits for at most max_ms (-1 = until something happens).
// PAI_E_INTERNAL when nothing could ever happen (no descriptor, timer or hook, and max_ms is -1).
int pai_loop_turn(int64_t max_ms, pai_error *err);
// Runs in every turn before waiting; returns true if it did something (then the turn won't block).
void pai_loop_set_ready(bool (*fn)(void *ud), void *ud);

// What a watchdog looks at from a signal handler. Code that blocks outside the loop on purpose
// (a prompt) sets waiting around it.
typedef struct pai_loop_pulse {
  volatile sig_atomic_t turns;
  volatile sig_atomic_t waiting;
} pai_loop_pulse;
extern pai_loop_pulse pai_loop_state;

#endif
