/* Needles in order. See mask_set.h. */
#include "alloc.h"
#include "mask_set.h"
#include "secret_mem.h"

#define MAX_PREFIX_BITS 20
#define NEEDLE_MAX ((size_t)8 << 20) // bytes

void pai_words_free(words *w) {
  for (uint32_t i = 0; i < w->count; i++)
    pai_locked_free((void *)(uintptr_t)w->needles[i].bytes, w->needles[i].len);
  pai_free(w->needles);
  pai_free(w->sorted);
  pai_free(w->prefix);
  *w = (words){0};
}

static int compare(const needle *n, const uint8_t *bytes, size_t len) {
  int order = memcmp(n->bytes, bytes, n->len < len ? n->len : len);
  return order != 0 ? order : (n->len > len) - (n->len < len);
}

// How many of the sorted needles come before bytes; *same: the next one is equal to them.
static uint32_t place_of(const words *w, const uint8_t *bytes, size_t len, bool *same,
                         uint64_t *work) {
  uint32_t low = 0, high = w->count;
  *same = false;
  while (low < high) {
    uint32_t mid = low + (high - low) / 2;
    int order = compare(&w->needles[w->sorted[mid]], bytes, len);
    ++*work;
    if (order == 0) {
      *same = true;
      return mid;
    }
    if (order < 0)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

static void note_prefix(words *w, const uint8_t *bytes) {
  set_bit(w->prefix, gram_hash(gram_at(bytes)) >> w->prefix_shift);
}

// A map of beginnings with 32 bits for each needle.
static int grow_prefix(words *w, uint32_t cap) {
  uint32_t bits = 11;
  while (bits < MAX_PREFIX_BITS && (UINT32_C(1) << bits) < cap * 32)
    bits++;
  if (w->prefix != NULL && bits <= 32 - w->prefix_shift)
    return 0;
  uint64_t *prefix = pai_calloc((size_t)1 << (bits - 6), sizeof *prefix);
  if (prefix == NULL)
    return PAI_E_NOMEM;
  pai_free(w->prefix);
  w->prefix = prefix;
  w->prefix_shift = 32 - bits;
  for (uint32_t i = 0; i < w->count; i++)
    note_prefix(w, w->needles[i].bytes);
  return 0;
}

static int make_room(words *w) {
  if (w->count < w->cap)
    return 0;
  uint32_t cap = w->cap == 0 ? 64 : w->cap * 2;
  needle *needles = pai_realloc(w->needles, cap * sizeof *needles);
  if (needles == NULL)
    return PAI_E_NOMEM;
  w->needles = needles;
  uint32_t *sorted = pai_realloc(w->sorted, cap * sizeof *sorted);
  if (sorted == NULL)
    return PAI_E_NOMEM;
  w->sorted = sorted;
  int rc = grow_prefix(w, cap);
  if (rc == 0)
    w->cap = cap;
  return rc;
}

int pai_words_add(words *w, const uint8_t *bytes, size_t len) {
  bool same;
  uint64_t work = 0;
  uint32_t place = place_of(w, bytes, len, &same, &work);
  if (same)
    return 0;
  if (len > NEEDLE_MAX || w->count > UINT32_MAX / 64)
    return PAI_E_LIMIT;
  int rc = make_room(w);
  if (rc < 0)
    return rc;
  uint8_t *copy = pai_locked_alloc(len);
  if (copy == NULL)
    return PAI_E_NOMEM;
  memcpy(copy, bytes, len);
  memmove(w->sorted + place + 1, w->sorted + place, (w->count - place) * sizeof *w->sorted);
  w->sorted[place] = w->count;
  w->needles[w->count++] = (needle){.bytes = copy, .len = (uint32_t)len};
  if (len > w->longest)
    w->longest = (uint32_t)len;
  note_prefix(w, copy);
  w->first[copy[0] / 64] |= UINT64_C(1) << copy[0] % 64;
  return 1;
}

// What its prefix and length left behind costs a look now and then.
void pai_words_drop(words *w) {
  uint32_t id = --w->count, place = 0;
  while (w->sorted[place] != id)
    place++;
  memmove(w->sorted + place, w->sorted + place + 1, (id - place) * sizeof *w->sorted);
  pai_locked_free((void *)(uintptr_t)w->needles[id].bytes, w->needles[id].len);
}

// A needle that text begins with comes at or before text in the order. When the last one before it
// is none, any other agrees with text no further than that one does.
const needle *pai_words_at(const words *w, const uint8_t *text, size_t len, uint64_t *work) {
  if (len > w->longest)
    len = w->longest;
  if (len < GRAM || !has_bit(w->prefix, gram_hash(gram_at(text)) >> w->prefix_shift))
    return NULL;
  while (len >= GRAM) {
    bool same;
    uint32_t place = place_of(w, text, len, &same, work);
    if (!same && place == 0)
      return NULL;
    const needle *n = &w->needles[w->sorted[same ? place : place - 1]];
    size_t most = n->len < len ? n->len : len, common = 0;
    while (common < most && n->bytes[common] == text[common])
      common++;
    if (common == n->len)
      return n;
    len = common;
  }
  return NULL;
}

// Whether these bytes are the beginning of a needle that is longer.
static bool is_live(const words *w, const uint8_t *bytes, size_t len) {
  bool same;
  uint64_t work = 0;
  uint32_t place = place_of(w, bytes, len, &same, &work) + same;
  if (place == w->count)
    return false;
  const needle *n = &w->needles[w->sorted[place]];
  return n->len > len && memcmp(n->bytes, bytes, len) == 0;
}

size_t pai_words_live(const words *w, const uint8_t *text, size_t from, size_t len) {
  if (w->count == 0)
    return len;
  size_t at = len - from >= w->longest ? len - w->longest + 1 : from;
  for (; at + GRAM <= len; at++)
    if (has_bit(w->prefix, gram_hash(gram_at(text + at)) >> w->prefix_shift) &&
        is_live(w, text + at, len - at))
      return at;
  for (; at < len; at++)
    if (has_bit(w->first, text[at]) && is_live(w, text + at, len - at))
      return at;
  return len;
}
