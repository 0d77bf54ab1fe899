/* See crypto.h. base64 is our own: EVP's has no url alphabet and takes damaged text for good. */
#include "crypto.h"

#include "alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(PAI_CRYPTO_DIGEST_MAX >= EVP_MAX_MD_SIZE, "room for every digest");

static int crypto_error(pai_error *err, const char *what) {
  char reason[120];
  ERR_error_string_n(ERR_get_error(), reason, sizeof reason);
  ERR_clear_error();
  return pai_error_set(err, PAI_E_INTERNAL, "%s: %s", what, reason);
}

static int find_digest(const char *algorithm, const EVP_MD **out, pai_error *err) {
  *out = EVP_get_digestbyname(algorithm);
  if (*out == NULL || EVP_MD_get_size(*out) <= 0)
    return pai_error_set(err, PAI_E_ARG, "there is no digest \"%.40s\"", algorithm);
  return 0;
}

int pai_crypto_digest(const char *algorithm, const void *data, size_t len, unsigned char *out,
                      size_t *out_len, pai_error *err) {
  const EVP_MD *md;
  int rc = find_digest(algorithm, &md, err);
  if (rc < 0)
    return rc;
  unsigned n = 0;
  if (!EVP_Digest(data, len, out, &n, md, NULL))
    return crypto_error(err, algorithm);
  *out_len = n;
  return 0;
}

static int digest_fd(EVP_MD_CTX *ctx, int fd, const char *path, pai_error *err) {
  const size_t size = (size_t)256 << 10;
  char *piece = pai_alloc(size);
  if (piece == NULL)
    return pai_error_set(err, PAI_E_NOMEM, "out of memory");
  int rc = 0;
  for (;;) {
    ssize_t n = read(fd, piece, size);
    if (n == 0)
      break;
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      rc = pai_error_sys(err, errno, "read \"%s\"", path);
    else if (!EVP_DigestUpdate(ctx, piece, (size_t)n))
      rc = crypto_error(err, path);
    if (rc < 0)
      break;
  }
  pai_free(piece);
  return rc;
}

int pai_crypto_digest_file(const char *algorithm, const char *path, unsigned char *out,
                           size_t *out_len, pai_error *err) {
  const EVP_MD *md;
  int rc = find_digest(algorithm, &md, err);
  if (rc < 0)
    return rc;
  // a FIFO without a writer would block for ever
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return pai_error_sys(err, errno, "open \"%s\"", path);
  struct stat st;
  if (fstat(fd, &st) < 0)
    rc = pai_error_sys(err, errno, "stat \"%s\"", path);
  else if (S_ISDIR(st.st_mode))
    rc = pai_error_sys(err, EISDIR, "read \"%s\"", path);
  else if (!S_ISREG(st.st_mode))
    rc = pai_error_set(err, PAI_E_DENIED, "read \"%s\": not a regular file", path);
  EVP_MD_CTX *ctx = rc == 0 ? EVP_MD_CTX_new() : NULL;
  if (rc == 0 && (ctx == NULL || !EVP_DigestInit_ex(ctx, md, NULL)))
    rc = crypto_error(err, algorithm);
  if (rc == 0)
    rc = digest_fd(ctx, fd, path, err);
  unsigned n = 0;
  if (rc == 0 && !EVP_DigestFinal_ex(ctx, out, &n))
    rc = crypto_error(err, algorithm);
  *out_len = n;
  EVP_MD_CTX_free(ctx);
  close(fd);
  return rc;
}

int pai_crypto_hmac(const char *algorithm, const void *key, size_t key_len, const void *data,
                    size_t len, unsigned char *out, size_t *out_len, pai_error *err) {
  const EVP_MD *md;
  int rc = find_digest(algorithm, &md, err);
  if (rc < 0)
    return rc;
  if (key_len > PAI_CRYPTO_KEY_MAX)
    return pai_error_set(err, PAI_E_LIMIT, "a key of %zu bytes is too long", key_len);
  unsigned n = 0;
  if (HMAC(md, key, (int)key_len, data, len, out, &n) == NULL)
    return crypto_error(err, algorithm);
  *out_len = n;
  return 0;
}

