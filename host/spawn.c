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
#include <linux/nsfs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEARCH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

typedef struct child {
  const pai_spawn_spec *spec;
  pid_t parent;
  int guard;        // -1: none
  int mounts[2];    // the user and the mount namespace to enter, or -1
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

// Where the owner is our own user namespace it cannot be entered, and need not be.
PAI_CHILD static int enter_mounts(child *c) {
  if (setns(c->mounts[0], CLONE_NEWUSER) < 0 && errno != EINVAL)
    return -1;
  return setns(c->mounts[1], CLONE_NEWNS);
}

PAI_CHILD static int prepare(child *c) {
  const pai_spawn_spec *spec = c->spec;
  if (c->mounts[1] >= 0 && enter_mounts(c) < 0) // first: it would undo what follows
    return fail(c, "enter the mounts for");
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

static void close_mounts(child *c) {
  for (int i = 0; i < 2; i++)
    if (c->mounts[i] >= 0)
      close(c->mounts[i]);
}

static int open_mounts(child *c, pai_error *err) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)c->spec->mounts_of);
  c->mounts[1] = open(path, O_RDONLY | O_CLOEXEC);
  c->mounts[0] = c->mounts[1] >= 0 ? ioctl(c->mounts[1], NS_GET_USERNS) : -1;
  if (c->mounts[0] >= 0)
    return 0;
  int errnum = errno;
  close_mounts(c);
  return pai_error_sys(err, errnum, "find the mounts of process %d", (int)c->spec->mounts_of);
}

int pai_spawn(const pai_spawn_spec *spec, pid_t *pid, int *pidfd, pai_error *err) {
  child c = {.spec = spec,
             .guard = spec->detach ? -1 : pai_guard_fd(),
             .mounts = {-1, -1},
             .parent = getpid()};
  *pidfd = -1;
  int rc = spec->mounts_of != 0 ? open_mounts(&c, err) : 0;
  if (rc < 0)
    return rc;
  sigset_t all, before;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  *pid = clone(child_main, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &c,
               pidfd);
  int errnum = errno;
  sigprocmask(SIG_SETMASK, &before, NULL);
  close_mounts(&c);
  if (*pid < 0)
    return pai_error_sys(err, errnum, "start \"%s\"", spec->argv[0]);
  if (c.errnum == 0)
    return 0;
  pai_guard_forget(*pid);
  waitpid(*pid, NULL, 0);
  close(*pidfd);
  return say_failure(&c, err);
}
