/* Texts with their escapes undone. See scan_priv.h. Undoing is by the look of an escape, not by a
 * grammar: a Windows path is misread in a view, and found in the text itself. */
#include "alloc.h"
#include "scan_priv.h"

#include <string.h>

#define ESC 0x1b
#define NEAR_BEFORE 4096 // bytes: a match that begins so far before a change may reach it
#define NEAR_AFTER 512   // bytes: what stands behind one may depend on it
#define OSC_MAX 4096     // bytes of a terminal's control string

void pai_scan_view_free(pai_scan_view *v) {
  pai_free(v->text);
  pai_free(v->pieces);
  pai_free(v->changed.items);
  pai_free(v->source.items);
  *v = (pai_scan_view){0};
}

static int begin(pai_scan_view *v, size_t len) {
  v->len = v->piece_count = 0;
  v->changed.count = v->source.count = 0;
  if (v->cap >= len)
    return 0;
  pai_free(v->text);
  v->text = pai_alloc(len);
  v->cap = v->text != NULL ? len : 0;
  return v->text != NULL ? 0 : PAI_E_NOMEM;
}

static inline int add_piece(pai_scan_view *v, size_t from, size_t from_len) {
  if (v->piece_count == v->piece_cap) {
    size_t cap = v->piece_cap == 0 ? 1024 : v->piece_cap * 2;
    pai_scan_piece *pieces = pai_realloc(v->pieces, cap * sizeof *pieces);
    if (pieces == NULL)
      return PAI_E_NOMEM;
    v->pieces = pieces;
    v->piece_cap = cap;
  }
  v->pieces[v->piece_count++] = (pai_scan_piece){
      .at = (uint32_t)v->len, .from = (uint32_t)from, .from_len = (uint32_t)from_len};
  return 0;
}

// A piece of n bytes; a view is never longer than its source, so there is room.
static inline int put(pai_scan_view *v, const void *bytes, size_t n, size_t from, size_t from_len) {
  if (n == 0)
    return 0;
  if (add_piece(v, from, from_len) < 0)
    return PAI_E_NOMEM;
  memcpy(v->text + v->len, bytes, n);
  v->len += n;
  return 0;
}

typedef struct undone {
  uint8_t bytes[4];
  size_t len;   // of bytes; 0: the escape stands for nothing
  size_t taken; // of the source; 0: this is no escape
} undone;

