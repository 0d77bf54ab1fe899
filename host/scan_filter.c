/* Where keywords stand. See scan_priv.h. */
#include "alloc.h"
#include "scan_priv.h"

#include <string.h>

#define GRAM 3
#define FOLD UINT32_C(0x202020)
#define RUN_MIN 63
#define RUN_MAX 256

static inline uint32_t gram_at(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | FOLD;
}

static inline uint32_t hash_of(uint32_t gram) {
  return gram * UINT32_C(0x9E3779B1) >> (32 - PAI_SCAN_MAP_BITS);
}

static inline uint32_t head_of(uint32_t hash) {
  return hash >> (PAI_SCAN_MAP_BITS - PAI_SCAN_HEAD_BITS);
}

void pai_scan_filter_free(pai_scan_filter *f) {
  pai_free(f->keywords);
  pai_free(f->entries);
  pai_free(f->heads);
  pai_free(f->map);
  *f = (pai_scan_filter){0};
}

static int make_room(pai_scan_filter *f) {
  if (f->map == NULL) {
    f->map = pai_calloc((1U << PAI_SCAN_MAP_BITS) / 64, sizeof *f->map);
    f->heads = pai_calloc(1U << PAI_SCAN_HEAD_BITS, sizeof *f->heads);
    if (f->map == NULL || f->heads == NULL) {
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
  for (uint32_t e = f->heads[head_of(hash_of(gram))]; k->len == GRAM + 1 && e != 0;) {
    pai_scan_entry *it = &f->entries[e - 1];
    const pai_scan_keyword *other = &f->keywords[it->keyword];
    if (it->gram == gram && it->offset == offset && other->rule == k->rule &&
        other->len == k->len) {
      it->gram_only = true;
      return true;
    }
    e = it->next;
  }
  return false;
}

static void file(pai_scan_filter *f, uint32_t gram, uint32_t keyword, uint32_t offset) {
  uint32_t hash = hash_of(gram);
  if (share(f, gram, &f->keywords[keyword], offset))
    return;
  f->map[hash / 64] |= UINT64_C(1) << hash % 64;
  f->entries[f->entry_count] = (pai_scan_entry){.gram = gram,
                                                .keyword = keyword,
                                                .next = f->heads[head_of(hash)],
                                                .offset = (uint8_t)offset,
                                                .len = (uint8_t)f->keywords[keyword].len,
                                                .rule = (uint16_t)f->keywords[keyword].rule};
  f->heads[head_of(hash)] = ++f->entry_count;
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
  f->count++;
  return 0;
}

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
  uint32_t gram = gram_at(text + at);
  for (uint32_t e = f->heads[head_of(hash_of(gram))]; e != 0;) {
    const pai_scan_entry *it = &f->entries[e - 1];
    e = it->next;
    if (it->gram != gram || it->offset > at)
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

static inline uint32_t maybe(const uint64_t *map, const uint8_t *p) {
  uint32_t four;
  memcpy(&four, p, sizeof four);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  four = __builtin_bswap32(four);
#endif
  uint32_t hash = hash_of((four & 0xffffff) | FOLD);
  return (uint32_t)(map[hash / 64] >> hash % 64) & 1;
}

int pai_scan_filter_run(const pai_scan_filter *f, const uint8_t *text, size_t len,
                        pai_scan_range part, pai_scan_hit hit, void *ud) {
  const uint64_t *map = f->map;
  if (f->count == 0 || len < PAI_SCAN_KEYWORD_MIN)
    return 0;
  size_t at = part.from, end = part.end + PAI_SCAN_KEYWORD_MAX; // of which the gram may be the last
  if (end > len)
    end = len;
  int rc = 0;
  for (; at + 12 <= end && rc >= 0; at += 8) {
    uint32_t a = maybe(map, text + at), b = maybe(map, text + at + 2);
    uint32_t c = maybe(map, text + at + 4), d = maybe(map, text + at + 6);
    if (__builtin_expect((a | b | c | d) == 0, 1))
      continue;
    if (a)
      rc = look(f, text, len, at, hit, ud);
    if (b && rc >= 0)
      rc = look(f, text, len, at + 2, hit, ud);
    if (c && rc >= 0)
      rc = look(f, text, len, at + 4, hit, ud);
    if (d && rc >= 0)
      rc = look(f, text, len, at + 6, hit, ud);
  }
  for (; at + GRAM <= end && rc >= 0; at += 2)
    rc = look(f, text, len, at, hit, ud);
  return rc;
}

static inline bool in_run(uint8_t c) {
  return (c >= '0' && c <= ':') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-';
}

int pai_scan_runs(const uint8_t *text, size_t len, pai_scan_range part, pai_scan_hit hit,
                  void *ud) {
  const size_t step = RUN_MIN / 2; // so that every run holds two places that are looked at
  size_t at = part.from;
  while (at < part.end && at + step < len) {
    if (!in_run(text[at]) || !in_run(text[at + 10]) || !in_run(text[at + 20]) ||
        !in_run(text[at + step])) {
      at += step;
      continue;
    }
    size_t from = at, end = at;
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
