/* Where keywords stand. See scan_priv.h. */
#include "alloc.h"
#include "scan_priv.h"

#include <stdlib.h>
#include <string.h>

#define GRAM 3
#define TAIL 4
#define FOLD UINT32_C(0x202020)
#define RUN_MIN 63
#define RUN_MAX 256

static inline uint32_t gram_at(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | FOLD;
}

static inline uint32_t head_of(uint32_t gram) {
  return gram * UINT32_C(0x9E3779B1) >> (32 - PAI_SCAN_HEAD_BITS);
}

// Six bits of a byte: a letter's case is not among them.
static inline uint32_t class_of(uint8_t c) {
  return (c & 31U) | (c >> 1 & 32U);
}

static inline uint32_t pair_of(uint8_t a, uint8_t b) {
  return class_of(a) | class_of(b) << 6;
}

void pai_scan_filter_free(pai_scan_filter *f) {
  pai_free(f->keywords);
  pai_free(f->entries);
  pai_free(f->heads);
  pai_free(f->pairs);
  *f = (pai_scan_filter){0};
}

static int make_room(pai_scan_filter *f) {
  if (f->pairs == NULL) {
    f->pairs = pai_calloc(PAI_SCAN_PAIRS, sizeof *f->pairs);
    f->heads = pai_calloc(1U << PAI_SCAN_HEAD_BITS, sizeof *f->heads);
    if (f->pairs == NULL || f->heads == NULL) {
      pai_scan_filter_free(f);
      return PAI_E_NOMEM;
    }
  }
  if (f->count == f->cap) {
    uint32_t cap = f->cap == 0 ? 256 : f->cap * 2;
    pai_scan_keyword *keywords = pai_realloc(f->keywords, cap * sizeof *keywords);
    if (keywords == NULL)
      return PAI_E_NOMEM;
    f->keywords = keywords;
    f->cap = cap;
  }
  if (f->entry_count + 2 > f->entry_cap) {
    uint32_t cap = f->entry_cap == 0 ? 512 : f->entry_cap * 2;
    pai_scan_entry *entries = pai_realloc(f->entries, cap * sizeof *entries);
    if (entries == NULL)
      return PAI_E_NOMEM;
    f->entries = entries;
    f->entry_cap = cap;
  }
  return 0;
}

// How much text looks like this gram, about.
static unsigned commonness(uint32_t gram) {
  static const char common[] = "etaoinsr";
  unsigned sum = 0;
  for (int i = 0; i < GRAM; i++) {
    uint8_t c = (uint8_t)(gram >> 8 * i);
    sum += c >= 'a' && c <= 'z'   ? (strchr(common, c) != NULL ? 3 : 2)
           : c == ' '             ? 3
           : c >= '0' && c <= '9' ? 1
                                  : 0;
  }
  return sum;
}

// Keywords that differ in one byte only ("sk-a", "sk-b") share the entry of their common gram: the
// rule's expression tells the rest.
static bool share(pai_scan_filter *f, uint32_t gram, const pai_scan_keyword *k, uint32_t offset) {
  for (uint32_t e = f->heads[head_of(gram)]; k->len == GRAM + 1 && e != 0;) {
    pai_scan_entry *it = &f->entries[e - 1];
    const pai_scan_keyword *other = &f->keywords[it->keyword];
    if (it->gram == gram && it->offset == offset && other->rule == k->rule &&
        other->len == k->len) {
      it->gram_only = true;
      it->tail = it->mask = 0;
      return true;
    }
    e = it->next;
  }
  return false;
}

// How many texts hold this pair, about.
static uint32_t weight_of(uint32_t pair) {
  static const char weights[] = "31111111111111111111111111111111" // a blank's class is 0
                                "1"
                                "31223222311223321333211111" // a to z
                                "11111";
  return (uint32_t)((weights[pair & 63] - '0') * (weights[pair >> 6] - '0'));
}

static void file(pai_scan_filter *f, uint32_t gram, uint32_t keyword, uint32_t offset) {
  if (share(f, gram, &f->keywords[keyword], offset))
    return;
  const pai_scan_keyword *k = &f->keywords[keyword];
  pai_scan_entry *it = &f->entries[f->entry_count];
  *it = (pai_scan_entry){.gram = gram,
                         .keyword = keyword,
                         .next = f->heads[head_of(gram)],
                         .offset = (uint8_t)offset,
                         .len = (uint8_t)k->len,
                         .rule = (uint16_t)k->rule};
  uint32_t behind = k->len - offset - GRAM, n = behind < TAIL ? behind : TAIL;
  memcpy(&it->tail, k->folded + offset + GRAM, n);
  memset(&it->mask, 0xff, n);
  f->heads[head_of(gram)] = ++f->entry_count;
}

