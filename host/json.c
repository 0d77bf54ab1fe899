/* JSON tokens. See json.h. Strings are scanned many bytes at a time and handed out where they lie;
 * only those with an escape are copied. The '\0' after the text ends every loop, so that one byte
 * needs one test. */
#include "json.h"

#include "json_scan.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char pai_json_null = 'n';

void pai_json_reader_init(pai_json_reader *r, const char *text, size_t len, pai_buf *scratch,
                          pai_error *err) {
  *r =
      (pai_json_reader){.text = text, .p = text, .end = text + len, .scratch = scratch, .err = err};
}

int pai_json_fail(pai_json_reader *r, const char *at, int code, const char *fmt, ...) {
  r->line = 1;
  r->column = 1;
  for (const char *s = r->text; s < at; s++) {
    if (*s == '\n') {
      r->line++;
      r->column = 1;
    } else if (((unsigned char)*s & 0xC0) != 0x80) {
      r->column++;
    }
  }
  char what[160];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(what, sizeof what, fmt, ap);
  va_end(ap);
  return pai_error_set(r->err, code, "line %" PRId64 ", column %" PRId64 ": %s", r->line, r->column,
                       what);
}

int pai_json_unexpected(pai_json_reader *r, const char *expected) {
  unsigned char c = (unsigned char)*r->p;
  if (r->p >= r->end)
    return pai_json_fail(r, r->end, PAI_E_PARSE, "unexpected end, expected %s", expected);
  if (c >= 0x20 && c < 0x7F)
    return pai_json_fail(r, r->p, PAI_E_PARSE, "unexpected '%c', expected %s", c, expected);
  return pai_json_fail(r, r->p, PAI_E_PARSE, "unexpected byte 0x%02X, expected %s", c, expected);
}

size_t pai_utf8_length(const char *s, const char *end) {
  const unsigned char *u = (const unsigned char *)s;
  size_t room = (size_t)(end - s);
  if (room == 0)
    return 0;
  if (u[0] < 0x80)
    return 1;
  size_t n = u[0] >= 0xF0 ? 4 : u[0] >= 0xE0 ? 3 : 2;
  if (u[0] < 0xC2 || u[0] > 0xF4 || room < n)
    return 0;
  for (size_t i = 1; i < n; i++)
    if ((u[i] & 0xC0) != 0x80)
      return 0;
  // Overlong forms, surrogates and what lies over U+10FFFF show in the second byte.
  if ((u[0] == 0xE0 && u[1] < 0xA0) || (u[0] == 0xED && u[1] > 0x9F) ||
      (u[0] == 0xF0 && u[1] < 0x90) || (u[0] == 0xF4 && u[1] > 0x8F))
    return 0;
  return n;
}

static int hex4(const char *p, uint32_t *out) {
  uint32_t v = 0;
  for (int i = 0; i < 4; i++) {
    char c = p[i]; // the '\0' after the text stops this
    uint32_t digit;
    if (c >= '0' && c <= '9')
      digit = (uint32_t)(c - '0');
    else if ((c | 32) >= 'a' && (c | 32) <= 'f')
      digit = (uint32_t)((c | 32) - 'a') + 10;
    else
      return -1;
    v = v << 4 | digit;
  }
  *out = v;
  return 0;
}

static size_t put_utf8(char *out, uint32_t c) {
  if (c < 0x80) {
    out[0] = (char)c;
    return 1;
  }
  if (c < 0x800) {
    out[0] = (char)(0xC0 | c >> 6);
    out[1] = (char)(0x80 | (c & 0x3F));
    return 2;
  }
  if (c < 0x10000) {
    out[0] = (char)(0xE0 | c >> 12);
    out[1] = (char)(0x80 | (c >> 6 & 0x3F));
    out[2] = (char)(0x80 | (c & 0x3F));
    return 3;
  }
  out[0] = (char)(0xF0 | c >> 18);
  out[1] = (char)(0x80 | (c >> 12 & 0x3F));
  out[2] = (char)(0x80 | (c >> 6 & 0x3F));
  out[3] = (char)(0x80 | (c & 0x3F));
  return 4;
}

