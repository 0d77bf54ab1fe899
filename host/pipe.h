/* What a program that speaks over its standard streams needs from the loop: whole lines of a
 * descriptor as they come, and to know when another one takes text without holding the process.
 * The descriptor's own flags are left alone: others may share it. */
#ifndef PAI_PIPE_H
#define PAI_PIPE_H

#include "buf.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct pai_lines {
  pai_buf text;   // what was read and not handed out
  size_t start;   // of the first line in text
  size_t scanned; // up to here there is no line end
  size_t max;     // bytes of the longest line
  int fd;         // borrowed
  bool skipping;  // inside a line that is too long
  bool ended;     // end of file
} pai_lines;

void pai_lines_init(pai_lines *r, int fd, size_t max);
void pai_lines_free(pai_lines *r);

// The next line that is there, less its line end (borrowed until the next call of either function):
// 1, 0 when more must be read first, PAI_E_LIMIT for one that was too long (it is passed over),
// PAI_E_CLOSED at the end. Text after the last line end counts as a line.
int pai_lines_next(pai_lines *r, const char **line, size_t *len, pai_error *err);
// Reads once; blocks unless the descriptor is readable.
int pai_lines_read(pai_lines *r, pai_error *err);

// Whether fd takes at least PAI_PIPE_ROOM bytes at once, or is gone: a write then ends at once.
bool pai_pipe_has_room(int fd);
enum { PAI_PIPE_ROOM = 4096 };

#endif
