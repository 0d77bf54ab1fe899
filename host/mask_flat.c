/* The flat view of a text. See mask_set.h. Left out: terminal control sequences, line ends with the
 * blanks after them. Decoded: %41, \x41, \u0041, \101, \" and the like, &amp; &#65; &#x41;. What is
 * decoded to a line's end is left out as well, so that the view has none. */
#include "alloc.h"
#include "mask_set.h"
#include "secret_mem.h"

#define GAP_MAX 512 // bytes left out in one place; what is further apart is not one value
#define ESC 0x1B

typedef struct atom {
  enum { NO_ATOM, LEFT_OUT, DECODED, NOT_WHOLE } kind;
  size_t len;       // in the text
  uint8_t bytes[4]; // decoded
  uint8_t count;
  bool line_end;
} atom;

static const atom no_atom = {.kind = NO_ATOM};
static const atom not_whole = {.kind = NOT_WHOLE};

/* ---- atoms ---- */

static int hex_digit(uint8_t c) {
  return c >= '0' && c <= '9'                     ? c - '0'
         : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                  : -1;
}

static atom decoded(size_t len, uint32_t c, bool utf8) {
  atom a = {.kind = DECODED, .len = len, .count = 1, .bytes = {(uint8_t)c}};
  if (c == '\n' || c == '\r') {
    a.kind = LEFT_OUT;
  } else if (utf8 && c >= 0x80) {
    a.count = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (uint8_t i = a.count; --i > 0; c >>= 6)
      a.bytes[i] = (uint8_t)(0x80 | (c & 0x3F));
    a.bytes[0] = (uint8_t)(0xF00 >> a.count | c);
  }
  return a;
}

// So many hexadecimal digits at p: their value, -1 for another byte, -2 when the text ends first.
static int32_t read_hex(const uint8_t *p, size_t len, size_t digits) {
  int32_t v = 0;
  for (size_t i = 0; i < digits; i++) {
    if (i == len)
      return -2;
    int d = hex_digit(p[i]);
    if (d < 0)
      return -1;
    v = v << 4 | d;
  }
  return v;
}

// prefix: the bytes before the digits.
static atom read_byte(const uint8_t *p, size_t len, size_t prefix) {
  int32_t v = read_hex(p + prefix, len - prefix, 2);
  return v == -2 ? not_whole : v == -1 ? no_atom : decoded(prefix + 2, (uint32_t)v, false);
}

static atom read_u(const uint8_t *p, size_t len) {
  int32_t v = read_hex(p + 2, len - 2, 4);
  if (v < 0)
    return v == -2 ? not_whole : no_atom;
  if (v < 0xD800 || v > 0xDBFF)
    return decoded(6, (uint32_t)v, true);
  if (len < 8 && memcmp(p + 6, "\\u", len - 6) == 0)
    return not_whole;
  if (len < 8 || p[6] != '\\' || p[7] != 'u')
    return no_atom;
  int32_t low = read_hex(p + 8, len - 8, 4);
  if (low < 0xDC00 || low > 0xDFFF)
    return low == -2 ? not_whole : no_atom;
  return decoded(12, 0x10000U + ((uint32_t)(v & 0x3FF) << 10 | (uint32_t)(low & 0x3FF)), true);
}

static atom read_octal(const uint8_t *p, size_t len) {
  uint32_t v = 0;
  for (size_t i = 1; i < 4; i++) {
    if (i == len)
      return not_whole;
    if (p[i] < '0' || p[i] > '7')
      return no_atom;
    v = v << 3 | (uint32_t)(p[i] - '0');
  }
  return v < 256 ? decoded(4, v, false) : no_atom;
}

static atom read_escape(const uint8_t *p, size_t len);

// An escape may stand for the byte that begins a colour code.
static atom with_code(const uint8_t *p, size_t len, atom a) {
  if (a.kind != DECODED || a.bytes[0] != ESC || a.count != 1)
    return a;
  if (a.len == len)
    return not_whole;
  if (p[a.len] != '[')
    return a;
  atom code = read_escape(p + a.len - 1, len - a.len + 1);
  code.len += a.len - 1;
  return code.kind == NO_ATOM ? a : code;
}

