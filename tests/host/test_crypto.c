/* base64 at every length and damage, and the binding without memory. */
#include "crypto.h"
#include "nomem_run.h"

#include <stdlib.h>

int luaopen_pai_crypto(lua_State *L);

static void base64(void) {
  unsigned char bytes[100];
  for (size_t i = 0; i < sizeof bytes; i++)
    bytes[i] = (unsigned char)(i * 37 + 11);
  for (size_t len = 0; len <= sizeof bytes; len++) {
    for (int url = 0; url < 2; url++) {
      pai_buf text, back;
      pai_buf_init(&text, 1000);
      pai_buf_init(&back, 1000);
      CHECK(pai_crypto_base64_encode(bytes, len, url, &text) == 0);
      CHECK(pai_crypto_base64_decode(text.data, text.len, url, &back, NULL) == 0);
      CHECK(back.len == len && (len == 0 || memcmp(back.data, bytes, len) == 0));
      pai_buf_free(&text);
      pai_buf_free(&back);
    }
  }
}

static void ceilings(void) {
  pai_buf small;
  pai_buf_init(&small, 10);
  pai_error err;
  CHECK(pai_crypto_base64_encode("0123456789", 10, false, &small) == PAI_E_LIMIT);
  CHECK(small.len == 0);
  CHECK(pai_crypto_base64_decode("MDEyMzQ1Njc4OTAxMjM0NTY3ODk=", 28, false, &small, &err) ==
        PAI_E_LIMIT);
  CHECK(pai_crypto_random(NULL, PAI_CRYPTO_RANDOM_MAX + (size_t)1, &err) == PAI_E_ARG);
  pai_buf_free(&small);
}

static void equal(void) {
  CHECK(pai_crypto_equal("abc", 3, "abcd", 3));
  CHECK(!pai_crypto_equal("abc", 3, "abd", 3));
  CHECK(!pai_crypto_equal("abc", 3, "abc", 2));
  CHECK(pai_crypto_equal("", 0, "", 0));
}

static void no_memory(void) {
  static const char text[] =
      "local data = ('bytes'):rep(500)\n"
      "assert(m.base64_decode(m.base64_encode(data)) == data) m.base64_decode('!')\n"
      "assert(#m.random(3000) == 3000 and #m.hex(40) == 80 and #m.uuid() == 36)\n"
      "m.file_sha256('/none') assert(m.file_sha256('/proc/self/exe'))\n"
      "return #m.sha256(data) == 64 and #m.hmac('sha1', 'k', data, { raw = true }) == 20";
  nomem_each(&(nomem_test){"pai.crypto", luaopen_pai_crypto, "", text}, 60, 96);
}

int main(void) {
  RUN(base64);
  RUN(ceilings);
  RUN(equal);
  RUN(no_memory);
  return finish();
}
