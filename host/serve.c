/* The daemon and its exchanges. See serve.h.
 *
 * libmicrohttpd keeps its sockets in an epoll of its own, without a thread; that epoll is one
 * descriptor in our loop, and its timeout one timer. While an answer is made, or a stream has
 * nothing to send, the connection is suspended: libmicrohttpd then does not look at it, so once a
 * second we do, to notice a client that has gone. */
#include "serve.h"

#include "alloc.h"
#include "json.h"
#include "mask.h"
#include "serve_ws.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
  SWEEP_MS = 1000,
  FORCE_MS = 1000,         // between the cancellation of requests and the end of all
  STREAM_HIGH = 256 << 10, // bytes that wait to be sent before the writer has to
  STREAM_LOW = 64 << 10,
  STREAM_MAX = 1 << 30,
  BLOCK = 32 << 10,
  IDLE_S = 75, // a kept-alive connection without a request
  CONNECTIONS_MAX = 4096,
  DROP_MAX = 64 << 20 // bytes of a body over the limit that are read and dropped
};

struct pai_serve {
  pai_serve_options o;
  struct MHD_Daemon *daemon;
  pai_io io;
  pai_timer due;   // libmicrohttpd's timeout, or 0 after something was resumed
  pai_timer sweep; // looks for gone clients
  pai_timer force; // the next stage of closing
  pai_exchange *first;
  int fd; // listening; -1 once it is closed
  int port;
  dev_t dev; // of the unix socket's file
  ino_t ino;
  bool closing, cancelled;
  bool stopping; // nothing may fall asleep any more
};

/* Exchanges. */

pai_exchange *pai_exchange_ref(pai_exchange *x) {
  x->refs++;
  return x;
}

void pai_exchange_unref(pai_exchange *x) {
  if (x == NULL || --x->refs > 0)
    return;
  if (x->response != NULL)
    MHD_destroy_response(x->response);
  pai_buf_free(&x->body);
  pai_buf_free(&x->out);
  pai_free(x->target);
  pai_free(x);
}

static pai_exchange *new_exchange(pai_serve *s, struct MHD_Connection *conn, const char *target) {
  pai_exchange *x = pai_calloc(1, sizeof *x);
  if (x == NULL)
    return NULL;
  x->refs = 1;
  x->serve = s;
  x->conn = conn;
  x->target = pai_strndup(target, strlen(target));
  pai_buf_init(&x->body, s->o.max_body);
  pai_buf_init(&x->out, STREAM_MAX);
  x->next = s->first;
  if (s->first != NULL)
    s->first->prev = x;
  s->first = x;
  if (!s->sweep.slot)
    pai_timer_start(&s->sweep, SWEEP_MS, NULL);
  return x;
}

static void unlink_exchange(pai_exchange *x) {
  pai_serve *s = x->serve;
  if (x->prev != NULL)
    x->prev->next = x->next;
  else
    s->first = x->next;
  if (x->next != NULL)
    x->next->prev = x->prev;
  x->next = x->prev = NULL;
  x->conn = NULL;
  x->serve = NULL;
  struct MHD_Response *r = x->response;
  x->response = NULL;
  if (r != NULL) // that of a stream holds a reference to x
    MHD_destroy_response(r);
}

static int fd_of(struct MHD_Connection *conn) {
  const union MHD_ConnectionInfo *info =
      MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
  return info != NULL ? info->connect_fd : -1;
}

void pai_serve_kick(pai_serve *s) {
  pai_timer_start(&s->due, 0, NULL);
}

static void resume(pai_exchange *x) {
  if (!x->suspended || x->conn == NULL)
    return;
  x->suspended = false;
  MHD_resume_connection(x->conn);
  pai_serve_kick(x->serve);
}

static void suspend(pai_exchange *x) {
  x->suspended = true;
  MHD_suspend_connection(x->conn);
}

static void tell(pai_exchange *x) {
  if (x->serve != NULL)
    x->serve->o.wake(x->serve->o.ud, x);
}

static void set_gone(pai_exchange *x) {
  if (x->gone)
    return;
  x->gone = true;
  tell(x);
  if (x->answered) // an unfinished handler keeps it asleep until it has ended
    resume(x);
}

typedef struct header_call {
  void (*fn)(void *ud, const char *name, const char *value);
  void *ud;
} header_call;

static enum MHD_Result each_header(void *ud, enum MHD_ValueKind kind, const char *name,
                                   const char *value) {
  (void)kind;
  header_call *call = ud;
  call->fn(call->ud, name, value != NULL ? value : "");
  return MHD_YES;
}

