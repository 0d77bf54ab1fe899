/* Needles, cuts and text from the input; the output must be that of the slow masker, and nothing
 * held back that is no beginning of a needle. */
#include "mask_oracle.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct cuts {
  const uint8_t *at, *end;
} cuts;

static size_t next_cut(void *ud) {
  cuts *c = ud;
  return c->at < c->end ? 1 + *c->at++ % 64U : 7;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static text in;
  const uint8_t *end = data + size;
  if (size < 2)
    return 0;
  size_t count = 1 + *data++ % 6U;
  pai_mask_set *set = pai_mask_set_new();
  for (needle_count = 0; needle_count < count && data < end; needle_count++) {
    text *n = &needles[needle_count];
    n->len = PAI_MASK_MIN + *data++ % 32U;
    if ((size_t)(end - data) < n->len)
      break;
    memcpy(n->data, data, n->len);
    data += n->len;
    if (pai_mask_set_add_literal(set, n->data, n->len, NULL) < 0)
      abort();
  }
  size_t cut_count = data < end ? *data++ % 32U : 0;
  cuts c = {data, data + cut_count < end ? data + cut_count : end};
  data = c.end;
  in.len = (size_t)(end - data) < TEXT_MAX ? (size_t)(end - data) : TEXT_MAX;
  memcpy(in.data, data, in.len);
  if (!agrees(set, &in, next_cut, &c))
    abort();
  pai_mask_set_free(set);
  return 0;
}