int pai_crypto_random(void *out, size_t len, pai_error *err) {
  if (len > PAI_CRYPTO_RANDOM_MAX)
    return pai_error_set(err, PAI_E_ARG, "at most %d random bytes at once", PAI_CRYPTO_RANDOM_MAX);
  return RAND_bytes(out, (int)len) == 1 ? 0 : crypto_error(err, "random bytes");
}

bool pai_crypto_equal(const void *a, size_t a_len, const void *b, size_t b_len) {
  return a_len == b_len && CRYPTO_memcmp(a, b, a_len) == 0;
}

static const char alphabets[2][65] = {
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"};

int pai_crypto_base64_encode(const void *data, size_t len, bool url, pai_buf *out) {
  const unsigned char *in = data;
  const char *alphabet = alphabets[url];
  int rc = pai_buf_reserve(out, len / 3 * 4 + 4);
  if (rc < 0)
    return rc;
  char *to = out->data + out->len;
  char *start = to;
  for (; len >= 3; len -= 3, in += 3) {
    unsigned bits = (unsigned)in[0] << 16 | (unsigned)in[1] << 8 | in[2];
    for (int shift = 18; shift >= 0; shift -= 6)
      *to++ = alphabet[bits >> shift & 63];
  }
  if (len > 0) {
    unsigned bits = (unsigned)in[0] << 16 | (len == 2 ? (unsigned)in[1] << 8 : 0);
    *to++ = alphabet[bits >> 18 & 63];
    *to++ = alphabet[bits >> 12 & 63];
    if (len == 2)
      *to++ = alphabet[bits >> 6 & 63];
    for (size_t i = len; !url && i < 3; i++)
      *to++ = '=';
  }
  pai_buf_advance(out, (size_t)(to - start));
  return 0;
}

// 0 to 63, 64 for what is skipped, 65 for padding, 66 for a stranger.
static unsigned value_of(char c, bool url) {
  if (c >= 'A' && c <= 'Z')
    return (unsigned)(c - 'A');
  if (c >= 'a' && c <= 'z')
    return (unsigned)(c - 'a') + 26;
  if (c >= '0' && c <= '9')
    return (unsigned)(c - '0') + 52;
  if (c == (url ? '-' : '+'))
    return 62;
  if (c == (url ? '_' : '/'))
    return 63;
  if (c == '\n' || c == '\r' || c == ' ' || c == '\t')
    return 64;
  return c == '=' ? 65 : 66;
}

int pai_crypto_base64_decode(const char *text, size_t len, bool url, pai_buf *out, pai_error *err) {
  int rc = pai_buf_reserve(out, len / 4 * 3 + 3);
  if (rc < 0)
    return pai_error_set(err, rc, "base64 of %zu bytes is too long", len);
  unsigned char *to = (unsigned char *)out->data + out->len;
  unsigned char *start = to;
  unsigned bits = 0;
  size_t digits = 0, padding = 0;
  for (size_t i = 0; i < len; i++) {
    unsigned v = value_of(text[i], url);
    if (v == 64)
      continue;
    if (v == 66 || (v < 64 && padding > 0))
      return pai_error_set(err, PAI_E_PARSE, "no base64 at byte %zu", i + 1);
    if (v == 65) {
      padding++;
      continue;
    }
    bits = bits << 6 | v;
    digits++;
    if (digits % 4 == 0) {
      *to++ = bits >> 16 & 255;
      *to++ = bits >> 8 & 255;
      *to++ = bits & 255;
    }
  }
  size_t rest = digits % 4;
  if (rest == 1 || padding > 2 || (padding > 0 && (digits + padding) % 4 != 0))
    return pai_error_set(err, PAI_E_PARSE, "base64 that is cut short");
  // bits below the last byte would let two texts mean the same
  unsigned spare = rest == 2 ? bits & 15 : rest == 3 ? bits & 3 : 0;
  if (spare != 0)
    return pai_error_set(err, PAI_E_PARSE, "base64 whose last digit has bits to spare");
  if (rest >= 2)
    *to++ = (rest == 2 ? bits >> 4 : bits >> 10) & 255;
  if (rest == 3)
    *to++ = bits >> 2 & 255;
  pai_buf_advance(out, (size_t)(to - start));
  return 0;
}
