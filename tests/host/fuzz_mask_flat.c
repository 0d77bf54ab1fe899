/* A value, cuts and a text from the input, with the flat view at work: no occurrence of the value
 * stays, the output is no longer than the text, and little is held back. */
#include "mask_set.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_MAX ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const uint8_t *end = data + size;
  if (size < 48)
    return 0;
  size_t len = PAI_MASK_MIN + *data++ % 32U;
  const uint8_t *value = data;
  data += len;
  pai_mask_set *set = pai_mask_set_new();
  int masked = pai_mask_set_add(set, value, len, NULL);
  while (len > 0 && (value[len - 1] == '\n' || value[len - 1] == '\r'))
    len--; // they are no part of it
  pai_mask_stream *s = pai_mask_stream_new(set);
  pai_buf out;
  pai_buf_init(&out, OUT_MAX);
  size_t text_len = (size_t)(end - data);
  for (size_t at = 0; at < text_len;) {
    size_t n = 1 + data[at] % 50U;
    n = n < text_len - at ? n : text_len - at;
    if (pai_mask_stream_feed(s, data + at, n, &out, NULL) < 0)
      abort();
    at += n;
    if (out.len + pai_mask_stream_held(s) > at || (masked == 0 && out.len != at) ||
        pai_mask_stream_held(s) > set->reach)
      abort();
  }
  if (pai_mask_stream_finish(s, &out, NULL) < 0 || out.len > text_len)
    abort();
  if (masked == 1 && out.len > 0 && memmem(value, len, "***", 3) == NULL &&
      memmem(out.data, out.len, value, len) != NULL && value[0] != '*' && value[len - 1] != '*')
    abort();
  pai_buf_free(&out);
  pai_mask_stream_free(s);
  pai_mask_set_free(set);
  return 0;
}
