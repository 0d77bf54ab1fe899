/* The opening handshake. See ws_upgrade.h. */
#include "ws_upgrade.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

int pai_ws_accept(const char *key, char out[32], pai_error *err) {
  char text[24 + sizeof GUID];
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned len = 0;
  int n = snprintf(text, sizeof text, "%.24s%s", key, GUID);
  if (EVP_Digest(text, (size_t)n, digest, &len, EVP_sha1(), NULL) != 1)
    return pai_error_set(err, PAI_E_INTERNAL, "SHA-1 is not available");
  EVP_EncodeBlock((unsigned char *)out, digest, (int)len);
  return 0;
}

bool pai_ws_has_word(const char *list, size_t len, const char *word, size_t word_len,
                     bool any_case) {
  const char *p = list, *end = p + len;
  while (p < end) {
    const char *comma = memchr(p, ',', (size_t)(end - p));
    const char *stop = comma != NULL ? comma : end, *next = comma != NULL ? comma + 1 : end;
    while (p < stop && (*p == ' ' || *p == '\t'))
      p++;
    while (stop > p && (stop[-1] == ' ' || stop[-1] == '\t'))
      stop--;
    if ((size_t)(stop - p) == word_len &&
        (any_case ? strncasecmp(p, word, word_len) == 0 : strncmp(p, word, word_len) == 0))
      return true;
    p = next;
  }
  return false;
}
