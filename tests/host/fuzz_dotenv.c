/* Any bytes: entries whose parts lie in the text, or an error that names a line. */
#include "alloc.h"
#include "secret_dotenv.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct place {
  const char *text, *end;
} place;

static int check(void *ud, const char *name, size_t name_len, const char *value, size_t value_len,
                 pai_error *err) {
  const place *p = ud;
  (void)err;
  if (name_len == 0 || name < p->text || name + name_len > p->end || value < name ||
      value + value_len > p->end || memchr(value, '\0', value_len) != NULL)
    abort();
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  pai_error err = {0};
  char *copy = pai_strndup((const char *)data, size);
  place p = {copy, copy + size};
  int rc = pai_dotenv_parse(copy, size, check, &p, &err);
  if (rc < 0 && (rc != PAI_E_PARSE || strncmp(err.message, "line ", 5) != 0))
    abort();
  pai_free(copy);
  return 0;
}
