/* Starting a child process. See spawn.h.
 *
 * clone(CLONE_VM | CLONE_VFORK) on a stack of its own: we are suspended until the child has become
 * the program or has ended, so it may write its errno into our memory. Until then it calls only
 * async-signal-safe functions, with every signal blocked. */
#include "spawn.h"

#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEARCH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

typedef struct child {
  const pai_spawn_spec *spec;
  pid_t parent;
  int guard;        // -1: none
  int errnum;       // written by the child
  const char *what; // likewise: what failed
} child;

static _Alignas(16) char stack[64 * 1024]; // one child at a time: we sleep while it is used

PAI_CHILD static void reset_signals(void) {
  struct sigaction def = {.sa_handler = SIG_DFL};
  for (int signo = 1; signo < NSIG; signo++) // those that can't be set fail, and are default
    sigaction(signo, &def, NULL);
}

// Runs the first file of that name in the search path. Returns the errno that says why not.
PAI_CHILD static int run_found(const pai_spawn_spec *spec, const char *name) {
  char file[PATH_MAX];
  size_t name_len = strlen(name);
  int errnum = ENOENT;
  const char *dir = spec->search != NULL ? spec->search : SEARCH_DEFAULT;
  for (const char *end = dir; *name != '\0' && *dir != '\0'; dir = *end != '\0' ? end + 1 : end) {
    end = strchrnul(dir, ':');
    size_t len = (size_t)(end - dir);
    if (len == 0 || len + name_len + 2 > sizeof file) // an empty entry would mean here: never
      continue;
    memcpy(file, dir, len);
    file[len] = '/';
    memcpy(file + len + 1, name, name_len + 1);
    execve(file, spec->argv, spec->envp);
    if (errno == EACCES)
      errnum = EACCES; // stands if no other folder has it
    else if (errno != ENOENT && errno != ENOTDIR && errno != ENAMETOOLONG)
      return errno;
  }
  return errnum;
}

PAI_CHILD static void run_program(child *c) {
  const pai_spawn_spec *spec = c->spec;
  const char *file = spec->exe != NULL ? spec->exe : spec->argv[0];
  if (strchr(file, '/') == NULL) {
    c->errnum = run_found(spec, file);
    return;
  }
  execve(file, spec->argv, spec->envp);
  c->errnum = errno;
}

PAI_CHILD static int fail(child *c, const char *what) {
  c->errnum = errno;
  c->what = what;
  return -1;
}

PAI_CHILD static int prepare(child *c) {
  const pai_spawn_spec *spec = c->spec;
  if (spec->detach) {
    if (setsid() < 0)
      return fail(c, "make a session for");
  } else {
    // Our own end may have come between the two calls: then nobody sends the signal.
    prctl(PR_SET_PDEATHSIG, c->guard >= 0 ? SIGTERM : SIGKILL);
    if (getppid() != c->parent)
      _exit(127);
    if (setpgid(0, 0) < 0)
      return fail(c, "make a process group for");
    if (c->guard >= 0) {
      sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL); // the guard may be gone
      pai_guard_note(c->guard, getpid());
    }
  }
  if (spec->foreground)
    tcsetpgrp(0, getpid());
  for (int i = 0; i < 3; i++)
    if (spec->fds[i] != i ? dup2(spec->fds[i], i) < 0 : fcntl(i, F_SETFD, 0) < 0)
      return fail(c, "connect the descriptors of");
  close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC);
  if (spec->cwd != NULL && chdir(spec->cwd) < 0)
    return fail(c, "cwd");
  return 0;
}

PAI_CHILD static int child_main(void *arg) {
  child *c = arg;
  if (prepare(c) == 0) {
    reset_signals();
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    run_program(c);
  }
  _exit(127);
}

static int say_failure(const child *c, pai_error *err) {
  const char *name = c->spec->argv[0];
  if (c->what == NULL)
    return pai_error_sys(err, c->errnum, "start \"%s\"", name);
  if (strcmp(c->what, "cwd") == 0)
    return pai_error_sys(err, c->errnum, "start \"%s\" in the folder \"%s\"", name, c->spec->cwd);
  return pai_error_sys(err, c->errnum, "%s \"%s\"", c->what, name);
}

int pai_spawn(const pai_spawn_spec *spec, pid_t *pid, int *pidfd, pai_error *err) {
  child c = {.spec = spec, .guard = spec->detach ? -1 : pai_guard_fd(), .parent = getpid()};
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  *pidfd = -1;
  *pid = clone(child_main, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &c,
               pidfd);
  int errnum = errno;
  sigprocmask(SIG_SETMASK, &before, NULL);
  if (*pid < 0)
    return pai_error_sys(err, errnum, "start \"%s\"", spec->argv[0]);
  if (c.errnum == 0)
    return 0;
  pai_guard_forget(*pid);
  waitpid(*pid, NULL, 0);
  close(*pidfd);
  return say_failure(&c, err);
}
