/* The guard process. See guard.h. A record is written in one piece: a group's number, negative to
 * forget it. */
#include "guard.h"

#include "alloc.h"
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { GRACE_MS = 3000, POLL_MS = 20 };

static int guard_fd = -1;
static bool tried;

typedef struct groups {
  int32_t *list; // owned
  size_t len, cap;
} groups;

static void take(groups *g, int32_t record) {
  if (record > 0) {
    if (g->len == g->cap) {
      size_t cap = g->cap != 0 ? g->cap * 2 : 64;
      int32_t *list = pai_realloc(g->list, cap * sizeof *list);
      if (list == NULL)
        return;
      g->list = list;
      g->cap = cap;
    }
    g->list[g->len++] = record;
    return;
  }
  for (size_t i = g->len; i-- > 0;) {
    if (g->list[i] == -record) {
      g->list[i] = g->list[--g->len];
      return;
    }
  }
}

// Sends signo to every group; 0 asks. False when none is left.
static bool signal_all(const groups *g, int signo) {
  bool any = false;
  for (size_t i = 0; i < g->len; i++)
    any = kill(-g->list[i], signo) == 0 || any;
  return any;
}

int pai_guard_main(void) {
  prctl(PR_SET_NAME, "pai-guard");
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  sigaction(SIGTERM, &ignore, NULL);
  sigaction(SIGINT, &ignore, NULL);
  sigaction(SIGHUP, &ignore, NULL);
  groups g = {.list = NULL};
  int32_t record;
  for (;;) {
    ssize_t n = read(0, &record, sizeof record);
    if (n == (ssize_t)sizeof record)
      take(&g, record);
    else if (n >= 0 || errno != EINTR)
      break;
  }
  bool any = signal_all(&g, SIGTERM);
  signal_all(&g, SIGCONT);
  const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
  for (int ms = 0; any && ms < GRACE_MS; ms += POLL_MS) {
    nanosleep(&pause, NULL);
    any = signal_all(&g, 0);
  }
  signal_all(&g, SIGKILL);
  pai_free(g.list);
  return 0;
}

static int start(void) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0)
    return -1;
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  int in = fcntl(ends[0], F_DUPFD_CLOEXEC, 3);
  int out = fcntl(null, F_DUPFD_CLOEXEC, 3);
  char *argv[] = {"pai", PAI_GUARD_ARG, NULL};
  char *envp[] = {NULL};
  pai_spawn_spec spec = {.argv = argv,
                         .envp = envp,
                         .exe = "/proc/self/exe",
                         .cwd = "/",
                         .fds = {in, out, out},
                         .detach = true};
  pid_t pid;
  int pidfd = -1;
  int rc = in < 0 || out < 0 ? -1 : pai_spawn(&spec, &pid, &pidfd, NULL);
  close(ends[0]);
  close(null);
  close(in);
  close(out);
  if (rc < 0) {
    close(ends[1]);
    return -1;
  }
  close(pidfd);
  fcntl(ends[1], F_SETFL, O_NONBLOCK); // a guard that does not read must not stop us
  return ends[1];
}

int pai_guard_fd(void) {
  if (!tried) {
    tried = true;
    guard_fd = start();
  }
  return guard_fd;
}

PAI_CHILD void pai_guard_note(int fd, pid_t group) {
  int32_t record = (int32_t)group;
  ssize_t n = write(fd, &record, sizeof record);
  (void)n;
}

void pai_guard_forget(pid_t group) {
  if (guard_fd >= 0)
    pai_guard_note(guard_fd, -group);
}
