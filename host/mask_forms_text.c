/* The encodings of shells, XML and YAML, of values of several lines, and UTF-16. See mask_set.h. */
#include "mask_set.h"

#include <stdio.h>

static size_t put(uint8_t *out, size_t n, const char *text) {
  size_t len = strlen(text);
  memcpy(out + n, text, len);
  return n + len;
}

// What one byte is written as: NULL is the byte itself. buf: for those that are made.
typedef const char *(*pai_byte_form)(uint8_t c, char buf[8]);

static int each_byte(const forms *f, pai_byte_form form) {
  size_t n = 0;
  char buf[8];
  for (size_t i = 0; i < f->len; i++) {
    const char *as = form(f->value[i], buf);
    if (as != NULL)
      n = put(f->out, n, as);
    else
      f->out[n++] = f->value[i];
  }
  return f->fn(f->ud, f->out, n);
}

/* ---- shells ---- */

static const char *in_single_quotes(uint8_t c, char buf[8]) {
  (void)buf;
  return c == '\'' ? "'\\''" : NULL;
}

static const char *in_quoted_quotes(uint8_t c, char buf[8]) { // as Python's shlex does
  (void)buf;
  return c == '\'' ? "'\"'\"'" : NULL;
}

static const char *doubled(uint8_t c, char buf[8]) { // YAML, SQL, PowerShell
  (void)buf;
  return c == '\'' ? "''" : NULL;
}

static const char *escaped(uint8_t c, const char *which, char buf[8]) {
  if (c == 0 || strchr(which, c) == NULL)
    return NULL;
  buf[0] = '\\';
  buf[1] = (char)c;
  buf[2] = '\0';
  return buf;
}

static const char *in_double_quotes(uint8_t c, char buf[8]) {
  return escaped(c, "\"\\$`", buf);
}

static const char *in_history_quotes(uint8_t c, char buf[8]) {
  return escaped(c, "\"\\$`!", buf);
}

static const char *single_escaped(uint8_t c, char buf[8]) {
  return escaped(c, "'\\", buf);
}

static const char *with_backslashes(uint8_t c, char buf[8]) { // printf %q of bash
  return escaped(c, " \t'\"\\|&;()<>!{}*[]?^$`,~#", buf);
}

// $'…' of bash and ksh: bytes that do not print as three octal digits.
static const char *in_dollar_quotes(uint8_t c, char buf[8]) {
  static const char from[] = "\a\b\t\n\v\f\r\x1B", to[] = "abtnvfrE";
  const char *known = c != 0 ? strchr(from, c) : NULL;
  if (known != NULL)
    snprintf(buf, 8, "\\%c", to[known - from]);
  else if (c < 0x20 || c >= 0x7F)
    snprintf(buf, 8, "\\%03o", c);
  else
    return single_escaped(c, buf);
  return buf;
}

/* ---- XML ---- */

static const char *named(uint8_t c, const char *quote, const char *apostrophe) {
  switch (c) {
  case '&':
    return "&amp;";
  case '<':
    return "&lt;";
  case '>':
    return "&gt;";
  case '"':
    return quote;
  case '\'':
    return apostrophe;
  default:
    return NULL;
  }
}

static const char *xml_text(uint8_t c, char buf[8]) {
  (void)buf;
  return named(c, NULL, NULL);
}

static const char *xml_attribute(uint8_t c, char buf[8]) {
  (void)buf;
  return named(c, "&quot;", NULL);
}

static const char *xml_names(uint8_t c, char buf[8]) {
  (void)buf;
  return named(c, "&quot;", "&apos;");
}

static const char *xml_decimal(uint8_t c, char buf[8]) {
  (void)buf;
  return named(c, "&#34;", "&#39;");
}

static const char *xml_mixed(uint8_t c, char buf[8]) {
  (void)buf;
  return named(c, "&quot;", "&#39;");
}

static const char *xml_hex(uint8_t c, char buf[8]) {
  (void)buf;
  return named(c, "&quot;", "&#x27;");
}

/* ---- lines ---- */

static const char *with_crlf(uint8_t c, char buf[8]) {
  (void)buf;
  return c == '\n' ? "\r\n" : c == '\r' ? "" : NULL;
}

static const char *without_lines(uint8_t c, char buf[8]) {
  (void)buf;
  return c == '\n' || c == '\r' ? "" : NULL;
}

static const char *with_spaces(uint8_t c, char buf[8]) {
  (void)buf;
  return c == '\n' ? " " : c == '\r' ? "" : NULL;
}

size_t pai_mask_one_line(const uint8_t *value, size_t len, uint8_t *out) {
  size_t n = 0;
  for (size_t i = 0; i < len;) {
    if (value[i] != '\n' && value[i] != '\r') {
      out[n++] = value[i++];
      continue;
    }
    while (i < len && strchr(" \t\r\n", value[i]) != NULL && value[i] != 0)
      i++;
    out[n++] = ' ';
  }
  return n;
}

// A line of the body of a key is itself worth hiding, whatever stands before and after it.
#define BODY_LINE 32
static int body_lines(const forms *f) {
  int rc = 0;
  for (size_t i = 0, from = 0; rc == 0 && i <= f->len; i++) {
    uint8_t c = i < f->len ? f->value[i] : '\n';
    bool digit = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
                 (c != 0 && strchr("+/=-_", c) != NULL);
    if (digit)
      continue;
    if ((c == '\n' || c == '\r') && i - from >= BODY_LINE && i - from < f->len)
      rc = f->fn(f->ud, f->value + from, i - from);
    from = i + 1;
  }
  return rc;
}

static int line_forms(const forms *f) {
  if (memchr(f->value, '\n', f->len) == NULL)
    return 0;
  int rc = each_byte(f, with_crlf);
  if (rc == 0)
    rc = each_byte(f, without_lines);
  if (rc == 0)
    rc = each_byte(f, with_spaces);
  if (rc == 0)
    rc = f->fn(f->ud, f->out, pai_mask_one_line(f->value, f->len, f->out));
  return rc == 0 ? body_lines(f) : rc;
}

/* ---- UTF-16 ---- */

static size_t put_unit(uint8_t *out, size_t n, uint32_t unit, bool big) {
  out[n] = (uint8_t)(big ? unit >> 8 : unit);
  out[n + 1] = (uint8_t)(big ? unit : unit >> 8);
  return n + 2;
}

static int utf16_form(const forms *f, bool big) {
  size_t n = 0;
  for (size_t i = 0; i < f->len;) {
    uint32_t c = pai_mask_next_char(f->value, f->len, &i);
    if (c >= 0x10000) {
      n = put_unit(f->out, n, 0xD800 + ((c - 0x10000) >> 10 & 0x3FF), big);
      c = 0xDC00 + (c & 0x3FF);
    }
    n = put_unit(f->out, n, c, big);
  }
  return f->fn(f->ud, f->out, n);
}

int pai_mask_text_forms(const forms *f) {
  static const pai_byte_form all[] = {
      in_single_quotes, in_quoted_quotes, doubled,          in_double_quotes, in_history_quotes,
      single_escaped,   with_backslashes, in_dollar_quotes, xml_text,         xml_attribute,
      xml_names,        xml_decimal,      xml_mixed,        xml_hex};
  int rc = line_forms(f);
  for (size_t i = 0; rc == 0 && i < sizeof all / sizeof all[0]; i++)
    rc = each_byte(f, all[i]);
  if (rc == 0)
    rc = utf16_form(f, false);
  return rc == 0 ? utf16_form(f, true) : rc;
}
