/* Streams over a set of needles. See mask.h and mask_set.h. What is held back is the text from the
 * first place on from which everything up to the end is the beginning of a needle; all before it is
 * settled, since a needle that began there and went on would make that place earlier. Of what is
 * held some may be out: `done` counts the bytes at the front for which "***" was written, or which
 * were shown and are kept because a value may have begun with them. */
#include "alloc.h"
#include "mask_set.h"
#include "secret_mem.h"

struct pai_mask_stream {
  pai_mask_set *set;
  uint8_t *held; // locked memory: it may be most of a secret
  size_t len, cap;
  size_t done;     // bytes of held that are out
  bool after_mask; // the last thing that is out is a mask, and it ends at done
};

/* ---- streams ---- */

pai_mask_stream *pai_mask_stream_new(pai_mask_set *set) {
  if (set == NULL)
    set = pai_mask_global();
  pai_mask_stream *s = set != NULL ? pai_calloc(1, sizeof *s) : NULL;
  if (s != NULL)
    s->set = set;
  return s;
}

void pai_mask_stream_free(pai_mask_stream *s) {
  if (s == NULL)
    return;
  pai_locked_free(s->held, s->cap);
  pai_free(s);
}

size_t pai_mask_stream_held(const pai_mask_stream *s) {
  return s->len - s->done;
}

// There is room in out: feed and finish reserve it.
static void put(pai_buf *out, const void *bytes, size_t len) {
  if (len > 0)
    memcpy(out->data + out->len, bytes, len);
  pai_buf_advance(out, len);
}

// Writes out what is settled of a text of at most one block and returns where the rest begins.
// s->done counts from the beginning of text, afterwards from that place.
static size_t settle(pai_mask_stream *s, const uint8_t *text, size_t len, bool final,
                     pai_buf *out) {
  pai_mask_set *set = s->set;
  bool found = false;
  pai_mask_cover(set, text, len, final, &found);
  mask_hold until = final ? (mask_hold){len, len} : pai_mask_hold(set, text, len);
  size_t at = s->done, seek = 0;
  while (found && seek < len) {
    const uint8_t *first = memchr(set->cover + seek, 1, len - seek);
    size_t start = first != NULL ? (size_t)(first - set->cover) : len;
    // A mask that begins just where text is held back can be shown already.
    if (start > until.show || first == NULL)
      break;
    const uint8_t *after = memchr(first, 0, len - start);
    seek = after != NULL ? (size_t)(after - set->cover) : len;
    if (seek <= at)
      continue;
    if (start > at)
      put(out, text + at, start - at);
    if (start > at || !s->after_mask)
      put(out, PAI_MASK_TEXT, sizeof PAI_MASK_TEXT - 1);
    s->after_mask = true;
    at = seek;
  }
  if (at < until.show) {
    put(out, text + at, until.show - at);
    s->after_mask = false;
    at = until.show;
  }
  if (found)
    memset(set->cover, 0, len);
  s->done = at - until.keep;
  return until.keep;
}

// Room for len bytes in all behind what is held.
static int grow_held(pai_mask_stream *s, size_t len) {
  if (len <= s->cap)
    return 0;
  size_t cap = s->cap == 0 ? 256 : s->cap;
  while (cap < len)
    cap *= 2;
  uint8_t *held = pai_locked_alloc(cap);
  if (held == NULL)
    return PAI_E_NOMEM;
  if (s->len > 0)
    memcpy(held, s->held, s->len);
  pai_locked_free(s->held, s->cap);
  s->held = held;
  s->cap = cap;
  return 0;
}

static void keep(pai_mask_stream *s, const uint8_t *rest, size_t len) {
  if (len > 0)
    memmove(s->held, rest, len);
  if (s->len > len)
    pai_wipe(s->held + len, s->len - len);
  s->len = len;
}

int pai_mask_stream_feed(pai_mask_stream *s, const void *data, size_t len, pai_buf *out,
                         pai_error *err) {
  const pai_mask_set *set = s->set;
  const uint8_t *text = data;
  if (set->plain.count == 0) {
    int rc = pai_buf_add(out, data, len);
    if (rc < 0)
      return pai_error_set(err, rc, "no room for masked text");
    s->after_mask = s->after_mask && len == 0;
    return 0;
  }
  // What is held is settled together with enough of the new text to decide all of it.
  size_t first = s->len == 0 ? 0 : len < set->reach ? len : set->reach;
  size_t most = s->len + first > set->reach ? s->len + first : set->reach;
  int rc = pai_buf_reserve(out, s->len + len);
  if (rc == 0)
    rc = grow_held(s, most < s->len + len ? most : s->len + len);
  if (rc < 0)
    return pai_error_set(err, rc, "no room for masked text");
  if (s->len > 0) {
    size_t old = s->len;
    if (first > 0)
      memcpy(s->held + old, text, first);
    s->len += first;
    size_t hold = settle(s, s->held, s->len, false, out);
    if (hold < old || first == len) {
      keep(s, s->held + hold, s->len - hold);
      return 0;
    }
    keep(s, s->held, 0);
    text += hold - old;
    len -= hold - old;
  }
  while (len > 0) {
    size_t n = len < set->block ? len : set->block;
    size_t hold = settle(s, text, n, false, out);
    if (n == len) {
      keep(s, text + hold, n - hold);
      break;
    }
    text += hold;
    len -= hold;
  }
  return 0;
}

int pai_mask_stream_finish(pai_mask_stream *s, pai_buf *out, pai_error *err) {
  int rc = pai_buf_reserve(out, s->len);
  if (rc < 0)
    return pai_error_set(err, rc, "no room for masked text");
  if (s->len > 0)
    settle(s, s->held, s->len, true, out);
  keep(s, s->held, 0);
  s->done = 0;
  s->after_mask = false;
  return 0;
}

int pai_mask_text(pai_mask_set *set, const void *data, size_t len, pai_buf *out, pai_error *err) {
  pai_mask_stream s = {.set = set != NULL ? set : pai_mask_global()};
  if (s.set == NULL)
    return pai_error_set(err, PAI_E_NOMEM, "no room for masked text");
  size_t before = out->len;
  int rc = pai_mask_stream_feed(&s, data, len, out, err);
  if (rc == 0)
    rc = pai_mask_stream_finish(&s, out, err);
  if (rc < 0)
    pai_buf_truncate(out, before);
  pai_locked_free(s.held, s.cap);
  return rc;
}

bool pai_mask_find(const void *data, size_t len) {
  pai_mask_set *set = pai_mask_global();
  const uint8_t *text = data;
  bool found = false;
  while (set != NULL && set->plain.count > 0 && !found && len >= PAI_MASK_MIN) {
    size_t n = len < set->block ? len : set->block;
    pai_mask_cover(set, text, n, true, &found);
    if (found)
      memset(set->cover, 0, n);
    size_t step = n == len ? n : n - set->reach + 1; // a needle may lie across two blocks
    text += step;
    len -= step;
  }
  return found;
}
