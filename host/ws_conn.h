/* A WebSocket connection whose handshake is done, of either side: frames to and from what carries
 * its bytes, the closing handshake, pings. ws.c carries them over libcurl, serve_ws.c over a
 * server's socket. */
#ifndef PAI_WS_CONN_H
#define PAI_WS_CONN_H

#include "error.h"
#include "loop.h"
#include "ws_codec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { PAI_WS_WAITING, PAI_WS_OPEN, PAI_WS_OVER }; // waiting: for the handshake
enum { PAI_WS_HIGH = 256 << 10 }; // bytes unsent, or not taken, from which on one has to wait
enum { PAI_WS_LATER = -1, PAI_WS_BROKEN = -2 };

typedef struct pai_ws_conn pai_ws_conn;

typedef struct pai_ws_carrier {
  // Both: bytes moved (of recv 0: the end), PAI_WS_LATER, or PAI_WS_BROKEN and why.
  ssize_t (*recv)(pai_ws_conn *c, void *data, size_t size, const char **why);
  ssize_t (*send)(pai_ws_conn *c, const void *data, size_t len, const char **why);
  void (*release)(pai_ws_conn *c); // it is over, the descriptor is wanted no more
  void (*late)(pai_ws_conn *c);    // the deadline came before it was open; NULL: there is none
  bool server; // the connection ends when both have said their Close (RFC 6455, 7.1.1)
} pai_ws_carrier;

struct pai_ws_conn {
  void (*wake)(void *ud); // something may have changed; called in the loop
  void *ud;
  int state;
  pai_error err;     // why it is over: PAI_OK after a closing handshake
  bool opened;       // the handshake went well
  char protocol[64]; // the subprotocol that the server chose, "" for none
  pai_ws_codec codec;

  // private
  const pai_ws_carrier *carrier;
  const char *peer;   // what messages name, borrowed; NULL: nothing
  pai_timer deadline; // until it is open; later of a Close
  pai_timer ping, again;
  pai_io io;
  int64_t ping_ms;
  int fd;
  size_t sent; // of codec.out
  bool paused, eof, pinged, lingering;
};

// carrier: borrowed for ever. ping_ms: a silent peer is asked after this, and given up after twice
// as long; 0: no. wake and ud are kept.
void pai_ws_conn_init(pai_ws_conn *c, const pai_ws_carrier *carrier, size_t max_message,
                      int64_t ping_ms);
// The handshake is done; data: what came after it. The descriptor stays the carrier's.
void pai_ws_conn_open(pai_ws_conn *c, int fd, const void *data, size_t len);
// Adds a message; it goes out by itself. The caller waits while pai_ws_unsent is over PAI_WS_HIGH.
// PAI_E_CLOSED, PAI_E_ARG, PAI_E_LIMIT, PAI_E_NOMEM.
int pai_ws_send(pai_ws_conn *c, int opcode, const void *data, size_t len, pai_error *err);
size_t pai_ws_unsent(const pai_ws_conn *c);
void pai_ws_taken(pai_ws_conn *c); // after messages were popped: reading may go on
// Sends a Close and waits for the peer's, for at most wait_ms.
int pai_ws_close(pai_ws_conn *c, int code, const char *reason, size_t len, int64_t wait_ms,
                 pai_error *err);
void pai_ws_set_error(pai_ws_conn *c, int code, const char *why); // the first reason counts
void pai_ws_over(pai_ws_conn *c);                                 // ends it now, for that reason
void pai_ws_abort(pai_ws_conn *c, int code, const char *why);     // both
// As abort, but says this to an open peer first if it takes it at once. Safe at any time.
void pai_ws_leave(pai_ws_conn *c, int close_code, int code, const char *why);
void pai_ws_conn_free(pai_ws_conn *c); // frees the messages of a connection that is over

// Keeps the watch on the descriptor as it should be; 0: nothing is wanted of it.
int pai_ws_watch(pai_ws_conn *c, uint32_t events, pai_error *err);

#endif
