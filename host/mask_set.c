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
#define MAX_MAP_BITS 22
#define MAX_GRAM_BITS 22
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
  needle *needles = set->plain.needles;
  uint32_t id = (uint32_t)(n - needles);
  uint32_t span = n->len < MAX_SPAN ? n->len : MAX_SPAN;
  if (f == &set->small)
    span = SHORT_SPAN;
  if (f->cap != 0 && span >= f->span && f->count + f->span <= f->cap) {
    n->base = choose_base(f, n);
    filter_put(f, n, id);
    return 0;
  }
  if (f->cap != 0 && span > f->span)
    span = f->span;
  uint32_t mine = 1;
  for (uint32_t i = 0; i < id; i++)
    mine += belongs(f, set, &needles[i]);
  filter larger;
  int rc = filter_init(&larger, span, (mine * 2 + 30) * (span - GRAM + 1));
  if (rc < 0)
    return rc;
  for (uint32_t i = 0; i < id; i++)
    if (belongs(f, set, &needles[i]))
      filter_put(&larger, &needles[i], i);
  n->base = choose_base(&larger, n);
  filter_put(&larger, n, id);
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
  pai_words_free(&set->plain);
  pai_words_free(&set->flat);
  filter_free(&set->small);
  filter_free(&set->large);
  pai_view_free(&set->view, set->block);
  pai_free(set->grams);
  pai_free(set->cover);
  if (set == global)
    global = NULL;
  pai_free(set);
}

size_t pai_mask_set_count(const pai_mask_set *set) {
  return set->plain.count;
}

// Room for looking at texts in which an occurrence takes so many bytes.
static int make_room(pai_mask_set *set, size_t reach) {
  size_t block = set->block != 0 ? set->block : MIN_BLOCK;
  while (block < 4 * reach)
    block *= 2;
  if (block > set->block) {
    uint8_t *cover = pai_calloc(1, block);
    if (cover == NULL)
      return PAI_E_NOMEM;
    if (pai_view_room(&set->view, set->block, block) < 0) {
      pai_free(cover);
      return PAI_E_NOMEM;
    }
    pai_free(set->cover);
    set->cover = cover;
    set->block = block;
  }
  if (reach > set->reach)
    set->reach = reach;
  return 0;
}

static int add_needle(pai_mask_set *set, const uint8_t *bytes, size_t len) {
  int rc = len > NEEDLE_MAX ? PAI_E_LIMIT : make_room(set, len);
  if (rc == 0)
    rc = pai_words_add(&set->plain, bytes, len);
  if (rc <= 0)
    return rc;
  filter *f = len < LONG_SPAN ? &set->small : &set->large;
  rc = filter_add(set, f, &set->plain.needles[set->plain.count - 1]);
  if (rc < 0)
    pai_words_drop(&set->plain);
  return rc;
}

static void note_grams(pai_mask_set *set, const needle *n) {
  for (uint32_t i = 0; i + GRAM <= n->len; i++)
    set_bit(set->grams, gram_hash(gram_at(n->bytes + i)) >> set->gram_shift);
}

// Room in the map for more grams, sixteen bits each.
static int grow_grams(pai_mask_set *set, size_t more) {
  uint32_t bits = 14;
  while (bits < MAX_GRAM_BITS && ((size_t)1 << bits) < (set->gram_count + more) * 16)
    bits++;
  if (set->grams == NULL || bits > 32 - set->gram_shift) {
    uint64_t *grams = pai_calloc((size_t)1 << (bits - 6), sizeof *grams);
    if (grams == NULL)
      return PAI_E_NOMEM;
    pai_free(set->grams);
    set->grams = grams;
    set->gram_shift = 32 - bits;
    for (uint32_t i = 0; i < set->flat.count; i++)
      note_grams(set, &set->flat.needles[i]);
  }
  set->gram_count += more;
  return 0;
}

// How many bytes of text a flat needle may take, with an escape or a colour code at each of them.
static size_t reach_of(size_t len) {
  return PAI_ATOM_MAX + (len < 1024 ? 32 * len : ((size_t)28 << 10) + 4 * len);
}

static int add_flat(void *ud, const uint8_t *bytes, size_t len) {
  pai_mask_set *set = ud;
  if (len < PAI_MASK_MIN || len > PAI_FLAT_MAX)
    return 0;
  int rc = make_room(set, reach_of(len));
  if (rc == 0)
    rc = grow_grams(set, len);
  if (rc == 0)
    rc = pai_words_add(&set->flat, bytes, len);
  if (rc > 0)
    note_grams(set, &set->flat.needles[set->flat.count - 1]);
  else
    set->gram_count -= rc == 0 ? len : 0;
  return rc < 0 ? rc : 0;
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
  static const char *const common[] = {
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
  for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
    if (is_word(bytes, len, common[i]))
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
  if (rc == 0 && len <= PAI_FLAT_MAX)
    rc = pai_mask_flat_forms(value, len, add_flat, set);
  return rc < 0 ? fail(rc, err) : 1;
}
