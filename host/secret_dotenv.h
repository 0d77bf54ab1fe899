/* Reads KEY=VALUE files (.env). Nothing is executed or replaced: "$NAME" and backquotes are text.
 */
#ifndef PAI_DOTENV_H
#define PAI_DOTENV_H

#include "error.h"

#include <stddef.h>

// One entry; both borrowed until the next one. 0 goes on, a negative code stops.
typedef int (*pai_dotenv_fn)(void *ud, const char *name, size_t name_len, const char *value,
                             size_t value_len, pai_error *err);

// Values are unescaped in place, so that there is no second copy: text is changed. PAI_E_PARSE
// names the line, never what stands in it. A later entry of one name comes later: it wins.
int pai_dotenv_parse(char *text, size_t len, pai_dotenv_fn fn, void *ud, pai_error *err);

#endif
