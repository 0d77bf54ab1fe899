/* A slow and simple masker to compare with, and the comparison. */
#ifndef MASK_ORACLE_H
#define MASK_ORACLE_H

#include "mask.h"

#include <stdbool.h>
#include <string.h>

#define TEXT_MAX 4096

typedef struct text {
  char data[2 * TEXT_MAX];
  size_t len;
} text;

static text needles[160];
static size_t needle_count;

// Marks every occurrence of every needle and replaces each run of marks.
static inline void slow_mask(const text *in, text *out) {
  static char cover[2 * TEXT_MAX];
  memset(cover, 0, sizeof cover);
  for (size_t n = 0; n < needle_count; n++)
    for (size_t at = 0; at + needles[n].len <= in->len; at++)
      if (memcmp(in->data + at, needles[n].data, needles[n].len) == 0)
        memset(cover + at, 1, needles[n].len);
  out->len = 0;
  for (size_t at = 0; at < in->len; at++) {
    if (!cover[at]) {
      out->data[out->len++] = in->data[at];
    } else if (at == 0 || !cover[at - 1]) {
      memcpy(out->data + out->len, PAI_MASK_TEXT, 3);
      out->len += 3;
    }
  }
}

// The longest end of the text that begins a longer needle.
static inline size_t slow_held(const text *in) {
  for (size_t at = 0; at < in->len; at++)
    for (size_t n = 0; n < needle_count; n++)
      if (needles[n].len > in->len - at &&
          memcmp(in->data + at, needles[n].data, in->len - at) == 0)
        return in->len - at;
  return 0;
}

static inline bool same(const pai_buf *b, const text *t) {
  return b->len == t->len && (b->len == 0 || memcmp(b->data, t->data, t->len) == 0);
}

// Feeds the text in pieces that cut(ud) gives; true if the output is the oracle's and what is held
// back never more than a beginning of a needle.
static inline bool agrees(pai_mask_set *set, const text *in, size_t (*cut)(void *), void *ud) {
  static text want, part;
  pai_mask_stream *s = pai_mask_stream_new(set);
  pai_buf out;
  bool ok = true;
  pai_buf_init(&out, 4 * TEXT_MAX);
  slow_mask(in, &want);
  for (size_t at = 0; at < in->len;) {
    size_t n = cut(ud);
    n = n > in->len - at ? in->len - at : n;
    ok = ok && pai_mask_stream_feed(s, in->data + at, n, &out, NULL) == 0;
    at += n;
    part.len = at;
    memcpy(part.data, in->data, at);
    ok = ok && pai_mask_stream_held(s) <= slow_held(&part);
    ok = ok && out.len <= want.len &&
         memcmp(out.data != NULL ? out.data : "", want.data, out.len) == 0;
  }
  ok = ok && pai_mask_stream_finish(s, &out, NULL) == 0 && same(&out, &want);
  pai_buf_free(&out);
  pai_mask_stream_free(s);
  return ok;
}

#endif
