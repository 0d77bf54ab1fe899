/* Inputs of any size, in blocks. See scan.h. A block is looked at whole and reported up to LIMIT
 * only, OVERLAP before its end; the next one begins LOOKBACK before that. So a match that begins
 * before LIMIT is seen with all that belongs to it, and what lies in front of one that begins
 * behind it is seen with that one. */
#include "alloc.h"
#include "scan_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OVERLAP ((size_t)64 << 10)
#define LOOKBACK ((size_t)32 << 10)
#define BLOCK (((size_t)1 << 20) + OVERLAP + LOOKBACK)
#define SNIFFED 8000 // bytes that tell text from other files

typedef struct edit {
  uint64_t from, end;
  uint32_t rule;
  bool first; // of its finding's ranges: gets the text, the others get none
  uint64_t fingerprint;
} edit;

typedef struct span {
  uint64_t from, end;
} span;

typedef struct stream {
  pai_scan *s;
  const pai_scan_job *job;
  pai_scan_sum *sum;
  pai_error *err;
  int fd;
  const uint8_t *left; // of a text, when fd is -1
  size_t left_len;
  uint8_t *block;
  size_t len;
  uint64_t base;    // offset of the block's first byte
  uint64_t limit;   // what begins before it is reported
  bool starts;      // the block begins where a line begins
  bool events;      // a terminal recording
  uint64_t counted; // the place of this offset is known
  pai_scan_place place;
  span *taken; // by matches that reach into the next block
  size_t taken_count, taken_cap;
  edit *edits;
  size_t edit_count, edit_cap;
  uint64_t written;
} stream;

/* ---- reading ---- */

// Bytes read, 0 at the end, or a negative code.
static ssize_t read_some(stream *st, uint8_t *to, size_t room) {
  if (st->fd < 0) {
    size_t n = st->left_len < room ? st->left_len : room;
    memcpy(to, st->left, n);
    st->left += n;
    st->left_len -= n;
    return (ssize_t)n;
  }
  for (;;) {
    ssize_t n = read(st->fd, to, room);
    if (n >= 0)
      return n;
    if (errno != EINTR)
      return pai_error_sys(st->err, errno, "read");
  }
}

// Fills the block; *end: there is no more.
static int fill(stream *st, bool *end) {
  *end = false;
  while (st->len < BLOCK && !*end) {
    ssize_t n = read_some(st, st->block + st->len, BLOCK - st->len);
    if (n < 0)
      return (int)n;
    *end = n == 0;
    st->len += (size_t)n;
    st->sum->bytes += (uint64_t)n;
  }
  return 0;
}

static bool is_recording(const uint8_t *text, size_t len) {
  const uint8_t *nl = memchr(text, '\n', len < SNIFFED ? len : SNIFFED);
  size_t n = nl != NULL ? (size_t)(nl - text) : 0;
  const uint8_t *v = n > 0 && text[0] == '{' ? memmem(text, n, "\"version\"", 9) : NULL;
  if (v == NULL ||
      (memmem(text, n, "\"width\"", 7) == NULL && memmem(text, n, "\"term\"", 6) == NULL))
    return false;
  for (v += 9; v < nl && (*v == ' ' || *v == ':'); v++) {
  }
  return *v == '2' || *v == '3';
}

static int sniff(stream *st) {
  size_t n = st->len < SNIFFED ? st->len : SNIFFED;
  const uint8_t *t = st->block;
  bool wide = n > 1 && ((t[0] == 0xff && t[1] == 0xfe) || (t[0] == 0xfe && t[1] == 0xff));
  if (wide && !st->job->binary)
    return pai_error_set(st->err, PAI_E_PARSE,
                         "this is UTF-16, which is not scanned: convert it to UTF-8");
  st->sum->is_binary = memchr(t, '\0', n) != NULL;
  st->events = is_recording(t, st->len);
  return 0;
}

/* ---- places ---- */

