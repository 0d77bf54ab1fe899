/* Growing memory with a ceiling. See buf.h. */
#include "buf.h"

#include "alloc.h"
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void pai_buf_init(pai_buf *b, size_t max) {
  *b = (pai_buf){.max = max};
}

void pai_buf_free(pai_buf *b) {
  pai_free(b->data);
  pai_buf_init(b, b->max);
}

void pai_buf_clear(pai_buf *b) {
  b->len = 0;
}

int pai_buf_grow(pai_buf *b, size_t extra) {
  if (extra > b->max - b->len)
    return PAI_E_LIMIT;
  size_t need = b->len + extra;
  size_t cap = b->cap >= 64 ? b->cap : b->max < 64 ? b->max : 64;
  while (cap < need)
    cap = cap > b->max / 2 ? b->max : cap * 2;
  char *data = pai_realloc(b->data, cap);
  if (data == NULL)
    return PAI_E_NOMEM;
  b->data = data;
  b->cap = cap;
  return 0;
}

int pai_buf_add(pai_buf *b, const void *bytes, size_t len) {
  int rc = pai_buf_reserve(b, len);
  if (rc < 0)
    return rc;
  if (len != 0)
    memcpy(b->data + b->len, bytes, len);
  b->len += len;
  return 0;
}

int pai_buf_addf(pai_buf *b, const char *fmt, ...) {
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  if (n < 0)
    return PAI_E_ARG;
  int rc = pai_buf_reserve(b, (size_t)n + 1);
  if (rc < 0)
    return rc;
  va_start(ap, fmt);
  vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
  va_end(ap);
  b->len += (size_t)n;
  return 0;
}

void pai_buf_drop(pai_buf *b, size_t n) {
  memmove(b->data, b->data + n, b->len - n);
  b->len -= n;
}

void pai_buf_truncate(pai_buf *b, size_t len) {
  b->len = len;
}
