/* Terminals: size, colour, the width of text, and asking for a line with or without echo. */
#ifndef PAI_TERM_H
#define PAI_TERM_H

#include "loop.h"
#include "secret.h"
#include "task.h"

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

// Columns and rows of the terminal that output goes to; COLUMNS and LINES or 80 by 24 without one.
void pai_term_size(int *cols, int *rows);
// Whether colours may be written to fd: a terminal, NO_COLOR empty, TERM set and not "dumb".
bool pai_term_color(int fd);
// Columns that the text takes: wide characters count two; combining and control characters and
// ANSI sequences none; an invalid byte one.
size_t pai_term_width(const char *text, size_t len);

// Standard input byte by byte, without echo and signals of its own. Zero it first.
typedef struct pai_term_raw {
  bool changed;
  struct termios before;
} pai_term_raw;
int pai_term_raw_start(pai_term_raw *r, pai_error *err); // ENOTTY where it is no terminal
void pai_term_raw_stop(pai_term_raw *r);                 // idempotent

// A question on the terminal. The answer is kept in locked memory until it is taken. Zero it first.
typedef struct pai_term_ask {
  pai_op op; // completed when there is an answer; cancel puts the terminal back
  pai_io io;
  pai_secret_buf line; // the answer, its line end cut off
  int rc;              // 0, or PAI_E_… with err; PAI_E_CLOSED: no answer (end of input)
  pai_error err;
  int fd; // private from here on
  bool open, echo, changed;
  struct termios before;
} pai_term_ask;
// Writes the prompt (masked) to the controlling terminal and waits for a line in the loop. Fails
// with ENXIO or ENOTTY where there is no terminal.
int pai_term_ask_start(pai_term_ask *ask, const char *prompt, size_t len, bool echo,
                       pai_error *err);
void pai_term_ask_stop(pai_term_ask *ask); // idempotent; puts the terminal back, wipes the answer

#endif