void pai_exchange_headers(pai_exchange *x,
                          void (*fn)(void *ud, const char *name, const char *value), void *ud) {
  header_call call = {fn, ud};
  MHD_get_connection_values(x->conn, MHD_HEADER_KIND, each_header, &call);
}

/* Answers. */

void pai_exchange_answer(pai_exchange *x, unsigned status, struct MHD_Response *response) {
  if (x->answered || x->conn == NULL) {
    MHD_destroy_response(response);
    return;
  }
  x->answered = true;
  x->status = status;
  x->response = response;
  resume(x);
}

// {"message": text}, masked first: what fails may quote a secret.
struct MHD_Response *pai_serve_new_message(const char *text, size_t len) {
  pai_buf masked, json;
  pai_buf_init(&masked, (size_t)1 << 20);
  pai_buf_init(&json, (size_t)8 << 20);
  struct MHD_Response *r = NULL;
  if (len > (size_t)64 << 10)
    len = (size_t)64 << 10;
  if (pai_mask_text(NULL, text, len, &masked, NULL) == 0 &&
      pai_buf_add(&json, "{\"message\":", 11) == 0 &&
      pai_json_write_string(&json, masked.data, masked.len, true) == 0 &&
      pai_buf_add(&json, "}", 1) == 0)
    r = MHD_create_response_from_buffer(json.len, json.data, MHD_RESPMEM_MUST_COPY);
  if (r != NULL)
    MHD_add_response_header(r, "Content-Type", "application/json");
  pai_buf_free(&masked);
  pai_buf_free(&json);
  return r;
}

void pai_exchange_refuse(pai_exchange *x, unsigned status, const char *text, size_t len) {
  struct MHD_Response *r = x->answered ? NULL : pai_serve_new_message(text, len);
  if (r != NULL) {
    pai_exchange_answer(x, status, r);
    return;
  }
  x->failed = true;
  resume(x);
}

// While headers or body are still read: the answer goes out at once.
static enum MHD_Result refuse_now(pai_exchange *x, unsigned status, const char *text) {
  struct MHD_Response *r = pai_serve_new_message(text, strlen(text));
  x->answered = true;
  if (r == NULL)
    return MHD_NO;
  enum MHD_Result result = MHD_queue_response(x->conn, status, r);
  MHD_destroy_response(r);
  return result;
}

static ssize_t read_stream(void *ud, uint64_t pos, char *to, size_t max) {
  (void)pos;
  pai_exchange *x = ud;
  size_t left = x->out.len - x->out_at;
  if (x->gone || x->failed)
    return MHD_CONTENT_READER_END_WITH_ERROR;
  if (left > 0) {
    size_t n = left < max ? left : max;
    memcpy(to, x->out.data + x->out_at, n);
    x->out_at += n;
    if (x->out_at == x->out.len) {
      pai_buf_clear(&x->out);
      x->out_at = 0;
    }
    if (left - n <= STREAM_LOW)
      tell(x);
    return (ssize_t)n;
  }
  if (x->ended)
    return MHD_CONTENT_READER_END_OF_STREAM;
  suspend(x);
  return 0;
}

static void stream_over(void *ud) {
  pai_exchange_unref(ud);
}

struct MHD_Response *pai_exchange_new_stream(pai_exchange *x) {
  struct MHD_Response *r =
      MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, read_stream, x, stream_over);
  if (r != NULL)
    pai_exchange_ref(x);
  return r;
}

bool pai_exchange_is_full(const pai_exchange *x) {
  return !x->gone && x->conn != NULL && x->out.len - x->out_at > STREAM_HIGH;
}

int pai_exchange_write(pai_exchange *x, const void *data, size_t len) {
  if (x->gone || x->conn == NULL || x->ended || x->failed)
    return PAI_E_CLOSED;
  if (x->out_at > STREAM_HIGH) {
    pai_buf_drop(&x->out, x->out_at);
    x->out_at = 0;
  }
  int rc = pai_buf_add(&x->out, data, len);
  if (rc == 0)
    resume(x);
  return rc;
}

void pai_exchange_end(pai_exchange *x, bool whole) {
  x->ended = true;
  x->failed = x->failed || !whole;
  resume(x);
}

/* What libmicrohttpd calls. */

static void *on_line(void *ud, const char *target, struct MHD_Connection *conn) {
  return new_exchange(ud, conn, target);
}

