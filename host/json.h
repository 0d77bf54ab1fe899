/* JSON: reading tokens and writing scalars. It knows no Lua: l_json.c builds the tables as it
 * reads, there is no tree between. Integers of 64 bits stay exact; text must be valid UTF-8. */
#ifndef PAI_JSON_H
#define PAI_JSON_H

#include "buf.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// In Lua null is lua_pushlightuserdata(L, (void *)&pai_json_null), for YAML as well.
extern const char pai_json_null;
// Lists carry a metatable so that an empty one is told from an empty object. This pushes it
// (l_json.c); YAML's lists carry it too.
struct lua_State;
void pai_json_push_array_mt(struct lua_State *L);

#define PAI_JSON_MAX_DEPTH 512
#define PAI_JSON_DEPTH_CEILING 4096 // the most that max_depth may ask for

typedef struct pai_json_reader {
  const char *text; // borrowed; a '\0' follows the last byte
  const char *p;    // the next byte
  const char *end;
  pai_buf *scratch;     // borrowed; holds a string that had escapes until the next one is read
  pai_error *err;       // borrowed, not NULL
  int64_t line, column; // where err is, from 1; columns count characters
} pai_json_reader;

typedef struct pai_json_number {
  bool is_float;
  int64_t i;
  double d;
} pai_json_number;

void pai_json_reader_init(pai_json_reader *r, const char *text, size_t len, pai_buf *scratch,
                          pai_error *err);
// Fails at `at`, "line 3, column 7: " before the message; returns code.
int pai_json_fail(pai_json_reader *r, const char *at, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
// "unexpected 'x', expected WHAT" at p.
int pai_json_unexpected(pai_json_reader *r, const char *expected);

// p is after the opening quote, then after the closing one. The bytes are borrowed: from the text,
// or from scratch until the next string.
int pai_json_read_string(pai_json_reader *r, const char **s, size_t *len);
// p is at '-' or a digit. With exact an integer over 64 bits is PAI_E_LIMIT, else a float.
int pai_json_read_number(pai_json_reader *r, bool exact, pai_json_number *out);
// p is at the word's first byte.
int pai_json_read_word(pai_json_reader *r, const char *word, size_t len);
// Passes over one value. Brackets must match and strings be closed; no more is checked.
int pai_json_skip(pai_json_reader *r, int max_depth);

static inline void pai_json_space(pai_json_reader *r) {
  while ((unsigned char)*r->p <= ' ' &&
         (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
    r->p++;
}

// With replace each invalid byte becomes U+FFFD, else it is PAI_E_PARSE.
int pai_json_write_string(pai_buf *b, const char *s, size_t len, bool replace);
int pai_json_write_integer(pai_buf *b, int64_t i);
int pai_json_write_float(pai_buf *b, double d); // shortest that reads back; PAI_E_ARG: not finite

// The length of the valid UTF-8 sequence at s (1 to 4), 0 if there is none.
size_t pai_utf8_length(const char *s, const char *end);

#endif
