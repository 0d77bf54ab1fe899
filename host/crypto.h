/* Digests, HMAC, base64, random bytes and comparison in constant time, over libcrypto's EVP. */
#ifndef PAI_CRYPTO_H
#define PAI_CRYPTO_H

#include "buf.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>

#define PAI_CRYPTO_DIGEST_MAX 64        // bytes of the longest digest
#define PAI_CRYPTO_KEY_MAX (1 << 20)    // bytes of an HMAC key
#define PAI_CRYPTO_RANDOM_MAX (1 << 24) // bytes at once

// algorithm: "sha256", "sha1", "sha512", "md5"… as libcrypto names them; PAI_E_ARG if it has none.
int pai_crypto_digest(const char *algorithm, const void *data, size_t len, unsigned char *out,
                      size_t *out_len, pai_error *err);
// Reads the file in pieces; blocks for as long as that takes.
int pai_crypto_digest_file(const char *algorithm, const char *path, unsigned char *out,
                           size_t *out_len, pai_error *err);
int pai_crypto_hmac(const char *algorithm, const void *key, size_t key_len, const void *data,
                    size_t len, unsigned char *out, size_t *out_len, pai_error *err);
int pai_crypto_random(void *out, size_t len, pai_error *err);
// Lengths may be told apart by time, contents not.
bool pai_crypto_equal(const void *a, size_t a_len, const void *b, size_t b_len);

// url: the alphabet with - and _, without padding.
int pai_crypto_base64_encode(const void *data, size_t len, bool url, pai_buf *out);
// Padding may be absent, line breaks and blanks are skipped; anything else is PAI_E_PARSE.
int pai_crypto_base64_decode(const char *text, size_t len, bool url, pai_buf *out, pai_error *err);

#endif
