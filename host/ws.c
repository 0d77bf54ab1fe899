/* WebSocket connections. See ws.h.
 *
 * Each has a libcurl multi handle of its own, which it needs only until it is connected: from then
 * on the socket is watched here and libcurl does no more than encrypt. */
#include "ws.h"

#include "alloc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/un.h>

enum {
  PIECE = 4096,
  HEAD_MAX = 64 << 10 // bytes of the answer to the handshake
};

static void connected(pai_ws *w);

static void release(pai_ws_conn *c) {
  pai_ws *w = (pai_ws *)c;
  if (w->easy != NULL && w->multi.curl != NULL)
    pai_http_multi_remove(&w->multi, w->easy);
  curl_easy_cleanup(w->easy);
  w->easy = NULL;
  pai_http_multi_close(&w->multi);
  pai_secret_buf_free(&w->request);
}

/* libcurl, while it connects. */

static void on_done(void *ud, CURL *easy, CURLcode code) {
  pai_ws *w = ud;
  if (code == CURLE_OK) {
    connected(w);
    return;
  }
  long os_error = 0;
  curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os_error);
  w->os_error = (int)os_error;
  w->tls_error = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
                 code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_INVALIDCERTSTATUS;
  pai_ws_abort(&w->conn, code == CURLE_OUT_OF_MEMORY ? PAI_E_NOMEM : PAI_E_NETWORK,
               w->reason[0] != '\0' ? w->reason : curl_easy_strerror(code));
}

static void on_failed(void *ud, CURL *easy, const pai_error *err) {
  (void)easy;
  pai_ws *w = ud;
  pai_ws_set_error(&w->conn, err->code, err->message);
  pai_timer_start(&w->conn.deadline, 0, NULL);
}

static void set_options(pai_ws *w, bool loopback) {
  CURL *e = w->easy;
  pai_http_multi_prepare(&w->multi, e);
  curl_easy_setopt(e, CURLOPT_URL, w->origin);
  curl_easy_setopt(e, CURLOPT_CONNECT_ONLY, 1L);
  curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1); // also in TLS's ALPN
  curl_easy_setopt(e, CURLOPT_ERRORBUFFER, w->reason);
  curl_easy_setopt(e, CURLOPT_HTTPPROXYTUNNEL, 1L);
  pai_http_tls_set(e, &w->o.tls, true, &w->dial);
  pai_http_multi_route(e, w->o.unix_socket, w->o.proxy, loopback);
}

/* Bytes, once the connection stands. */

static ssize_t moved(pai_ws *w, CURLcode code, size_t n, const char **why) {
  if (code == CURLE_OK)
    return (ssize_t)n;
  *why = w->reason[0] != '\0' ? w->reason : curl_easy_strerror(code);
  return code == CURLE_AGAIN ? PAI_WS_LATER : PAI_WS_BROKEN;
}

static ssize_t receive(pai_ws_conn *c, void *data, size_t size, const char **why) {
  pai_ws *w = (pai_ws *)c;
  size_t n = 0;
  CURLcode code = curl_easy_recv(w->easy, data, size, &n);
  return moved(w, code, n, why);
}

static ssize_t transmit(pai_ws_conn *c, const void *data, size_t len, const char **why) {
  pai_ws *w = (pai_ws *)c;
  size_t n = 0;
  CURLcode code = curl_easy_send(w->easy, data, len, &n);
  return moved(w, code == CURLE_OK && n == 0 ? CURLE_AGAIN : code, n, why);
}

static void late(pai_ws_conn *c) {
  char why[80];
  snprintf(why, sizeof why, "not open within %lld ms", (long long)((pai_ws *)c)->o.timeout_ms);
  pai_ws_abort(c, PAI_E_TIMEOUT, why);
}

static const pai_ws_carrier carrier = {
    .recv = receive, .send = transmit, .release = release, .late = late};

/* The handshake. */

