/* The guard: a small process beside us that ends our children's process groups when we die by a
 * signal that nobody can catch. PDEATHSIG reaches only the children themselves; the guard reaches
 * what they started. It reads records from a pipe whose only writer we are; end of file means that
 * we are gone. It is started with the first child. */
#ifndef PAI_GUARD_H
#define PAI_GUARD_H

#include <sys/types.h>

#define PAI_GUARD_ARG "--guard-children"

// The guard's main: our executable with the one argument PAI_GUARD_ARG. Records come from fd 0.
int pai_guard_main(void);

int pai_guard_fd(void);                   // starts the guard if need be; -1 when there is none
void pai_guard_note(int fd, pid_t group); // async-signal-safe: called by the child itself
void pai_guard_forget(pid_t group);       // before its leader is reaped

#endif
