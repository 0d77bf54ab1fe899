/* WebSocket frames (RFC 6455, no extensions) as a client sees them, or a server: bytes in, whole
 * messages out; messages in, frames out, which a client masks. It knows no socket. Whatever a peer
 * sends, memory stays under max_message and a few fixed bounds, and the first breach of the
 * protocol ends the connection with the close code that the RFC names for it. */
#ifndef PAI_WS_CODEC_H
#define PAI_WS_CODEC_H

#include "buf.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { // opcodes
  PAI_WS_CONTINUATION = 0,
  PAI_WS_TEXT = 1,
  PAI_WS_BINARY = 2,
  PAI_WS_CLOSE = 8,
  PAI_WS_PING = 9,
  PAI_WS_PONG = 10
};

enum { // close codes
  PAI_WS_NORMAL = 1000,
  PAI_WS_GOING_AWAY = 1001,
  PAI_WS_PROTOCOL = 1002,
  PAI_WS_NO_CODE = 1005,  // the peer's Close had none
  PAI_WS_ABNORMAL = 1006, // the connection ended without a Close
  PAI_WS_BAD_DATA = 1007,
  PAI_WS_TOO_BIG = 1009
};

enum { PAI_WS_CONTROL_MAX = 125, PAI_WS_REASON_MAX = 123 };

typedef struct pai_utf8 { // zero it first: where a check of UTF-8 in pieces stands
  uint8_t rest;           // bytes that the character still needs
  uint8_t low, high;      // bounds of the next one
} pai_utf8;
// Whether the text so far is valid; at its end rest must be 0.
bool pai_utf8_feed(pai_utf8 *u, const void *data, size_t len);

typedef struct pai_ws_codec {
  pai_buf out;       // frames to be sent; the caller drops what it sent
  pai_buf queue;     // whole messages, see pai_ws_codec_peek
  int messages;      // how many
  bool close_sent;   // nothing may be sent any more
  bool close_seen;   // nothing more is read
  int close_code;    // the peer's, or the one of our verdict on what it sent
  size_t reason_len; // of the peer's reason
  char reason[PAI_WS_REASON_MAX];
  pai_error err; // a breach of the protocol, PAI_OK so far

  // private
  bool server; // the peer is a client, whose frames are masked
  size_t max_message;
  unsigned char head[14];
  unsigned char key[4]; // of the peer's mask
  unsigned key_at;      // byte of it that comes next
  size_t head_len;
  bool in_payload;
  bool fin;
  int opcode;
  uint64_t left; // of the payload
  int message;   // opcode of the message that is being put together, 0 = none
  pai_buf part;
  pai_utf8 utf8;
  unsigned char control[PAI_WS_CONTROL_MAX];
  size_t control_len;
} pai_ws_codec;

void pai_ws_codec_init(pai_ws_codec *c, size_t max_message, size_t max_out);
void pai_ws_codec_set_server(pai_ws_codec *c); // right after init: the server's side
void pai_ws_codec_free(pai_ws_codec *c);

// Takes bytes of the peer. Pings and Close are answered into out. PAI_E_PROTO or PAI_E_LIMIT (also
// in c->err, and a Close with the fitting code is in out), PAI_E_NOMEM. After a Close or a breach
// the rest is ignored.
int pai_ws_codec_feed(pai_ws_codec *c, const void *data, size_t len);
// The oldest whole message: its opcode, or 0 for none. Borrowed until the next call.
int pai_ws_codec_peek(const pai_ws_codec *c, const char **data, size_t *len);
void pai_ws_codec_pop(pai_ws_codec *c);

// Adds one frame to out: a whole message or a ping. PAI_E_CLOSED after a Close was sent,
// PAI_E_ARG for text that is not UTF-8, PAI_E_LIMIT when out would pass max_out.
int pai_ws_codec_send(pai_ws_codec *c, int opcode, const void *data, size_t len, pai_error *err);
// Adds a Close, once. The reason is cut to whole characters that fit.
int pai_ws_codec_close(pai_ws_codec *c, int code, const char *reason, size_t len, pai_error *err);
// Whether a Close frame may carry the code.
bool pai_ws_code_ok(int code);

#endif