int pai_scan_filter_add(pai_scan_filter *f, const char *keyword, size_t len, bool exact,
                        uint32_t rule) {
  int rc = make_room(f);
  if (rc < 0)
    return rc;
  pai_scan_keyword *k = &f->keywords[f->count];
  *k = (pai_scan_keyword){.len = (uint32_t)len, .rule = rule, .exact = exact};
  memcpy(k->bytes, keyword, len);
  for (size_t i = 0; i < len; i++)
    k->folded[i] = (char)(keyword[i] | 0x20);
  uint32_t best = 0;
  unsigned least = UINT32_MAX;
  const uint8_t *folded = (const uint8_t *)k->folded;
  for (uint32_t i = 0; i + GRAM < len; i++) {
    unsigned cost = commonness(gram_at(folded + i)) + commonness(gram_at(folded + i + 1));
    if (cost < least) {
      least = cost;
      best = i;
    }
  }
  file(f, gram_at(folded + best), f->count, best);
  file(f, gram_at(folded + best + 1), f->count, best + 1);
  k->filed = best;
  f->count++;
  return 0;
}

/* ---- the pairs ---- */

// What is filed as pairs: its first two bytes, and the next two. The last one may be any byte when
// the keyword ends before it: 64 pairs that are 64 apart.
typedef struct window {
  uint32_t first, second, count;
} window;

static window window_of(const pai_scan_keyword *k, uint32_t offset) {
  const uint8_t *gram = (const uint8_t *)k->folded + offset;
  uint32_t first = pair_of(gram[0], gram[1]);
  if (offset + GRAM == k->len)
    return (window){first, pair_of(gram[2], 0), 64};
  return (window){first, pair_of(gram[2], gram[3]), 1};
}

static int by_pairs(const void *a, const void *b) {
  const window *x = a, *y = b;
  if (x->first != y->first)
    return x->first < y->first ? -1 : 1;
  return (x->second > y->second) - (x->second < y->second);
}

#define ANY_WEIGHT 32 // of any byte beside a blank's, about

typedef struct weights {
  uint64_t first[PAI_SCAN_BUCKETS], second[PAI_SCAN_BUCKETS]; // of what is in each bucket
} weights;

// Puts windows that begin with the same pair into the bucket in which they let the fewest other
// texts through.
static void add_windows(pai_scan_filter *f, weights *w, const window *from, const window *end) {
  uint64_t more[PAI_SCAN_BUCKETS] = {0}, least = UINT64_MAX, weight = weight_of(from->first);
  uint32_t best = 0;
  for (const window *it = from; it < end; it++) {
    if (it > from && by_pairs(it - 1, it) == 0)
      continue;
    // of 64 pairs the one with a blank speaks for all
    pai_scan_bucket in = f->pairs[it->second].second;
    uint32_t own = weight_of(it->second) * (it->count > 1 ? ANY_WEIGHT : 1);
    for (uint32_t b = 0; b < PAI_SCAN_BUCKETS; b++)
      more[b] += (~in >> b & 1) * own;
  }
  for (uint32_t b = 0; b < PAI_SCAN_BUCKETS; b++) {
    uint64_t cost = (w->first[b] + weight) * (w->second[b] + more[b]) - w->first[b] * w->second[b];
    if (cost < least) {
      least = cost;
      best = b;
    }
  }
  w->first[best] += weight;
  w->second[best] += more[best];
  f->pairs[from->first].first = (pai_scan_bucket)1 << best;
  for (const window *it = from; it < end; it++)
    for (uint32_t i = 0; i < it->count; i++)
      f->pairs[it->second + i * 64].second |= (pai_scan_bucket)1 << best;
}

int pai_scan_filter_ready(pai_scan_filter *f) {
  if (f->ready_count == f->count)
    return 0;
  uint32_t count = f->count * 2;
  window *windows = pai_alloc(count * sizeof *windows);
  if (windows == NULL)
    return PAI_E_NOMEM;
  for (uint32_t i = 0; i < count; i++)
    windows[i] = window_of(&f->keywords[i / 2], f->keywords[i / 2].filed + i % 2);
  qsort(windows, count, sizeof *windows, by_pairs);
  weights w = {0};
  memset(f->pairs, 0, PAI_SCAN_PAIRS * sizeof *f->pairs);
  for (uint32_t i = 0, from = 0; i < count; from = i) {
    while (i < count && windows[i].first == windows[from].first)
      i++;
    add_windows(f, &w, windows + from, windows + i);
  }
  pai_free(windows);
  f->ready_count = f->count;
  return 0;
}

/* ---- looking ---- */

static bool stands_at(const pai_scan_keyword *k, const uint8_t *p) {
  if (k->exact)
    return memcmp(p, k->bytes, k->len) == 0;
  for (uint32_t i = 0; i < k->len; i++)
    if ((p[i] | 0x20) != (uint8_t)k->folded[i])
      return false;
  return true;
}

