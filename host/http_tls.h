/* Whom a connection trusts and what it shows, for the clients over libcurl. */
#ifndef PAI_HTTP_TLS_H
#define PAI_HTTP_TLS_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct pai_http_tls { // borrowed as long as the transfer
  const char *ca_file;
  const char *ca; // PEM, in place of ca_file and the system's
  size_t ca_len;
  const char *cert; // PEM: the client's certificate, and its key
  size_t cert_len;
  const char *key;
  size_t key_len;
  bool insecure;          // the server's certificate is not checked
  const char *connect_to; // "::host:port" is dialled in place of the URL's
} pai_http_tls;

// own_origin false: nothing but ca_file, since the rest was given for another server. dial: kept as
// long as the transfer.
void pai_http_tls_set(CURL *easy, const pai_http_tls *tls, bool own_origin,
                      struct curl_slist *dial);

#endif
