/* A libcurl multi handle on pai's loop: which sockets it watches, and when it is called back. A
 * socket that libcurl opened stays watched between two transfers, as nothing but a wait that no one
 * waits for: so a kept connection costs no call to the kernel for being used again. Nothing here
 * calls libcurl from inside one of libcurl's callbacks. */
#ifndef PAI_HTTP_MULTI_H
#define PAI_HTTP_MULTI_H

#include "error.h"
#include "loop.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct pai_http_socket pai_http_socket;

typedef struct pai_http_multi { // owned by the caller, zero it first, then set what is public
  void (*done)(void *ud, CURL *easy, CURLcode code); // a transfer has ended; may close the handle
  // Its socket or timer cannot be watched. Called inside libcurl: to end it soon, not now.
  void (*failed)(void *ud, CURL *easy, const pai_error *err);
  void *ud;
  CURLM *curl; // NULL: not open

  // private
  pai_timer timer;
  bool late;                 // the timer could not be started
  int running;               // transfers
  int kept;                  // idle connections at most
  pai_http_socket **sockets; // by descriptor, owned
  size_t room;
} pai_http_multi;

int pai_http_multi_open(pai_http_multi *m, pai_error *err); // idempotent
void pai_http_multi_close(pai_http_multi *m);               // its transfers are taken off first

// What every transfer needs that goes onto m: no signals, http only, no .netrc, sockets as above.
void pai_http_multi_prepare(pai_http_multi *m, CURL *easy);
// How the server is reached: over this unix socket, over this proxy ("": none, NULL: as the
// environment says, but for a server of this machine). The strings are borrowed.
void pai_http_multi_route(CURL *easy, const char *unix_socket, const char *proxy, bool loopback);
int pai_http_multi_add(pai_http_multi *m, CURL *easy, pai_error *err);
void pai_http_multi_remove(pai_http_multi *m, CURL *easy);
// The caller watches the descriptor of a connection himself from now on.
void pai_http_multi_leave(pai_http_multi *m, int fd);

#endif
