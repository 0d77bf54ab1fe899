/* The streams of a child process: private to exec.c and exec_io.c. */
#ifndef PAI_EXEC_IO_H
#define PAI_EXEC_IO_H

#include "buf.h"
#include "loop.h"
#include "mask.h"
#include "secret.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct exec_lines { // complete lines of both streams in the order in which they ended
  pai_buf queue;            // records: a header, then the bytes
  size_t head;              // of the first one that was not dropped
} exec_lines;

typedef struct exec_out { // what the child writes
  pai_io io;
  int number;            // 1 or 2
  int fd;                // our end, -1 when closed
  bool secret;           // collected in `locked`, never as text
  bool keep;             // kept in `text`
  bool paused;           // not read: nobody takes its lines
  bool truncated;        // more came than is kept
  size_t max;            // bytes kept
  pai_mask_stream *mask; // owned; NULL: bytes as they are
  pai_buf text;
  pai_buf part; // a line without its end
  pai_secret_buf locked;
  exec_lines *lines; // borrowed; NULL: nobody takes it piece by piece
  bool whole;        // pieces are what came, not lines
} exec_out;

void pai_exec_out_init(exec_out *o, int number, size_t max);
// Reads what is there, at most `rounds` buffers. 1: more may be there; 0: nothing for now or the
// end, then fd is -1; negative: PAI_E_…, fd is closed.
int pai_exec_out_read(exec_out *o, int rounds, pai_error *err);
int pai_exec_out_close(exec_out *o, pai_error *err); // hands on what was held back
void pai_exec_out_free(exec_out *o);
int pai_exec_out_split(exec_out *o, pai_error *err); // moves the text kept so far into the lines

size_t pai_exec_lines_size(const exec_lines *l); // bytes that wait
bool pai_exec_lines_first(const exec_lines *l, const char **line, size_t *len, int *stream);
void pai_exec_lines_drop(exec_lines *l);

typedef struct exec_chunk exec_chunk;
typedef struct exec_in { // what the child reads
  pai_io io;
  int fd;       // our end, -1 when closed
  bool closing; // no more will come
  size_t size;  // bytes queued
  exec_chunk *first, *last;
} exec_in;

int pai_exec_in_add(exec_in *in, const void *data, size_t len, bool secret, pai_error *err);
void pai_exec_in_flush(exec_in *in); // writes what goes; closes when done or when nobody reads
void pai_exec_in_close(exec_in *in); // at once; wipes what is queued

#endif
