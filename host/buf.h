/* Growing memory with a ceiling. Members are read-only outside buf.c. */
#ifndef PAI_BUF_H
#define PAI_BUF_H

#include <stddef.h>

typedef struct pai_buf {
  char *data; // owned; NULL while empty; not terminated
  size_t len;
  size_t cap; // at most max
  size_t max; // the largest len that it may reach
} pai_buf;

void pai_buf_init(pai_buf *b, size_t max);
void pai_buf_free(pai_buf *b);  // back to the state after init
void pai_buf_clear(pai_buf *b); // keeps the memory
// 0, PAI_E_LIMIT or PAI_E_NOMEM; on failure the buffer is as before.
int pai_buf_add(pai_buf *b, const void *bytes, size_t len);
int pai_buf_addf(pai_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int pai_buf_grow(pai_buf *b, size_t extra);    // for pai_buf_reserve, where there is no room yet
void pai_buf_drop(pai_buf *b, size_t n);       // removes the first n bytes (n <= len)
void pai_buf_truncate(pai_buf *b, size_t len); // keeps the first len bytes (len <= b->len)

// Room for extra more bytes at data + len; as pai_buf_add.
static inline int pai_buf_reserve(pai_buf *b, size_t extra) {
  return extra <= b->cap - b->len ? 0 : pai_buf_grow(b, extra);
}
// After writing into reserved room.
static inline void pai_buf_advance(pai_buf *b, size_t n) {
  b->len += n;
}

#endif
