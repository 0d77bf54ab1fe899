/* Streams over a set of needles. See mask.h and mask_set.h. What is held back is the text from the
 * first place on from which everything up to the end is the beginning of a needle; all before it is
 * settled, since a needle that began there and went on would make that place earlier. Bytes that
 * are held back may already be covered: `done` counts those at the front for which "***" is out. */
#include "alloc.h"
#include "mask_set.h"
#include "secret_mem.h"

struct pai_mask_stream {
  pai_mask_set *set;
  uint8_t *held; // locked memory: it may be most of a secret
  size_t len, cap;
  size_t done;     // bytes of held that are behind the mask that is out
  bool after_mask; // the last thing that is out is a mask, and it ends at done
};

/* ---- finding ---- */

static void mark(const pai_mask_set *set, const filter *f, const uint8_t *text, size_t len,
                 size_t at, bool *found) {
  uint32_t gram = gram_at(text + at);
  for (uint32_t e = f->heads[gram_hash(gram) >> f->head_shift]; e != 0;) {
    const entry *it = &f->entries[e - 1];
    e = it->next;
    if (it->gram != gram || it->offset > at)
      continue;
    const needle *n = &set->needles[it->needle];
    size_t start = at - it->offset;
    if (n->len > len - start || memcmp(text + start, n->bytes, n->len) != 0)
      continue;
    memset(set->cover + start, 1, n->len);
    *found = true;
  }
}

static inline bool maybe(const filter *f, const uint8_t *p) {
  uint32_t bit = gram_hash(gram_at(p)) >> f->map_shift;
  return (f->map[bit / 64] >> (bit % 64) & 1) != 0;
}

// Sets cover for every needle in the text, which is at most one block long.
static void cover_by(const pai_mask_set *set, const filter *f, const uint8_t *text, size_t len,
                     bool *found) {
  if (f->count == 0 || len < f->span)
    return;
  size_t step = f->span - GRAM + 1, at = 0, last = len - GRAM;
  for (; at + 3 * step <= last; at += 4 * step) {
    bool a = maybe(f, text + at), b = maybe(f, text + at + step);
    bool c = maybe(f, text + at + 2 * step), d = maybe(f, text + at + 3 * step);
    if (!(a | b | c | d))
      continue;
    if (a)
      mark(set, f, text, len, at, found);
    if (b)
      mark(set, f, text, len, at + step, found);
    if (c)
      mark(set, f, text, len, at + 2 * step, found);
    if (d)
      mark(set, f, text, len, at + 3 * step, found);
  }
  for (; at <= last; at += step)
    if (maybe(f, text + at))
      mark(set, f, text, len, at, found);
}

// Whether these bytes are the beginning of a needle that is longer.
static bool is_live(const pai_mask_set *set, const uint8_t *bytes, size_t len) {
  uint32_t low = 0, high = set->count; // the first needle that comes after bytes
  while (low < high) {
    uint32_t mid = low + (high - low) / 2;
    const needle *n = &set->needles[set->sorted[mid]];
    int order = memcmp(n->bytes, bytes, n->len < len ? n->len : len);
    if (order < 0 || (order == 0 && n->len <= len))
      low = mid + 1;
    else
      high = mid;
  }
  if (low == set->count)
    return false;
  const needle *n = &set->needles[set->sorted[low]];
  return n->len > len && memcmp(n->bytes, bytes, len) == 0;
}

// Where the text must be held back from; len when it need not.
static size_t live_start(const pai_mask_set *set, const uint8_t *text, size_t len) {
  size_t at = len >= set->longest ? len - set->longest + 1 : 0;
  for (; at + GRAM <= len; at++) {
    uint32_t bit = gram_hash(gram_at(text + at)) >> set->prefix_shift;
    if ((set->prefix[bit / 64] >> (bit % 64) & 1) != 0 && is_live(set, text + at, len - at))
      return at;
  }
  for (; at < len; at++)
    if ((set->first[text[at] / 64] >> (text[at] % 64) & 1) != 0 &&
        is_live(set, text + at, len - at))
      return at;
  return len;
}

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
  const pai_mask_set *set = s->set;
  bool found = false;
  cover_by(set, &set->large, text, len, &found);
  cover_by(set, &set->small, text, len, &found);
  size_t hold = final ? len : live_start(set, text, len), at = s->done;
  size_t seek = 0;
  while (found && seek < len) {
    const uint8_t *first = memchr(set->cover + seek, 1, len - seek);
    size_t start = first != NULL ? (size_t)(first - set->cover) : len;
    // A mask that begins just where text is held back can be shown already.
    if (start > hold || first == NULL)
      break;
    const uint8_t *after = memchr(first, 0, len - start);
    seek = after != NULL ? (size_t)(after - set->cover) : len;
    if (start > at || (start == at && !s->after_mask)) {
      put(out, text + at, start - at);
      put(out, PAI_MASK_TEXT, sizeof PAI_MASK_TEXT - 1);
      s->after_mask = true;
    }
    if (seek > at)
      at = seek;
  }
  if (at < hold) {
    put(out, text + at, hold - at);
    s->after_mask = false;
    at = hold;
  }
  if (found)
    memset(set->cover, 0, len);
  s->done = at - hold;
  return hold;
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
  if (set->count == 0) {
    int rc = pai_buf_add(out, data, len);
    if (rc < 0)
      return pai_error_set(err, rc, "no room for masked text");
    s->after_mask = s->after_mask && len == 0;
    return 0;
  }
  // What is held is settled together with enough of the new text to decide all of it.
  size_t first = s->len == 0 ? 0 : len < set->longest ? len : set->longest;
  size_t most = s->len + first > set->longest ? s->len + first : set->longest;
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
  const pai_mask_set *set = pai_mask_global();
  const uint8_t *text = data;
  bool found = false;
  while (set != NULL && set->count > 0 && !found && len >= PAI_MASK_MIN) {
    size_t n = len < set->block ? len : set->block;
    cover_by(set, &set->large, text, n, &found);
    cover_by(set, &set->small, text, n, &found);
    if (found)
      memset(set->cover, 0, n);
    size_t step = n == len ? n : n - set->longest + 1; // a needle may lie across two blocks
    text += step;
    len -= step;
  }
  return found;
}
