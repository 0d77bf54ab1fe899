/* Sets of needles. See mask.h and mask_set.h. Adding files a needle in microseconds; a filter is
 * made anew only when it grows or when a needle is shorter than all before. */
#include "alloc.h"
#include "mask_set.h"
#include "secret_mem.h"

#include <ctype.h>

#ifdef PAI_HARD
#define MIN_BLOCK ((size_t)16) // borders everywhere
#else
#define MIN_BLOCK ((size_t)32 << 10)
#endif
#define NEEDLE_MAX ((size_t)8 << 20) // bytes
#define MAX_MAP_BITS 20
#define LONG_CHAIN 64 // entries that are counted at most

static pai_mask_set *global;

pai_mask_set *pai_mask_global(void) {
  if (global == NULL)
    global = pai_mask_set_new();
  return global;
}

/* ---- the filters ---- */

static void filter_free(filter *f) {
  pai_free(f->map);
  pai_free(f->heads);
  pai_locked_free(f->entries, f->cap * sizeof(entry));
  *f = (filter){0};
}

// An empty filter with room for so many entries. 0 or PAI_E_NOMEM.
static int filter_init(filter *f, uint32_t span, uint32_t cap) {
  uint32_t bits = 12, head_bits = 8;
  while (bits < MAX_MAP_BITS && (UINT32_C(1) << bits) < cap * 32)
    bits++;
  while (head_bits < MAX_MAP_BITS && (UINT32_C(1) << head_bits) < cap * 2)
    head_bits++;
  *f = (filter){.span = span, .map_shift = 32 - bits, .head_shift = 32 - head_bits, .cap = cap};
  f->map = pai_calloc((size_t)1 << (bits - 6), sizeof *f->map);
  f->heads = pai_calloc((size_t)1 << head_bits, sizeof *f->heads);
  f->entries = pai_locked_alloc(cap * sizeof(entry));
  if (f->map != NULL && f->heads != NULL && f->entries != NULL)
    return 0;
  filter_free(f);
  return PAI_E_NOMEM;
}

// How much ordinary text looks like this gram: it would be found, and compared, in vain.
static uint32_t commonness(uint32_t gram) {
  uint8_t c[GRAM];
  memcpy(c, &gram, GRAM);
  uint32_t lower = 0, digit = 0, mark = 0, same = 0;
  for (int i = 0; i < GRAM; i++) {
    lower += islower(c[i]) != 0;
    digit += isdigit(c[i]) != 0;
    mark += strchr(" -=_./:\"\n\t\r", c[i]) != NULL;
    same += c[i] == c[0];
  }
  return (lower + mark == GRAM ? 2U : 0) + (digit + mark == GRAM ? 2U : 0) +
         (same == GRAM || mark == GRAM ? 8U : 0);
}

static uint32_t chain_length(const filter *f, uint32_t gram) {
  uint32_t n = 0;
  for (uint32_t e = f->heads[gram_hash(gram) >> f->head_shift]; e != 0 && n < LONG_CHAIN; n++)
    e = f->entries[e - 1].next;
  return n;
}

// Where in the needle the span of bytes begins that costs least to look for.
static uint32_t choose_base(const filter *f, const needle *n) {
  uint32_t last = n->len - f->span, grams = f->span - GRAM + 1;
  uint32_t cost[MAX_BASE + MAX_SPAN];
  if (last > MAX_BASE)
    last = MAX_BASE;
  if (last == 0)
    return 0;
  for (uint32_t i = 0; i < last + grams; i++) {
    uint32_t gram = gram_at(n->bytes + i), chain = chain_length(f, gram);
    cost[i] = chain * chain + commonness(gram);
  }
  uint32_t best = 0, sum = 0, least = UINT32_MAX;
  for (uint32_t i = 0; i < last + grams; i++) {
    sum += cost[i];
    if (i + 1 < grams)
      continue;
    if (sum < least) {
      least = sum;
      best = i + 1 - grams;
    }
    sum -= cost[i + 1 - grams];
  }
  return best;
}

// There must be room. Files needle number id.
static void filter_put(filter *f, const needle *n, uint32_t id) {
  uint32_t base = n->base;
  for (uint32_t i = 0; i + GRAM <= f->span; i++) {
    uint32_t gram = gram_at(n->bytes + base + i), hash = gram_hash(gram);
    uint32_t bit = hash >> f->map_shift, *head = &f->heads[hash >> f->head_shift];
    f->map[bit / 64] |= UINT64_C(1) << bit % 64;
    f->entries[f->count] =
        (entry){.gram = gram, .needle = id, .next = *head, .offset = (uint16_t)(base + i)};
    *head = ++f->count;
  }
}

