/* Finding needles in a text. See mask_set.h. The work is bounded by the text's length, whatever
 * stands in it: where many needles share what was filed, or may begin in the flat view, each place
 * is looked up once among the sorted needles. */
#include "mask_set.h"

#define CHAIN_MAX 32 // needles compared at one place before the sorted ones are asked
#define LIVE_SHOWN 4 // so few bytes of a value before a line's end are not worth holding back

/* ---- plain ---- */

// What needs doing at places before `to` that the chains were too long for.
static void cover_between(pai_mask_set *set, const uint8_t *text, size_t len, size_t from,
                          size_t to, bool *found) {
  for (size_t at = from; at < to; at++) {
    const needle *n = pai_words_at(&set->plain, text + at, len - at, &set->work);
    if (n != NULL) {
      memset(set->cover + at, 1, n->len);
      *found = true;
    }
  }
}

typedef struct search {
  const uint8_t *text;
  size_t len;
  size_t sorted; // places before this one were looked up among the sorted needles
  bool *found;
} search;

static void mark(pai_mask_set *set, const filter *f, search *q, size_t at) {
  uint32_t gram = gram_at(q->text + at), steps = 0;
  for (uint32_t e = f->heads[gram_hash(gram) >> f->head_shift]; e != 0;) {
    const entry *it = &f->entries[e - 1];
    e = it->next;
    if (++steps > CHAIN_MAX) {
      size_t from = at > MAX_BASE + MAX_SPAN ? at - (MAX_BASE + MAX_SPAN) : 0;
      cover_between(set, q->text, q->len, from > q->sorted ? from : q->sorted, at + 1, q->found);
      q->sorted = at + 1 > q->sorted ? at + 1 : q->sorted;
      break;
    }
    if (it->gram != gram || it->offset > at)
      continue;
    const needle *n = &set->plain.needles[it->needle];
    size_t start = at - it->offset;
    if (n->len > q->len - start || memcmp(q->text + start, n->bytes, n->len) != 0)
      continue;
    memset(set->cover + start, 1, n->len);
    *q->found = true;
  }
  set->work += steps;
}

static inline bool maybe(const filter *f, const uint8_t *p) {
  return has_bit(f->map, gram_hash(gram_at(p)) >> f->map_shift);
}

static void cover_by(pai_mask_set *set, const filter *f, const uint8_t *text, size_t len,
                     bool *found) {
  search q = {.text = text, .len = len, .found = found};
  if (f->count == 0 || len < f->span)
    return;
  size_t step = f->span - GRAM + 1, at = 0, last = len - GRAM;
  for (; at + 3 * step <= last; at += 4 * step) {
    bool a = maybe(f, text + at), b = maybe(f, text + at + step);
    bool c = maybe(f, text + at + 2 * step), d = maybe(f, text + at + 3 * step);
    if (!(a | b | c | d))
      continue;
    if (a)
      mark(set, f, &q, at);
    if (b)
      mark(set, f, &q, at + step);
    if (c)
      mark(set, f, &q, at + 2 * step);
    if (d)
      mark(set, f, &q, at + 3 * step);
  }
  for (; at <= last; at += step)
    if (maybe(f, text + at))
      mark(set, f, &q, at);
}

/* ---- in the flat view ---- */

static inline bool is_gram(const pai_mask_set *set, uint32_t at) {
  const view *v = &set->view;
  return at + GRAM <= v->len &&
         has_bit(set->grams, gram_hash(gram_at(v->bytes + at)) >> set->gram_shift);
}

// Covers the needle that begins here if it goes on past the border.
static void try_flat(pai_mask_set *set, uint32_t at, uint32_t border, bool *found) {
  const view *v = &set->view;
  const needle *n = pai_words_at(&set->flat, v->bytes + at, v->len - at, &set->work);
  if (n == NULL || n->len <= border - at)
    return;
  size_t from = pai_view_text(v, at), to = pai_view_text_end(v, at + n->len - 1);
  if (to - from > set->reach)
    return;
  memset(set->cover + from, 1, to - from);
  *found = true;
}

// A needle across the border between two segments begins less than four bytes before it, or has all
// grams from its first up to the one that ends just behind the border.
static void cover_flat(pai_mask_set *set, bool *found) {
  const view *v = &set->view;
  uint32_t done = 0; // what begins before this was looked at at an earlier border
  for (uint32_t s = 1; s < v->count; s++) {
    uint32_t border = v->segments[s].flat, at = border;
    for (; at > done && border - at < GRAM - 2; at--)
      if (is_gram(set, at - 1))
        try_flat(set, at - 1, border, found);
    for (; at > done && is_gram(set, at - 1); at--)
      try_flat(set, at - 1, border, found);
    done = border;
  }
}

/* ---- both ---- */

void pai_mask_cover(pai_mask_set *set, const uint8_t *text, size_t len, bool final, bool *found) {
  cover_by(set, &set->large, text, len, found);
  cover_by(set, &set->small, text, len, found);
  if (set->flat.count == 0)
    return;
  pai_view_make(&set->view, text, len, final);
  cover_flat(set, found);
}

mask_hold pai_mask_hold(const pai_mask_set *set, const uint8_t *text, size_t len) {
  size_t live = pai_words_live(&set->plain, text, 0, len);
  mask_hold h = {.keep = live, .show = live};
  if (set->flat.count == 0)
    return h;
  const view *v = &set->view;
  size_t at = pai_words_live(&set->flat, v->bytes, 0, v->len), from = v->pending;
  for (; at < v->len; at = pai_words_live(&set->flat, v->bytes, at + 1, v->len)) {
    from = pai_view_text(v, (uint32_t)at);
    if (len - from <= set->reach)
      break;
    from = v->pending;
  }
  h.keep = from < h.keep ? from : h.keep;
  // Else every line that ends with a letter that a value begins with would wait for the next one.
  if (at < v->len && v->broken && v->len - at < LIVE_SHOWN)
    from = len;
  h.show = from < h.show ? from : h.show;
  return h;
}
