/* The last writer of every text channel: standard output, standard error, logs, journals. All of it
 * passes the process-wide masker, one stream a channel; text appears at once, less what may be the
 * beginning of a secret. Nothing else in pai writes text to a descriptor that a person may read. */
#ifndef PAI_OUT_H
#define PAI_OUT_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct pai_out pai_out;

// The channel of descriptor 1 or 2; borrowed for the process's life; NULL: no memory. What it holds
// back is written when the process exits.
pai_out *pai_out_std(int fd);

typedef struct pai_out_mode {
  bool append; // else the file is emptied
  bool sync;   // every write reaches the disk before it returns
  int mode;    // permission bits of a new file
} pai_out_mode;
pai_out *pai_out_open(const char *path, const pai_out_mode *how, pai_error *err); // owned
int pai_out_close(pai_out *o, pai_error *err); // writes what is held back; frees in any case

// Waits while the reader is slow. A reader of 1 or 2 that is gone is no error: from then on the
// channel takes everything and writes nothing.
int pai_out_write(pai_out *o, const void *data, size_t len, pai_error *err);
// The same in two steps: pieces of one text are taken, then go out together.
int pai_out_add(pai_out *o, const void *data, size_t len, pai_error *err);
int pai_out_drain(pai_out *o, pai_error *err);
// Writes what is held back too: the text so far is whole. For prompts and records.
int pai_out_flush(pai_out *o, pai_error *err);
int pai_out_sync(pai_out *o, pai_error *err); // flushes, then fsync
bool pai_out_is_closed(const pai_out *o);     // the reader is gone

#endif
