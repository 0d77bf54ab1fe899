/* One text out of a document. See secret_doc.h. YAML is read here and not by libyaml, which leaves
 * pieces of every value in memory that nobody wipes. */
#include "secret_doc.h"

#include "fs.h"
#include "json.h"
#include "secret_mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* ---- JSON ---- */

// p is at a scalar.
static int json_scalar(pai_json_reader *r, pai_secret_buf *out) {
  const char *s = r->p;
  size_t len;
  if (*r->p == '"') {
    r->p++;
    int rc = pai_json_read_string(r, &s, &len);
    if (rc < 0)
      return rc;
  } else {
    if (*r->p == '{' || *r->p == '[')
      return pai_json_fail(r, r->p, PAI_E_PARSE, "the value is no text");
    len = strcspn(s, ",}] \t\r\n");
    if (len == 4 && memcmp(s, "null", 4) == 0)
      return 0;
  }
  int rc = pai_secret_buf_add(out, s, len, r->err);
  return rc < 0 ? rc : len > 0;
}

// p is at an object: goes to the value of key. 1: it is there.
static int json_member(pai_json_reader *r, const char *key) {
  if (*r->p != '{')
    return 0;
  r->p++;
  for (pai_json_space(r); *r->p != '}'; pai_json_space(r)) {
    const char *name;
    size_t len;
    if (*r->p != '"')
      return pai_json_unexpected(r, "a key");
    r->p++;
    int rc = pai_json_read_string(r, &name, &len);
    if (rc < 0)
      return rc;
    bool found = len == strlen(key) && memcmp(name, key, len) == 0;
    pai_json_space(r);
    if (*r->p != ':')
      return pai_json_unexpected(r, "':'");
    r->p++;
    pai_json_space(r);
    if (found)
      return 1;
    rc = pai_json_skip(r, PAI_JSON_MAX_DEPTH);
    if (rc < 0)
      return rc;
    pai_json_space(r);
    if (*r->p == ',')
      r->p++;
    else if (*r->p != '}')
      return pai_json_unexpected(r, "',' or '}'");
  }
  return 0;
}

int pai_doc_json(const char *text, size_t len, const char *const *keys, size_t count,
                 pai_secret_buf *out, pai_error *err) {
  pai_buf scratch;
  pai_json_reader r;
  pai_error unused;
  pai_buf_init(&scratch, len + 16);
  // All that it may need at once: a buffer that grows leaves its bytes behind.
  if (pai_buf_reserve(&scratch, len + 1) < 0)
    return pai_error_set(err, PAI_E_NOMEM, "out of memory for a document");
  pai_json_reader_init(&r, text, len, &scratch, err != NULL ? err : &unused);
  int rc = 1;
  pai_json_space(&r);
  for (size_t i = 0; i < count && rc == 1; i++)
    rc = json_member(&r, keys[i]);
  if (rc == 1)
    rc = json_scalar(&r, out);
  pai_wipe(scratch.data, scratch.cap);
  pai_buf_free(&scratch);
  return rc;
}

/* ---- YAML ---- */

typedef struct yaml_reader {
  const char *p, *eol, *end; // p and eol: the line, without its indentation and its end
  size_t indent, line;
  pai_error *err;
} yaml_reader;

static int yaml_fail(const yaml_reader *r, const char *why) {
  return pai_error_set(r->err, PAI_E_PARSE, "line %zu: %s", r->line, why);
}

// The next line that holds something. 0: there is none.
static int next_line(yaml_reader *r, const char **next) {
  while (*next < r->end) {
    const char *nl = memchr(*next, '\n', (size_t)(r->end - *next));
    const char *begin = *next;
    r->eol = nl != NULL ? nl : r->end;
    *next = nl != NULL ? nl + 1 : r->end;
    r->line++;
    while (r->eol > begin && (r->eol[-1] == '\r' || r->eol[-1] == ' ' || r->eol[-1] == '\t'))
      r->eol--;
    for (r->p = begin; r->p < r->eol && *r->p == ' ';)
      r->p++;
    r->indent = (size_t)(r->p - begin);
    size_t len = (size_t)(r->eol - r->p);
    bool mark = r->indent == 0 && len >= 3 && memcmp(r->p, "---", 3) == 0;
    if (len > 0 && *r->p != '#' && !mark)
      return 1;
  }
  return 0;
}

static int hex_digits(const char *p, const char *end, int count) {
  int value = 0;
  for (int i = 0; i < count; i++) {
    static const char digits[] = "0123456789abcdef";
    const char *d = p + i < end && p[i] != '\0' ? strchr(digits, p[i] | 0x20) : NULL;
    if (d == NULL)
      return -1;
    value = value * 16 + (int)(d - digits);
  }
  return value;
}

static bool ends_well(const char *p, const char *eol) {
  const char *begin = p;
  while (p < eol && (*p == ' ' || *p == '\t'))
    p++;
  return p == eol || (*p == '#' && p > begin);
}

