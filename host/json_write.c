/* JSON scalars, written. See json.h. */
#include "json.h"

#include "json_scan.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int write_escape(pai_buf *b, unsigned char c) {
  static const char names[] = "btn?fr"; // 8 to 13
  char text[8] = {'\\', (char)c};
  size_t n = 2;
  if (c >= 8 && c <= 13 && c != 11)
    text[1] = names[c - 8];
  else if (c < 0x20)
    n = (size_t)snprintf(text, sizeof text, "\\u%04x", c);
  return pai_buf_add(b, text, n);
}

// The string from s on with its quotes; plain: where it stops to be plain.
static int write_escaped(pai_buf *b, const char *s, const char *plain, const char *end,
                         bool replace) {
  const char *from = s;
  int rc = pai_buf_add(b, "\"", 1);
  for (s = plain; rc == 0 && s < end; s = pai_json_plain_end(s, end)) {
    size_t n = (unsigned char)*s >= 0x80 ? pai_utf8_length(s, end) : 0;
    if (n != 0) {
      s += n;
      continue;
    }
    rc = pai_buf_add(b, from, (size_t)(s - from));
    if (rc < 0)
      return rc;
    if ((unsigned char)*s < 0x80)
      rc = write_escape(b, (unsigned char)*s);
    else
      rc = replace ? pai_buf_add(b, "\xEF\xBF\xBD", 3) : PAI_E_PARSE;
    from = ++s;
  }
  if (rc == 0)
    rc = pai_buf_add(b, from, (size_t)(end - from));
  return rc == 0 ? pai_buf_add(b, "\"", 1) : rc;
}

int pai_json_write_string(pai_buf *b, const char *s, size_t len, bool replace) {
  const char *end = s + len, *plain = pai_json_plain_end(s, end);
  if (plain < end)
    return write_escaped(b, s, plain, end, replace);
  int rc = pai_buf_reserve(b, len + 2);
  if (rc < 0)
    return rc;
  char *p = b->data + b->len;
  p[0] = '"';
  if (len > 0) // s may be NULL then
    memcpy(p + 1, s, len);
  p[len + 1] = '"';
  pai_buf_advance(b, len + 2);
  return 0;
}

int pai_json_write_integer(pai_buf *b, int64_t i) {
  char text[24], *p = text + sizeof text;
  uint64_t v = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
  do
    *--p = (char)('0' + v % 10);
  while ((v /= 10) != 0);
  if (i < 0)
    *--p = '-';
  return pai_buf_add(b, p, (size_t)(text + sizeof text - p));
}

// Writes it as digits with a point, when so few do that both sides of the point are exact integers
// together: what %.15g gives. False when they do not.
static bool write_decimal(char *text, size_t size, double d, int *n) {
  static const double power[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
  double a = fabs(d);
  if (!(a >= 1e-3 && a < 1e9))
    return false;
  for (int places = 1; places <= 6; places++) {
    double scaled = a * power[places];
    int64_t digits = (int64_t)(scaled + 0.5);
    if ((double)digits / power[places] != a) // an exact quotient is what reading gives
      continue;
    int64_t unit = (int64_t)power[places];
    *n = snprintf(text, size, "%s%" PRId64 ".%0*" PRId64, d < 0 ? "-" : "", digits / unit, places,
                  digits % unit);
    return true;
  }
  return false;
}

int pai_json_write_float(pai_buf *b, double d) {
  if (!isfinite(d))
    return PAI_E_ARG;
  char text[40];
  int n = 0;
  if (write_decimal(text, sizeof text, d, &n))
    return pai_buf_add(b, text, (size_t)n);
  n = snprintf(text, sizeof text, "%.16g", d);
  if (strtod(text, NULL) != d) {
    n = snprintf(text, sizeof text, "%.17g", d);
  } else {
    char shorter[sizeof text];
    int m = snprintf(shorter, sizeof shorter, "%.15g", d);
    if (strtod(shorter, NULL) == d) {
      memcpy(text, shorter, sizeof text);
      n = m;
    }
  }
  if (strpbrk(text, ".e") == NULL) { // stays a float when it is read again
    memcpy(text + n, ".0", 3);
    n += 2;
  }
  return pai_buf_add(b, text, (size_t)n);
}
