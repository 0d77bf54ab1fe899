/* WebSockets of a server: an exchange whose request asks for one may be answered by it, and is
 * over when it is. libmicrohttpd hands the socket over; ws_codec.c has the frames. */
#ifndef PAI_SERVE_WS_H
#define PAI_SERVE_WS_H

#include "serve.h"
#include "ws_conn.h"

struct pai_serve_ws { // zero it first, then set conn.wake and conn.ud
  pai_ws_conn conn;   // first; PAI_WS_WAITING until the answer was sent

  // private
  pai_exchange *x;                       // NULL once it is over
  struct MHD_UpgradeResponseHandle *mhd; // NULL until the socket is ours
};

// Whether the request is a handshake that can be answered (RFC 6455, 4.2.1): 101, or 400 or 426
// with the reason in err. accept: the value of Sec-WebSocket-Accept.
unsigned pai_serve_ws_check(pai_exchange *x, char accept[32], pai_error *err);
// Whether the request offers this subprotocol.
bool pai_serve_ws_offers(pai_exchange *x, const char *protocol);
// The answer of a handshake: the caller may add headers and then gives it with
// pai_exchange_answer, status 101. ping_ms: a silent peer is asked after this, and given up after
// twice as long; 0: no. NULL: no memory.
struct MHD_Response *pai_serve_ws_new(pai_serve_ws *w, pai_exchange *x, const char *accept,
                                      size_t max_message, int64_t ping_ms);
void pai_serve_ws_free(pai_serve_ws *w); // ends it and frees the messages

/* For serve.c. */

void pai_serve_ws_lost(pai_serve_ws *w); // the exchange has ended
// The exchange's socket was given back to libmicrohttpd, which must be run.
void pai_serve_kick(pai_serve *s);

#endif