// p is after "\u".
static int unicode_escape(pai_json_reader *r, char *out, size_t *n) {
  const char *at = r->p - 2;
  uint32_t c, low;
  if (hex4(r->p, &c) < 0)
    return pai_json_fail(r, at, PAI_E_PARSE, "\\u needs four hex digits");
  r->p += 4;
  if (c >= 0xD800 && c <= 0xDBFF && r->p[0] == '\\' && r->p[1] == 'u' &&
      hex4(r->p + 2, &low) == 0 && low >= 0xDC00 && low <= 0xDFFF) {
    r->p += 6;
    c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
  }
  if (c >= 0xD800 && c <= 0xDFFF)
    return pai_json_fail(r, at, PAI_E_PARSE, "half of a surrogate pair");
  *n = put_utf8(out, c);
  return 0;
}

// p is at the backslash.
static int escape(pai_json_reader *r) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  char bytes[4];
  size_t n = 1;
  char c = r->p[1];
  const char *known = c != '\0' ? strchr(from, c) : NULL;
  if (known != NULL) {
    bytes[0] = to[known - from];
    r->p += 2;
  } else if (c == 'u') {
    r->p += 2;
    int rc = unicode_escape(r, bytes, &n);
    if (rc < 0)
      return rc;
  } else {
    return pai_json_fail(r, r->p, PAI_E_PARSE, "unknown escape in a string");
  }
  if (pai_buf_add(r->scratch, bytes, n) < 0)
    return pai_error_set(r->err, PAI_E_NOMEM, "out of memory in a JSON string");
  return 0;
}

int pai_json_read_string(pai_json_reader *r, const char **s, size_t *len) {
  const char *from = r->p; // what is not yet copied, or the whole string
  bool copied = false;
  for (;;) {
    r->p = pai_json_plain_end(r->p, r->end);
    unsigned char c = (unsigned char)*r->p;
    if (r->p >= r->end)
      return pai_json_fail(r, r->end, PAI_E_PARSE, "unexpected end in a string");
    if (c == '"' && !copied) {
      *s = from;
      *len = (size_t)(r->p++ - from);
      return 0;
    }
    if (c >= 0x80) {
      size_t n = pai_utf8_length(r->p, r->end);
      if (n == 0)
        return pai_json_fail(r, r->p, PAI_E_PARSE, "invalid UTF-8 (byte 0x%02X)", c);
      r->p += n;
      continue;
    }
    if (c < 0x20)
      return pai_json_fail(r, r->p, PAI_E_PARSE, "control byte 0x%02X in a string", c);
    if (!copied)
      pai_buf_clear(r->scratch);
    copied = true;
    if (pai_buf_add(r->scratch, from, (size_t)(r->p - from)) < 0)
      return pai_error_set(r->err, PAI_E_NOMEM, "out of memory in a JSON string");
    if (c == '"') {
      r->p++;
      *s = r->scratch->data;
      *len = r->scratch->len;
      return 0;
    }
    int rc = escape(r);
    if (rc < 0)
      return rc;
    from = r->p;
  }
}

// The value of digits * 10^exp10; exact by itself where both fit a double, else by strtod.
static int read_float(pai_json_reader *r, const char *start, bool negative, uint64_t digits,
                      int64_t exp10, bool all_digits, double *out) {
  static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                 1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  if (all_digits && digits <= UINT64_C(1) << 53 && exp10 >= -22 && exp10 <= 22) {
    double d = (double)digits;
    d = exp10 < 0 ? d / power[-exp10] : d * power[exp10];
    *out = negative ? -d : d;
    return 0;
  }
  *out = strtod(start, NULL);
  if (!isfinite(*out))
    return pai_json_fail(r, start, PAI_E_LIMIT, "a number over the range of a double");
  return 0;
}

static int64_t read_exponent(pai_json_reader *r, bool *ok) {
  bool negative = *++r->p == '-';
  if (*r->p == '-' || *r->p == '+')
    r->p++;
  *ok = *r->p >= '0' && *r->p <= '9';
  int64_t e = 0;
  for (; *r->p >= '0' && *r->p <= '9'; r->p++)
    if (e < 100000)
      e = e * 10 + (*r->p - '0');
  return negative ? -e : e;
}

