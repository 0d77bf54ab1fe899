/* Files and texts that keys are kept in. See sign.h.
 *
 * A record is its kind, two lengths and the bytes of name and value. Everything stays in locked
 * memory but what libyaml keeps while it reads. */
#include "sign.h"

#include "fs.h"
#include "mask.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

enum { DEPTH_MAX = 16 };

typedef struct head {
  uint32_t kind, name_len, value_len;
} head;

typedef struct text {
  const char *data;
  size_t len;
} text;

static int add(pai_secret_buf *list, pai_sign_kind kind, text name, text value, pai_error *err) {
  head h = {(uint32_t)kind, (uint32_t)name.len, (uint32_t)value.len};
  int rc = pai_secret_buf_add(list, &h, sizeof h, err);
  if (rc == 0)
    rc = pai_secret_buf_add(list, name.data, name.len, err);
  return rc == 0 ? pai_secret_buf_add(list, value.data, value.len, err) : rc;
}

bool pai_sign_next(const pai_secret_buf *list, size_t *at, pai_sign_record *out) {
  head h;
  if (*at >= list->len)
    return false;
  memcpy(&h, list->data + *at, sizeof h);
  out->kind = (pai_sign_kind)h.kind;
  out->name = list->data + *at + sizeof h;
  out->name_len = h.name_len;
  out->value = out->name + h.name_len;
  out->value_len = h.value_len;
  *at += sizeof h + h.name_len + h.value_len;
  return true;
}

int pai_sign_read(const char *path, pai_secret_buf *out, pai_error *err) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return pai_fs_error(err, errno, "open", path);
  int rc;
  ssize_t n = 1;
  while ((rc = pai_secret_buf_reserve(out, 4096, err)) == 0 && n != 0) {
    n = read(fd, out->data + out->len, 4096);
    if (n < 0 && errno != EINTR) {
      rc = pai_fs_error(err, errno, "read", path);
      break;
    }
    out->len += n > 0 ? (size_t)n : 0;
  }
  close(fd);
  return rc;
}

/* YAML. */

typedef struct yaml_walk {
  yaml_parser_t parser;
  pai_secret_buf *list;
  pai_secret_buf key; // of the value that comes next
  bool has_key;
  int depth;
} yaml_walk;

static int refuse(const yaml_event_t *e, const char *why, pai_error *err) {
  return pai_error_set(err, PAI_E_PARSE, "line %zu: %s", e->start_mark.line + 1, why);
}

static bool is_null(const yaml_event_t *e, text value) {
  return e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
         (value.len == 0 || (value.len == 1 && value.data[0] == '~') ||
          (value.len == 4 && memcmp(value.data, "null", 4) == 0));
}

static int on_scalar(yaml_walk *w, const yaml_event_t *e, pai_error *err) {
  text value = {(const char *)e->data.scalar.value, e->data.scalar.length};
  if (w->depth == 0)
    return is_null(e, value) ? 0 : refuse(e, "a mapping is expected", err);
  if (!w->has_key) {
    w->key.len = 0;
    w->has_key = true;
    return pai_secret_buf_add(&w->key, value.data, value.len, err);
  }
  w->has_key = false;
  text key = {w->key.data, w->key.len};
  return is_null(e, value) ? 0 : add(w->list, PAI_SIGN_ENTRY, key, value, err);
}

static int on_event(yaml_walk *w, const yaml_event_t *e, pai_error *err) {
  text none = {"", 0};
  switch (e->type) {
  case YAML_SCALAR_EVENT:
    return on_scalar(w, e, err);
  case YAML_MAPPING_START_EVENT:
    if (++w->depth > DEPTH_MAX)
      return refuse(e, "too deep", err);
    if (w->depth == 1)
      return 0;
    if (!w->has_key)
      return refuse(e, "a key must be a text", err);
    w->has_key = false;
    return add(w->list, PAI_SIGN_OPEN, (text){w->key.data, w->key.len}, none, err);
  case YAML_MAPPING_END_EVENT:
    return --w->depth > 0 ? add(w->list, PAI_SIGN_SHUT, none, none, err) : 0;
  case YAML_SEQUENCE_START_EVENT:
    return refuse(e, "a list is not expected here", err);
  case YAML_ALIAS_EVENT:
    return refuse(e, "an alias is not expected here", err);
  default:
    return 0;
  }
}