typedef uint8_t lanes __attribute__((vector_size(16)));

// How many bytes are, under the mask, the given one.
static uint64_t count_bytes(const uint8_t *text, size_t len, uint8_t mask, uint8_t byte) {
  uint64_t n = 0;
  size_t i = 0;
  while (len - i >= sizeof(lanes)) {
    size_t rounds = (len - i) / sizeof(lanes) < 255 ? (len - i) / sizeof(lanes) : 255;
    lanes sums = {0}, v;
    for (size_t end = i + rounds * sizeof v; i < end; i += sizeof v) {
      memcpy(&v, text + i, sizeof v);
      sums -= (lanes)((v & mask) == byte); // all ones is -1
    }
    for (size_t k = 0; k < sizeof sums; k++)
      n += sums[k];
  }
  for (; i < len; i++)
    n += (text[i] & mask) == byte;
  return n;
}

static void advance(pai_scan_place *p, const uint8_t *text, size_t len) {
  uint64_t lines = count_bytes(text, len, 0xff, '\n');
  const uint8_t *from = text;
  if (lines > 0) {
    from = (const uint8_t *)memrchr(text, '\n', len) + 1;
    p->line += lines;
    p->column = 1;
  }
  size_t rest = (size_t)(text + len - from);
  p->column += rest - count_bytes(from, rest, 0xc0, 0x80); // but for what goes on with a character
}

static void count_to(stream *st, uint64_t offset) {
  if (offset <= st->counted)
    return;
  advance(&st->place, st->block + (st->counted - st->base), (size_t)(offset - st->counted));
  st->counted = offset;
}

/* ---- which match a byte belongs to ---- */

// By rule; of one rule by place, the longer one first.
static int by_rule(const void *a, const void *b, void *ranges) {
  const pai_scan_match *x = a, *y = b;
  const pai_scan_range *r = ranges;
  if (x->rule != y->rule)
    return x->rule < y->rule ? -1 : 1;
  uint32_t p = r[x->first].from, q = r[y->first].from;
  if (p != q)
    return p < q ? -1 : 1;
  return (x->length < y->length) - (x->length > y->length);
}

static int by_place(const void *a, const void *b, void *ranges) {
  const pai_scan_match *x = a, *y = b;
  const pai_scan_range *r = ranges;
  uint32_t p = r[x->first].from, q = r[y->first].from;
  return (p > q) - (p < q);
}

static int by_from(const void *a, const void *b) {
  const edit *x = a, *y = b;
  return (x->from > y->from) - (x->from < y->from);
}

static void paint(stream *st, const span *t, uint8_t with) {
  uint64_t from = t->from > st->base ? t->from : st->base, stop = st->base + st->len;
  uint64_t end = t->end < stop ? t->end : stop;
  if (from < end)
    memset(st->s->cover + (from - st->base), with, (size_t)(end - from));
}

static void paint_match(stream *st, const pai_scan_match *m, uint8_t with) {
  for (uint32_t i = 0; i < m->count; i++) {
    const pai_scan_range *r = &st->s->ranges.items[m->first + i];
    memset(st->s->cover + r->from, with, r->end - r->from);
  }
}

static bool is_covered(const pai_scan *s, const pai_scan_match *m) {
  for (uint32_t i = 0; i < m->count; i++) {
    const pai_scan_range *r = &s->ranges.items[m->first + i];
    if (memchr(s->cover + r->from, 1, r->end - r->from) != NULL)
      return true;
  }
  return false;
}

