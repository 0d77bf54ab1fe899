/* WebSockets of a server. See serve_ws.h.
 *
 * libmicrohttpd keeps the connection while it is ours, and with it the exchange: so the server's
 * lists and its closing know of a WebSocket as of any other answer. */
#include "serve_ws.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
  PIECE = 16384,
  TURN_MAX = 1 << 20, // bytes read before others get a turn
  SEND_MAX = 64 << 20,
  LINGER_MS = 1000 // for the peer to end the connection after its last word was said
};

static const char GUID[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/* The handshake. */

static const char *header(pai_exchange *x, const char *name) {
  const char *v = MHD_lookup_connection_value(x->conn, MHD_HEADER_KIND, name);
  return v != NULL ? v : "";
}

// Whether a list such as "keep-alive, Upgrade" has the word; any_case, or as it is.
static bool has_word(const char *list, const char *word, bool any_case) {
  size_t len = strlen(word);
  while (*list != '\0') {
    list += strspn(list, " \t,");
    size_t n = strcspn(list, " \t,");
    if (n == len && (any_case ? strncasecmp(list, word, len) == 0 : strncmp(list, word, len) == 0))
      return true;
    list += n;
  }
  return false;
}

// 16 bytes in base64: 24 characters, of which the last but two has 4 bits that must be 0.
static bool is_key(const char *key) {
  unsigned char bytes[18];
  char again[25];
  if (strlen(key) != 24 || key[22] != '=' || key[23] != '=' || key[21] == '=')
    return false;
  if (EVP_DecodeBlock(bytes, (const unsigned char *)key, 24) != 18)
    return false;
  EVP_EncodeBlock((unsigned char *)again, bytes, 16);
  return memcmp(again, key, 24) == 0;
}

static bool make_accept(const char *key, char out[32]) {
  char text[24 + sizeof GUID];
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned len = 0;
  int n = snprintf(text, sizeof text, "%s%s", key, GUID);
  if (EVP_Digest(text, (size_t)n, digest, &len, EVP_sha1(), NULL) != 1)
    return false;
  EVP_EncodeBlock((unsigned char *)out, digest, (int)len);
  return true;
}

static unsigned refuse(pai_error *err, unsigned status, const char *why) {
  pai_error_set(err, PAI_E_PROTO, "%s", why);
  return status;
}

unsigned pai_serve_ws_check(pai_exchange *x, char accept[32], pai_error *err) {
  if (!has_word(header(x, "Upgrade"), "websocket", true) ||
      !has_word(header(x, "Connection"), "upgrade", true))
    return refuse(err, 426, "This address speaks WebSocket");
  if (strcmp(header(x, "Sec-WebSocket-Version"), "13") != 0)
    return refuse(err, 426, "Only version 13 of WebSocket is spoken here");
  const char *length = header(x, "Content-Length");
  bool body = strspn(length, "0") != strlen(length) || *header(x, "Transfer-Encoding") != '\0';
  if (strcmp(x->method, "GET") != 0 || !x->http11 || body)
    return refuse(err, 400, "A WebSocket begins with a GET of HTTP/1.1 without a body");
  const char *key = header(x, "Sec-WebSocket-Key");
  if (!is_key(key))
    return refuse(err, 400, "Sec-WebSocket-Key is not 16 bytes in base64");
  if (!make_accept(key, accept))
    return refuse(err, 500, "SHA-1 is not available");
  return 101;
}

bool pai_serve_ws_offers(pai_exchange *x, const char *protocol) {
  return has_word(header(x, "Sec-WebSocket-Protocol"), protocol, false);
}

/* The end. */

static void let_go(pai_serve_ws *w) {
  pai_exchange *x = w->x;
  pai_io_stop(&w->io);
  pai_timer_stop(&w->deadline);
  pai_timer_stop(&w->ping);
  pai_timer_stop(&w->again);
  w->x = NULL;
  if (x != NULL)
    x->ws = NULL;
  if (w->mhd != NULL) {
    MHD_upgrade_action(w->mhd, MHD_UPGRADE_ACTION_CLOSE);
    if (x != NULL && x->serve != NULL)
      pai_serve_kick(x->serve);
  }
  w->mhd = NULL;
  w->fd = -1;
}

static void over(pai_serve_ws *w) {
  if (w->state == PAI_SERVE_WS_OVER)
    return;
  w->state = PAI_SERVE_WS_OVER;
  let_go(w);
  w->wake(w->ud);
}

// The first reason counts.
static void set_error(pai_serve_ws *w, int code, const char *why) {
  if (w->err.code == PAI_OK)
    pai_error_set(&w->err, code, "WebSocket: %s", why);
}

static void fail(pai_serve_ws *w, int code, const char *why) {
  set_error(w, code, why);
  over(w);
}

/* The connection. */

static bool finished_talking(const pai_serve_ws *w) {
  return w->codec.err.code != PAI_OK || w->codec.close_seen;
}

// Sends what there is of it; false when the connection is over.
static bool flush(pai_serve_ws *w) {
  pai_buf *out = &w->codec.out;
  while (w->sent < out->len) {
    ssize_t n = send(w->fd, out->data + w->sent, out->len - w->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN)
      break;
    if (n < 0 && finished_talking(w)) { // the peer has gone after its last word
      w->eof = true;
      w->sent = out->len;
    } else if (n < 0) {
      fail(w, PAI_E_NETWORK, strerrordesc_np(errno));
      return false;
    } else {
      w->sent += (size_t)n;
    }
  }
  if (w->sent == out->len) {
    pai_buf_clear(out);
    w->sent = 0;
  } else if (w->sent > PIECE && w->sent > out->len / 2) { // rarely, since it moves the rest
    pai_buf_drop(out, w->sent);
    w->sent = 0;
  }
  return true;
}

// Reads what there is; false when the connection is over.
static bool pull(pai_serve_ws *w) {
  char piece[PIECE];
  size_t total = 0;
  for (;;) {
    w->paused = w->codec.queue.len >= PAI_SERVE_WS_HIGH && !finished_talking(w);
    if (w->paused)
      return true;
    if (total >= TURN_MAX) {
      pai_timer_start(&w->again, 0, NULL);
      return true;
    }
    ssize_t n = recv(w->fd, piece, sizeof piece, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0 && errno == EAGAIN)
      return true;
    if (n < 0 && !(finished_talking(w) && w->codec.close_sent)) {
      fail(w, PAI_E_NETWORK, strerrordesc_np(errno));
      return false;
    }
    if (n <= 0) {
      w->eof = true;
      return true;
    }
    w->pinged = false;
    pai_ws_codec_feed(&w->codec, piece, (size_t)n);
    total += (size_t)n;
  }
}

// Whether it is over after what was read and sent. A server ends the connection as soon as both
// have said their Close (RFC 6455, 7.1.1); after a breach the peer may still be sending, and would
// lose our last frame if we did.
static bool settle(pai_serve_ws *w) {
  if (!finished_talking(w)) {
    if (!w->eof)
      return false;
    fail(w, PAI_E_CLOSED, "the connection ended without a Close");
    return true;
  }
  if (w->codec.err.code != PAI_OK && w->err.code == PAI_OK)
    w->err = w->codec.err;
  bool done = w->codec.close_seen && w->codec.close_sent && w->codec.out.len == 0;
  if (w->eof || done) {
    over(w);
    return true;
  }
  if (!w->lingering) {
    w->lingering = true;
    pai_timer_start(&w->deadline, LINGER_MS, NULL);
    if (w->codec.out.len == 0)
      shutdown(w->fd, SHUT_WR);
  }
  return false;
}

// A socket that nothing is wanted of is not watched at all: epoll tells of a hang-up all the same.
static int watch(pai_serve_ws *w, uint32_t events, pai_error *err) {
  if (events == 0) {
    pai_io_stop(&w->io);
    return 0;
  }
  if (!w->io.active)
    return pai_io_start(&w->io, w->fd, events, err);
  return events == w->io.events ? 0 : pai_io_change(&w->io, events, err);
}

static void work(pai_serve_ws *w) {
  if (w->state != PAI_SERVE_WS_OPEN)
    return;
  if (!w->eof && !pull(w))
    return;
  if (!flush(w) || settle(w))
    return;
  uint32_t events =
      (w->paused || w->eof ? 0u : EPOLLIN) | (w->codec.out.len > 0 ? (uint32_t)EPOLLOUT : 0u);
  pai_error err;
  if (watch(w, events, &err) < 0)
    fail(w, err.code, err.message);
  else
    w->wake(w->ud);
}

static void io_ready(pai_io *io, uint32_t events) {
  (void)events;
  work(io->ud);
}

static void again_due(pai_timer *t) {
  work(t->ud);
}

static void deadline_due(pai_timer *t) {
  pai_serve_ws *w = t->ud;
  if (finished_talking(w))
    over(w);
  else
    fail(w, PAI_E_TIMEOUT, "the peer did not answer the Close in time");
}

static void ping_due(pai_timer *t) {
  pai_serve_ws *w = t->ud;
  if (w->pinged && !w->paused) {
    fail(w, PAI_E_TIMEOUT, "the peer is silent");
    return;
  }
  pai_timer_start(&w->ping, w->ping_ms, NULL);
  if (w->paused || w->codec.close_sent)
    return;
  w->pinged = true; // whatever comes takes it back
  if (pai_ws_codec_send(&w->codec, PAI_WS_PING, "", 0, NULL) == 0)
    work(w);
}

// libmicrohttpd's: the head of the answer has been sent, the socket is ours.
static void on_upgrade(void *ud, struct MHD_Connection *conn, void *con, const char *extra,
                       size_t extra_len, MHD_socket fd, struct MHD_UpgradeResponseHandle *mhd) {
  (void)ud, (void)conn;
  pai_exchange *x = con;
  pai_serve_ws *w = x != NULL ? x->ws : NULL;
  if (w == NULL) { // nobody wants it any more
    MHD_upgrade_action(mhd, MHD_UPGRADE_ACTION_CLOSE);
    if (x != NULL && x->serve != NULL)
      pai_serve_kick(x->serve);
    return;
  }
  pai_error err;
  w->mhd = mhd;
  w->fd = fd;
  w->state = PAI_SERVE_WS_OPEN;
  w->opened = true;
  w->io = (pai_io){.fn = io_ready, .ud = w};
  int rc = pai_io_start(&w->io, fd, EPOLLIN, &err);
  if (rc == 0 && w->ping_ms > 0)
    rc = pai_timer_start(&w->ping, w->ping_ms, &err);
  if (rc == 0)
    rc = pai_timer_start(&w->again, 0, &err); // also for what came with the handshake
  pai_ws_codec_feed(&w->codec, extra, extra_len);
  if (rc < 0)
    fail(w, err.code, err.message);
  else
    w->wake(w->ud);
}

/* Public. */

struct MHD_Response *pai_serve_ws_new(pai_serve_ws *w, pai_exchange *x, const char *accept,
                                      size_t max_message, int64_t ping_ms) {
  struct MHD_Response *r = MHD_create_response_for_upgrade(on_upgrade, NULL);
  if (r == NULL || MHD_add_response_header(r, "Upgrade", "websocket") != MHD_YES ||
      MHD_add_response_header(r, "Sec-WebSocket-Accept", accept) != MHD_YES) {
    if (r != NULL)
      MHD_destroy_response(r);
    return NULL;
  }
  w->state = PAI_SERVE_WS_WAITING;
  w->fd = -1;
  w->deadline = (pai_timer){.fn = deadline_due, .ud = w};
  w->ping = (pai_timer){.fn = ping_due, .ud = w};
  w->again = (pai_timer){.fn = again_due, .ud = w};
  w->ping_ms = ping_ms;
  pai_ws_codec_init(&w->codec, max_message, SEND_MAX);
  pai_ws_codec_set_server(&w->codec);
  w->x = x;
  x->ws = w;
  return r;
}

size_t pai_serve_ws_unsent(const pai_serve_ws *w) {
  return w->codec.out.len - w->sent;
}

int pai_serve_ws_send(pai_serve_ws *w, int opcode, const void *data, size_t len, pai_error *err) {
  int rc = pai_ws_codec_send(&w->codec, opcode, data, len, err);
  return rc < 0 ? rc : pai_timer_start(&w->again, 0, err);
}

void pai_serve_ws_taken(pai_serve_ws *w) {
  if (w->paused && w->state == PAI_SERVE_WS_OPEN && w->codec.queue.len < PAI_SERVE_WS_HIGH)
    pai_timer_start(&w->again, 0, NULL);
}

int pai_serve_ws_close(pai_serve_ws *w, int code, const char *reason, size_t len, int64_t wait_ms,
                       pai_error *err) {
  int rc = pai_ws_codec_close(&w->codec, code, reason, len, err);
  rc = rc < 0 || w->lingering ? rc : pai_timer_start(&w->deadline, wait_ms, err);
  return rc < 0 ? rc : pai_timer_start(&w->again, 0, err);
}

void pai_serve_ws_end(pai_serve_ws *w, int code, int why, const char *text) {
  if (w->state == PAI_SERVE_WS_OPEN && !w->eof &&
      pai_ws_codec_close(&w->codec, code, NULL, 0, NULL) == 0 && !flush(w))
    return;
  if (w->x != NULL)
    fail(w, why, text);
}

void pai_serve_ws_free(pai_serve_ws *w) {
  pai_serve_ws_end(w, PAI_WS_GOING_AWAY, PAI_E_CLOSED, "the connection was dropped");
  w->state = PAI_SERVE_WS_OVER;
  pai_ws_codec_free(&w->codec);
}

void pai_serve_ws_lost(pai_serve_ws *w) {
  w->mhd = NULL; // is no more
  fail(w, PAI_E_CLOSED, "the client is gone");
}
