/* The watchdog. See sandbox.h. A timer ticks four times a limit; the handler compares the loop's
 * pulse. Ticks, and not a clock, so that a process that was stopped and goes on is not punished. */
#include "sandbox.h"

#include "loop.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TICKS = 4, ERROR_FD = 2 };

static timer_t timer;
static bool have_timer;
static char message[320];
static size_t message_len;
static volatile sig_atomic_t last_turns, silent_ticks;

static void on_tick(int signo) {
  (void)signo;
  if (pai_loop_state.waiting || pai_loop_state.turns != last_turns) {
    last_turns = pai_loop_state.turns;
    silent_ticks = 0;
    return;
  }
  silent_ticks = silent_ticks + 1;
  if (silent_ticks < TICKS)
    return;
  ssize_t n = write(ERROR_FD, message, message_len);
  (void)n;
  _exit(1);
}

static int make_timer(pai_error *err) {
  struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, NULL);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) < 0)
    return pai_error_sys(err, errno, "make the watchdog's timer");
  have_timer = true;
  return 0;
}

int pai_watchdog_start(const char *label, int64_t limit_ms, pai_error *err) {
  if (!have_timer && limit_ms == 0)
    return 0;
  int rc = have_timer ? 0 : make_timer(err);
  if (rc < 0)
    return rc;
  int n =
      snprintf(message, sizeof message,
               "pai: \"%.160s\" held the host for %lld.%lld s without a pause, so it was ended; "
               "the run can be resumed\n",
               label, (long long)(limit_ms / 1000), (long long)(limit_ms % 1000 / 100));
  message_len = n < (int)sizeof message ? (size_t)n : sizeof message - 1;
  last_turns = pai_loop_state.turns;
  silent_ticks = 0;
  int64_t tick_ms = limit_ms > 0 && limit_ms < TICKS ? 1 : limit_ms / TICKS;
  struct itimerspec spec = {.it_interval = {tick_ms / 1000, tick_ms % 1000 * 1000000}};
  spec.it_value = spec.it_interval;
  if (timer_settime(timer, 0, &spec, NULL) < 0)
    return pai_error_sys(err, errno, "set the watchdog's timer");
  return 0;
}

bool pai_watchdog_late(void) {
  return silent_ticks >= TICKS / 2;
}