// p is after a backslash in double quotes. Adds what it stands for and moves p.
static int add_escape(yaml_reader *r, pai_secret_buf *out) {
  static const char from[] = "nrt\"\\/ ", to[] = "\n\r\t\"\\/ ";
  const char *known = r->p < r->eol && *r->p != '\0' ? strchr(from, *r->p) : NULL;
  if (known != NULL) {
    r->p++;
    return pai_secret_buf_add(out, to + (known - from), 1, r->err);
  }
  int digits = r->p == r->eol ? 0 : *r->p == 'x' ? 2 : *r->p == 'u' ? 4 : 0;
  int c = digits > 0 ? hex_digits(r->p + 1, r->eol, digits) : -1;
  if (c <= 0 || (c >= 0xD800 && c < 0xE000))
    return yaml_fail(r, "an escape that is not read here");
  r->p += 1 + digits;
  char utf8[3] = {(char)(0xE0 | c >> 12), (char)(0x80 | (c >> 6 & 0x3F)),
                  (char)(0x80 | (c & 0x3F))};
  if (c < 0x80)
    utf8[2] = (char)c;
  else if (c < 0x800)
    utf8[1] = (char)(0xC0 | c >> 6);
  size_t skip = c < 0x80 ? 2 : c < 0x800 ? 1 : 0;
  return pai_secret_buf_add(out, utf8 + skip, 3 - skip, r->err);
}

// p is after the opening quote, then after the closing one.
static int quoted(yaml_reader *r, char quote, pai_secret_buf *out) {
  int rc = 0;
  for (; rc == 0 && r->p < r->eol;) {
    char c = *r->p++;
    if (c == quote && quote == '\'' && r->p < r->eol && *r->p == quote)
      r->p++; // '' stands for one
    else if (c == quote)
      return 0;
    if (c == '\\' && quote == '"')
      rc = add_escape(r, out);
    else
      rc = pai_secret_buf_add(out, &c, 1, r->err);
  }
  return rc < 0 ? rc : yaml_fail(r, "a quote is not closed on its line");
}

// Reads a key and moves p after its colon. 1: it is the wanted one.
static int yaml_key(yaml_reader *r, const char *want, pai_secret_buf *scratch) {
  const char *key = r->p;
  size_t len = 0;
  scratch->len = 0;
  if (*r->p == '"' || *r->p == '\'') {
    char quote = *r->p++;
    int rc = quoted(r, quote, scratch);
    if (rc < 0)
      return rc;
    key = scratch->data;
    len = scratch->len;
  } else {
    while (r->p < r->eol && !(*r->p == ':' && (r->p + 1 == r->eol || r->p[1] == ' ')))
      r->p++;
    len = (size_t)(r->p - key);
  }
  if (r->p == r->eol || *r->p != ':')
    return yaml_fail(r, "expected \"key: value\"");
  r->p++;
  while (r->p < r->eol && *r->p == ' ')
    r->p++;
  return len == strlen(want) && (len == 0 || memcmp(key, want, len) == 0);
}

static bool is_null(const char *p, size_t len) {
  return len == 0 || (len == 1 && *p == '~') || (len == 4 && strncasecmp(p, "null", 4) == 0);
}

// The value that begins at p; the next line must not belong to it.
static int yaml_scalar(yaml_reader *r, const char *next, pai_secret_buf *out) {
  yaml_reader ahead = *r;
  size_t indent = r->indent;
  bool more = next_line(&ahead, &next) && ahead.indent > indent;
  if (r->p < r->eol && *r->p != '\0' && strchr("|>&*!{[%@`", *r->p) != NULL)
    return yaml_fail(r, "the value is not written as plain text on one line");
  if (r->p < r->eol && (*r->p == '"' || *r->p == '\'')) {
    char quote = *r->p++;
    int rc = quoted(r, quote, out);
    if (rc == 0 && (more || !ends_well(r->p, r->eol)))
      rc = yaml_fail(r, "text after the closing quote");
    return rc < 0 ? rc : out->len > 0;
  }
  const char *stop = r->p;
  while (stop < r->eol && !(*stop == '#' && (stop == r->p || stop[-1] == ' ' || stop[-1] == '\t')))
    stop++;
  while (stop > r->p && (stop[-1] == ' ' || stop[-1] == '\t'))
    stop--;
  if (more)
    return yaml_fail(r, "the value goes over several lines");
  size_t len = (size_t)(stop - r->p);
  if (is_null(r->p, len))
    return 0;
  int rc = pai_secret_buf_add(out, r->p, len, r->err);
  return rc < 0 ? rc : 1;
}

