/* Signatures and checksums. See sign.h. */
#include "sign.h"

#include "alloc.h"
#include "fs.h"
#include "secret_mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 256 << 10 }; // bytes read at once

static int library_error(pai_error *err, const char *what) {
  char reason[120];
  ERR_error_string_n(ERR_get_error(), reason, sizeof reason);
  ERR_clear_error();
  return pai_error_set(err, PAI_E_INTERNAL, "%s: %s", what, reason);
}

static int hmac(const void *key, size_t key_len, const void *text, size_t len,
                unsigned char out[PAI_SIGN_BYTES], pai_error *err) {
  unsigned n = 0;
  if (HMAC(EVP_sha256(), key, (int)key_len, text, len, out, &n) == NULL || n != PAI_SIGN_BYTES)
    return library_error(err, "sign a request");
  return 0;
}

int pai_sign_v4(const pai_secret *key, const char *date, const char *region, const char *service,
                const void *text, size_t len, unsigned char out[PAI_SIGN_BYTES], pai_error *err) {
  static const char prefix[] = "AWS4", end[] = "aws4_request";
  pai_secret_buf first = {0};
  size_t key_len;
  const char *value = pai_secret_data(key, &key_len);
  unsigned char step[PAI_SIGN_BYTES];
  int rc = pai_secret_buf_add(&first, prefix, sizeof prefix - 1, err);
  if (rc == 0)
    rc = pai_secret_buf_add(&first, value, key_len, err);
  if (rc == 0)
    rc = hmac(first.data, first.len, date, strlen(date), step, err);
  pai_secret_buf_free(&first);
  const char *const rest[] = {region, service, end};
  for (size_t i = 0; i < sizeof rest / sizeof rest[0] && rc == 0; i++)
    rc = hmac(step, sizeof step, rest[i], strlen(rest[i]), step, err);
  if (rc == 0)
    rc = hmac(step, sizeof step, text, len, out, err);
  pai_wipe(step, sizeof step);
  return rc;
}

static int digit_of(char c) {
  if (c >= 'A' && c <= 'Z')
    return c - 'A';
  if (c >= 'a' && c <= 'z')
    return c - 'a' + 26;
  if (c >= '0' && c <= '9')
    return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// out has room for len bytes. Returns the length, or 0 when the text is no base64.
static size_t decode(const char *text, size_t len, unsigned char *out) {
  size_t n = 0, digits = 0;
  unsigned bits = 0;
  while (len > 0 && text[len - 1] == '=')
    len--;
  for (; digits < len; digits++) {
    int d = digit_of(text[digits]);
    if (d < 0)
      return 0;
    bits = bits << 6 | (unsigned)d;
    if (digits % 4 != 0)
      out[n++] = (unsigned char)(bits >> (6 - 2 * (digits % 4)));
  }
  return digits % 4 == 1 ? 0 : n;
}

int pai_sign_shared(const pai_secret *key, const void *text, size_t len,
                    unsigned char out[PAI_SIGN_BYTES], pai_error *err) {
  pai_secret_buf raw = {0};
  size_t key_len;
  const char *value = pai_secret_data(key, &key_len);
  int rc = pai_secret_buf_reserve(&raw, key_len + 1, err);
  if (rc == 0) {
    raw.len = decode(value, key_len, (unsigned char *)raw.data);
    rc = raw.len > 0 ? hmac(raw.data, raw.len, text, len, out, err)
                     : pai_error_set(err, PAI_E_PARSE, "the account key (%.80s) is no base64",
                                     pai_secret_name(key));
  }
  pai_secret_buf_free(&raw);
  return rc;
}

/* Checksums. */

int pai_sign_hasher_add(pai_sign_hasher *h, const char *algorithm, pai_error *err) {
  const EVP_MD *md = EVP_get_digestbyname(algorithm);
  if (md == NULL || EVP_MD_get_size(md) <= 0)
    return pai_error_set(err, PAI_E_ARG, "there is no digest \"%.40s\"", algorithm);
  if (h->count >= PAI_SIGN_DIGESTS)
    return pai_error_set(err, PAI_E_ARG, "at most %d digests at once", PAI_SIGN_DIGESTS);
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  if (ctx == NULL || !EVP_DigestInit_ex(ctx, md, NULL)) {
    EVP_MD_CTX_free(ctx);
    return library_error(err, algorithm);
  }
  h->ctx[h->count++] = ctx;
  return 0;
}

static int add_range(pai_sign_hasher *h, int fd, char *piece, const char *path, uint64_t offset,
                     uint64_t len, pai_error *err) {
  while (len > 0) {
    ssize_t n = pread(fd, piece, len < PIECE ? (size_t)len : PIECE, (off_t)offset);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return pai_fs_error(err, errno, "read", path);
    if (n == 0)
      return pai_error_set(err, PAI_E_PROTO, "\"%.160s\" became shorter while it was read", path);
    for (size_t i = 0; i < h->count; i++)
      if (!EVP_DigestUpdate(h->ctx[i], piece, (size_t)n))
        return library_error(err, "a checksum");
    offset += (uint64_t)n;
    len -= (uint64_t)n;
    h->bytes += (uint64_t)n;
  }
  return 0;
}

int pai_sign_hasher_file(pai_sign_hasher *h, const char *path, uint64_t offset, uint64_t len,
                         pai_error *err) {
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a FIFO would block for ever
  if (fd < 0)
    return pai_fs_error(err, errno, "open", path);
  char *piece = pai_alloc(PIECE);
  int rc = 0;
  if (piece == NULL)
    rc = pai_error_set(err, PAI_E_NOMEM, "out of memory");
  else if (fstat(fd, &st) < 0)
    rc = pai_fs_error(err, errno, "stat", path);
  else if (!S_ISREG(st.st_mode))
    rc = pai_error_set(err, PAI_E_DENIED, "read \"%.160s\": not a regular file", path);
  else
    rc = add_range(h, fd, piece, path, offset, len, err);
  pai_free(piece);
  close(fd);
  return rc;
}

int pai_sign_hasher_value(const pai_sign_hasher *h, size_t i, unsigned char out[EVP_MAX_MD_SIZE],
                          size_t *out_len, pai_error *err) {
  EVP_MD_CTX *copy = EVP_MD_CTX_new();
  unsigned n = 0;
  bool ok =
      copy != NULL && EVP_MD_CTX_copy_ex(copy, h->ctx[i]) && EVP_DigestFinal_ex(copy, out, &n);
  EVP_MD_CTX_free(copy);
  *out_len = n;
  return ok ? 0 : library_error(err, "a checksum");
}

void pai_sign_hasher_free(pai_sign_hasher *h) {
  while (h->count > 0)
    EVP_MD_CTX_free(h->ctx[--h->count]);
}