// Leaves in s->matches those that own their bytes, in the order of the text.
static void settle(stream *st) {
  pai_scan *s = st->s;
  if (s->match_count > 1)
    qsort_r(s->matches, s->match_count, sizeof *s->matches, by_rule, s->ranges.items);
  for (size_t i = 0; i < st->taken_count; i++)
    paint(st, &st->taken[i], 1);
  uint32_t kept = 0;
  for (uint32_t i = 0; i < s->match_count; i++) {
    if (is_covered(s, &s->matches[i]))
      continue;
    paint_match(st, &s->matches[i], 1);
    s->matches[kept++] = s->matches[i];
  }
  for (uint32_t i = 0; i < kept; i++)
    paint_match(st, &s->matches[i], 0);
  for (size_t i = 0; i < st->taken_count; i++)
    paint(st, &st->taken[i], 0);
  s->match_count = kept;
  if (kept > 1)
    qsort_r(s->matches, kept, sizeof *s->matches, by_place, s->ranges.items);
}

/* ---- reporting ---- */

static int take(stream *st, const pai_scan_match *m, bool redact) {
  if (st->taken_count + m->count > st->taken_cap) {
    size_t cap = (st->taken_count + m->count) * 2;
    span *taken = pai_realloc(st->taken, cap * sizeof *taken);
    if (taken == NULL)
      return PAI_E_NOMEM;
    st->taken = taken;
    st->taken_cap = cap;
  }
  if (redact && st->edit_count + m->count > st->edit_cap) {
    size_t cap = (st->edit_count + m->count) * 2;
    edit *edits = pai_realloc(st->edits, cap * sizeof *edits);
    if (edits == NULL)
      return PAI_E_NOMEM;
    st->edits = edits;
    st->edit_cap = cap;
  }
  for (uint32_t i = 0; i < m->count; i++) {
    const pai_scan_range *r = &st->s->ranges.items[m->first + i];
    uint64_t from = st->base + r->from, end = st->base + r->end;
    st->taken[st->taken_count++] = (span){from, end};
    if (redact)
      st->edits[st->edit_count++] = (edit){from, end, m->rule, i == 0, m->fingerprint};
  }
  return 0;
}

static int report(stream *st, const pai_scan_match *m) {
  const pai_scan_range *ranges = st->s->ranges.items + m->first;
  uint32_t end = ranges[m->count - 1].end;
  uint64_t from = st->base + ranges[0].from;
  count_to(st, from);
  pai_scan_finding f = {.rule = m->rule,
                        .low = m->low,
                        .offset = from,
                        .end = st->base + end,
                        .from = st->place,
                        .to = st->place,
                        .length = m->length,
                        .fingerprint = m->fingerprint};
  memcpy(f.shown, m->shown, sizeof f.shown);
  advance(&f.to, st->block + ranges[0].from, end > ranges[0].from ? end - ranges[0].from : 0);
  pai_scan_answer answer = PAI_SCAN_KEEP;
  if (m->commented && st->job->comments)
    answer = PAI_SCAN_ALLOW;
  else if (st->job->found != NULL)
    answer = st->job->found(st->job->ud, &f);
  st->sum->findings += answer == PAI_SCAN_KEEP;
  st->sum->allowed += answer != PAI_SCAN_KEEP;
  return take(st, m, answer == PAI_SCAN_KEEP && st->job->write != NULL);
}

static int put(stream *st, uint64_t from, uint64_t end) {
  if (from >= end)
    return 0;
  st->written = end;
  return st->job->write(st->job->write_ud, st->block + (from - st->base), (size_t)(end - from),
                        st->err);
}

static int put_mark(stream *st, const edit *e) {
  char text[128];
  int n = snprintf(text, sizeof text, "[REDACTED:%s:%08" PRIx32 "]", st->s->rules[e->rule].rule.id,
                   (uint32_t)(e->fingerprint >> 32));
  return st->job->write(st->job->write_ud, text, (size_t)n, st->err);
}