static int yaml_find(yaml_reader *r, const char *const *keys, size_t count, pai_secret_buf *out,
                     pai_secret_buf *scratch) {
  const char *next = r->p;
  size_t at = 0, above = 0; // keys found; the least indentation of what is in the last one
  bool open = false;        // whether the mapping's indentation is known
  size_t indent = 0;
  while (next_line(r, &next)) {
    if (*r->p == '\t')
      return yaml_fail(r, "a tab before the text");
    if (!open && r->indent < above)
      return 0;
    if (!open)
      indent = r->indent;
    open = true;
    if (r->indent < indent)
      return 0;
    bool item = *r->p == '-' && (r->p + 1 == r->eol || r->p[1] == ' ');
    if (r->indent > indent || item)
      continue; // within what an earlier key holds
    if (*r->p == '?' || *r->p == '{' || *r->p == '[')
      return yaml_fail(r, "expected \"key: value\"");
    int rc = yaml_key(r, keys[at], scratch);
    if (rc < 0)
      return rc;
    if (rc == 1 && ++at == count)
      return yaml_scalar(r, next, out);
    if (rc == 1) {
      size_t len = (size_t)(r->eol - r->p);
      if (len > 0 && *r->p != '#')
        return is_null(r->p, len) ? 0 : yaml_fail(r, "expected a mapping on the next lines");
      open = false;
      above = indent + 1;
    }
  }
  return 0;
}

int pai_doc_yaml(const char *text, size_t len, const char *const *keys, size_t count,
                 pai_secret_buf *out, pai_error *err) {
  static const char mark[] = "\xEF\xBB\xBF";
  bool marked = len >= 3 && memcmp(text, mark, 3) == 0;
  yaml_reader r = {.p = text + (marked ? 3 : 0), .end = text + len, .err = err};
  pai_secret_buf scratch = {0};
  int rc = yaml_find(&r, keys, count, out, &scratch);
  pai_secret_buf_free(&scratch);
  return rc;
}

/* ---- other ---- */

static int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z')
    return c - 'A';
  if (c >= 'a' && c <= 'z')
    return c - 'a' + 26;
  if (c >= '0' && c <= '9')
    return c - '0' + 52;
  return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

int pai_doc_basic(pai_secret_buf *b, pai_error *err) {
  unsigned bits = 0;
  size_t len = 0, in = b->len;
  while (in > 0 && b->data[in - 1] == '=')
    in--;
  for (size_t i = 0; i < in; i++) {
    int digit = base64_digit(b->data[i]);
    if (digit < 0)
      return pai_error_set(err, PAI_E_PARSE, "it is no base64");
    bits = (bits << 6 | (unsigned)digit) & 0xFFFFFF;
    if (i % 4 > 0) // three bytes of four digits
      b->data[len++] = (char)(bits >> (6 - 2 * (i % 4)) & 0xFF);
  }
  const char *colon = len > 0 ? memchr(b->data, ':', len) : NULL;
  if (colon == NULL)
    return pai_error_set(err, PAI_E_PARSE, "it is no base64 of user:password");
  size_t from = (size_t)(colon - b->data) + 1;
  memmove(b->data, b->data + from, len - from);
  pai_wipe(b->data + (len - from), b->len - (len - from));
  b->len = len - from;
  return 0;
}

int pai_secret_read_fd(int fd, const char *what, pai_secret_buf *b, pai_error *err) {
  int rc;
  ssize_t n = 1;
  while ((rc = pai_secret_buf_reserve(b, 4096, err)) == 0 && n != 0) {
    n = read(fd, b->data + b->len, 4096);
    if (n < 0 && errno != EINTR) {
      rc = pai_fs_error(err, errno, "read", what);
      break;
    }
    b->len += n > 0 ? (size_t)n : 0;
  }
  if (rc < 0)
    pai_secret_buf_free(b);
  return rc;
}

int pai_secret_read_file(const char *path, pai_secret_buf *b, pai_error *err) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return pai_fs_error(err, errno, "open", path);
  int rc = pai_secret_read_fd(fd, path, b, err);
  close(fd);
  return rc;
}

static bool holds(const char *text, size_t len, const char *word) {
  size_t n = strlen(word);
  for (size_t i = 0; i + n <= len; i++) {
    if (strncasecmp(text + i, word, n) == 0)
      return true;
  }
  return false;
}

const char *pai_secret_doubt(const pai_secret *s) {
  static const char *const words[] = {
      "changeme", "change-me", "change_me", "placeholder", "redacted", "example", "xxxx", "****",
      "....",     "your-",     "your_",     "<your",       "${",       "$(",      "{{",   "insert-",
  };
  size_t len, same = 0;
  const char *p = pai_secret_data(s, &len);
  for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
    if (holds(p, len, words[i]))
      return "a placeholder";
  }
  if (len > 1 && p[0] == '<' && p[len - 1] == '>')
    return "a placeholder";
  while (same < len && p[same] == p[0])
    same++;
  if (len > 1 && same == len)
    return "one character over and over";
  if (len > 0 && (strchr(" \t\r\n", p[0]) != NULL || strchr(" \t\r", p[len - 1]) != NULL))
    return "with blanks around it";
  // A key or a JSON document has lines; a password store often puts notes below the password.
  const char *newline = len > 0 ? memchr(p, '\n', len) : NULL;
  bool document = len > 0 && (*p == '{' || *p == '-');
  return newline != NULL && newline + 1 < p + len && !document ? "of several lines" : NULL;
}