int pai_sign_yaml(const char *yaml, size_t len, pai_secret_buf *list, pai_error *err) {
  yaml_walk w = {.list = list};
  if (!yaml_parser_initialize(&w.parser))
    return pai_error_set(err, PAI_E_NOMEM, "out of memory");
  yaml_parser_set_input_string(&w.parser, (const unsigned char *)yaml, len);
  int rc = 0;
  for (bool end = false; !end && rc == 0;) {
    yaml_event_t e;
    if (!yaml_parser_parse(&w.parser, &e)) {
      rc = pai_error_set(err, PAI_E_PARSE, "line %zu: %s", w.parser.problem_mark.line + 1,
                         w.parser.problem != NULL ? w.parser.problem : "not YAML");
      break;
    }
    end = e.type == YAML_STREAM_END_EVENT;
    rc = on_event(&w, &e, err);
    yaml_event_delete(&e);
  }
  pai_secret_buf_free(&w.key);
  yaml_parser_delete(&w.parser);
  return rc;
}

/* Lines and pairs. */

static text trim(const char *from, const char *end) {
  while (from < end && (*from == ' ' || *from == '\t' || *from == '\r'))
    from++;
  while (end > from && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
    end--;
  return (text){from, (size_t)(end - from)};
}

static int add_pair(pai_secret_buf *list, text pair, size_t number, const char *unit,
                    pai_error *err) {
  const char *equals = memchr(pair.data, '=', pair.len);
  if (equals == NULL || equals == pair.data)
    return pai_error_set(err, PAI_E_PARSE, "%s %zu is not name=value", unit, number);
  text name = trim(pair.data, equals);
  return add(list, PAI_SIGN_ENTRY, name, trim(equals + 1, pair.data + pair.len), err);
}

int pai_sign_ini(const char *ini, size_t len, pai_secret_buf *list, pai_error *err) {
  const char *p = ini, *end = ini + len;
  text none = {"", 0};
  bool open = false;
  int rc = 0;
  for (size_t number = 1; p < end && rc == 0; number++) {
    const char *eol = memchr(p, '\n', (size_t)(end - p));
    eol = eol != NULL ? eol : end;
    text line = trim(p, eol);
    bool nested = p < eol && (*p == ' ' || *p == '\t'); // settings of one service
    p = eol + 1;
    if (line.len == 0 || line.data[0] == '#' || line.data[0] == ';' || nested)
      continue;
    if (line.data[0] == '[') {
      if (line.data[line.len - 1] != ']')
        return pai_error_set(err, PAI_E_PARSE, "line %zu: a section has no end", number);
      if (open)
        rc = add(list, PAI_SIGN_SHUT, none, none, err);
      if (rc == 0)
        rc = add(list, PAI_SIGN_OPEN, trim(line.data + 1, line.data + line.len - 1), none, err);
      open = true;
    } else {
      rc = add_pair(list, line, number, "line", err);
    }
  }
  return rc == 0 && open ? add(list, PAI_SIGN_SHUT, none, none, err) : rc;
}

int pai_sign_pairs(const char *pairs, size_t len, pai_secret_buf *list, pai_error *err) {
  const char *p = pairs, *end = pairs + len;
  int rc = 0;
  for (size_t number = 1; p < end && rc == 0; number++) {
    const char *stop = memchr(p, ';', (size_t)(end - p));
    stop = stop != NULL ? stop : end;
    text pair = trim(p, stop);
    p = stop + 1;
    if (pair.len > 0)
      rc = add_pair(list, pair, number, "part", err);
  }
  return rc;
}

int pai_sign_mask_sas(const char *sas, size_t len, pai_error *err) {
  pai_mask_set *set = pai_mask_global();
  const char *p = sas, *end = sas + len;
  while (p < end) {
    if (*p == '?')
      p++;
    const char *stop = memchr(p, '&', (size_t)(end - p));
    stop = stop != NULL ? stop : end;
    if (stop - p > 4 + PAI_MASK_MIN && memcmp(p, "sig=", 4) == 0 && set != NULL) {
      int rc = pai_mask_set_add(set, p + 4, (size_t)(stop - p) - 4, err);
      return rc < 0 ? rc : 0;
    }
    p = stop + 1;
  }
  return 0;
}