static int hex_digit(uint8_t c) {
  if (c >= '0' && c <= '9')
    return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int32_t hex_at(const uint8_t *p, size_t len, size_t digits) {
  int32_t v = 0;
  if (len < digits)
    return -1;
  for (size_t i = 0; i < digits; i++) {
    int d = hex_digit(p[i]);
    if (d < 0)
      return -1;
    v = v << 4 | d;
  }
  return v;
}

static undone code_point(uint32_t c, size_t taken) {
  undone u = {.taken = taken};
  if (c < 0x80) {
    u.bytes[u.len++] = (uint8_t)c;
  } else if (c < 0x800) {
    u.bytes[u.len++] = (uint8_t)(0xc0 | c >> 6);
    u.bytes[u.len++] = (uint8_t)(0x80 | (c & 0x3f));
  } else {
    u.bytes[u.len++] = (uint8_t)(0xe0 | c >> 12);
    u.bytes[u.len++] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    u.bytes[u.len++] = (uint8_t)(0x80 | (c & 0x3f));
  }
  return u;
}

// p is behind the backslash.
static undone backslash(const uint8_t *p, size_t len) {
  static const uint8_t meant[256] = {
      ['"'] = '"',  ['\''] = '\'', ['/'] = '/',  ['\\'] = '\\', ['n'] = '\n',
      ['r'] = '\r', ['t'] = '\t',  ['b'] = '\b', ['f'] = '\f'};
  if (len == 0)
    return (undone){0};
  if (meant[p[0]] != 0)
    return (undone){.bytes = {meant[p[0]]}, .len = 1, .taken = 2};
  if (p[0] == '\n')
    return (undone){.taken = 2};
  if (p[0] == '\r' && len > 1 && p[1] == '\n')
    return (undone){.taken = 3};
  if (p[0] == 'u') {
    int32_t c = hex_at(p + 1, len - 1, 4);
    return c >= 0 ? code_point((uint32_t)c, 6) : (undone){0};
  }
  if (p[0] == 'x') {
    int32_t c = hex_at(p + 1, len - 1, 2);
    return c >= 0 && c < 0x80 ? code_point((uint32_t)c, 4) : (undone){0};
  }
  if (len > 3 && memcmp(p, "033[", 4) == 0)
    return code_point(ESC, 4);
  if (len > 1 && (p[0] == 'e' || p[0] == 'E') && p[1] == '[')
    return code_point(ESC, 2);
  return (undone){0};
}

// The length of a terminal's control sequence; p is behind ESC.
static size_t control(const uint8_t *p, size_t len) {
  size_t n = 1;
  if (len == 0)
    return 1;
  if (p[0] == '[') {
    while (n < len && n < 64 && p[n] >= 0x20 && p[n] <= 0x3f)
      n++;
    return 1 + (n < len && p[n] >= 0x40 && p[n] <= 0x7e ? n + 1 : n);
  }
  if (p[0] == ']' || p[0] == 'P' || p[0] == '_' || p[0] == '^') {
    for (; n < len && n < OSC_MAX; n++) {
      if (p[n] == 0x07)
        return n + 2;
      if (p[n] == ESC && n + 1 < len && p[n + 1] == '\\')
        return n + 3;
    }
    return 2; // it does not end: what follows is text
  }
  if (p[0] == '(' || p[0] == ')')
    return len > 1 ? 3 : 2;
  return p[0] >= 0x30 && p[0] <= 0x7e ? 2 : 1;
}

static undone undo(const uint8_t *p, size_t len) {
  if (*p == '\\')
    return backslash(p + 1, len - 1);
  return (undone){.taken = control(p + 1, len - 1)};
}

typedef struct finder {
  const uint8_t *text;
  size_t len;
  size_t slash, esc; // the next ones, len when there is none
} finder;

static size_t seek(const finder *f, size_t at, uint8_t c) {
  const uint8_t *p = at < f->len ? memchr(f->text + at, c, f->len - at) : NULL;
  return p != NULL ? (size_t)(p - f->text) : f->len;
}

static inline size_t next_special(finder *f, size_t at) {
  if (f->slash < at)
    f->slash = seek(f, at, '\\');
  if (f->esc < at)
    f->esc = seek(f, at, ESC);
  return f->slash < f->esc ? f->slash : f->esc;
}

// Adds what is near a place, joined to the last range if they meet.
static int note(pai_scan_ranges *r, size_t at) {
  uint32_t from = at > NEAR_BEFORE ? (uint32_t)(at - NEAR_BEFORE) : 0;
  uint32_t end = (uint32_t)at + NEAR_AFTER;
  pai_scan_range *last = r->count > 0 ? &r->items[r->count - 1] : NULL;
  if (last == NULL || from > last->end)
    return pai_scan_ranges_add(r, from, end);
  last->end = end;
  return 0;
}

int pai_scan_view_unescape(pai_scan_view *v, const uint8_t *text, size_t len) {
  finder f = {.text = text, .len = len};
  f.slash = seek(&f, 0, '\\');
  f.esc = seek(&f, 0, ESC);
  if (next_special(&f, 0) == len)
    return 0;
  int rc = begin(v, len);
  size_t copied = 0, at = 0;
  bool differs = false;
  while (rc >= 0 && (at = next_special(&f, at)) < len) {
    undone u = undo(text + at, len - at);
    if (u.taken == 0) {
      at++;
      continue;
    }
    differs = true;
    if (u.taken > len - at)
      u.taken = len - at;
    rc = put(v, text + copied, at - copied, copied, at - copied);
    if (rc >= 0 && note(&v->changed, v->len) < 0)
      rc = PAI_E_NOMEM;
    if (rc >= 0)
      rc = put(v, u.bytes, u.len, at, u.taken);
    at += u.taken;
    if (rc >= 0)
      rc = note(&v->source, at);
    copied = at;
  }
  if (rc >= 0 && differs)
    rc = put(v, text + copied, len - copied, copied, len - copied);
  return rc < 0 ? rc : differs;
}

/* ---- recordings ---- */

// The text of one event's line, `[time, "o", "text"]`: where it begins, or NULL. *end: behind it.
static const uint8_t *event_text(const uint8_t *p, const uint8_t *line_end, uint8_t kind,
                                 const uint8_t **end) {
  while (p < line_end && (*p == ' ' || *p == '\t'))
    p++;
  if (p == line_end || *p++ != '[')
    return NULL;
  while (p < line_end && (*p == ' ' || *p == '.' || (*p >= '0' && *p <= '9') || *p == 'e' ||
                          *p == 'E' || *p == '-' || *p == '+'))
    p++;
  static const char skipped[] = " \t,";
  while (p < line_end && *p != '\0' && strchr(skipped, *p) != NULL)
    p++;
  if (line_end - p < 3 || p[0] != '"' || p[1] != kind || p[2] != '"')
    return NULL;
  p += 3;
  while (p < line_end && *p != '\0' && strchr(skipped, *p) != NULL)
    p++;
  if (p == line_end || *p++ != '"')
    return NULL;
  const uint8_t *q = p;
  while (q < line_end && *q != '"')
    q += *q == '\\' && line_end - q > 1 ? 2 : 1;
  *end = q;
  return p;
}

// Takes the view's last byte away again.
static void take_back(pai_scan_view *v) {
  pai_scan_piece *last = &v->pieces[v->piece_count - 1];
  v->len--;
  if (v->len == last->at)
    v->piece_count--;
  else
    last->from_len--; // of more than one byte and ends in ASCII: a plain copy
}

// One event's text, with JSON's escapes and the terminal's codes undone at once.
static int put_event(pai_scan_view *v, const uint8_t *text, size_t from, size_t end) {
  size_t copied = from, at = from;
  int rc = 0;
  while (at < end && rc >= 0) {
    undone u = {0};
    if (text[at] == '\\' || text[at] == ESC)
      u = undo(text + at, end - at);
    if (u.taken == 0) {
      at++;
      continue;
    }
    if (u.len == 1 && u.bytes[0] == ESC) {
      // the code itself is written with escapes only where it has a quote or a backslash: never
      u.len = 0;
      u.taken += control(text + at + u.taken, end - at - u.taken) - 1;
    }
    if (u.taken > end - at)
      u.taken = end - at;
    rc = put(v, text + copied, at - copied, copied, at - copied);
    // a shell that edits its line puts " \r" where the terminal's width ends
    if (rc >= 0 && u.len == 1 && u.bytes[0] == '\r' && v->len > 0 && v->text[v->len - 1] == ' ') {
      take_back(v);
      u.len = 0;
    }
    if (rc >= 0)
      rc = put(v, u.bytes, u.len, at, u.taken);
    at += u.taken;
    copied = at;
  }
  return rc < 0 ? rc : put(v, text + copied, at - copied, copied, at - copied);
}

int pai_scan_view_events(pai_scan_view *v, const uint8_t *text, size_t len, bool starts,
                         uint8_t kind) {
  int rc = begin(v, len);
  size_t at = 0;
  while (rc >= 0 && at < len) {
    const uint8_t *nl = memchr(text + at, '\n', len - at), *end = NULL;
    size_t stop = nl != NULL ? (size_t)(nl - text) : len;
    const uint8_t *p = starts ? event_text(text + at, text + stop, kind, &end) : NULL;
    if (p != NULL)
      rc = put_event(v, text, (size_t)(p - text), (size_t)(end - text));
    starts = true;
    at = stop + 1;
  }
  return rc < 0 ? rc : v->len > 0;
}

/* ---- the way back ---- */

int pai_scan_ranges_add(pai_scan_ranges *r, uint32_t from, uint32_t end) {
  if (r->count > 0 && r->items[r->count - 1].end == from) {
    r->items[r->count - 1].end = end;
    return 0;
  }
  if (r->count == r->cap) {
    size_t cap = r->cap == 0 ? 64 : r->cap * 2;
    pai_scan_range *items = pai_realloc(r->items, cap * sizeof *items);
    if (items == NULL)
      return PAI_E_NOMEM;
    r->items = items;
    r->cap = cap;
  }
  r->items[r->count++] = (pai_scan_range){from, end};
  return 0;
}

// The last piece that begins at or before a place in the view.
static size_t piece_at(const pai_scan_view *v, uint32_t at) {
  size_t low = 0, high = v->piece_count;
  while (high - low > 1) {
    size_t mid = low + (high - low) / 2;
    if (v->pieces[mid].at <= at)
      low = mid;
    else
      high = mid;
  }
  return low;
}

int pai_scan_view_map(const pai_scan_view *v, pai_scan_range part, pai_scan_ranges *out) {
  int rc = 0;
  for (size_t i = piece_at(v, part.from); i < v->piece_count && rc >= 0; i++) {
    const pai_scan_piece *p = &v->pieces[i];
    uint32_t end = i + 1 < v->piece_count ? v->pieces[i + 1].at : (uint32_t)v->len;
    if (p->at >= part.end)
      break;
    if (p->from_len != end - p->at) { // an escape is replaced as a whole
      rc = pai_scan_ranges_add(out, p->from, p->from + p->from_len);
      continue;
    }
    uint32_t a = part.from > p->at ? part.from - p->at : 0;
    uint32_t b = (part.end < end ? part.end : end) - p->at;
    rc = pai_scan_ranges_add(out, p->from + a, p->from + b);
  }
  return rc;
}
