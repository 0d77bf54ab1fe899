/* Starting a child process, vfork-style: the child borrows our memory until it has become the
 * program, so the cost does not grow with our size and it can hand back an errno. Every child has
 * default signal dispositions, an empty signal mask and no descriptor but 0, 1 and 2. */
#ifndef PAI_SPAWN_H
#define PAI_SPAWN_H

#include "error.h"

#include <stdbool.h>
#include <sys/types.h>

// Marks what the child calls: it leaves its stack without returning, and the address sanitizer
// would keep the next child from using it.
#define PAI_CHILD __attribute__((no_sanitize("address")))

typedef struct pai_spawn_spec { // everything borrowed during the call
  char *const *argv;            // NULL-terminated, at least one
  char *const *envp;            // NULL-terminated
  const char *exe;              // runs this file in place of searching argv[0]; may be NULL
  const char *search;           // where to look for argv[0] if it has no slash, as in PATH
  const char *cwd;              // NULL: ours. A relative argv[0] with a slash is relative to it
  pid_t mounts_of; // 0, or a process whose mount namespace the child enters, through the
                   // user namespace that owns it
  int fds[3];      // become 0, 1, 2; each is its own place or at least 3
  bool detach;     // a session of its own, and it outlives us
  bool foreground; // descriptor 0 is a terminal that the child's group is to own
} pai_spawn_spec;

// pid leads a process group of its own; *pidfd is owned by the caller. The child gets a SIGTERM if
// we die, and its group is ended by the guard (guard.h), unless detach is set.
// Fails with the errno of the call that failed in the child, a program that is not there included.
int pai_spawn(const pai_spawn_spec *spec, pid_t *pid, int *pidfd, pai_error *err);

#endif
