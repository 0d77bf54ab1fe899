/* The encodings in which a secret is likely to be printed. See mask_set.h. Of base64 only the
 * characters that the secret alone decides are used: with unknown bytes before and after it, the
 * ones at the edges hold bits of those too. */
#include "mask_set.h"
#include "secret_mem.h"

#include <stdio.h>

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

// all: also with every byte escaped.
static int percent_forms(const forms *f, const char *digits, bool all) {
  static const char rfc[] = "-._~", path[] = "-._~/", script[] = "-._~!'()*", form[] = "*-._";
  int rc = all ? percent_form(f, digits, NULL, false) : 0;
  if (rc == 0)
    rc = percent_form(f, digits, rfc, false);
  if (rc == 0)
    rc = percent_form(f, digits, path, false);
  if (rc == 0)
    rc = percent_form(f, digits, script, false);
  return rc == 0 ? percent_form(f, digits, form, true) : rc;
}

uint32_t pai_mask_next_char(const uint8_t *value, size_t len, size_t *i) {
  const uint8_t *p = value + *i;
  size_t left = len - *i;
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

// The inside of a JSON string; returns its length.
static size_t json_text(const uint8_t *value, size_t len, const json_style *style, uint8_t *out) {
  static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
  size_t n = 0;
  for (size_t i = 0; i < len;) {
    uint8_t byte = value[i];
    const char *known = byte != 0 ? strchr(from, byte) : NULL;
    if (known != NULL || (byte == '/' && style->slash)) {
      out[n++] = '\\';
      out[n++] = known != NULL ? (uint8_t)to[known - from] : '/';
      i++;
    } else if (byte < 0x20 || (style->html && byte != 0 && strchr("<>&", byte) != NULL)) {
      n += put_u(out + n, byte, style->digits);
      i++;
    } else if (byte >= 0x80 && style->ascii) {
      uint32_t c = pai_mask_next_char(value, len, &i);
      if (c >= 0x10000) {
        n += put_u(out + n, 0xD800 + ((c - 0x10000) >> 10 & 0x3FF), style->digits);
        c = 0xDC00 + (c & 0x3FF);
      }
      n += put_u(out + n, c, style->digits);
    } else {
      out[n++] = byte;
      i++;
    }
  }
  return n;
}

// Each as it stands and as a string within JSON that is itself a string of JSON.
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
  for (size_t i = 0; rc == 0 && i < sizeof styles / sizeof styles[0]; i++) {
    size_t n = json_text(f->value, f->len, &styles[i], f->between);
    rc = f->fn(f->ud, f->between, n);
    if (rc == 0)
      rc = f->fn(f->ud, f->out, json_text(f->between, n, &styles[0], f->out));
  }
  return rc;
}

static int start(forms *f) {
  size_t room = PAI_MASK_FORMS_MAX * f->len + 8;
  f->out = pai_locked_alloc(room);
  f->between = pai_locked_alloc(room);
  return f->out != NULL && f->between != NULL ? 0 : PAI_E_NOMEM;
}

static void finish(forms *f) {
  size_t room = PAI_MASK_FORMS_MAX * f->len + 8;
  pai_locked_free(f->out, room);
  pai_locked_free(f->between, room);
}

int pai_mask_forms(const uint8_t *value, size_t len, pai_mask_form fn, void *ud) {
  forms f = {.value = value, .len = len, .fn = fn, .ud = ud};
  int rc = start(&f);
  if (rc == 0)
    rc = fn(ud, value, len);
  if (rc == 0)
    rc = base64_forms(&f);
  if (rc == 0)
    rc = hex_form(&f, hex_lower);
  if (rc == 0)
    rc = hex_form(&f, hex_upper);
  if (rc == 0)
    rc = percent_forms(&f, hex_lower, true);
  if (rc == 0)
    rc = percent_forms(&f, hex_upper, true);
  if (rc == 0)
    rc = json_forms(&f);
  if (rc == 0)
    rc = pai_mask_text_forms(&f);
  finish(&f);
  return rc;
}

// As the view shows it: without line ends, as a text that is not escaped and as one that is.
static int flat_form(const forms *f, const uint8_t *text, size_t len) {
  view v = {0};
  size_t n = 0;
  for (size_t i = 0; i < len; i++) {
    if (text[i] != '\n' && text[i] != '\r' && (n > 0 || (text[i] != ' ' && text[i] != '\t')))
      f->out[n++] = text[i];
    // The blanks that begin a line are left out with its end.
    while ((text[i] == '\n' || text[i] == '\r') && i + 1 < len &&
           (text[i + 1] == ' ' || text[i + 1] == '\t'))
      i++;
  }
  int rc = f->fn(f->ud, f->out, n);
  if (rc == 0)
    rc = pai_view_room(&v, 0, len);
  if (rc == 0) {
    pai_view_make(&v, text, len, true);
    rc = f->fn(f->ud, v.bytes, v.len);
  }
  pai_view_free(&v, len);
  return rc;
}

int pai_mask_flat_forms(const uint8_t *value, size_t len, pai_mask_form fn, void *ud) {
  forms f = {.value = value, .len = len, .fn = fn, .ud = ud};
  int rc = start(&f);
  if (rc == 0)
    rc = flat_form(&f, value, len);
  if (rc == 0)
    rc = flat_form(&f, f.between, pai_mask_one_line(value, len, f.between));
  if (rc == 0)
    rc = base64_forms(&f);
  if (rc == 0)
    rc = hex_form(&f, hex_lower);
  if (rc == 0)
    rc = hex_form(&f, hex_upper);
  // What was escaped once more is seen escaped once.
  if (rc == 0)
    rc = percent_forms(&f, hex_lower, false);
  if (rc == 0)
    rc = percent_forms(&f, hex_upper, false);
  if (rc == 0)
    rc = json_forms(&f);
  finish(&f);
  return rc;
}
