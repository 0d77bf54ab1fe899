/* WebSockets of a server: an exchange whose request asks for one may be answered by it, and is
 * over when it is. libmicrohttpd hands the socket over; ws_codec.c has the frames. */
#ifndef PAI_SERVE_WS_H
#define PAI_SERVE_WS_H

#include "serve.h"
#include "ws_codec.h"

enum { PAI_SERVE_WS_WAITING, PAI_SERVE_WS_OPEN, PAI_SERVE_WS_OVER };
enum { PAI_SERVE_WS_HIGH = 256 << 10 }; // bytes unsent, or not taken, from which on one has to wait

struct pai_serve_ws {     // zero it first
  void (*wake)(void *ud); // something may have changed; called in the loop
  void *ud;
  int state;
  pai_error err; // why it is over: PAI_OK after a closing handshake
  bool opened;
  pai_ws_codec codec;

  // private
  pai_exchange *x;                       // NULL once it is over
  struct MHD_UpgradeResponseHandle *mhd; // NULL until the socket is ours
  pai_io io;
  pai_timer deadline, ping, again;
  int64_t ping_ms;
  int fd;
  size_t sent; // of codec.out
  bool paused, eof, pinged, lingering;
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
// Adds a message; it goes out by itself. The caller waits while pai_serve_ws_unsent is over
// PAI_SERVE_WS_HIGH. PAI_E_CLOSED, PAI_E_ARG, PAI_E_LIMIT, PAI_E_NOMEM.
int pai_serve_ws_send(pai_serve_ws *w, int opcode, const void *data, size_t len, pai_error *err);
size_t pai_serve_ws_unsent(const pai_serve_ws *w);
void pai_serve_ws_taken(pai_serve_ws *w); // after messages were popped: reading may go on
// Sends a Close and waits for the peer's, for at most wait_ms.
int pai_serve_ws_close(pai_serve_ws *w, int code, const char *reason, size_t len, int64_t wait_ms,
                       pai_error *err);
// Ends it now, with this code if the peer takes it at once; safe at any time, also twice.
void pai_serve_ws_end(pai_serve_ws *w, int code, int why, const char *text);
void pai_serve_ws_free(pai_serve_ws *w); // ends it and frees the messages

/* For serve.c. */

void pai_serve_ws_lost(pai_serve_ws *w); // the exchange has ended
// The exchange's socket was given back to libmicrohttpd, which must be run.
void pai_serve_kick(pai_serve *s);

#endif