static atom read_backslash(const uint8_t *p, size_t len) {
  static const char from[] = "nrtbfave", to[] = "\n\r\t\b\f\a\v\x1B";
  if (len < 2)
    return not_whole;
  const char *letter = p[1] != 0 ? strchr(from, p[1]) : NULL;
  if (letter != NULL)
    return decoded(2, (uint8_t)to[letter - from], false);
  switch (p[1]) {
  case 'u':
    return read_u(p, len);
  case 'x':
    return read_byte(p, len, 2);
  case '\n': // a line that goes on
    return decoded(2, '\n', false);
  default:
    if (p[1] >= '0' && p[1] <= '7')
      return read_octal(p, len);
    return p[1] != 0 && strchr("\"\\/'$` !&|;<>(){}*[]?#~=^,", p[1]) != NULL
               ? decoded(2, p[1], false)
               : no_atom;
  }
}

static atom read_number(const uint8_t *p, size_t len) {
  uint32_t v = 0;
  size_t i = 2, digits = 0;
  bool hex = i < len && (p[i] | 0x20) == 'x';
  for (i += hex; i < len && p[i] != ';'; i++) {
    int d = hex_digit(p[i]);
    if (d < 0 || (!hex && d > 9) || ++digits > 8)
      return no_atom;
    v = v * (hex ? 16 : 10) + (uint32_t)d;
  }
  if (i == len)
    return not_whole;
  return digits > 0 && v <= 0x10FFFF ? decoded(i + 1, v, true) : no_atom;
}

static atom read_entity(const uint8_t *p, size_t len) {
  static const char *const names[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&apos;"};
  static const char chars[] = "&<>\"'";
  if (len < 2)
    return not_whole;
  if (p[1] == '#')
    return read_number(p, len);
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    size_t n = strlen(names[i]);
    if (memcmp(p, names[i], n < len ? n : len) == 0)
      return n <= len ? decoded(n, (uint8_t)chars[i], false) : not_whole;
  }
  return no_atom;
}

// CSI, OSC and the other strings, and the short ones (ECMA-48, 5.4 and 8.3).
static atom read_escape(const uint8_t *p, size_t len) {
  if (len < 2)
    return not_whole;
  size_t i = 2, most = len < PAI_ATOM_MAX ? len : PAI_ATOM_MAX;
  if (p[1] == '[') {
    while (i < most && p[i] >= 0x20 && p[i] <= 0x3F)
      i++;
    if (i < most)
      return p[i] >= 0x40 && p[i] <= 0x7E ? (atom){.kind = LEFT_OUT, .len = i + 1} : no_atom;
  } else if (strchr("]PX^_", p[1]) != NULL) {
    while (i < most && p[i] != '\a' && p[i] != ESC)
      i++;
    if (i < most && p[i] == '\a')
      return (atom){.kind = LEFT_OUT, .len = i + 1};
    if (i + 1 < most)
      return p[i + 1] == '\\' ? (atom){.kind = LEFT_OUT, .len = i + 2} : no_atom;
  } else {
    for (i = 1; i < most && p[i] >= 0x20 && p[i] <= 0x2F;)
      i++;
    if (i < most)
      return p[i] >= 0x30 && p[i] <= 0x7E ? (atom){.kind = LEFT_OUT, .len = i + 1} : no_atom;
  }
  return len < PAI_ATOM_MAX ? not_whole : no_atom;
}

static atom read_atom(const uint8_t *p, size_t len) {
  size_t i = 1;
  switch (*p) {
  case '\n':
  case '\r':
    while (i < len && i < GAP_MAX && (p[i] == '\n' || p[i] == '\r'))
      i++;
    while (i < len && i < GAP_MAX && (p[i] == ' ' || p[i] == '\t'))
      i++;
    return (atom){.kind = LEFT_OUT, .len = i, .line_end = true};
  case ESC:
    return read_escape(p, len);
  case '%':
    return read_byte(p, len, 1);
  case '\\':
    return with_code(p, len, read_backslash(p, len));
  case '&':
    return read_entity(p, len);
  default:
    return no_atom;
  }
}

/* ---- where atoms may begin ---- */

typedef uint8_t lanes __attribute__((vector_size(16)));
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte is the lowest one");

static inline bool begins_atom(uint8_t c) {
  return c == '\n' || c == '\r' || c == ESC || c == '%' || c == '\\' || c == '&';
}