static bool belongs(const filter *f, const pai_mask_set *set, const needle *n) {
  return (f == &set->small) == (n->len < LONG_SPAN);
}

// Files the newest needle, after making the filter anew if it does not fit in.
static int filter_add(pai_mask_set *set, filter *f, needle *n) {
  uint32_t span = n->len < MAX_SPAN ? n->len : MAX_SPAN;
  if (f == &set->small)
    span = SHORT_SPAN;
  if (f->cap != 0 && span >= f->span && f->count + f->span <= f->cap) {
    n->base = choose_base(f, n);
    filter_put(f, n, set->count);
    return 0;
  }
  if (f->cap != 0 && span > f->span)
    span = f->span;
  uint32_t mine = 1;
  for (uint32_t i = 0; i < set->count; i++)
    mine += belongs(f, set, &set->needles[i]);
  filter larger;
  int rc = filter_init(&larger, span, (mine * 2 + 30) * (span - GRAM + 1));
  if (rc < 0)
    return rc;
  for (uint32_t i = 0; i < set->count; i++)
    if (belongs(f, set, &set->needles[i]))
      filter_put(&larger, &set->needles[i], i);
  n->base = choose_base(&larger, n);
  filter_put(&larger, n, set->count);
  filter_free(f);
  *f = larger;
  return 0;
}

/* ---- the needles ---- */

pai_mask_set *pai_mask_set_new(void) {
  pai_mask_set *set = pai_calloc(1, sizeof *set);
  return set;
}

void pai_mask_set_free(pai_mask_set *set) {
  if (set == NULL)
    return;
  for (uint32_t i = 0; i < set->count; i++)
    pai_locked_free((void *)(uintptr_t)set->needles[i].bytes, set->needles[i].len);
  filter_free(&set->small);
  filter_free(&set->large);
  pai_free(set->needles);
  pai_free(set->sorted);
  pai_free(set->prefix);
  pai_free(set->cover);
  if (set == global)
    global = NULL;
  pai_free(set);
}

size_t pai_mask_set_count(const pai_mask_set *set) {
  return set->count;
}

// The place of bytes among the sorted needles; *found: they are one already.
static uint32_t sorted_place(const pai_mask_set *set, const uint8_t *bytes, size_t len,
                             bool *found) {
  uint32_t low = 0, high = set->count;
  *found = false;
  while (low < high) {
    uint32_t mid = low + (high - low) / 2;
    const needle *n = &set->needles[set->sorted[mid]];
    int order = memcmp(n->bytes, bytes, n->len < len ? n->len : len);
    if (order == 0)
      order = (n->len > len) - (n->len < len);
    if (order == 0) {
      *found = true;
      return mid;
    }
    if (order < 0)
      low = mid + 1;
    else
      high = mid;
  }
  return low;
}

static void note_prefix(pai_mask_set *set, const uint8_t *bytes) {
  uint32_t bit = gram_hash(gram_at(bytes)) >> set->prefix_shift;
  set->prefix[bit / 64] |= UINT64_C(1) << bit % 64;
}

// A map of beginnings with 32 bits for each needle.
static int grow_prefix(pai_mask_set *set, uint32_t cap) {
  uint32_t bits = 11;
  while (bits < MAX_MAP_BITS && (UINT32_C(1) << bits) < cap * 32)
    bits++;
  if (set->prefix != NULL && bits <= 32 - set->prefix_shift)
    return 0;
  uint64_t *prefix = pai_calloc((size_t)1 << (bits - 6), sizeof *prefix);
  if (prefix == NULL)
    return PAI_E_NOMEM;
  pai_free(set->prefix);
  set->prefix = prefix;
  set->prefix_shift = 32 - bits;
  for (uint32_t i = 0; i < set->count; i++)
    note_prefix(set, set->needles[i].bytes);
  return 0;
}

// Room for one more needle, and for looking at texts of its length.
static int make_room(pai_mask_set *set, size_t len) {
  if (set->count == set->cap) {
    uint32_t cap = set->cap == 0 ? 64 : set->cap * 2;
    needle *needles = pai_realloc(set->needles, cap * sizeof *needles);
    if (needles == NULL)
      return PAI_E_NOMEM;
    set->needles = needles;
    uint32_t *sorted = pai_realloc(set->sorted, cap * sizeof *sorted);
    if (sorted == NULL)
      return PAI_E_NOMEM;
    set->sorted = sorted;
    int rc = grow_prefix(set, cap);
    if (rc < 0)
      return rc;
    set->cap = cap;
  }
  size_t block = set->block != 0 ? set->block : MIN_BLOCK;
  while (block < 4 * len)
    block *= 2;
  if (block > set->block) {
    uint8_t *cover = pai_calloc(1, block);
    if (cover == NULL)
      return PAI_E_NOMEM;
    pai_free(set->cover);
    set->cover = cover;
    set->block = block;
  }
  return 0;
}

