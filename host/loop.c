/* The event loop. See loop.h.
 *
 * epoll holds the descriptors, a binary heap the timers; the nearest timer bounds the wait. A
 * callback may stop or free any io or timer: a stopped io is struck out of the batch that is being
 * handed out, and a timer started by a timer runs in the next turn at the earliest. */
#include "loop.h"

#include "alloc.h"

#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
  BATCH = 64,
  SIGNALS = 4,
  PATIENCE = 3 // of the same signal that the loop does not see before the process just ends
};

pai_loop_pulse pai_loop_state;

static int epoll_fd = -1;
static size_t io_count;
static struct epoll_event batch[BATCH];
static int batch_len;

static pai_timer **heap; // owned
static size_t heap_len, heap_cap;
static uint64_t timer_seq;

static bool (*ready_fn)(void *ud);
static void *ready_ud;

static pai_signal_hook *hooks;
static pai_signal_hook *next_hook; // where run_hooks goes on; pai_signal_del moves it
static pai_io signal_io;
static int signal_fd = -1;
static struct caught {
  int signo;
  bool installed;
  struct sigaction before;
  volatile sig_atomic_t pending; // came, and the loop has not seen it
} caught[] = {{.signo = SIGINT}, {.signo = SIGTERM}, {.signo = SIGHUP}, {.signo = SIGWINCH}};

int64_t pai_now_ms(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int pai_loop_init(pai_error *err) {
  if (epoll_fd >= 0)
    return 0;
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  return epoll_fd >= 0 ? 0 : pai_error_sys(err, errno, "make the event loop");
}

int pai_io_start(pai_io *io, int fd, uint32_t events, pai_error *err) {
  int rc = pai_loop_init(err);
  if (rc < 0)
    return rc;
  struct epoll_event ev = {.events = events, .data.ptr = io};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
    return pai_error_sys(err, errno, "watch descriptor %d", fd);
  io->fd = fd;
  io->events = events;
  io->active = true;
  io_count += !io->background;
  return 0;
}

int pai_io_change(pai_io *io, uint32_t events, pai_error *err) {
  if (io->events == events)
    return 0;
  struct epoll_event ev = {.events = events, .data.ptr = io};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, io->fd, &ev) < 0)
    return pai_error_sys(err, errno, "watch descriptor %d", io->fd);
  io->events = events;
  return 0;
}

void pai_io_set_background(pai_io *io, bool background) {
  if (io->active)
    io_count += io->background - background;
  io->background = background;
}

