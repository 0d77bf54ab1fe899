/* Any bytes: entries whose parts lie in the text, or an error that names a line. A value that is
 * set is the value that is read again, and no other entry changes. */
#include "alloc.h"
#include "buf.h"
#include "secret_dotenv.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct place {
  const char *text, *end;
  size_t at; // where the last entry ended
} place;

static int check(void *ud, const pai_dotenv_entry *e, pai_error *err) {
  place *p = ud;
  (void)err;
  if (e->name_len == 0 || e->name < p->text || e->name + e->name_len > p->end ||
      e->value < e->name || e->value + e->value_len > p->end ||
      memchr(e->value, '\0', e->value_len) != NULL)
    abort();
  if (e->from < p->at || e->value_from < e->from || e->value_to < e->value_from ||
      e->to < e->value_to || e->to > (size_t)(p->end - p->text))
    abort();
  p->at = e->to;
  return 0;
}

// All entries but A, one after the other; of A the last.
typedef struct summary {
  pai_buf others, last;
  size_t hits;
} summary;

static int summarise(void *ud, const pai_dotenv_entry *e, pai_error *err) {
  summary *s = ud;
  (void)err;
  pai_buf *b = &s->others;
  if (e->name_len == 1 && *e->name == 'A') {
    b = &s->last;
    pai_buf_clear(b);
    s->hits++;
  } else if (pai_buf_add(b, e->name, e->name_len) < 0 || pai_buf_add(b, "=", 1) < 0) {
    abort();
  }
  if (pai_buf_add(b, e->value, e->value_len) < 0 || pai_buf_add(b, "", 1) < 0)
    abort();
  return 0;
}

static summary summary_of(const char *text, size_t len) {
  summary s = {0};
  pai_error err = {0};
  pai_buf_init(&s.others, 1 << 22);
  pai_buf_init(&s.last, 1 << 22);
  char *copy = pai_strndup(text, len);
  if (pai_dotenv_parse(copy, len, summarise, &s, &err) < 0)
    abort();
  pai_free(copy);
  return s;
}

static void free_summary(summary *s) {
  pai_buf_free(&s->others);
  pai_buf_free(&s->last);
}

static void check_edit(const char *text, size_t len, const char *value, size_t value_len) {
  pai_secret_buf b = {0};
  pai_error err = {0};
  if (pai_secret_buf_add(&b, text, len, &err) < 0)
    abort();
  int rc = pai_dotenv_edit(&b, "A", value, value_len, &err);
  if (rc < 0 && rc != PAI_E_ARG) // a NUL byte in the value
    abort();
  if (rc >= 0) {
    summary before = summary_of(text, len), after = summary_of(b.data, b.len);
    if (before.hits != (size_t)rc || after.hits != (value != NULL) ||
        before.others.len != after.others.len ||
        (before.others.len > 0 &&
         memcmp(before.others.data, after.others.data, before.others.len) != 0))
      abort();
    if (value != NULL && (after.last.len != value_len + 1 ||
                          (value_len > 0 && memcmp(after.last.data, value, value_len) != 0)))
      abort();
    free_summary(&before);
    free_summary(&after);
  }
  pai_secret_buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  pai_error err = {0};
  const char *text = (const char *)data;
  char *copy = pai_strndup(text, size);
  place p = {copy, copy + size, 0};
  int rc = pai_dotenv_parse(copy, size, check, &p, &err);
  if (rc < 0 && (rc != PAI_E_PARSE || strncmp(err.message, "line ", 5) != 0))
    abort();
  if (rc == 0) {
    check_edit(text, size, text, size);
    check_edit(text, size, text + size / 2, size - size / 2);
    check_edit(text, size, NULL, 0);
  }
  pai_free(copy);
  return 0;
}
