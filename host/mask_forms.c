/* The encodings in which a secret is likely to be printed. See mask_set.h. Of base64 only the
 * characters that the secret alone decides are used: with unknown bytes before and after it, the
 * ones at the edges hold bits of those too. */
#include "mask_set.h"
#include "secret_mem.h"

#include <stdio.h>

typedef struct forms {
  const uint8_t *value;
  size_t len;
  uint8_t *out; // locked, PAI_MASK_FORMS_MAX * len + 8 bytes
  pai_mask_form fn;
  void *ud;
} forms;

static const char hex_lower[] = "0123456789abcdef";
static const char hex_upper[] = "0123456789ABCDEF";

// The characters of the base64 text of (shift unknown bytes) + value that depend on value only.
static size_t base64_inner(const forms *f, size_t shift, const char *alphabet) {
  size_t first = (8 * shift + 5) / 6, last = (8 * (shift + f->len)) / 6, n = 0;
  for (size_t i = first; i < last; i++) {
    unsigned v = 0;
    for (size_t bit = 6 * i - 8 * shift; bit < 6 * i - 8 * shift + 6; bit++)
      v = v << 1 | ((unsigned)f->value[bit / 8] >> (7 - bit % 8) & 1U);
    f->out[n++] = (uint8_t)alphabet[v];
  }
  return n;
}

static int base64_forms(const forms *f) {
  static const char std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  int rc = 0;
  for (size_t shift = 0; rc == 0 && shift < 3; shift++) {
    rc = f->fn(f->ud, f->out, base64_inner(f, shift, std));
    if (rc == 0)
      rc = f->fn(f->ud, f->out, base64_inner(f, shift, url));
  }
  return rc;
}

static int hex_form(const forms *f, const char *digits) {
  for (size_t i = 0; i < f->len; i++) {
    f->out[2 * i] = (uint8_t)digits[f->value[i] >> 4];
    f->out[2 * i + 1] = (uint8_t)digits[f->value[i] & 15];
  }
  return f->fn(f->ud, f->out, 2 * f->len);
}

static bool is_unreserved(uint8_t c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

// keep: the characters besides letters and digits that stay; NULL: nothing stays.
static int percent_form(const forms *f, const char *digits, const char *keep, bool plus) {
  size_t n = 0;
  for (size_t i = 0; i < f->len; i++) {
    uint8_t c = f->value[i];
    if (keep != NULL && (is_unreserved(c) || (c != 0 && strchr(keep, c) != NULL))) {
      f->out[n++] = c;
    } else if (plus && c == ' ') {
      f->out[n++] = '+';
    } else {
      f->out[n++] = '%';
      f->out[n++] = (uint8_t)digits[c >> 4];
      f->out[n++] = (uint8_t)digits[c & 15];
    }
  }
  return f->fn(f->ud, f->out, n);
}

static int percent_forms(const forms *f, const char *digits) {
  static const char rfc[] = "-._~", path[] = "-._~/", script[] = "-._~!'()*", form[] = "*-._";
  int rc = percent_form(f, digits, NULL, false);
  if (rc == 0)
    rc = percent_form(f, digits, rfc, false);
  if (rc == 0)
    rc = percent_form(f, digits, path, false);
  if (rc == 0)
    rc = percent_form(f, digits, script, false);
  return rc == 0 ? percent_form(f, digits, form, true) : rc;
}

// One code point from valid UTF-8, or the byte itself.
static uint32_t next_char(const forms *f, size_t *i) {
  const uint8_t *p = f->value + *i;
  size_t left = f->len - *i;
  size_t n = *p >= 0xF0 ? 4 : *p >= 0xE0 ? 3 : *p >= 0xC0 ? 2 : 1;
  if (n == 1 || n > left) {
    *i += 1;
    return *p;
  }
  uint32_t c = *p & (0xFFU >> (n + 1));
  for (size_t k = 1; k < n; k++)
    c = c << 6 | (p[k] & 0x3F);
  *i += n;
  return c;
}

typedef struct json_style {
  bool ascii; // characters over 127 as \uXXXX
  bool slash; // "/" as "\/"
  bool html;  // < > & as \u003c…
  const char *digits;
} json_style;

static size_t put_u(uint8_t *out, uint32_t c, const char *digits) {
  out[0] = '\\';
  out[1] = 'u';
  for (int i = 0; i < 4; i++)
    out[2 + i] = (uint8_t)digits[c >> (12 - 4 * i) & 15];
  return 6;
}

static int json_form(const forms *f, json_style style) {
  static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
  size_t n = 0;
  for (size_t i = 0; i < f->len;) {
    uint8_t byte = f->value[i];
    const char *known = byte != 0 ? strchr(from, byte) : NULL;
    if (known != NULL || (byte == '/' && style.slash)) {
      f->out[n++] = '\\';
      f->out[n++] = known != NULL ? (uint8_t)to[known - from] : '/';
      i++;
    } else if (byte < 0x20 || (style.html && byte != 0 && strchr("<>&", byte) != NULL)) {
      n += put_u(f->out + n, byte, style.digits);
      i++;
    } else if (byte >= 0x80 && style.ascii) {
      uint32_t c = next_char(f, &i);
      if (c >= 0x10000) {
        n += put_u(f->out + n, 0xD800 + ((c - 0x10000) >> 10 & 0x3FF), style.digits);
        c = 0xDC00 + (c & 0x3FF);
      }
      n += put_u(f->out + n, c, style.digits);
    } else {
      f->out[n++] = byte;
      i++;
    }
  }
  return f->fn(f->ud, f->out, n);
}

static int json_forms(const forms *f) {
  static const json_style styles[] = {
      {.digits = hex_lower},
      {.digits = hex_upper},
      {.digits = hex_lower, .ascii = true},
      {.digits = hex_upper, .ascii = true},
      {.digits = hex_lower, .slash = true},
      {.digits = hex_lower, .slash = true, .ascii = true},
      {.digits = hex_lower, .html = true},
  };
  int rc = 0;
  for (size_t i = 0; rc == 0 && i < sizeof styles / sizeof styles[0]; i++)
    rc = json_form(f, styles[i]);
  return rc;
}

int pai_mask_forms(const uint8_t *value, size_t len, pai_mask_form fn, void *ud) {
  size_t room = PAI_MASK_FORMS_MAX * len + 8;
  forms f = {.value = value, .len = len, .fn = fn, .ud = ud};
  f.out = pai_locked_alloc(room);
  if (f.out == NULL)
    return PAI_E_NOMEM;
  int rc = fn(ud, value, len);
  if (rc == 0)
    rc = base64_forms(&f);
  if (rc == 0)
    rc = hex_form(&f, hex_lower);
  if (rc == 0)
    rc = hex_form(&f, hex_upper);
  if (rc == 0)
    rc = percent_forms(&f, hex_lower);
  if (rc == 0)
    rc = percent_forms(&f, hex_upper);
  if (rc == 0)
    rc = json_forms(&f);
  pai_locked_free(f.out, room);
  return rc;
}
