/* JSON scalars, written. See json.h. */
#include "json.h"

#include "json_scan.h"

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

int pai_json_write_string(pai_buf *b, const char *s, size_t len, bool replace) {
  const char *end = s + len;
  int rc = pai_buf_add(b, "\"", 1);
  const char *from = s;
  while (rc == 0 && s < end) {
    s = pai_json_plain_end(s, end);
    if (s >= end)
      break;
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

int pai_json_write_float(pai_buf *b, double d) {
  if (!isfinite(d))
    return PAI_E_ARG;
  char text[40];
  int n = 0;
  for (int precision = 15; precision <= 17; precision++) {
    n = snprintf(text, sizeof text, "%.*g", precision, d);
    if (strtod(text, NULL) == d)
      break;
  }
  if (strpbrk(text, ".e") == NULL) { // stays a float when it is read again
    memcpy(text + n, ".0", 3);
    n += 2;
  }
  return pai_buf_add(b, text, (size_t)n);
}
