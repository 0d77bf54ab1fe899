/* The reader and the writer over libyaml. See yaml_io.h. libyaml allocates with malloc by itself;
 * what it holds is freed by the two _free functions, which a userdata's __gc calls as well. */
#include "yaml_io.h"

#include "json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int set_error_at(pai_yaml_reader *r, yaml_mark_t mark, int code, pai_error *err,
                        const char *text) {
  r->line = mark.line + 1;
  r->column = mark.column + 1;
  return pai_error_set(err, code, "line %zu, column %zu: %s", r->line, r->column, text);
}

// What the reader of bytes complains about is ahead of the parser: it gives the offset only.
static yaml_mark_t mark_of(const pai_yaml_reader *r, size_t offset) {
  yaml_mark_t mark = {.index = offset};
  for (size_t i = 0; i < offset && i < r->len; i++) {
    mark.column++;
    if (r->text[i] == '\n') {
      mark.line++;
      mark.column = 0;
    }
  }
  return mark;
}

static int parser_failed(pai_yaml_reader *r, pai_error *err) {
  yaml_parser_t *p = &r->parser;
  const char *problem = p->problem != NULL ? p->problem : "not YAML";
  if (p->error == YAML_MEMORY_ERROR)
    return pai_error_set(err, PAI_E_NOMEM, "out of memory");
  yaml_mark_t mark = p->problem_mark;
  if (p->error == YAML_READER_ERROR)
    mark = mark_of(r, p->problem_offset);
  if (p->context == NULL)
    return set_error_at(r, mark, PAI_E_PARSE, err, problem);
  char text[160];
  snprintf(text, sizeof text, "%s (%s, line %zu)", problem, p->context, p->context_mark.line + 1);
  return set_error_at(r, mark, PAI_E_PARSE, err, text);
}

int pai_yaml_reader_init(pai_yaml_reader *r, const char *text, size_t len, pai_error *err) {
  if (!yaml_parser_initialize(&r->parser))
    return pai_error_set(err, PAI_E_NOMEM, "out of memory");
  r->has_parser = true;
  r->text = text;
  r->len = len;
  yaml_parser_set_input_string(&r->parser, (const unsigned char *)text, len);
  return 0;
}

int pai_yaml_reader_next(pai_yaml_reader *r, pai_error *err) {
  if (r->has_event)
    yaml_event_delete(&r->event);
  r->has_event = yaml_parser_parse(&r->parser, &r->event) != 0;
  return r->has_event ? 0 : parser_failed(r, err);
}

void pai_yaml_reader_free(pai_yaml_reader *r) {
  if (r->has_event)
    yaml_event_delete(&r->event);
  if (r->has_parser)
    yaml_parser_delete(&r->parser);
  r->has_event = r->has_parser = false;
}

int pai_yaml_reader_fail(pai_yaml_reader *r, int code, pai_error *err, const char *fmt, ...) {
  char text[180];
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  return set_error_at(r, r->event.start_mark, code, err, text);
}

static int write_out(void *ud, unsigned char *bytes, size_t size) {
  pai_yaml_writer *w = ud;
  return pai_buf_add(w->out, bytes, size) == 0;
}

static int writer_failed(pai_yaml_writer *w, pai_error *err) {
  yaml_emitter_t *e = &w->emitter;
  if (e->error == YAML_MEMORY_ERROR)
    return pai_error_set(err, PAI_E_NOMEM, "out of memory");
  if (e->error == YAML_WRITER_ERROR)
    return pai_error_set(err, PAI_E_LIMIT, "the YAML text is over %zu bytes", w->out->max);
  return pai_error_set(err, PAI_E_INTERNAL, "write YAML: %s",
                       e->problem != NULL ? e->problem : "unknown");
}

// initialized: the result of the yaml_…_event_initialize for *event.
static int emit(pai_yaml_writer *w, yaml_event_t *event, int initialized, pai_error *err) {
  if (!initialized)
    return pai_error_set(err, PAI_E_NOMEM, "out of memory");
  return yaml_emitter_emit(&w->emitter, event) ? 0 : writer_failed(w, err);
}