// Writes the input up to limit, and what an edit takes of what follows.
static int write_out(stream *st, uint64_t limit) {
  size_t done = 0;
  int rc = 0;
  if (st->job->write == NULL)
    return 0;
  if (st->edit_count > 1)
    qsort(st->edits, st->edit_count, sizeof *st->edits, by_from);
  for (; done < st->edit_count && st->edits[done].from < limit && rc >= 0; done++) {
    const edit *e = &st->edits[done];
    rc = put(st, st->written, e->from);
    if (rc >= 0 && e->first)
      rc = put_mark(st, e);
    st->written = e->end;
  }
  st->edit_count -= done;
  if (done > 0)
    memmove(st->edits, st->edits + done, st->edit_count * sizeof *st->edits);
  return rc < 0 ? rc : put(st, st->written, limit);
}

// Where the next block begins: LOOKBACK before limit, at a line if one begins near there, and never
// behind a backslash.
static size_t next_base(const stream *st, size_t limit) {
  size_t at = limit - LOOKBACK;
  const uint8_t *nl = memchr(st->block + at, '\n', LOOKBACK / 2);
  if (nl != NULL)
    return (size_t)(nl - st->block) + 1;
  for (int i = 0; i < 64 && at > 1 && st->block[at - 1] == '\\'; i++)
    at--;
  return at;
}

static int look_at_block(stream *st, bool last) {
  uint64_t from = st->limit;
  st->limit = st->base + (last ? st->len : st->len - OVERLAP);
  int rc = pai_scan_block(st->s, st->block, st->len, st->starts, st->events);
  if (rc < 0)
    return pai_error_set(st->err, rc, "scan: out of memory");
  settle(st);
  st->taken_count = 0;
  for (uint32_t i = 0; i < st->s->match_count; i++) {
    const pai_scan_match *m = &st->s->matches[i];
    uint64_t at = st->base + st->s->ranges.items[m->first].from;
    if (at >= from && at < st->limit && report(st, m) < 0)
      return pai_error_set(st->err, PAI_E_NOMEM, "scan: out of memory");
  }
  rc = write_out(st, st->limit);
  if (rc < 0 || last)
    return rc;
  size_t keep = next_base(st, (size_t)(st->limit - st->base));
  st->starts = keep > 0 && st->block[keep - 1] == '\n';
  count_to(st, st->base + keep);
  memmove(st->block, st->block + keep, st->len - keep);
  st->len -= keep;
  st->base += keep;
  return 0;
}

static int run(stream *st) {
  pai_scan *s = st->s;
  bool last = false;
  if (s->block == NULL)
    s->block = pai_alloc(BLOCK);
  if (s->cover == NULL)
    s->cover = pai_calloc(1, BLOCK);
  if (s->block == NULL || s->cover == NULL)
    return pai_error_set(st->err, PAI_E_NOMEM, "scan: out of memory");
  st->block = s->block;
  *st->sum = (pai_scan_sum){0};
  s->limited = 0;
  int rc = fill(st, &last);
  if (rc >= 0)
    rc = sniff(st);
  if (rc >= 0 && (!st->sum->is_binary || st->job->binary))
    rc = look_at_block(st, last);
  while (rc >= 0 && !last && (!st->sum->is_binary || st->job->binary)) {
    rc = fill(st, &last);
    if (rc >= 0)
      rc = look_at_block(st, last);
  }
  st->sum->limited = s->limited;
  pai_free(st->taken);
  pai_free(st->edits);
  return rc < 0 ? rc : 0;
}

int pai_scan_fd(pai_scan *s, int fd, const pai_scan_job *job, pai_scan_sum *sum, pai_error *err) {
  stream st = {.s = s, .job = job, .sum = sum, .err = err, .fd = fd, .starts = true};
  st.place = (pai_scan_place){1, 1};
  return run(&st);
}

int pai_scan_text(pai_scan *s, const void *data, size_t len, const pai_scan_job *job,
                  pai_scan_sum *sum, pai_error *err) {
  stream st = {.s = s, .job = job, .sum = sum, .err = err, .fd = -1, .starts = true};
  st.left = data;
  st.left_len = len;
  st.place = (pai_scan_place){1, 1};
  return run(&st);
}