static int look(const pai_scan_filter *f, const uint8_t *text, size_t len, size_t at,
                pai_scan_hit hit, void *ud) {
  uint32_t gram = gram_at(text + at), tail = 0;
  if (len - at >= GRAM + TAIL)
    memcpy(&tail, text + at + GRAM, TAIL);
  else // what lies behind the text is no byte of a keyword
    memcpy(&tail, text + at + GRAM, len - at - GRAM);
  tail |= UINT32_C(0x20202020);
  for (uint32_t e = f->heads[head_of(gram)]; e != 0;) {
    const pai_scan_entry *it = &f->entries[e - 1];
    e = it->next;
    if (it->gram != gram || it->offset > at || ((tail ^ it->tail) & it->mask) != 0)
      continue;
    size_t start = at - it->offset;
    if (it->len > len - start ||
        (!it->gram_only && !stands_at(&f->keywords[it->keyword], text + start)))
      continue;
    int rc = hit(ud, it->rule, start);
    if (rc < 0)
      return rc;
  }
  return 0;
}

// Whether a gram and what follows it may stand here; a little else passes too.
static inline bool maybe(const pai_scan_filter *f, const uint8_t *p) {
  return (f->pairs[pair_of(p[0], p[1])].first & f->pairs[pair_of(p[2], p[3])].second) != 0;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte is the lowest one");
_Static_assert(PAI_SCAN_PAIRS * sizeof(pai_scan_pair) == 1 << 16, "a lane holds a pair's place");

// Where four pairs stand in pai_scan_filter.pairs, in bytes, in lanes of 16 bits.
static inline uint64_t four_pairs(const uint8_t *p) {
  uint64_t v;
  memcpy(&v, p, sizeof v);
  v = (v & UINT64_C(0x1f1f1f1f1f1f1f1f)) | (v >> 1 & UINT64_C(0x2020202020202020));
  return (v << 4 & UINT64_C(0x03f003f003f003f0)) | (v << 2 & UINT64_C(0xfc00fc00fc00fc00));
}

static inline const pai_scan_pair *pair_in(const pai_scan_pair *pairs, uint64_t lane) {
  return (const pai_scan_pair *)((const char *)pairs + lane);
}

int pai_scan_filter_run(const pai_scan_filter *f, const uint8_t *text, size_t len,
                        pai_scan_range part, pai_scan_hit hit, void *ud) {
  if (f->count == 0 || len < PAI_SCAN_KEYWORD_MIN)
    return 0;
  const pai_scan_pair *pairs = f->pairs;
  size_t at = part.from, end = part.end + PAI_SCAN_KEYWORD_MAX; // of which the gram may be the last
  if (end > len)
    end = len;
  int rc = 0;
  pai_scan_bucket first = at + 10 <= end ? pairs[pair_of(text[at], text[at + 1])].first : 0;
  for (; at + 10 <= end && rc >= 0; at += 8) {
    uint64_t four = four_pairs(text + at + 2);
    const pai_scan_pair *p = pair_in(pairs, four & 0xffff),
                        *q = pair_in(pairs, four >> 16 & 0xffff);
    const pai_scan_pair *r = pair_in(pairs, four >> 32 & 0xffff), *s = pair_in(pairs, four >> 48);
    pai_scan_bucket a = first & p->second, b = p->first & q->second;
    pai_scan_bucket c = q->first & r->second, d = r->first & s->second;
    first = s->first;
    if (__builtin_expect((a | b | c | d) == 0, 1))
      continue;
    if (a != 0)
      rc = look(f, text, len, at, hit, ud);
    if (b != 0 && rc >= 0)
      rc = look(f, text, len, at + 2, hit, ud);
    if (c != 0 && rc >= 0)
      rc = look(f, text, len, at + 4, hit, ud);
    if (d != 0 && rc >= 0)
      rc = look(f, text, len, at + 6, hit, ud);
  }
  for (; at + GRAM <= end && rc >= 0; at += 2)
    if (at + GRAM == end || maybe(f, text + at))
      rc = look(f, text, len, at, hit, ud);
  return rc;
}

static inline bool in_run(uint8_t c) {
  return (c >= '0' && c <= ':') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-';
}

typedef uint8_t lanes __attribute__((vector_size(16)));

static inline bool all_in_run(const uint8_t *p) {
  lanes v;
  uint64_t word[2];
  memcpy(&v, p, sizeof v);
  lanes letter = (v | 0x20) - 'a', digit = v - '0';
  lanes in = (lanes)(letter < 26) | (lanes)(digit < 11) | (lanes)(v == '-');
  memcpy(word, &in, sizeof word);
  return (word[0] & word[1]) == UINT64_MAX;
}

int pai_scan_runs(const uint8_t *text, size_t len, pai_scan_range part, pai_scan_hit hit,
                  void *ud) {
  const size_t step = RUN_MIN - sizeof(lanes) + 1; // so that every run holds one place's bytes
  size_t at = part.from;
  while (at < part.end && at + sizeof(lanes) <= len) {
    if (!all_in_run(text + at)) {
      at += step;
      continue;
    }
    size_t from = at, end = at + sizeof(lanes);
    while (from > 0 && at - from < RUN_MAX && in_run(text[from - 1]))
      from--;
    while (end < len && in_run(text[end]))
      end++;
    if (end - from >= RUN_MIN && end - from <= RUN_MAX && (from == 0 || !in_run(text[from - 1]))) {
      int rc = hit(ud, 0, from);
      if (rc < 0)
        return rc;
    }
    at = end + step;
  }
  return 0;
}