static const char *header(pai_exchange *x, const char *name) {
  return MHD_lookup_connection_value(x->conn, MHD_HEADER_KIND, name);
}

// The checks that need no body. MHD_YES with x->answered unset: go on.
static enum MHD_Result check_request(pai_exchange *x) {
  pai_serve *s = x->serve;
  if (s->closing)
    return refuse_now(x, MHD_HTTP_SERVICE_UNAVAILABLE, "The server is closing");
  if (s->o.same_uid && !pai_serve_peer_is_us(fd_of(x->conn)))
    return refuse_now(x, MHD_HTTP_FORBIDDEN, "This server answers to its own user only");
  if (s->o.unix_path == NULL) {
    const char *host = header(x, "Host");
    if (host == NULL || !pai_serve_host_fits(host, s->o.hosts))
      return refuse_now(x, MHD_HTTP_FORBIDDEN, "The Host header does not name this server");
  }
  const char *origin = header(x, "Origin");
  if (origin != NULL && !pai_serve_origin_fits(origin, s->port, s->o.hosts, s->o.origins))
    return refuse_now(x, MHD_HTTP_FORBIDDEN, "The Origin header names a page of another server");
  const char *length = header(x, "Content-Length");
  if (length != NULL && strtoull(length, NULL, 10) > s->o.max_body)
    return refuse_now(x, MHD_HTTP_CONTENT_TOO_LARGE, "The body is too large");
  return MHD_YES;
}

static enum MHD_Result take_body(pai_exchange *x, const char *data, size_t *len) {
  size_t n = *len;
  *len = 0;
  if (!x->too_large && pai_buf_add(&x->body, data, n) == 0)
    return MHD_YES;
  x->too_large = true; // of a chunked body, which does not say its length before
  x->dropped += n;
  pai_buf_free(&x->body);
  return x->dropped > DROP_MAX ? MHD_NO : MHD_YES;
}

static enum MHD_Result deliver(pai_exchange *x) {
  struct MHD_Response *r = x->response;
  x->response = NULL;
  if (r == NULL)
    return MHD_NO;
  enum MHD_Result result = x->gone ? MHD_NO : MHD_queue_response(x->conn, x->status, r);
  MHD_destroy_response(r);
  return result;
}

static enum MHD_Result on_access(void *ud, struct MHD_Connection *conn, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *len, void **con) {
  (void)conn, (void)url;
  pai_serve *s = ud;
  pai_exchange *x = *con;
  if (x == NULL || x->target == NULL || x->failed || s->stopping)
    return MHD_NO;
  if (!x->seen) {
    x->seen = true;
    snprintf(x->method, sizeof x->method, "%s", method);
    x->http11 = strcmp(version, MHD_HTTP_VERSION_1_1) == 0;
    return check_request(x);
  }
  if (*len > 0)
    return take_body(x, data, len);
  if (x->answered)
    return deliver(x);
  if (x->too_large)
    return refuse_now(x, MHD_HTTP_CONTENT_TOO_LARGE, "The body is too large");
  suspend(x);
  if (!x->handed) {
    x->handed = true;
    s->o.request(s->o.ud, x);
  }
  return MHD_YES;
}

static void on_completed(void *ud, struct MHD_Connection *conn, void **con,
                         enum MHD_RequestTerminationCode why) {
  (void)conn;
  pai_serve *s = ud;
  pai_exchange *x = *con;
  *con = NULL;
  if (x == NULL)
    return;
  if (why != MHD_REQUEST_TERMINATED_COMPLETED_OK)
    x->gone = true;
  if (x->ws != NULL)
    pai_serve_ws_lost(x->ws);
  tell(x);
  x->suspended = false;
  unlink_exchange(x);
  pai_exchange_unref(x);
  if (s->closing && s->first == NULL)
    pai_timer_start(&s->force, 0, NULL);
}

/* The daemon on the loop. */

static void run(pai_serve *s) {
  MHD_run(s->daemon);
  MHD_UNSIGNED_LONG_LONG wait;
  if (MHD_get_timeout(s->daemon, &wait) == MHD_YES)
    pai_timer_start(&s->due, wait < 3600000 ? (int64_t)wait : 3600000, NULL);
  else
    pai_timer_stop(&s->due);
}

static void on_ready(pai_io *io, uint32_t events) {
  (void)events;
  run(io->ud);
}

static void on_due(pai_timer *t) {
  run(t->ud);
}

