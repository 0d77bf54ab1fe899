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
  PIECE = 16384,
  TURN_MAX = 1 << 20,  // bytes read before others get a turn
  HEAD_MAX = 64 << 10, // bytes of the answer to the handshake
  SEND_MAX = 64 << 20, // bytes unsent
  LINGER_MS = 1000     // for the peer to end the connection after its last word was said
};

typedef struct sock {
  pai_io io;
  pai_ws *w;
} sock;

static void connected(pai_ws *w);
static void work(pai_ws *w);

/* The end. */

static void let_go(pai_ws *w) {
  pai_io_stop(&w->io);
  pai_timer_stop(&w->deadline);
  pai_timer_stop(&w->ping);
  pai_timer_stop(&w->again);
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

static void over(pai_ws *w) {
  if (w->state == PAI_WS_OVER)
    return;
  w->state = PAI_WS_OVER;
  let_go(w);
  w->wake(w->ud);
}

// The first reason counts. The URL's path is not named: it may hold a key.
static void set_error(pai_ws *w, int code, const char *why) {
  if (w->err.code == PAI_OK)
    pai_error_set(&w->err, code, "WebSocket %.120s: %s", w->origin != NULL ? w->origin : "", why);
}

void pai_ws_abort(pai_ws *w, int code, const char *why) {
  if (w->state == PAI_WS_OVER)
    return;
  set_error(w, code, why);
  over(w);
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
    pai_ws_abort(w, code == CURLE_OUT_OF_MEMORY ? PAI_E_NOMEM : PAI_E_NETWORK,
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
  set_error(w, err->code, err->message);
  pai_timer_start(&w->deadline, 0, NULL);
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

static void set_blob(CURL *e, CURLoption option, const char *data, size_t len) {
  struct curl_blob blob = {(void *)(uintptr_t)data, len, CURL_BLOB_NOCOPY};
  if (data != NULL)
    curl_easy_setopt(e, option, &blob);
}

static void set_tls(pai_ws *w) {
  CURL *e = w->easy;
  if (w->o.ca_file != NULL)
    curl_easy_setopt(e, CURLOPT_CAINFO, w->o.ca_file);
  set_blob(e, CURLOPT_CAINFO_BLOB, w->o.ca, w->o.ca_len);
  set_blob(e, CURLOPT_SSLCERT_BLOB, w->o.cert, w->o.cert_len);
  set_blob(e, CURLOPT_SSLKEY_BLOB, w->o.key, w->o.key_len);
  if (w->o.insecure) {
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (w->o.connect_to != NULL) {
    w->dial = (struct curl_slist){.data = (char *)(uintptr_t)w->o.connect_to};
    curl_easy_setopt(e, CURLOPT_CONNECT_TO, &w->dial);
  }
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
  set_tls(w);
  if (w->o.unix_socket != NULL)
    curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, w->o.unix_socket);
  if (w->o.proxy != NULL) {
    curl_easy_setopt(e, CURLOPT_PROXY, w->o.proxy);
    curl_easy_setopt(e, CURLOPT_NOPROXY, "");
  } else if (w->o.unix_socket != NULL || loopback) {
    curl_easy_setopt(e, CURLOPT_PROXY, "");
  }
}

/* The connection, once it stands. */

static void lost(pai_ws *w, CURLcode code) {
  set_error(w, PAI_E_NETWORK, w->reason[0] != '\0' ? w->reason : curl_easy_strerror(code));
  over(w);
}

static bool finished_talking(const pai_ws *w) {
  return w->codec.err.code != PAI_OK || w->codec.close_seen;
}

// Sends what there is of it; false when the connection is over.
static bool push(pai_ws *w, const char *data, size_t len) {
  while (w->sent < len) {
    size_t n = 0;
    CURLcode code = curl_easy_send(w->easy, data + w->sent, len - w->sent, &n);
    w->sent += n;
    if (code == CURLE_AGAIN || (code == CURLE_OK && n == 0))
      return true;
    if (code != CURLE_OK && finished_talking(w)) { // the peer has gone after its last word
      w->eof = true;
      w->sent = len;
    } else if (code != CURLE_OK) {
      lost(w, code);
      return false;
    }
  }
  return true;
}

static bool flush(pai_ws *w) {
  if (w->state == PAI_WS_SHAKING)
    return push(w, w->request.data, w->request.len);
  pai_buf *out = &w->codec.out;
  if (!push(w, out->data, out->len))
    return false;
  if (w->sent == out->len) {
    pai_buf_clear(out);
    w->sent = 0;
  } else if (w->sent > PIECE && w->sent > out->len / 2) { // rarely, since it moves the rest
    pai_buf_drop(out, w->sent);
    w->sent = 0;
  }
  return true;
}

static void opened(pai_ws *w, size_t body) {
  w->state = PAI_WS_OPEN;
  w->opened = true;
  w->sent = 0;
  pai_secret_buf_free(&w->request);
  pai_timer_stop(&w->deadline);
  if (w->o.ping_ms > 0)
    pai_timer_start(&w->ping, w->o.ping_ms, NULL);
  pai_ws_codec_feed(&w->codec, w->head.data + body, w->head.len - body);
  pai_buf_truncate(&w->head, body);
  w->wake(w->ud);
}

static bool take_head(pai_ws *w, const char *data, size_t len) {
  size_t body = 0;
  pai_error err;
  int rc = pai_buf_add(&w->head, data, len);
  if (rc < 0)
    pai_error_set(&err, rc, "the headers of the answer are too large");
  else
    rc = pai_ws_shake_check(w, &body, &err);
  if (rc < 0) {
    pai_ws_abort(w, rc, err.message);
    return false;
  }
  if (rc > 0)
    opened(w, body);
  return true;
}

static bool take(pai_ws *w, const char *data, size_t len) {
  w->pinged = false;
  if (w->state == PAI_WS_SHAKING)
    return take_head(w, data, len);
  pai_ws_codec_feed(&w->codec, data, len);
  return true;
}

// Reads what there is. TLS may hold bytes that no event of the socket tells of, so it reads on
// until there is nothing, or comes back by the timer.
static bool pull(pai_ws *w) {
  char piece[PIECE];
  size_t total = 0;
  for (;;) {
    w->paused = w->codec.queue.len >= PAI_WS_HIGH && !finished_talking(w);
    if (w->paused)
      return true;
    if (total >= TURN_MAX) {
      pai_timer_start(&w->again, 0, NULL);
      return true;
    }
    size_t n = 0;
    CURLcode code = curl_easy_recv(w->easy, piece, sizeof piece, &n);
    if (code == CURLE_AGAIN)
      return true;
    if (code != CURLE_OK && !(finished_talking(w) && w->codec.close_sent)) {
      lost(w, code);
      return false;
    }
    w->eof = w->eof || n == 0;
    if (w->state == PAI_WS_SHAKING || n > 0) {
      if (!take(w, piece, n))
        return false;
    }
    if (w->eof)
      return true;
    total += n;
  }
}

// Whether it is over after what was read and sent.
static bool settle(pai_ws *w) {
  if (finished_talking(w)) {
    if (w->codec.err.code != PAI_OK && w->err.code == PAI_OK)
      w->err = w->codec.err;
    if (w->eof) {
      over(w);
      return true;
    }
    if (!w->lingering) {
      // the last frame is lost if we end the connection while the peer still sends
      w->lingering = true;
      pai_timer_start(&w->deadline, LINGER_MS, NULL);
    }
    return false;
  }
  if (!w->eof)
    return false;
  set_error(w, PAI_E_CLOSED, "the connection ended without a Close");
  over(w);
  return true;
}

// A socket that nothing is wanted of is not watched at all: epoll tells of a hang-up all the same.
static int watch(pai_ws *w, uint32_t events, pai_error *err) {
  if (events == 0) {
    pai_io_stop(&w->io);
    return 0;
  }
  if (!w->io.active)
    return pai_io_start(&w->io, w->fd, events, err);
  return events == w->io.events ? 0 : pai_io_change(&w->io, events, err);
}

static void work(pai_ws *w) {
  if (!w->eof && !pull(w))
    return;
  if (!flush(w) || settle(w))
    return;
  bool more = w->state == PAI_WS_SHAKING ? w->sent < w->request.len : w->codec.out.len > 0;
  uint32_t events = (w->paused || w->eof ? 0u : EPOLLIN) | (more ? EPOLLOUT : 0u);
  pai_error err;
  if (watch(w, events, &err) < 0)
    pai_ws_abort(w, err.code, err.message);
  else
    w->wake(w->ud);
}

static void io_ready(pai_io *io, uint32_t events) {
  (void)events;
  work(io->ud);
}

static void connected(pai_ws *w) {
  curl_socket_t fd = CURL_SOCKET_BAD;
  pai_error err;
  curl_easy_getinfo(w->easy, CURLINFO_ACTIVESOCKET, &fd);
  if (fd == CURL_SOCKET_BAD) {
    pai_ws_abort(w, PAI_E_NETWORK, "the connection is gone");
    return;
  }
  w->state = PAI_WS_SHAKING;
  w->fd = fd;
  w->io = (pai_io){.fn = io_ready, .ud = w};
  if (pai_io_start(&w->io, w->fd, EPOLLIN | EPOLLOUT, &err) < 0)
    pai_ws_abort(w, err.code, err.message);
}

/* Deadlines. */

static void again_due(pai_timer *t) {
  work(t->ud);
}

static void deadline_due(pai_timer *t) {
  pai_ws *w = t->ud;
  if (w->err.code != PAI_OK || (w->state == PAI_WS_OPEN && finished_talking(w))) {
    over(w);
  } else if (w->state == PAI_WS_OPEN) {
    pai_ws_abort(w, PAI_E_TIMEOUT, "the peer did not answer the Close in time");
  } else {
    char why[80];
    snprintf(why, sizeof why, "not open within %lld ms", (long long)w->o.timeout_ms);
    pai_ws_abort(w, PAI_E_TIMEOUT, why);
  }
}

static void ping_due(pai_timer *t) {
  pai_ws *w = t->ud;
  if (w->pinged && !w->paused) {
    pai_ws_abort(w, PAI_E_TIMEOUT, "the peer is silent");
    return;
  }
  pai_timer_start(&w->ping, w->o.ping_ms, NULL);
  if (w->paused || w->codec.close_sent)
    return;
  w->pinged = true; // whatever comes takes it back
  if (pai_ws_codec_send(&w->codec, PAI_WS_PING, "", 0, NULL) == 0)
    work(w);
}

/* Public. */

static int begin(pai_ws *w, pai_error *err) {
  bool loopback;
  int rc = pai_loop_init(err);
  rc = rc < 0 ? rc : pai_ws_shake_make(w, &loopback, err);
  if (rc < 0)
    return rc;
  w->multi = curl_multi_init();
  w->easy = curl_easy_init();
  if (w->multi == NULL || w->easy == NULL)
    return pai_error_set(err, PAI_E_NOMEM, "out of memory");
  curl_multi_setopt(w->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
  curl_multi_setopt(w->multi, CURLMOPT_SOCKETDATA, w);
  curl_multi_setopt(w->multi, CURLMOPT_TIMERFUNCTION, set_multi_timer);
  curl_multi_setopt(w->multi, CURLMOPT_TIMERDATA, w);
  set_options(w, loopback);
  rc = pai_timer_start(&w->deadline, w->o.timeout_ms, err);
  if (rc == 0 && curl_multi_add_handle(w->multi, w->easy) != CURLM_OK)
    rc = pai_error_set(err, PAI_E_NOMEM, "out of memory");
  return rc;
}

int pai_ws_start(pai_ws *w, const pai_ws_options *o, pai_error *err) {
  w->o = *o;
  w->state = PAI_WS_CONNECTING;
  w->multi_timer = (pai_timer){.fn = multi_due, .ud = w};
  w->deadline = (pai_timer){.fn = deadline_due, .ud = w};
  w->ping = (pai_timer){.fn = ping_due, .ud = w};
  w->again = (pai_timer){.fn = again_due, .ud = w};
  pai_buf_init(&w->head, HEAD_MAX);
  pai_ws_codec_init(&w->codec, o->max_message, SEND_MAX);
  if (o->unix_socket != NULL && strlen(o->unix_socket) >= sizeof((struct sockaddr_un *)0)->sun_path)
    return pai_error_sys(err, ENAMETOOLONG, "connect to the unix socket \"%s\"", o->unix_socket);
  int rc = begin(w, err);
  if (rc < 0) {
    w->state = PAI_WS_OVER;
    let_go(w);
  }
  return rc;
}

size_t pai_ws_unsent(const pai_ws *w) {
  return w->codec.out.len - (w->state == PAI_WS_OPEN ? w->sent : 0);
}

int pai_ws_send(pai_ws *w, int opcode, const void *data, size_t len, pai_error *err) {
  int rc = pai_ws_codec_send(&w->codec, opcode, data, len, err);
  return rc < 0 ? rc : pai_timer_start(&w->again, 0, err);
}

void pai_ws_taken(pai_ws *w) {
  if (w->paused && w->state == PAI_WS_OPEN && w->codec.queue.len < PAI_WS_HIGH)
    pai_timer_start(&w->again, 0, NULL);
}

int pai_ws_close(pai_ws *w, int code, const char *reason, size_t len, int64_t wait_ms,
                 pai_error *err) {
  int rc = pai_ws_codec_close(&w->codec, code, reason, len, err);
  rc = rc < 0 || w->lingering ? rc : pai_timer_start(&w->deadline, wait_ms, err);
  return rc < 0 ? rc : pai_timer_start(&w->again, 0, err);
}

void pai_ws_end(pai_ws *w) {
  if (w->state == PAI_WS_OPEN && !w->eof &&
      pai_ws_codec_close(&w->codec, PAI_WS_GOING_AWAY, NULL, 0, NULL) == 0)
    (void)flush(w);
  w->state = PAI_WS_OVER;
  let_go(w);
  pai_free(w->origin);
  w->origin = NULL;
  pai_buf_free(&w->head);
  pai_ws_codec_free(&w->codec);
}
