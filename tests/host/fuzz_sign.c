/* Any bytes as a key file of each form: records that nest, or an error that says where. */
#include "alloc.h"
#include "sign.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  typedef int (*reader)(const char *, size_t, pai_secret_buf *, pai_error *);
  static const reader readers[] = {pai_sign_yaml, pai_sign_ini, pai_sign_pairs};
  char *copy = pai_strndup((const char *)data, size);
  for (size_t i = 0; i < sizeof readers / sizeof readers[0]; i++) {
    pai_secret_buf list = {0};
    pai_error err = {0};
    pai_sign_record r;
    int depth = 0;
    int rc = readers[i](copy, size, &list, &err);
    for (size_t at = 0; rc == 0 && pai_sign_next(&list, &at, &r);) {
      depth += r.kind == PAI_SIGN_OPEN ? 1 : r.kind == PAI_SIGN_SHUT ? -1 : 0;
      if (depth < 0 || at > list.len || r.value + r.value_len > list.data + list.len)
        abort();
    }
    if (depth != 0 || (rc < 0 && rc != PAI_E_PARSE && rc != PAI_E_LIMIT))
      abort();
    pai_secret_buf_free(&list);
  }
  pai_free(copy);
  return 0;
}
