/* Masking of secrets in text that arrives in pieces. A set holds needles: every registered value
 * in each of the encodings it is likely to be printed in. A stream is one text channel over a set:
 * whatever the pieces are cut like, every byte of every needle's occurrence is replaced,
 * overlapping and touching occurrences by one "***". Held back at the end of a piece is exactly the
 * longest suffix that is the beginning of a needle, nothing when there is none. Needles may be
 * added at any time; those added while text is held back are looked for in it too. */
#ifndef PAI_MASK_H
#define PAI_MASK_H

#include "buf.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>

#define PAI_MASK_TEXT "***"
#define PAI_MASK_MIN 6 // bytes; a shorter value would blank ordinary output

typedef struct pai_mask_set pai_mask_set;
typedef struct pai_mask_stream pai_mask_stream;

// The set of this process: every pai_secret registers here. NULL only when memory is out.
pai_mask_set *pai_mask_global(void);

pai_mask_set *pai_mask_set_new(void);      // owned: pai_mask_set_free; NULL: no memory
void pai_mask_set_free(pai_mask_set *set); // wipes; no stream over it may be left; NULL is fine
// Adds value (borrowed) in all encodings. 1: it will be masked. 0: it will not, being too short or
// too common a word. Negative: PAI_E_NOMEM, PAI_E_LIMIT; some encodings may have been added then.
int pai_mask_set_add(pai_mask_set *set, const void *value, size_t len, pai_error *err);
// Adds these bytes as one needle, no encodings, no stop list; len >= PAI_MASK_MIN.
int pai_mask_set_add_literal(pai_mask_set *set, const void *bytes, size_t len, pai_error *err);
size_t pai_mask_set_count(const pai_mask_set *set); // needles
// Why pai_mask_set_add would answer 0, as a phrase; NULL when it would mask. Borrowed, constant.
const char *pai_mask_unfit(const void *value, size_t len);

// set is borrowed until pai_mask_stream_free; NULL means pai_mask_global().
pai_mask_stream *pai_mask_stream_new(pai_mask_set *set); // owned; NULL: no memory
void pai_mask_stream_free(pai_mask_stream *s);           // wipes what is held back
// Appends to out what of the text so far may be shown. The output of n bytes is never longer than
// what was held back + n. 0, PAI_E_NOMEM or PAI_E_LIMIT (the ceiling of out): then the stream is as
// if the call had not been made, and out is as before.
int pai_mask_stream_feed(pai_mask_stream *s, const void *data, size_t len, pai_buf *out,
                         pai_error *err);
// Appends the rest: no more text follows. The stream is then as new.
int pai_mask_stream_finish(pai_mask_stream *s, pai_buf *out, pai_error *err);
size_t pai_mask_stream_held(const pai_mask_stream *s); // bytes held back

// A whole text at once, over set (NULL = global).
int pai_mask_text(pai_mask_set *set, const void *data, size_t len, pai_buf *out, pai_error *err);
// Whether the text contains a needle of the process-wide set (for argv, URLs, artefacts).
bool pai_mask_find(const void *data, size_t len);

#endif