int pai_yaml_writer_init(pai_yaml_writer *w, pai_buf *out, pai_error *err) {
  yaml_event_t event;
  if (!yaml_emitter_initialize(&w->emitter))
    return pai_error_set(err, PAI_E_NOMEM, "out of memory");
  w->has_emitter = true;
  w->out = out;
  w->documents = 0;
  yaml_emitter_set_output(&w->emitter, write_out, w);
  yaml_emitter_set_unicode(&w->emitter, 1);
  yaml_emitter_set_width(&w->emitter, -1);
  return emit(w, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING), err);
}

int pai_yaml_writer_document(pai_yaml_writer *w, bool begin, pai_error *err) {
  yaml_event_t event;
  if (!begin)
    return emit(w, &event, yaml_document_end_event_initialize(&event, 1), err);
  int implicit = w->documents++ == 0;
  return emit(w, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, implicit),
              err);
}

int pai_yaml_writer_map(pai_yaml_writer *w, bool begin, pai_error *err) {
  yaml_event_t event;
  int ok =
      begin ? yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE)
            : yaml_mapping_end_event_initialize(&event);
  return emit(w, &event, ok, err);
}

int pai_yaml_writer_list(pai_yaml_writer *w, bool begin, pai_error *err) {
  yaml_event_t event;
  int ok =
      begin ? yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE)
            : yaml_sequence_end_event_initialize(&event);
  return emit(w, &event, ok, err);
}

// Line ends other than \n would be read back as \n, or as a break inside a plain scalar.
static bool has_odd_break(const char *text, size_t len) {
  for (const char *p = text; (p = memchr(p, '\xc2', (size_t)(text + len - p))) != NULL; p++)
    if (text + len - p > 1 && p[1] == '\x85')
      return true;
  for (const char *p = text; (p = memchr(p, '\xe2', (size_t)(text + len - p))) != NULL; p++)
    if (text + len - p > 2 && p[1] == '\x80' && (p[2] == '\xa8' || p[2] == '\xa9'))
      return true;
  return memchr(text, '\r', len) != NULL;
}

static yaml_scalar_style_t choose_style(const char *text, size_t len) {
  if (has_odd_break(text, len))
    return YAML_DOUBLE_QUOTED_SCALAR_STYLE;
  if (memchr(text, '\n', len) != NULL)
    return YAML_LITERAL_SCALAR_STYLE;
  return pai_yaml_is_plain(text, len) ? YAML_PLAIN_SCALAR_STYLE : YAML_SINGLE_QUOTED_SCALAR_STYLE;
}

static int scalar(pai_yaml_writer *w, const char *text, size_t len, yaml_scalar_style_t style,
                  pai_error *err) {
  yaml_event_t event;
  const yaml_char_t *bytes = (const yaml_char_t *)text;
  int ok = yaml_scalar_event_initialize(&event, NULL, NULL, bytes, (int)len, 1, 1, style);
  return emit(w, &event, ok, err);
}

int pai_yaml_writer_string(pai_yaml_writer *w, const char *text, size_t len, pai_error *err) {
  if (len > w->out->max)
    return pai_error_set(err, PAI_E_LIMIT, "the YAML text is over %zu bytes", w->out->max);
  for (const char *p = text, *end = text + len; p < end;) {
    size_t n = pai_utf8_length(p, end);
    if (n == 0)
      return pai_error_set(err, PAI_E_PARSE, "a string is not valid UTF-8");
    p += n;
  }
  return scalar(w, text, len, choose_style(text, len), err);
}

int pai_yaml_writer_plain(pai_yaml_writer *w, const char *text, pai_error *err) {
  return scalar(w, text, strlen(text), YAML_PLAIN_SCALAR_STYLE, err);
}

int pai_yaml_writer_finish(pai_yaml_writer *w, pai_error *err) {
  yaml_event_t event;
  int rc = emit(w, &event, yaml_stream_end_event_initialize(&event), err);
  if (rc == 0 && !yaml_emitter_flush(&w->emitter))
    rc = writer_failed(w, err);
  // libyaml's mark after a text that keeps its last line ends; at the end of all it says nothing
  static const char mark[] = "\n...\n";
  size_t n = sizeof mark - 1;
  if (rc == 0 && w->out->len >= n && memcmp(w->out->data + w->out->len - n, mark, n) == 0)
    pai_buf_truncate(w->out, w->out->len - (n - 1));
  return rc;
}

void pai_yaml_writer_free(pai_yaml_writer *w) {
  if (w->has_emitter)
    yaml_emitter_delete(&w->emitter);
  w->has_emitter = false;
}
