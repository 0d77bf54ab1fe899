/* The event loop: order of timers, descriptors stopped inside callbacks, signals, deadlocks. */
#include "alloc.h"
#include "harness.h"
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

static char order[64];
static pai_error err;

static void note(char c) {
  size_t n = strlen(order);
  if (n + 1 < sizeof order) {
    order[n] = c;
    order[n + 1] = '\0';
  }
}

static void note_timer(pai_timer *t) {
  note(*(const char *)t->ud);
}

static void turn_for(int64_t ms) {
  int64_t end = pai_now_ms() + ms;
  while (pai_now_ms() < end)
    CHECK(pai_loop_turn(end - pai_now_ms(), &err) == 0);
}

static void timers_run_in_order(void) {
  pai_timer a = {.fn = note_timer, .ud = "a"}, b = {.fn = note_timer, .ud = "b"};
  pai_timer c = {.fn = note_timer, .ud = "c"}, d = {.fn = note_timer, .ud = "d"};
  order[0] = '\0';
  pai_timer_start(&a, 50, &err);
  pai_timer_start(&b, 30, &err);
  pai_timer_start(&c, 30, &err);
  pai_timer_start(&d, 20, &err);
  pai_timer_stop(&d);
  pai_timer_start(&a, 5, &err); // restarted: earlier
  turn_for(80);
  CHECK(strcmp(order, "abc") == 0);
  CHECK(a.slot == 0 && b.slot == 0 && d.slot == 0);
}

static pai_timer again;
static int again_count;

static void restart(pai_timer *t) {
  again_count++;
  pai_timer_start(t, 0, &err);
}

static void a_timer_that_starts_itself_does_not_hold_the_loop(void) {
  again = (pai_timer){.fn = restart};
  pai_timer_start(&again, 0, &err);
  CHECK(pai_loop_turn(10, &err) == 0);
  CHECK(again_count == 1);
  pai_timer_stop(&again);
}

static int fired;

static void count_timer(pai_timer *t) {
  (void)t;
  fired++;
}

static void many_timers_started_and_stopped(void) {
  enum { N = 2000 };
  pai_timer *list = pai_calloc(N, sizeof *list);
  unsigned seed = 1;
  int expected = N;
  fired = 0;
  for (int i = 0; i < N; i++) {
    list[i].fn = count_timer;
    seed = seed * 1103515245u + 12345u;
    CHECK(pai_timer_start(&list[i], (int64_t)(seed >> 16) % 20, &err) == 0);
  }
  for (int i = 0; i < N; i += 3) {
    pai_timer_stop(&list[i]);
    expected--;
  }
  turn_for(40);
  CHECK(fired == expected);
  pai_free(list);
}

static pai_io ios[2];
static int io_calls;

static void stop_both(pai_io *io, uint32_t events) {
  (void)io;
  CHECK((events & EPOLLIN) != 0);
  io_calls++;
  pai_io_stop(&ios[0]);
  pai_io_stop(&ios[1]);
}

static void an_io_stopped_by_another_callback_is_not_called(void) {
  int a[2], b[2];
  CHECK(pipe2(a, O_CLOEXEC) == 0 && pipe2(b, O_CLOEXEC) == 0);
  CHECK(write(a[1], "x", 1) == 1 && write(b[1], "x", 1) == 1);
  ios[0] = ios[1] = (pai_io){.fn = stop_both};
  CHECK(pai_io_start(&ios[0], a[0], EPOLLIN, &err) == 0);
  CHECK(pai_io_start(&ios[1], b[0], EPOLLIN, &err) == 0);
  CHECK(pai_loop_turn(100, &err) == 0);
  CHECK(io_calls == 1);
  pai_io_stop(&ios[0]); // again is safe
  for (int i = 0; i < 2; i++) {
    close(a[i]);
    close(b[i]);
  }
}

static void a_file_that_cannot_be_watched_is_an_error(void) {
  char name[] = "/tmp/pai-test-loop-XXXXXX";
  int fd = mkostemp(name, O_CLOEXEC);
  unlink(name);
  pai_io io = {.fn = stop_both};
  CHECK(pai_io_start(&io, fd, EPOLLIN, &err) == PAI_E_SYS);
  CHECK(err.sys_errno == EPERM && !io.active);
  close(fd);
}

