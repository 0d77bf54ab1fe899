/* KEY=VALUE files. See secret_dotenv.h. Lines end with LF or CRLF; "#" begins a comment at the
 * start of a line, after a blank, or after a closing quote; "export " before a name is passed over;
 * quoted values may go over several lines; in double quotes \n \r \t \" \\ \$ \` are escapes. */
#include "secret_dotenv.h"

#include "secret_mem.h"

#include <stdbool.h>
#include <string.h>

typedef struct reader {
  char *p, *end;
  char *after; // the end of the last value as it was written, its closing quote included
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
  r->after = ++r->p;
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
  r->after = stop;
  *len = (size_t)(stop - start);
}

// Fills e but for its line; p is then behind the value.
static int read_entry(reader *r, const char *text, pai_dotenv_entry *e) {
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
  e->value_from = (size_t)(value - text);
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
  e->name = name;
  e->name_len = name_len;
  e->value = value;
  e->value_len = len;
  e->value_to = (size_t)(r->after - text);
  return 0;
}

int pai_dotenv_parse(char *text, size_t len, pai_dotenv_fn fn, void *ud, pai_error *err) {
  static const char mark[] = "\xEF\xBB\xBF"; // some editors put it at the start
  reader r = {.p = text, .end = text + len, .line = 1, .err = err};
  if (len >= 3 && memcmp(text, mark, 3) == 0)
    r.p += 3;
  while (r.p < r.end) {
    pai_dotenv_entry e = {.from = (size_t)(r.p - text)};
    skip_blanks(&r);
    if (r.p < r.end && *r.p == '#')
      skip_line(&r);
    bool empty = at_line_end(&r);
    int rc = empty ? 0 : read_entry(&r, text, &e);
    if (rc < 0)
      return rc;
    skip_line(&r);
    if (r.p < r.end)
      r.p++;
    e.to = (size_t)(r.p - text);
    rc = empty ? 0 : fn(ud, &e, r.err);
    if (rc < 0)
      return rc;
    r.line++;
  }
  return 0;
}

/* ---- changing a file ---- */

typedef struct edit {
  const char *text; // as it was
  const char *name, *value;
  size_t value_len;
  size_t copied;     // so much of text is dealt with
  size_t last, hits; // where the last entry of that name begins; how many there are
  pai_secret_buf *out;
} edit;

static int copy_to(edit *x, size_t to, pai_error *err) {
  int rc = pai_secret_buf_add(x->out, x->text + x->copied, to - x->copied, err);
  x->copied = to;
  return rc;
}

static int add_value(edit *x, pai_error *err) {
  static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                             "_./+=:@%,^-";
  static const char from[] = "\n\r\t\"\\$`", to[] = "nrt\"\\$`";
  bool plain = x->value_len > 0, single = true;
  for (size_t i = 0; i < x->value_len; i++) {
    char c = x->value[i];
    plain = plain && strchr(safe, c) != NULL;
    single = single && c != '\'' && c != '\n' && c != '\r';
  }
  if (plain)
    return pai_secret_buf_add(x->out, x->value, x->value_len, err);
  const char *quote = single ? "'" : "\"";
  int rc = pai_secret_buf_add(x->out, quote, 1, err);
  for (size_t i = 0; rc == 0 && i < x->value_len; i++) {
    const char *escape = single ? NULL : strchr(from, x->value[i]);
    if (escape != NULL) {
      char pair[2] = {'\\', to[escape - from]};
      rc = pai_secret_buf_add(x->out, pair, 2, err);
    } else {
      rc = pai_secret_buf_add(x->out, x->value + i, 1, err);
    }
  }
  return rc == 0 ? pai_secret_buf_add(x->out, quote, 1, err) : rc;
}

static bool is_named(const edit *x, const pai_dotenv_entry *e) {
  return e->name_len == strlen(x->name) && memcmp(e->name, x->name, e->name_len) == 0;
}

static int count_entry(void *ud, const pai_dotenv_entry *e, pai_error *err) {
  edit *x = ud;
  (void)err;
  if (is_named(x, e)) {
    x->last = e->from;
    x->hits++;
  }
  return 0;
}

// The last entry of a name is the one that counts: it is rewritten where it stands, its comment
// kept; older ones would keep a value that somebody wanted to be rid of.
static int edit_entry(void *ud, const pai_dotenv_entry *e, pai_error *err) {
  edit *x = ud;
  if (!is_named(x, e))
    return 0;
  if (x->value == NULL || e->from != x->last) {
    int rc = copy_to(x, e->from, err);
    x->copied = e->to;
    return rc;
  }
  int rc = copy_to(x, e->value_from, err);
  if (rc == 0)
    rc = add_value(x, err);
  x->copied = e->value_to;
  if (rc == 0 && x->text[x->copied] == '#') // after "NAME= " and a comment
    rc = pai_secret_buf_add(x->out, " ", 1, err);
  return rc;
}

static int append_entry(edit *x, size_t len, pai_error *err) {
  const char *newline = memchr(x->text, '\n', len);
  bool crlf = newline != NULL && newline > x->text && newline[-1] == '\r';
  const char *eol = "\r\n" + !crlf;
  int rc = 0;
  if (len > 0 && x->text[len - 1] == '\r') // half of a line end
    rc = pai_secret_buf_add(x->out, "\n", 1, err);
  else if (len > 0 && x->text[len - 1] != '\n')
    rc = pai_secret_buf_add(x->out, eol, strlen(eol), err);
  if (rc == 0)
    rc = pai_secret_buf_add(x->out, x->name, strlen(x->name), err);
  if (rc == 0)
    rc = pai_secret_buf_add(x->out, "=", 1, err);
  if (rc == 0)
    rc = add_value(x, err);
  return rc == 0 ? pai_secret_buf_add(x->out, eol, strlen(eol), err) : rc;
}

// Parses a copy, as parsing changes the text.
static int pass(edit *x, size_t len, pai_dotenv_fn fn, pai_error *err) {
  pai_secret_buf copy = {0};
  int rc = pai_secret_buf_add(&copy, x->text, len, err);
  if (rc == 0 && len > 0)
    rc = pai_dotenv_parse(copy.data, len, fn, x, err);
  pai_secret_buf_free(&copy);
  return rc;
}

static bool is_whole_name(const char *name) {
  for (const char *p = name; *p != '\0'; p++) {
    if (!is_name(*p, p == name))
      return false;
  }
  return *name != '\0';
}

int pai_dotenv_edit(pai_secret_buf *text, const char *name, const char *value, size_t len,
                    pai_error *err) {
  if (!is_whole_name(name))
    return pai_error_set(err, PAI_E_ARG, "a name has letters, digits and _ only");
  if (value != NULL && memchr(value, '\0', len) != NULL)
    return pai_error_set(err, PAI_E_ARG, "a NUL byte in the value");
  pai_secret_buf out = {0};
  size_t size = text->len;
  int rc = pai_secret_buf_add(text, "", 1, err); // one byte may be looked at behind the end
  text->len = size;
  edit x = {.text = text->data, .name = name, .value = value, .value_len = len, .out = &out};
  if (rc == 0)
    rc = pass(&x, size, count_entry, err);
  if (rc == 0)
    rc = pass(&x, size, edit_entry, err);
  if (rc == 0)
    rc = copy_to(&x, size, err);
  if (rc == 0 && value != NULL && x.hits == 0)
    rc = append_entry(&x, size, err);
  if (rc < 0) {
    pai_secret_buf_free(&out);
    return rc;
  }
  pai_secret_buf_free(text);
  *text = out;
  return (int)x.hits;
}