// Reads digits behind those in *v; false when they do not fit. *room: how many more surely do.
static bool read_digits(pai_json_reader *r, uint64_t *v, int *room) {
  const char *p = r->p;
  uint64_t all = *v;
  for (; *room > 0 && *p >= '0' && *p <= '9'; p++, --*room)
    all = all * 10 + (unsigned)(*p - '0');
  bool fits = true;
  for (; *p >= '0' && *p <= '9'; p++) {
    unsigned digit = (unsigned)(*p - '0');
    fits = fits && all <= (UINT64_MAX - digit) / 10;
    all = all * 10 + digit;
  }
  *v = all;
  r->p = p;
  return fits;
}

int pai_json_read_number(pai_json_reader *r, bool exact, pai_json_number *out) {
  const char *start = r->p;
  bool negative = *r->p == '-', ok = true;
  r->p += negative;
  const char *first = r->p;
  uint64_t digits = 0;
  int room = 19;
  bool fits = read_digits(r, &digits, &room);
  if (r->p == first)
    return pai_json_unexpected(r, "a digit");
  if (*first == '0' && r->p - first > 1)
    return pai_json_fail(r, start, PAI_E_PARSE, "a number with a leading zero");
  int64_t exp10 = 0;
  out->is_float = false;
  if (*r->p == '.') {
    out->is_float = true;
    const char *fraction = ++r->p;
    fits = read_digits(r, &digits, &room) && fits;
    if (r->p == fraction)
      return pai_json_unexpected(r, "a digit");
    exp10 = fraction - r->p;
  }
  if (*r->p == 'e' || *r->p == 'E') {
    out->is_float = true;
    exp10 += read_exponent(r, &ok);
    if (!ok)
      return pai_json_unexpected(r, "a digit");
  }
  uint64_t most = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
  if (!out->is_float && fits && digits <= most && !(negative && digits == 0)) {
    out->i = negative ? (int64_t)(0 - digits) : (int64_t)digits;
    return 0;
  }
  if (!out->is_float && exact && digits != 0)
    return pai_json_fail(r, start, PAI_E_LIMIT, "an integer over 64 bits");
  out->is_float = true;
  return read_float(r, start, negative, digits, exp10, fits, &out->d);
}

int pai_json_read_word(pai_json_reader *r, const char *word, size_t len) {
  if ((size_t)(r->end - r->p) < len || memcmp(r->p, word, len) != 0)
    return pai_json_unexpected(r, "a value");
  r->p += len;
  return 0;
}

// p is after the opening quote, then after the closing one.
static int skip_string(pai_json_reader *r) {
  const char *open = r->p - 1;
  for (;;) {
    const char *quote = memchr(r->p, '"', (size_t)(r->end - r->p));
    if (quote == NULL)
      return pai_json_fail(r, open, PAI_E_PARSE, "a string without an end");
    const char *slash = quote;
    while (slash > r->p && slash[-1] == '\\')
      slash--;
    r->p = quote + 1;
    if ((quote - slash) % 2 == 0)
      return 0;
  }
}

int pai_json_skip(pai_json_reader *r, int max_depth) {
  uint64_t is_object[PAI_JSON_DEPTH_CEILING / 64];
  int depth = 0;
  do {
    unsigned char c = (unsigned char)*r->p;
    int rc = 0;
    if (r->p >= r->end)
      return pai_json_unexpected(r, "a value");
    r->p++;
    if (c == '"') {
      rc = skip_string(r);
    } else if (c == '{' || c == '[') {
      if (depth == max_depth)
        return pai_json_fail(r, r->p - 1, PAI_E_LIMIT, "nested deeper than %d levels", max_depth);
      uint64_t bit = UINT64_C(1) << (depth % 64);
      is_object[depth / 64] = (is_object[depth / 64] & ~bit) | (c == '{' ? bit : 0);
      depth++;
    } else if (c == '}' || c == ']') {
      depth--;
      if (depth < 0 || (is_object[depth / 64] >> (depth % 64) & 1) != (c == '}')) {
        r->p--;
        return pai_json_unexpected(r, "a value");
      }
    } else if (c > ' ' && c != ',' && c != ':') {
      while (strchr(" \t\r\n,:]}", *r->p) == NULL)
        r->p++;
    } else if (depth == 0) {
      r->p--;
      return pai_json_unexpected(r, "a value");
    }
    if (rc < 0)
      return rc;
  } while (depth > 0);
  return 0;
}