static int add_needle(pai_mask_set *set, const uint8_t *bytes, size_t len) {
  bool found;
  uint32_t place = sorted_place(set, bytes, len, &found);
  if (found)
    return 0;
  if (len > NEEDLE_MAX || set->count > UINT32_MAX / 64)
    return PAI_E_LIMIT;
  int rc = make_room(set, len);
  if (rc < 0)
    return rc;
  uint8_t *copy = pai_locked_alloc(len);
  if (copy == NULL)
    return PAI_E_NOMEM;
  memcpy(copy, bytes, len);
  needle n = {.bytes = copy, .len = (uint32_t)len};
  rc = filter_add(set, len < LONG_SPAN ? &set->small : &set->large, &n);
  if (rc < 0) {
    pai_locked_free(copy, len);
    return rc;
  }
  memmove(set->sorted + place + 1, set->sorted + place, (set->count - place) * sizeof *set->sorted);
  set->sorted[place] = set->count;
  set->needles[set->count++] = n;
  if (n.len > set->longest)
    set->longest = n.len;
  note_prefix(set, copy);
  set->first[copy[0] / 64] |= UINT64_C(1) << copy[0] % 64;
  return 0;
}

static int fail(int rc, pai_error *err) {
  return pai_error_set(err, rc, "add a secret to the masker: %s",
                       rc == PAI_E_LIMIT ? "it is too long" : "out of memory");
}

int pai_mask_set_add_literal(pai_mask_set *set, const void *bytes, size_t len, pai_error *err) {
  if (len < PAI_MASK_MIN)
    return pai_error_set(err, PAI_E_ARG, "a needle has at least %d bytes", PAI_MASK_MIN);
  int rc = add_needle(set, bytes, len);
  return rc < 0 ? fail(rc, err) : 0;
}

/* ---- values ---- */

// Without the line ends that files and here-documents leave behind.
static size_t trimmed(const uint8_t *value, size_t len) {
  while (len > 0 && (value[len - 1] == '\n' || value[len - 1] == '\r'))
    len--;
  return len;
}

static bool is_word(const uint8_t *value, size_t len, const char *word) {
  return strlen(word) == len && strncasecmp((const char *)value, word, len) == 0;
}

const char *pai_mask_unfit(const void *value, size_t len) {
  static const char *const words[] = {
      "access",    "active",   "administrator", "bearer",     "changeme",  "cluster", "config",
      "container", "content",  "debian",        "default",    "disabled",  "docker",  "enabled",
      "example",   "github",   "kubeconfig",    "kubernetes", "localhost", "master",  "minikube",
      "nvidia",    "openai",   "passwd",        "password",   "postgres",  "private", "production",
      "public",    "registry", "secret",        "secrets",    "service",   "staging", "string",
      "system",    "testing",  "ubuntu",        "undefined",  "unknown",   "username"};
  const uint8_t *bytes = value;
  len = trimmed(bytes, len);
  if (len < PAI_MASK_MIN)
    return "shorter than 6 bytes";
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
    if (is_word(bytes, len, words[i]))
      return "a word that ordinary output holds";
  unsigned different = 0;
  bool seen[256] = {false};
  for (size_t i = 0; i < len && different < 3; i++) {
    different += !seen[bytes[i]];
    seen[bytes[i]] = true;
  }
  return different < 3 ? "made of one or two different characters" : NULL;
}

static int add_form(void *ud, const uint8_t *bytes, size_t len) {
  return len < PAI_MASK_MIN ? 0 : add_needle(ud, bytes, len);
}

// Needles that stay behind after a failure only mask more.
int pai_mask_set_add(pai_mask_set *set, const void *value, size_t len, pai_error *err) {
  if (pai_mask_unfit(value, len) != NULL)
    return 0;
  len = trimmed(value, len);
  if (len > NEEDLE_MAX / PAI_MASK_FORMS_MAX)
    return fail(PAI_E_LIMIT, err);
  int rc = pai_mask_forms(value, len, add_form, set);
  return rc < 0 ? fail(rc, err) : 1;
}
