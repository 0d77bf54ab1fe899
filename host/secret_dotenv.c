/* KEY=VALUE files. See secret_dotenv.h. Lines end with LF or CRLF; "#" begins a comment at the
 * start of a line, after a blank, or after a closing quote; "export " before a name is passed over;
 * quoted values may go over several lines; in double quotes \n \r \t \" \\ \$ \` are escapes. */
#include "secret_dotenv.h"

#include <stdbool.h>
#include <string.h>

typedef struct reader {
  char *p, *end;
  int line;
  pai_error *err;
} reader;

static int fail(const reader *r, const char *why) {
  return pai_error_set(r->err, PAI_E_PARSE, "line %d: %s", r->line, why);
}

static bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

static bool is_name(char c, bool first) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
         (!first && c >= '0' && c <= '9');
}

static void skip_blanks(reader *r) {
  while (r->p < r->end && is_blank(*r->p))
    r->p++;
}

static bool at_line_end(const reader *r) {
  return r->p == r->end || *r->p == '\n' ||
         (*r->p == '\r' && (r->p + 1 == r->end || r->p[1] == '\n'));
}

static void skip_line(reader *r) {
  while (r->p < r->end && *r->p != '\n')
    r->p++;
}

// p is after the opening quote, then after the closing one.
static int read_quoted(reader *r, char quote, size_t *len) {
  static const char from[] = "nrt\"\\$`", to[] = "\n\r\t\"\\$`";
  char *out = r->p, *start = r->p;
  int opened = r->line;
  for (; r->p < r->end && *r->p != quote; r->p++) {
    char c = *r->p;
    if (c == '\r' && r->p + 1 < r->end && r->p[1] == '\n')
      continue;
    if (c == '\n')
      r->line++;
    if (c == '\\' && quote == '"' && r->p + 1 < r->end) {
      const char *known = r->p[1] != '\0' ? strchr(from, r->p[1]) : NULL;
      if (known != NULL) {
        c = to[known - from];
        r->p++;
      }
    }
    *out++ = c;
  }
  if (r->p == r->end) {
    r->line = opened;
    return fail(r, "a quote is not closed");
  }
  r->p++;
  *len = (size_t)(out - start);
  skip_blanks(r);
  if (r->p < r->end && *r->p == '#')
    skip_line(r);
  return at_line_end(r) ? 0 : fail(r, "text after the closing quote");
}

static void read_plain(reader *r, size_t *len) {
  char *start = r->p;
  while (!at_line_end(r) && !(*r->p == '#' && (r->p == start || is_blank(r->p[-1]))))
    r->p++;
  char *stop = r->p;
  while (stop > start && is_blank(stop[-1]))
    stop--;
  *len = (size_t)(stop - start);
  skip_line(r);
}

static int read_entry(reader *r, pai_dotenv_fn fn, void *ud) {
  static const char export[] = "export";
  size_t n = sizeof export - 1;
  if ((size_t)(r->end - r->p) > n && memcmp(r->p, export, n) == 0 && is_blank(r->p[n])) {
    r->p += n;
    skip_blanks(r);
  }
  const char *name = r->p;
  while (r->p < r->end && is_name(*r->p, r->p == name))
    r->p++;
  size_t name_len = (size_t)(r->p - name), len = 0;
  if (name_len == 0)
    return fail(r, "expected NAME=VALUE");
  skip_blanks(r);
  if (r->p == r->end || *r->p != '=')
    return fail(r, "expected '=' after the name");
  r->p++;
  skip_blanks(r);
  const char *value = r->p;
  if (r->p < r->end && (*r->p == '"' || *r->p == '\'')) {
    char quote = *r->p++;
    value = r->p;
    int rc = read_quoted(r, quote, &len);
    if (rc < 0)
      return rc;
  } else {
    read_plain(r, &len);
  }
  if (memchr(value, '\0', len) != NULL)
    return fail(r, "a NUL byte in a value");
  return fn(ud, name, name_len, value, len, r->err);
}

int pai_dotenv_parse(char *text, size_t len, pai_dotenv_fn fn, void *ud, pai_error *err) {
  static const char mark[] = "\xEF\xBB\xBF"; // some editors put it at the start
  reader r = {.p = text, .end = text + len, .line = 1, .err = err};
  if (len >= 3 && memcmp(text, mark, 3) == 0)
    r.p += 3;
  while (r.p < r.end) {
    skip_blanks(&r);
    if (r.p < r.end && *r.p == '#')
      skip_line(&r);
    int rc = at_line_end(&r) ? 0 : read_entry(&r, fn, ud);
    if (rc < 0)
      return rc;
    skip_line(&r);
    if (r.p < r.end)
      r.p++;
    r.line++;
  }
  return 0;
}
