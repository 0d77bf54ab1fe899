/* WebSocket connections. See ws.h.
 *
 * Each has a libcurl multi handle of its own, which it needs only until it is connected: from then
 * on the socket is watched here and libcurl does no more than encrypt. Nothing here calls libcurl
 * from inside one of libcurl's callbacks. */
#include "ws.h"

#include "alloc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
  PIECE = 4096,
  HEAD_MAX = 64 << 10 // bytes of the answer to the handshake
};

typedef struct sock {
  pai_io io;
  pai_ws *w;
} sock;

static void connected(pai_ws *w);

static void release(pai_ws_conn *c) {
  pai_ws *w = (pai_ws *)c;
  if (w->easy != NULL && w->multi != NULL)
    curl_multi_remove_handle(w->multi, w->easy);
  curl_easy_cleanup(w->easy);
  w->easy = NULL;
  if (w->multi != NULL)
    curl_multi_cleanup(w->multi);
  w->multi = NULL;
  pai_timer_stop(&w->multi_timer);
  pai_secret_buf_free(&w->request);
}

/* libcurl on the loop, while it connects. */

static void drain(pai_ws *w) {
  int left;
  for (CURLMsg *m; w->multi != NULL && (m = curl_multi_info_read(w->multi, &left)) != NULL;) {
    if (m->msg != CURLMSG_DONE)
      continue;
    CURLcode code = m->data.result;
    if (code == CURLE_OK) {
      connected(w);
      continue;
    }
    long os_error = 0;
    curl_easy_getinfo(w->easy, CURLINFO_OS_ERRNO, &os_error);
    w->os_error = (int)os_error;
    w->tls_error = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
                   code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_INVALIDCERTSTATUS;
    pai_ws_abort(&w->conn, code == CURLE_OUT_OF_MEMORY ? PAI_E_NOMEM : PAI_E_NETWORK,
                 w->reason[0] != '\0' ? w->reason : curl_easy_strerror(code));
  }
}

static void socket_ready(pai_io *io, uint32_t events) {
  pai_ws *w = ((sock *)io)->w;
  int flags = ((events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
              ((events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
              ((events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
  int running;
  curl_multi_socket_action(w->multi, io->fd, flags, &running);
  drain(w);
}

// In a callback of libcurl: the connection is ended soon.
static void fail_soon(pai_ws *w, const pai_error *err) {
  pai_ws_set_error(&w->conn, err->code, err->message);
  pai_timer_start(&w->conn.deadline, 0, NULL);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *ud, void *known) {
  (void)easy;
  pai_ws *w = ud;
  sock *s = known;
  pai_error err;
  if (what == CURL_POLL_REMOVE) {
    if (s != NULL)
      pai_io_stop(&s->io);
    pai_free(s);
    return 0;
  }
  uint32_t events =
      ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0u) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0u);
  if (s != NULL) {
    if (pai_io_change(&s->io, events, &err) < 0)
      fail_soon(w, &err);
    return 0;
  }
  s = pai_calloc(1, sizeof *s);
  int rc = s == NULL ? pai_error_set(&err, PAI_E_NOMEM, "out of memory") : 0;
  if (rc == 0) {
    s->w = w;
    s->io.fn = socket_ready;
    rc = pai_io_start(&s->io, fd, events, &err);
  }
  if (rc == 0) {
    curl_multi_assign(w->multi, fd, s);
    return 0;
  }
  pai_free(s);
  fail_soon(w, &err);
  return 0;
}

static void multi_due(pai_timer *t) {
  pai_ws *w = t->ud;
  int running;
  curl_multi_socket_action(w->multi, CURL_SOCKET_TIMEOUT, 0, &running);
  drain(w);
}

static int set_multi_timer(CURLM *m, long after_ms, void *ud) {
  (void)m;
  pai_ws *w = ud;
  pai_error err;
  if (after_ms < 0)
    pai_timer_stop(&w->multi_timer);
  else if (pai_timer_start(&w->multi_timer, after_ms, &err) < 0)
    fail_soon(w, &err);
  return 0;
}

static curl_socket_t open_socket(void *ud, curlsocktype purpose, struct curl_sockaddr *a) {
  (void)ud, (void)purpose;
  return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static void set_options(pai_ws *w, bool loopback) {
  CURL *e = w->easy;
  curl_easy_setopt(e, CURLOPT_URL, w->origin);
  curl_easy_setopt(e, CURLOPT_CONNECT_ONLY, 1L);
  curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1); // also in TLS's ALPN
  curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
  curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
  curl_easy_setopt(e, CURLOPT_ERRORBUFFER, w->reason);
  curl_easy_setopt(e, CURLOPT_HTTPPROXYTUNNEL, 1L);
  pai_http_tls_set(e, &w->o.tls, true, &w->dial);
  if (w->o.unix_socket != NULL)
    curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, w->o.unix_socket);
  if (w->o.proxy != NULL) {
    curl_easy_setopt(e, CURLOPT_PROXY, w->o.proxy);
    curl_easy_setopt(e, CURLOPT_NOPROXY, "");
  } else if (w->o.unix_socket != NULL || loopback) {
    curl_easy_setopt(e, CURLOPT_PROXY, "");
  }
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
  w->conn.fd = fd;
  w->conn.io = (pai_io){.fn = shake, .ud = w};
  if (pai_ws_watch(&w->conn, EPOLLIN | EPOLLOUT, &err) < 0)
    pai_ws_abort(&w->conn, err.code, err.message);
}

/* Public. */

static int begin(pai_ws *w, pai_error *err) {
  bool loopback;
  int rc = pai_loop_init(err);
  rc = rc < 0 ? rc : pai_ws_shake_make(w, &loopback, err);
  if (rc < 0)
    return rc;
  w->conn.peer = w->origin;
  w->multi = curl_multi_init();
  w->easy = curl_easy_init();
  if (w->multi == NULL || w->easy == NULL)
    return pai_error_set(err, PAI_E_NOMEM, "out of memory");
  curl_multi_setopt(w->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
  curl_multi_setopt(w->multi, CURLMOPT_SOCKETDATA, w);
  curl_multi_setopt(w->multi, CURLMOPT_TIMERFUNCTION, set_multi_timer);
  curl_multi_setopt(w->multi, CURLMOPT_TIMERDATA, w);
  set_options(w, loopback);
  rc = pai_timer_start(&w->conn.deadline, w->o.timeout_ms, err);
  if (rc == 0 && curl_multi_add_handle(w->multi, w->easy) != CURLM_OK)
    rc = pai_error_set(err, PAI_E_NOMEM, "out of memory");
  return rc;
}

int pai_ws_start(pai_ws *w, const pai_ws_options *o, pai_error *err) {
  w->o = *o;
  w->multi_timer = (pai_timer){.fn = multi_due, .ud = w};
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
