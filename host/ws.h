/* WebSocket connections of a client. libcurl makes the connection (names, proxies, TLS, unix
 * sockets; its Debian version speaks no WebSocket), ws_shake.c the handshake, ws_codec.c the
 * frames. Secret headers are put together in locked memory; TLS is verified; nothing is followed
 * to another server. */
#ifndef PAI_WS_H
#define PAI_WS_H

#include "buf.h"
#include "error.h"
#include "http_multi.h"
#include "http_tls.h"
#include "secret.h"
#include "ws_conn.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pai_ws_header {
  const char *name;
  const char *prefix; // goes before the value; "" for none
  const char *value;
  size_t value_len;
} pai_ws_header;

// Every pointer is borrowed until pai_ws_end.
typedef struct pai_ws_options {
  const char *url; // ws:// or wss://
  const pai_ws_header *headers;
  size_t header_count;
  const char *protocols; // "a, b" as offered; NULL: none
  const char *unix_socket;
  pai_http_tls tls;
  const char *proxy;  // NULL: as the environment says; "": none
  size_t max_message; // bytes
  int64_t timeout_ms; // until the connection is open
  int64_t ping_ms;    // a silent peer is asked after this, and given up after twice as long; 0: no
} pai_ws_options;

typedef struct pai_ws { // zero it first, then set conn.wake and conn.ud
  pai_ws_conn conn;     // first; PAI_WS_WAITING until the handshake is done
  pai_ws_options o;
  int os_error;   // errno of a failed connection, 0 = unknown
  bool tls_error; // the peer's certificate was refused
  int status;     // HTTP status of a refused handshake, else 0
  pai_buf head;   // the answer to the handshake: lines and what came of its body
  size_t head_end;

  // private
  pai_http_multi multi;
  CURL *easy;
  struct curl_slist dial;
  pai_secret_buf request;
  size_t sent; // of the request
  char accept[32];
  char *origin; // http(s)://host:port, owned
  char reason[CURL_ERROR_SIZE];
} pai_ws;

// Starts; wake follows. On failure nothing runs.
int pai_ws_start(pai_ws *w, const pai_ws_options *o, pai_error *err);
void pai_ws_end(pai_ws *w); // frees everything; says 1001 to an open peer if it takes it at once

/* The handshake (ws_shake.c). */

// Checks the URL and fills origin, request and accept.
int pai_ws_shake_make(pai_ws *w, bool *loopback, pai_error *err);
// Reads the answer in head: 1 open, 0 more is needed, or an error. *body: where its frames begin.
int pai_ws_shake_check(pai_ws *w, size_t *body, pai_error *err);

#endif
