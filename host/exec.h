/* A child process from start to end: its streams, its deadline, the end of its whole group.
 * Output is masked as it arrives; it is kept as text, taken line by line, or collected as a secret.
 * Everything happens in the loop; `changed` tells the owner that there is something to look at. */
#ifndef PAI_EXEC_H
#define PAI_EXEC_H

#include "buf.h"
#include "error.h"
#include "secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct pai_proc pai_proc;

enum { // where a stream of the child goes; anything else is a descriptor that the caller opened
  PAI_EXEC_NULL = -1,    // /dev/null
  PAI_EXEC_INHERIT = -2, // ours
  PAI_EXEC_PIPE = -3,    // to us: text; from us: pai_proc_write
  PAI_EXEC_SECRET = -4,  // output only: collected in locked memory
  PAI_EXEC_STDOUT = -5   // stderr only: the same as stdout
};

typedef struct pai_exec_spec { // everything borrowed during the call
  char *const *argv;
  char *const *envp;
  const char *search;
  const char *cwd;
  pid_t mounts_of; // as in spawn.h
  int std[3];      // PAI_EXEC_… or a descriptor
  bool detach;
  bool raw;           // keep output unmasked
  bool lines;         // split output into lines, for pai_proc_line
  bool pieces;        // the same, but as it comes and not split
  bool text;          // keep output as text, for pai_proc_text
  size_t max_output;  // bytes kept of each stream
  int64_t timeout_ms; // from now until TERM; < 0: none
  int64_t grace_ms;   // from TERM until KILL
  int64_t hold_ms;    // how long to read on after the exit if somebody keeps the pipe
} pai_exec_spec;

// owned: pai_proc_free. changed runs in the loop, and may free the process.
int pai_exec_start(const pai_exec_spec *spec, void (*changed)(void *ud), void *ud, pai_proc **out,
                   pai_error *err);
// Starts a process that outlives us; it is reaped if it ends before we do.
int pai_exec_detach(const pai_exec_spec *spec, pid_t *pid, pai_error *err);
// Ends what is left of the group with KILL; NULL is fine.
void pai_proc_free(pai_proc *p);

typedef struct pai_proc_status {
  int code;   // -1 when a signal ended it
  int signal; // 0 when it exited
  bool timed_out, held, truncated;
  int64_t duration_ms;
  int64_t timeout_ms; // as given
} pai_proc_status;

pid_t pai_proc_pid(const pai_proc *p);
uint64_t pai_proc_start_time(pai_proc *p); // in ticks since boot; 0 when it was never asked
bool pai_proc_over(const pai_proc *p);     // has ended, and so has its output
// Once it is over. Negative when output was lost for want of memory.
int pai_proc_get_status(const pai_proc *p, pai_proc_status *status, pai_error *err);
void pai_proc_stop(pai_proc *p);                           // TERM, grace, KILL of the group
int pai_proc_kill(pai_proc *p, int signo, pai_error *err); // the group, once

// stream: 1 or 2. The text kept so far; read-only, may be taken by pai_buf_free.
pai_buf *pai_proc_text(pai_proc *p, int stream);
pai_secret_buf *pai_proc_secret(pai_proc *p, int stream);
// The first line that was not dropped yet, without its newline; false when there is none. Borrowed
// until the next call of any function here.
bool pai_proc_line(pai_proc *p, const char **line, size_t *len, int *stream);
void pai_proc_drop_line(pai_proc *p);
// From keeping text to lines (what was kept is split), which also slows a child down that writes
// faster than its lines are dropped; and back to keeping text, so that it can end.
int pai_proc_want_lines(pai_proc *p, pai_error *err);
void pai_proc_unbound(pai_proc *p);

// Queues bytes for the child's stdin; secret ones stay in locked memory. PAI_E_CLOSED when stdin is
// closed or was never a pipe.
int pai_proc_write(pai_proc *p, const void *data, size_t len, bool secret, pai_error *err);
void pai_proc_close_stdin(pai_proc *p); // after what is queued
size_t pai_proc_unwritten(const pai_proc *p);

// Masks the message: it may quote a path, or what the child said.
void pai_exec_mask_error(pai_error *err);

#endif