void pai_io_stop(pai_io *io) {
  if (!io->active)
    return;
  epoll_ctl(epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
  io->active = false;
  io_count -= !io->background;
  for (int i = 0; i < batch_len; i++)
    if (batch[i].data.ptr == io)
      batch[i].data.ptr = NULL;
}

static bool before(const pai_timer *a, const pai_timer *b) {
  return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->seq < b->seq;
}

static void heap_put(size_t at, pai_timer *t) {
  heap[at] = t;
  t->slot = at + 1;
}

static void heap_up(size_t at, pai_timer *t) {
  for (; at > 0 && before(t, heap[(at - 1) / 2]); at = (at - 1) / 2)
    heap_put(at, heap[(at - 1) / 2]);
  heap_put(at, t);
}

static void heap_down(size_t at, pai_timer *t) {
  for (;;) {
    size_t child = at * 2 + 1;
    if (child >= heap_len)
      break;
    if (child + 1 < heap_len && before(heap[child + 1], heap[child]))
      child++;
    if (before(t, heap[child]))
      break;
    heap_put(at, heap[child]);
    at = child;
  }
  heap_put(at, t);
}

int pai_timer_start(pai_timer *t, int64_t after_ms, pai_error *err) {
  pai_timer_stop(t);
  if (heap_len == heap_cap) {
    size_t cap = heap_cap != 0 ? heap_cap * 2 : 32;
    pai_timer **grown = pai_realloc(heap, cap * sizeof *heap);
    if (grown == NULL)
      return pai_error_set(err, PAI_E_NOMEM, "start a timer: out of memory");
    heap = grown;
    heap_cap = cap;
  }
  int64_t now = pai_now_ms();
  if (after_ms < 0)
    after_ms = 0;
  t->due_ms = after_ms > INT64_MAX - now ? INT64_MAX : now + after_ms;
  t->seq = ++timer_seq;
  heap_up(heap_len++, t);
  return 0;
}

void pai_timer_stop(pai_timer *t) {
  if (t->slot == 0)
    return;
  size_t at = t->slot - 1;
  t->slot = 0;
  pai_timer *last = heap[--heap_len];
  if (last == t)
    return;
  if (at > 0 && before(last, heap[(at - 1) / 2]))
    heap_up(at, last);
  else
    heap_down(at, last);
}

static void run_timers(void) {
  int64_t now = pai_now_ms();
  uint64_t last = timer_seq;
  while (heap_len > 0 && heap[0]->due_ms <= now && heap[0]->seq <= last) {
    pai_timer *t = heap[0];
    pai_timer_stop(t);
    t->fn(t);
  }
}

/* Signals: a handler counts, the loop runs the hooks. */

static void on_signal(int signo) {
  int errnum = errno;
  int i = 0;
  while (caught[i].signo != signo)
    i++;
  caught[i].pending = caught[i].pending + 1;
  if (caught[i].pending >= PATIENCE && signo != SIGWINCH)
    _exit(128 + signo); // the loop does not turn any more
  const uint64_t one = 1;
  ssize_t n = write(signal_fd, &one, sizeof one);
  (void)n;
  errno = errnum;
}

static void run_hooks(pai_io *io, uint32_t events) {
  (void)events;
  uint64_t count;
  if (read(io->fd, &count, sizeof count) < 0)
    return;
  for (int i = 0; i < SIGNALS; i++) {
    for (; caught[i].pending > 0; caught[i].pending = caught[i].pending - 1) {
      for (pai_signal_hook *h = hooks; h != NULL; h = next_hook) {
        next_hook = h->next;
        if (h->set == 0 || (h->set & 1u << caught[i].signo) != 0)
          h->fn(h, caught[i].signo);
      }
    }
  }
}

// Installs the handler for signals that a hook wants, and takes it away from the others.
static void set_handlers(void) {
  uint32_t set = 0;
  for (pai_signal_hook *h = hooks; h != NULL; h = h->next)
    set |= h->set == 0 ? ~UINT32_C(0) : h->set;
  for (int i = 0; i < SIGNALS; i++) {
    bool wanted = (set & 1u << caught[i].signo) != 0;
    if (wanted == caught[i].installed)
      continue;
    caught[i].installed = wanted;
    caught[i].pending = 0;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    if (!wanted)
      sigaction(caught[i].signo, &caught[i].before, NULL);
    else if (sigaction(caught[i].signo, &action, &caught[i].before) == 0 &&
             caught[i].before.sa_handler == SIG_IGN)
      sigaction(caught[i].signo, &caught[i].before, NULL); // whoever started us wants it ignored
  }
}

int pai_signal_add(pai_signal_hook *h, pai_error *err) {
  if (hooks == NULL) {
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
      return pai_error_sys(err, errno, "watch for signals");
    signal_io.fn = run_hooks;
    int rc = pai_io_start(&signal_io, fd, EPOLLIN, err);
    if (rc < 0) {
      close(fd);
      return rc;
    }
    signal_fd = fd;
  }
  h->next = hooks;
  hooks = h;
  set_handlers();
  return 0;
}

void pai_signal_del(pai_signal_hook *h) {
  pai_signal_hook **at = &hooks;
  while (*at != NULL && *at != h)
    at = &(*at)->next;
  if (*at == NULL)
    return;
  *at = h->next;
  if (next_hook == h)
    next_hook = h->next;
  set_handlers();
  if (hooks != NULL)
    return;
  pai_io_stop(&signal_io);
  close(signal_fd);
  signal_fd = -1;
}

void pai_loop_set_ready(bool (*fn)(void *ud), void *ud) {
  ready_fn = fn;
  ready_ud = ud;
}

// How long epoll may wait: bounded by max_ms and the nearest timer; -1 = for ever.
static int wait_ms(int64_t max_ms, bool busy) {
  if (busy)
    return 0;
  if (heap_len > 0) {
    int64_t left = heap[0]->due_ms - pai_now_ms();
    if (left < 0)
      left = 0;
    if (max_ms < 0 || left < max_ms)
      max_ms = left;
  }
  return max_ms < 0 ? -1 : max_ms > INT_MAX ? INT_MAX : (int)max_ms;
}

int pai_loop_turn(int64_t max_ms, pai_error *err) {
  static int64_t polled_ms; // when events were last looked for
  int rc = pai_loop_init(err);
  if (rc < 0)
    return rc;
  bool busy = ready_fn != NULL && ready_fn(ready_ud);
  pai_loop_state.turns = pai_loop_state.turns + 1;
  int timeout = wait_ms(max_ms, busy);
  if (timeout < 0 && io_count == 0)
    return pai_error_set(err, PAI_E_INTERNAL,
                         "wait: nothing is left that could end the wait (a deadlock)");
  // A task that ran mostly makes another one ready, or a timer due at once: events can wait until
  // there is nothing else to do, or for 1 ms.
  if (timeout == 0 && max_ms != 0 && pai_now_ms() == polled_ms) {
    run_timers();
    return 0;
  }
  pai_loop_state.waiting = timeout != 0;
  int n = epoll_wait(epoll_fd, batch, BATCH, timeout);
  int errnum = errno;
  pai_loop_state.waiting = 0;
  pai_loop_state.turns = pai_loop_state.turns + 1;
  if (n < 0 && errnum != EINTR)
    return pai_error_sys(err, errnum, "wait for events");
  polled_ms = pai_now_ms();
  batch_len = n > 0 ? n : 0;
  for (int i = 0; i < batch_len; i++) {
    pai_io *io = batch[i].data.ptr;
    if (io != NULL)
      io->fn(io, batch[i].events);
  }
  batch_len = 0;
  run_timers();
  return 0;
}
