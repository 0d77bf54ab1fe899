/* Any bytes of a peer, at once and one by one: the same messages, the same verdict, bounded memory,
 * and after a verdict nothing more. */
#include "ws_codec.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX = 4096 };

static void check(bool good) {
  if (!good)
    abort();
}

static void feed(bool server, const uint8_t *data, size_t size) {
  pai_ws_codec a, b;
  pai_ws_codec_init(&a, MAX, MAX);
  pai_ws_codec_init(&b, MAX, MAX);
  if (server) {
    pai_ws_codec_set_server(&a);
    pai_ws_codec_set_server(&b);
  }
  pai_ws_codec_feed(&a, data, size);
  for (size_t i = 0; i < size; i++)
    pai_ws_codec_feed(&b, data + i, 1);
  check(a.err.code == b.err.code && a.close_code == b.close_code);
  check(a.messages == b.messages && a.close_seen == b.close_seen && a.out.len == b.out.len);
  check(a.err.code == 0 || a.close_sent);
  const char *x, *y;
  size_t x_len, y_len;
  for (int op; (op = pai_ws_codec_peek(&a, &x, &x_len)) != 0;) {
    check(op == pai_ws_codec_peek(&b, &y, &y_len));
    check(x_len == y_len && x_len <= MAX && memcmp(x, y, x_len) == 0);
    pai_utf8 u = {0};
    check(op != PAI_WS_TEXT || (pai_utf8_feed(&u, x, x_len) && u.rest == 0));
    pai_ws_codec_pop(&a);
    pai_ws_codec_pop(&b);
  }
  pai_ws_codec_free(&a);
  pai_ws_codec_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  feed(false, data, size);
  feed(true, data, size);
  return 0;
}
