/* Any bytes as a document: what is found in it is no longer than it, or an error that names a line.
 */
#include "alloc.h"
#include "secret_doc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *text, size_t len, int yaml) {
  static const char *const keys[] = {"a", "b"};
  pai_secret_buf out = {0};
  pai_error err = {0};
  int rc = (yaml ? pai_doc_yaml : pai_doc_json)(text, len, keys, 2, &out, &err);
  if (out.len > len || (rc == 1 && out.len == 0) || rc > 1)
    abort();
  if (rc < 0 && (strncmp(err.message, "line ", 5) != 0 || (rc != PAI_E_PARSE && rc != PAI_E_LIMIT)))
    abort();
  size_t before = out.len;
  if (rc == 1 && pai_doc_basic(&out, &err) == 0 && out.len >= before)
    abort();
  pai_secret_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *copy = pai_strndup((const char *)data, size);
  check(copy, size, 0);
  check(copy, size, 1);
  pai_free(copy);
  return 0;
}
