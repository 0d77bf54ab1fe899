/* Reads and changes KEY=VALUE files (.env). Nothing is executed or replaced: "$NAME" and backquotes
 * are text. */
#ifndef PAI_DOTENV_H
#define PAI_DOTENV_H

#include "error.h"
#include "secret.h"

#include <stddef.h>

typedef struct pai_dotenv_entry {
  const char *name, *value; // borrowed until the next one, not terminated
  size_t name_len, value_len;
  size_t from, to;             // its lines, line end included: offsets into the text
  size_t value_from, value_to; // its value as it is written, with its quotes
} pai_dotenv_entry;

// 0 goes on, a negative code stops.
typedef int (*pai_dotenv_fn)(void *ud, const pai_dotenv_entry *e, pai_error *err);

// Values are unescaped in place, so that there is no second copy: text is changed. PAI_E_PARSE
// names the line, never what stands in it. A later entry of one name comes later: it wins.
int pai_dotenv_parse(char *text, size_t len, pai_dotenv_fn fn, void *ud, pai_error *err);

// Sets one entry, or takes it out (value NULL); comments and all other lines stay as they are.
// Returns how many entries of that name there were; on failure the text is as before.
int pai_dotenv_edit(pai_secret_buf *text, const char *name, const char *value, size_t len,
                    pai_error *err);

#endif
