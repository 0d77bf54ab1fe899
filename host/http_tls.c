/* TLS of a transfer. See http_tls.h. */
#include "http_tls.h"

#include <stdint.h>

static void set_blob(CURL *easy, CURLoption option, const char *data, size_t len) {
  struct curl_blob blob = {(void *)(uintptr_t)data, len, CURL_BLOB_NOCOPY};
  if (data != NULL)
    curl_easy_setopt(easy, option, &blob);
}

void pai_http_tls_set(CURL *easy, const pai_http_tls *tls, bool own_origin,
                      struct curl_slist *dial) {
  if (tls->ca_file != NULL)
    curl_easy_setopt(easy, CURLOPT_CAINFO, tls->ca_file);
  if (!own_origin)
    return;
  set_blob(easy, CURLOPT_CAINFO_BLOB, tls->ca, tls->ca_len);
  set_blob(easy, CURLOPT_SSLCERT_BLOB, tls->cert, tls->cert_len);
  set_blob(easy, CURLOPT_SSLKEY_BLOB, tls->key, tls->key_len);
  if (tls->insecure) {
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (tls->connect_to != NULL) {
    *dial = (struct curl_slist){.data = (char *)(uintptr_t)tls->connect_to};
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, dial);
  }
}
