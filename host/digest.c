/* See digest.h. Loading libcrypto and its providers takes 2 ms, most of what starting a run may
 * take. Its low-level functions need neither, and are a few KB out of the static library. */
#define OPENSSL_SUPPRESS_DEPRECATED // they are deprecated in favour of what needs the providers
#include "digest.h"

#include <openssl/sha.h>

_Static_assert(PAI_SHA256_LEN == SHA256_DIGEST_LENGTH, "the length of a digest");

void pai_sha256(const void *data, size_t len, unsigned char out[PAI_SHA256_LEN]) {
  SHA256_CTX ctx;
  // these fail for no input: the context is ours and on the stack
  SHA256_Init(&ctx);
  SHA256_Update(&ctx, data, len);
  SHA256_Final(out, &ctx);
}