static void on_sweep(pai_timer *t) {
  pai_serve *s = t->ud;
  for (pai_exchange *x = s->first, *next; x != NULL; x = next) {
    next = x->next;
    if (x->suspended && pai_serve_is_gone(fd_of(x->conn)))
      set_gone(x);
  }
  if (s->first != NULL)
    pai_timer_start(&s->sweep, SWEEP_MS, NULL);
}

// Removes the socket's file, unless somebody has put another in its place.
static void stop_listening(pai_serve *s) {
  struct stat st;
  if (s->fd < 0)
    return;
  if (s->daemon != NULL)
    MHD_quiesce_daemon(s->daemon);
  close(s->fd);
  s->fd = -1;
  if (s->o.unix_path != NULL && lstat(s->o.unix_path, &st) == 0 && st.st_dev == s->dev &&
      st.st_ino == s->ino)
    unlink(s->o.unix_path);
}

static void stop_all(pai_serve *s) {
  stop_listening(s);
  s->stopping = true;
  for (pai_exchange *x = s->first; x != NULL; x = x->next) {
    x->gone = x->failed = true;
    if (x->ws != NULL)
      pai_ws_leave(&x->ws->conn, PAI_WS_GOING_AWAY, PAI_E_CLOSED, "the server has closed");
    tell(x);
    resume(x);
  }
  pai_io_stop(&s->io);
  pai_timer_stop(&s->sweep);
  pai_timer_stop(&s->force);
  if (s->daemon != NULL) {
    MHD_run(s->daemon); // takes the resumed ones back
    MHD_stop_daemon(s->daemon);
  }
  s->daemon = NULL;
  while (s->first != NULL) { // none that libmicrohttpd has told us the end of
    pai_exchange *x = s->first;
    unlink_exchange(x);
    pai_exchange_unref(x);
  }
  pai_timer_stop(&s->due);
}

static void on_force(pai_timer *t) {
  pai_serve *s = t->ud;
  if (s->first != NULL && !s->cancelled) {
    s->cancelled = true;
    pai_timer_start(&s->force, FORCE_MS, NULL);
    s->o.cancel(s->o.ud);
    return;
  }
  stop_all(s);
  s->o.closed(s->o.ud);
}

static int start_daemon(pai_serve *s, pai_error *err) {
  s->daemon =
      MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE, 0, NULL, NULL,
                       on_access, s, MHD_OPTION_LISTEN_SOCKET, s->fd, MHD_OPTION_URI_LOG_CALLBACK,
                       on_line, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
                       MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_CONNECTION_LIMIT,
                       (unsigned)CONNECTIONS_MAX, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
  if (s->daemon == NULL)
    return pai_error_sys(err, errno, "start the HTTP server");
  const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
  return pai_io_start(&s->io, info->epoll_fd, EPOLLIN, err);
}

int pai_serve_open(const pai_serve_options *o, pai_serve **out, pai_error *err) {
  pai_serve *s = pai_calloc(1, sizeof *s);
  *out = s;
  if (s == NULL)
    return pai_error_set(err, PAI_E_NOMEM, "out of memory");
  s->o = *o;
  s->io = (pai_io){.fn = on_ready, .ud = s};
  s->due = (pai_timer){.fn = on_due, .ud = s};
  s->sweep = (pai_timer){.fn = on_sweep, .ud = s};
  s->force = (pai_timer){.fn = on_force, .ud = s};
  s->fd = -1;
  int rc = o->unix_path != NULL
               ? pai_serve_listen_unix(o->unix_path, &s->fd, err)
               : pai_serve_listen_tcp(o->host, o->port, o->allow_remote, &s->fd, err);
  struct stat st;
  if (rc == 0 && o->unix_path != NULL && lstat(o->unix_path, &st) == 0) {
    s->dev = st.st_dev;
    s->ino = st.st_ino;
  }
  if (rc == 0 && o->unix_path == NULL)
    s->port = pai_serve_port_of(s->fd);
  if (rc == 0)
    rc = start_daemon(s, err);
  if (rc == 0)
    return 0;
  pai_serve_free(s);
  *out = NULL;
  return rc;
}

int pai_serve_port(const pai_serve *s) {
  return s->port;
}

void pai_serve_close(pai_serve *s, int64_t drain_ms) {
  if (s->closing)
    return;
  s->closing = true;
  stop_listening(s);
  pai_timer_start(&s->force, s->first != NULL ? drain_ms : 0, NULL);
}

void pai_serve_free(pai_serve *s) {
  if (s == NULL)
    return;
  stop_all(s);
  pai_free(s);
}