static void a_wait_for_nothing_is_an_error(void) {
  CHECK(pai_loop_turn(-1, &err) == PAI_E_INTERNAL);
  CHECK(strstr(err.message, "deadlock") != NULL);
  int64_t before = pai_now_ms();
  CHECK(pai_loop_turn(10, &err) == 0); // bounded: just waits
  CHECK(pai_now_ms() - before >= 9);
}

static void note_signal(pai_signal_hook *h, int signo) {
  note(*(const char *)h->ud);
  note(signo == SIGTERM ? 'T' : signo == SIGHUP ? 'H' : '?');
}

static void remove_self(pai_signal_hook *h, int signo) {
  note_signal(h, signo);
  pai_signal_del(h);
}

static void signals_reach_their_hooks_newest_first(void) {
  pai_signal_hook all = {.fn = note_signal, .ud = "a"};
  pai_signal_hook once = {.fn = remove_self, .ud = "o"};
  pai_signal_hook hup = {.fn = note_signal, .ud = "h", .set = 1u << SIGHUP};
  order[0] = '\0';
  CHECK(pai_signal_add(&all, &err) == 0);
  CHECK(pai_signal_add(&once, &err) == 0);
  CHECK(pai_signal_add(&hup, &err) == 0);
  raise(SIGTERM);
  CHECK(pai_loop_turn(100, &err) == 0);
  raise(SIGHUP);
  CHECK(pai_loop_turn(100, &err) == 0);
  CHECK(strcmp(order, "oTaThHaH") == 0);
  pai_signal_del(&all);
  pai_signal_del(&hup);
  pai_signal_del(&once); // is not there any more
  struct sigaction now;
  sigaction(SIGTERM, NULL, &now);
  CHECK(now.sa_handler == SIG_DFL);
}

static void a_signal_that_was_ignored_stays_ignored(void) {
  struct sigaction ignore = {.sa_handler = SIG_IGN}, now;
  sigaction(SIGHUP, &ignore, NULL);
  pai_signal_hook h = {.fn = note_signal, .ud = "x"};
  CHECK(pai_signal_add(&h, &err) == 0);
  sigaction(SIGHUP, NULL, &now);
  CHECK(now.sa_handler == SIG_IGN);
  pai_signal_del(&h);
  sigaction(SIGHUP, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
}

static void the_third_signal_ends_a_loop_that_does_not_turn(void) {
  pid_t pid = fork();
  if (pid == 0) {
    pai_signal_hook h = {.fn = note_signal, .ud = "x"};
    pai_signal_add(&h, NULL);
    raise(SIGINT);
    raise(SIGINT);
    raise(SIGINT);
    _exit(0);
  }
  int status;
  CHECK(waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 130);
}

static void no_memory_for_a_timer_is_an_error(void) {
  enum { N = 4096 };
  static pai_timer list[N];
  int failed = 0;
  for (int i = 0; i < N && failed == 0; i++) {
    list[i].fn = count_timer;
    pai_alloc_fail_at(1);
    int rc = pai_timer_start(&list[i], 1000, &err);
    pai_alloc_fail_at(0);
    if (rc < 0) {
      failed++;
      CHECK(rc == PAI_E_NOMEM && list[i].slot == 0);
      CHECK(pai_timer_start(&list[i], 1000, &err) == 0);
    }
  }
  CHECK(failed == 1);
  for (int i = 0; i < N; i++)
    pai_timer_stop(&list[i]);
}

int main(void) {
  RUN(a_wait_for_nothing_is_an_error);
  RUN(timers_run_in_order);
  RUN(a_timer_that_starts_itself_does_not_hold_the_loop);
  RUN(many_timers_started_and_stopped);
  RUN(an_io_stopped_by_another_callback_is_not_called);
  RUN(a_file_that_cannot_be_watched_is_an_error);
  RUN(signals_reach_their_hooks_newest_first);
  RUN(a_signal_that_was_ignored_stays_ignored);
  RUN(the_third_signal_ends_a_loop_that_does_not_turn);
  RUN(no_memory_for_a_timer_is_an_error);
  return finish();
}