// The first byte at or after `at` that may begin an atom. The vector's test also stops at a few
// bytes that begin none: a compare less for each of them is faster.
static size_t next_trigger(const uint8_t *text, size_t at, size_t len) {
  for (; at + sizeof(lanes) <= len; at += sizeof(lanes)) {
    lanes v;
    memcpy(&v, text + at, sizeof v);
    lanes hit = (lanes)((v | 3) == 0x27) | (lanes)((v | 7) == 0x0F) | (lanes)(v == ESC) |
                (lanes)(v == '\\');
    uint64_t word[2];
    memcpy(word, &hit, sizeof word);
    if ((word[0] | word[1]) == 0)
      continue;
    for (size_t i = 0; i < sizeof word / sizeof word[0]; i++)
      while (word[i] != 0) {
        unsigned k = (unsigned)__builtin_ctzll(word[i]) / 8;
        if (begins_atom(text[at + 8 * i + k]))
          return at + 8 * i + k;
        word[i] &= ~(UINT64_C(0xFF) << 8 * k);
      }
  }
  while (at < len && !begins_atom(text[at]))
    at++;
  return at;
}

/* ---- the view ---- */

int pai_view_room(view *v, size_t old_size, size_t size) {
  uint8_t *bytes = pai_locked_alloc(size);
  // Two segments take three bytes of text at least.
  segment *segments = pai_calloc(size + 4, sizeof *segments);
  if (bytes == NULL || segments == NULL) {
    pai_locked_free(bytes, size);
    pai_free(segments);
    return PAI_E_NOMEM;
  }
  pai_view_free(v, old_size);
  v->bytes = bytes;
  v->segments = segments;
  return 0;
}

void pai_view_free(view *v, size_t size) {
  pai_locked_free(v->bytes, size);
  pai_free(v->segments);
  *v = (view){0};
}

static void add_segment(view *v, size_t text, size_t atom_len) {
  v->segments[v->count++] =
      (segment){.flat = v->len, .text = (uint32_t)text, .atom = (uint32_t)atom_len};
}

static void add_run(view *v, const uint8_t *text, size_t from, size_t to) {
  if (from == to)
    return;
  add_segment(v, from, 0);
  memcpy(v->bytes + v->len, text + from, to - from);
  v->len += (uint32_t)(to - from);
}

void pai_view_make(view *v, const uint8_t *text, size_t len, bool final) {
  size_t run = 0, at = 0, gap = 0; // run: what is not in the view yet
  v->len = v->count = 0;
  v->pending = (uint32_t)len;
  v->broken = false;
  while ((at = next_trigger(text, at, len)) < len) {
    atom a = read_atom(text + at, len - at);
    if (a.kind == NOT_WHOLE && !final) {
      v->pending = (uint32_t)at;
      len = at;
      break;
    }
    if (at > run)
      gap = 0;
    gap += a.kind == LEFT_OUT ? a.len : 0;
    if (a.kind == NO_ATOM || a.kind == NOT_WHOLE || gap > GAP_MAX) {
      at += a.kind == LEFT_OUT ? a.len : 1; // stands for itself
      continue;
    }
    add_run(v, text, run, at);
    if (a.kind == DECODED) {
      add_segment(v, at, a.len);
      memcpy(v->bytes + v->len, a.bytes, a.count);
      v->len += a.count;
      gap = 0;
    }
    at += a.len;
    run = at;
    v->broken = a.line_end && at == len;
  }
  add_run(v, text, run, len);
}

static const segment *segment_of(const view *v, uint32_t flat) {
  uint32_t low = 0, high = v->count;
  while (high - low > 1) {
    uint32_t mid = low + (high - low) / 2;
    if (v->segments[mid].flat <= flat)
      low = mid;
    else
      high = mid;
  }
  return &v->segments[low];
}

size_t pai_view_text(const view *v, uint32_t flat) {
  const segment *s = segment_of(v, flat);
  return s->atom != 0 ? s->text : s->text + (flat - s->flat);
}

size_t pai_view_text_end(const view *v, uint32_t flat) {
  const segment *s = segment_of(v, flat);
  return s->atom != 0 ? s->text + s->atom : s->text + (flat - s->flat) + 1;
}
