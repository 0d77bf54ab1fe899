/* WebSockets of a server. See serve_ws.h.
 *
 * libmicrohttpd keeps the connection while it is ours, and with it the exchange: so the server's
 * lists and its closing know of a WebSocket as of any other answer. */
#include "serve_ws.h"

#include "ws_upgrade.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/socket.h>

/* The handshake. */

static const char *header(pai_exchange *x, const char *name) {
  const char *v = MHD_lookup_connection_value(x->conn, MHD_HEADER_KIND, name);
  return v != NULL ? v : "";
}

static bool has_word(pai_exchange *x, const char *name, const char *word, bool any_case) {
  const char *list = header(x, name);
  return pai_ws_has_word(list, strlen(list), word, strlen(word), any_case);
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

static unsigned refuse(pai_error *err, unsigned status, const char *why) {
  pai_error_set(err, PAI_E_PROTO, "%s", why);
  return status;
}

unsigned pai_serve_ws_check(pai_exchange *x, char accept[32], pai_error *err) {
  if (!has_word(x, "Upgrade", "websocket", true) || !has_word(x, "Connection", "upgrade", true))
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
  return pai_ws_accept(key, accept, err) < 0 ? 500 : 101;
}

bool pai_serve_ws_offers(pai_exchange *x, const char *protocol) {
  return has_word(x, "Sec-WebSocket-Protocol", protocol, false);
}

/* The socket. */

static ssize_t moved(ssize_t n, const char **why) {
  if (n >= 0)
    return n;
  *why = strerrordesc_np(errno);
  return errno == EAGAIN ? PAI_WS_LATER : PAI_WS_BROKEN;
}

static ssize_t receive(pai_ws_conn *c, void *data, size_t size, const char **why) {
  ssize_t n;
  do
    n = recv(c->fd, data, size, MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  return moved(n, why);
}

static ssize_t transmit(pai_ws_conn *c, const void *data, size_t len, const char **why) {
  ssize_t n;
  do
    n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (n < 0 && errno == EINTR);
  return moved(n, why);
}

static void release(pai_ws_conn *c) {
  pai_serve_ws *w = (pai_serve_ws *)c;
  pai_exchange *x = w->x;
  w->x = NULL;
  if (x != NULL)
    x->ws = NULL;
  if (w->mhd != NULL) {
    MHD_upgrade_action(w->mhd, MHD_UPGRADE_ACTION_CLOSE);
    if (x != NULL && x->serve != NULL)
      pai_serve_kick(x->serve);
  }
  w->mhd = NULL;
}

static const pai_ws_carrier carrier = {
    .recv = receive, .send = transmit, .release = release, .server = true};

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
  w->mhd = mhd;
  pai_ws_conn_open(&w->conn, fd, extra, extra_len);
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
  pai_ws_conn_init(&w->conn, &carrier, max_message, ping_ms);
  w->x = x;
  x->ws = w;
  return r;
}

void pai_serve_ws_free(pai_serve_ws *w) {
  pai_ws_leave(&w->conn, PAI_WS_GOING_AWAY, PAI_E_CLOSED, "the connection was dropped");
  pai_ws_conn_free(&w->conn);
}

void pai_serve_ws_lost(pai_serve_ws *w) {
  w->mhd = NULL; // is no more
  pai_ws_abort(&w->conn, PAI_E_CLOSED, "the client is gone");
}