// False when it is open, or over.
static bool take_head(pai_ws *w, const char *data, size_t len) {
  size_t body = 0;
  pai_error err;
  int rc = pai_buf_add(&w->head, data, len);
  if (rc < 0)
    pai_error_set(&err, rc, "the headers of the answer are too large");
  else
    rc = pai_ws_shake_check(w, &body, &err);
  if (rc < 0) {
    pai_ws_abort(&w->conn, rc, err.message);
  } else if (rc > 0) {
    pai_secret_buf_free(&w->request);
    pai_ws_conn_open(&w->conn, w->conn.fd, w->head.data + body, w->head.len - body);
    pai_buf_truncate(&w->head, body);
  }
  return rc == 0;
}

// Reads what there is; false when it is open, or over.
static bool read_head(pai_ws *w) {
  char piece[PIECE];
  for (;;) {
    const char *why = NULL;
    ssize_t n = receive(&w->conn, piece, sizeof piece, &why);
    if (n == PAI_WS_LATER)
      return true;
    if (n < 0) {
      pai_ws_abort(&w->conn, PAI_E_NETWORK, why);
      return false;
    }
    w->conn.eof = n == 0;
    if (!take_head(w, piece, (size_t)n))
      return false;
  }
}

static void shake(pai_io *io, uint32_t events) {
  (void)events;
  pai_ws *w = io->ud;
  if (!read_head(w))
    return;
  const char *why = NULL;
  pai_error err;
  ssize_t n = 0;
  for (; n >= 0 && w->sent<w->request.len; w->sent += n> 0 ? (size_t)n : 0)
    n = transmit(&w->conn, w->request.data + w->sent, w->request.len - w->sent, &why);
  if (n == PAI_WS_BROKEN)
    pai_ws_abort(&w->conn, PAI_E_NETWORK, why);
  else if (pai_ws_watch(&w->conn, EPOLLIN | (n < 0 ? (uint32_t)EPOLLOUT : 0u), &err) < 0)
    pai_ws_abort(&w->conn, err.code, err.message);
}

static void connected(pai_ws *w) {
  curl_socket_t fd = CURL_SOCKET_BAD;
  pai_error err;
  curl_easy_getinfo(w->easy, CURLINFO_ACTIVESOCKET, &fd);
  if (fd == CURL_SOCKET_BAD) {
    pai_ws_abort(&w->conn, PAI_E_NETWORK, "the connection is gone");
    return;
  }
  pai_http_multi_leave(&w->multi, fd);
  w->conn.fd = fd;
  w->conn.io = (pai_io){.fn = shake, .ud = w};
  if (pai_ws_watch(&w->conn, EPOLLIN | EPOLLOUT, &err) < 0)
    pai_ws_abort(&w->conn, err.code, err.message);
}

/* Public. */

static int begin(pai_ws *w, pai_error *err) {
  bool loopback;
  int rc = pai_ws_shake_make(w, &loopback, err);
  if (rc < 0)
    return rc;
  w->conn.peer = w->origin;
  rc = pai_http_multi_open(&w->multi, err);
  if (rc < 0)
    return rc;
  w->easy = curl_easy_init();
  if (w->easy == NULL)
    return pai_error_set(err, PAI_E_NOMEM, "out of memory");
  set_options(w, loopback);
  rc = pai_timer_start(&w->conn.deadline, w->o.timeout_ms, err);
  return rc < 0 ? rc : pai_http_multi_add(&w->multi, w->easy, err);
}

int pai_ws_start(pai_ws *w, const pai_ws_options *o, pai_error *err) {
  w->o = *o;
  w->multi = (pai_http_multi){.done = on_done, .failed = on_failed, .ud = w};
  pai_buf_init(&w->head, HEAD_MAX);
  pai_ws_conn_init(&w->conn, &carrier, o->max_message, o->ping_ms);
  if (o->unix_socket != NULL && strlen(o->unix_socket) >= sizeof((struct sockaddr_un *)0)->sun_path)
    return pai_error_sys(err, ENAMETOOLONG, "connect to the unix socket \"%s\"", o->unix_socket);
  int rc = begin(w, err);
  if (rc < 0)
    pai_ws_over(&w->conn);
  return rc;
}

void pai_ws_end(pai_ws *w) {
  pai_ws_leave(&w->conn, PAI_WS_GOING_AWAY, PAI_E_CLOSED, "the connection was dropped");
  w->conn.peer = NULL;
  pai_free(w->origin);
  w->origin = NULL;
  pai_buf_free(&w->head);
  pai_ws_conn_free(&w->conn);
}
