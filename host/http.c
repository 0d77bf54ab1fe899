/* Requests on the one multi handle. See http.h.
 *
 * libcurl tells us which sockets to watch and when to call back; both go to pai's loop, and its
 * timer is kept by the loop's own deadline, however busy the sockets are. Nothing here calls
 * libcurl from inside one of libcurl's callbacks: those note what they saw and wake the request. */
#include "http.h"

#include "alloc.h"
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum {
  POOL_SIZE = 64, // easy handles kept for reuse
  HEAD_USUAL = 1024,
  HEAD_MAX = 1 << 20,       // bytes of header lines
  ERROR_BODY_MAX = 1 << 20, // bytes kept of an answer that was not asked for
  STREAM_HIGH = 256 << 10,  // bytes that wait for the task before the transfer is paused
  RETRY_WAIT_MAX_MS = 30000
};

enum { SINK_NONE, SINK_DROP, SINK_MEMORY, SINK_ERROR, SINK_STREAM, SINK_FILE, SINK_INTO };

typedef struct sock {
  pai_io io;
} sock;

static CURLM *multi;
static int users;
static pai_timer multi_timer;
static CURL *pool[POOL_SIZE];
static size_t pool_len;

static bool multi_late; // its timer could not be started

static void drain(void);
static void set_error(pai_http *h, int code, const char *why);
static void hop_done(pai_http *h, CURLcode code);

/* The multi handle on the loop. */

static void socket_ready(pai_io *io, uint32_t events) {
  int flags = ((events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
              ((events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
              ((events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
  int running;
  curl_multi_socket_action(multi, io->fd, flags, &running);
  drain();
}

// A callback that told libcurl of a failure would end every transfer of the process, for good. So
// the one that it is about is ended soon, and libcurl told that all is well.
static void fail_soon(CURL *easy, const pai_error *err) {
  pai_http *h = NULL;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &h);
  if (h == NULL)
    return;
  set_error(h, err->code, err->message);
  pai_timer_start(&h->deadline, 0, NULL);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *ud, void *known) {
  (void)ud;
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
      fail_soon(easy, &err);
    return 0;
  }
  s = pai_calloc(1, sizeof *s);
  int rc = s == NULL ? pai_error_set(&err, PAI_E_NOMEM, "out of memory") : 0;
  if (rc == 0) {
    s->io.fn = socket_ready;
    rc = pai_io_start(&s->io, fd, events, &err);
  }
  if (rc == 0) {
    curl_multi_assign(multi, fd, s);
    return 0;
  }
  pai_free(s);
  fail_soon(easy, &err);
  return 0;
}

static void multi_due(pai_timer *t) {
  (void)t;
  int running;
  curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
  drain();
}

static int set_multi_timer(CURLM *m, long after_ms, void *ud) {
  (void)m, (void)ud;
  multi_late = false;
  if (after_ms < 0)
    pai_timer_stop(&multi_timer);
  else
    multi_late = pai_timer_start(&multi_timer, after_ms, NULL) < 0;
  return 0;
}

static int multi_open(pai_error *err) {
  if (multi != NULL)
    return 0;
  int rc = pai_loop_init(err);
  if (rc < 0)
    return rc;
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (multi = curl_multi_init()) == NULL)
    return pai_error_set(err, PAI_E_NOMEM, "start libcurl: out of memory");
  multi_timer.fn = multi_due;
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, set_multi_timer);
  return 0;
}

void pai_http_use(void) {
  users++;
}

void pai_http_unuse(void) {
  if (--users > 0)
    return;
  while (pool_len > 0)
    curl_easy_cleanup(pool[--pool_len]);
  if (multi == NULL)
    return;
  curl_multi_cleanup(multi);
  multi = NULL;
  pai_timer_stop(&multi_timer);
  curl_global_cleanup();
}

static void drain(void) {
  int left;
  for (CURLMsg *m; (m = curl_multi_info_read(multi, &left)) != NULL;) {
    if (m->msg != CURLMSG_DONE)
      continue;
    CURLcode code = m->data.result;
    pai_http *h = NULL;
    curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &h);
    curl_multi_remove_handle(multi, m->easy_handle);
    h->running = false;
    hop_done(h, code);
  }
  if (multi_late)
    set_multi_timer(multi, 0, NULL);
}

static CURL *take_easy(void) {
  return pool_len > 0 ? pool[--pool_len] : curl_easy_init();
}

static void give_easy(CURL *easy) {
  if (easy == NULL)
    return;
  curl_easy_reset(easy);
  if (pool_len < POOL_SIZE)
    pool[pool_len++] = easy;
  else
    curl_easy_cleanup(easy);
}

/* The end of a request. */

static void close_output(pai_http *h) {
  pai_http_close_files(h);
  if (h->temp != NULL)
    unlink(h->temp);
  pai_free(h->temp);
  h->temp = NULL;
}

static void let_go(pai_http *h) {
  if (h->running)
    curl_multi_remove_handle(multi, h->easy);
  h->running = false;
  give_easy(h->easy);
  h->easy = NULL;
  pai_http_free_list(h->list);
  h->list = NULL;
  pai_timer_stop(&h->deadline);
  pai_timer_stop(&h->pause);
}

static void finish(pai_http *h) {
  if (h->done)
    return;
  let_go(h);
  close_output(h);
  h->done = true;
  h->wake(h->ud);
}

// The first failure counts: what libcurl says after a callback of ours refused is no news.
static void set_error(pai_http *h, int code, const char *why) {
  char url[160], reason[CURL_ERROR_SIZE];
  if (h->err.code != PAI_OK)
    return;
  pai_http_show_url(h->url, url, sizeof url);
  pai_http_mask(why, reason, sizeof reason);
  pai_error_set(&h->err, code, "%s %s: %s", h->method, url, reason);
}

static void finish_with(pai_http *h, int code, const char *why) {
  set_error(h, code, why);
  finish(h);
}

// From a callback: libcurl then ends the transfer.
static size_t refuse(pai_http *h, int code, const char *why) {
  set_error(h, code, why);
  return 0;
}

/* What libcurl calls back while a transfer runs. */

static curl_socket_t open_socket(void *ud, curlsocktype purpose, struct curl_sockaddr *a) {
  (void)ud, (void)purpose;
  return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static size_t on_header(char *line, size_t size, size_t count, void *ud) {
  pai_http *h = ud;
  size_t len = size * count;
  if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
    pai_buf_clear(&h->head); // an interim answer, or that of a proxy, came before
    h->head_whole = false;
    return len;
  }
  if (len > 0 && (line[0] == '\r' || line[0] == '\n'))
    h->head_whole = true;
  if (h->head.cap == 0)
    (void)pai_buf_reserve(&h->head, HEAD_USUAL);
  if (pai_buf_add(&h->head, line, len) < 0)
    return refuse(h, PAI_E_LIMIT, "the headers of the answer are too large");
  return len;
}

bool pai_http_accepted(const pai_http *h) {
  if (h->o.accept_any || (h->status >= 200 && h->status <= 299))
    return true;
  for (size_t i = 0; i < h->o.accept_count; i++)
    if (h->o.accept[i] == h->status)
      return true;
  return false;
}

static bool is_redirect(const pai_http *h) {
  return h->o.follow > 0 && (h->status == 301 || h->status == 302 || h->status == 303 ||
                             h->status == 307 || h->status == 308);
}

static int open_output(pai_http *h) {
  unsigned char random[6];
  size_t size = strlen(h->o.output) + 32;
  char *name = pai_alloc(size);
  if (name == NULL || getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
    pai_free(name);
    return pai_error_set(&h->err, PAI_E_NOMEM, "out of memory");
  }
  snprintf(name, size, "%s.%02x%02x%02x%02x%02x%02x.part", h->o.output, random[0], random[1],
           random[2], random[3], random[4], random[5]);
  h->fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (h->fd < 0) {
    pai_fs_error(&h->err, errno, "write", h->o.output);
    pai_free(name);
    return -1;
  }
  h->temp = name;
  return 0;
}

static int choose_sink(pai_http *h) {
  long status = 0;
  curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
  h->status = (int)status;
  if (is_redirect(h))
    h->sink = SINK_DROP;
  else if (!pai_http_accepted(h))
    h->sink = SINK_ERROR;
  else if (h->o.into != NULL)
    h->sink = SINK_INTO;
  else
    h->sink = h->o.stream ? SINK_STREAM : h->o.output != NULL ? SINK_FILE : SINK_MEMORY;
  if (h->sink == SINK_INTO)
    return pai_http_open_into(h);
  return h->sink == SINK_FILE && h->fd < 0 ? open_output(h) : 0;
}

static size_t stream_in(pai_http *h, const char *data, size_t len) {
  if (h->body.len > 0 && h->body.len + len > STREAM_HIGH) {
    h->paused = true;
    return CURL_WRITEFUNC_PAUSE;
  }
  if (pai_buf_add(&h->body, data, len) < 0)
    return refuse(h, PAI_E_NOMEM, "out of memory");
  h->delivered = true;
  h->wake(h->ud);
  return len;
}

static size_t on_body(char *data, size_t size, size_t count, void *ud) {
  pai_http *h = ud;
  size_t len = size * count;
  if (h->sink == SINK_NONE && choose_sink(h) < 0)
    return 0;
  size_t room;
  switch (h->sink) {
  case SINK_STREAM:
    return stream_in(h, data, len);
  case SINK_FILE:
    if (pai_fs_write_all(h->fd, data, len) < 0) {
      pai_fs_error(&h->err, errno, "write", h->o.output);
      return 0;
    }
    return len;
  case SINK_INTO:
    return pai_http_write_into(h, data, len) < 0 ? 0 : len;
  case SINK_MEMORY:
    if (len > h->o.max_body || h->body.len > h->o.max_body - len)
      return refuse(h, PAI_E_LIMIT, "the answer is larger than max_body");
    return pai_buf_add(&h->body, data, len) < 0 ? refuse(h, PAI_E_NOMEM, "out of memory") : len;
  case SINK_ERROR:
    room = h->body.len < ERROR_BODY_MAX ? ERROR_BODY_MAX - h->body.len : 0;
    if (pai_buf_add(&h->body, data, len < room ? len : room) < 0)
      return refuse(h, PAI_E_NOMEM, "out of memory");
    return len;
  default:
    return len;
  }
}

/* One hop: one exchange with one server. */

static int set_method(pai_http *h) {
  CURL *e = h->easy;
  bool file = h->o.body_file != NULL && !h->no_body;
  bool body = h->o.body != NULL && !h->no_body;
  if (file && pai_http_send_file(h) < 0)
    return -1;
  if (body || strcmp(h->method, "POST") == 0) {
    curl_easy_setopt(e, CURLOPT_POST, 1L);
    // libcurl sends a request again by itself when a kept connection ends before the answer: not
    // one that may have had its effect.
    curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)(body ? h->o.body_len : 0));
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, body ? h->o.body : "");
  }
  if (strcmp(h->method, "HEAD") == 0)
    curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
  else
    curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, h->method);
  return 0;
}

static void set_proxy(pai_http *h) {
  CURL *e = h->easy;
  if (h->o.unix_socket != NULL)
    curl_easy_setopt(e, CURLOPT_UNIX_SOCKET_PATH, h->o.unix_socket);
  if (h->o.proxy != NULL) {
    curl_easy_setopt(e, CURLOPT_PROXY, h->o.proxy);
    curl_easy_setopt(e, CURLOPT_NOPROXY, ""); // the option stands above no_proxy
  } else if (h->o.unix_socket != NULL || h->loopback) {
    curl_easy_setopt(e, CURLOPT_PROXY, ""); // no proxy of the environment can reach these
  }
}

static int set_options(pai_http *h) {
  CURL *e = h->easy;
  if (h->o.into != NULL || h->o.output != NULL)
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 512L << 10);
  curl_easy_setopt(e, CURLOPT_PRIVATE, h);
  curl_easy_setopt(e, CURLOPT_URL, h->url);
  curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L); // ".." in it may be a part of an object's name
  curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
  curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
  curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(e, CURLOPT_HEADERDATA, h);
  curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(e, CURLOPT_WRITEDATA, h);
  curl_easy_setopt(e, CURLOPT_ERRORBUFFER, h->reason);
  curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)h->o.connect_timeout_ms);
  curl_easy_setopt(e, CURLOPT_HTTPHEADER, h->list);
  pai_http_tls_set(e, &h->o.tls, h->own_origin, &h->dial);
  if (h->o.user != NULL && h->own_origin) {
    curl_easy_setopt(e, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
    curl_easy_setopt(e, CURLOPT_USERNAME, h->o.user);
    curl_easy_setopt(e, CURLOPT_PASSWORD, h->o.password);
  }
  if (h->o.stall_ms > 0) {
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, (long)((h->o.stall_ms + 999) / 1000));
  }
  set_proxy(h);
  return set_method(h);
}

static int start_hop(pai_http *h, pai_error *err) {
  pai_buf_clear(&h->head);
  pai_buf_clear(&h->body);
  h->sink = SINK_NONE;
  h->status = 0;
  h->paused = false;
  h->head_whole = false;
  h->reason[0] = '\0';
  close_output(h);
  pai_http_free_list(h->list);
  h->list = NULL;
  give_easy(h->easy);
  h->easy = take_easy();
  bool body = (h->o.body != NULL || h->o.body_file != NULL) && !h->no_body;
  if (h->easy == NULL || pai_http_make_list(&h->o, h->own_origin, body, &h->list) < 0)
    return pai_error_set(err, PAI_E_NOMEM, "out of memory");
  if (set_options(h) < 0) {
    *err = h->err;
    return h->err.code;
  }
  if (curl_multi_add_handle(multi, h->easy) != CURLM_OK)
    return pai_error_set(err, PAI_E_NOMEM, "out of memory");
  h->running = true;
  return 0;
}

static void go_on(pai_http *h) {
  pai_error err;
  if (start_hop(h, &err) < 0) {
    h->err = err;
    finish(h);
  }
}

/* What follows a hop: a redirect, another attempt, or the end. */

static void free_url(pai_http *h) {
  if (h->url != NULL && h->o.secret_query != NULL)
    explicit_bzero(h->url, strlen(h->url));
  pai_free(h->url);
  h->url = NULL;
}

static bool set_url(pai_http *h, const char *url) {
  char *copy = url != NULL ? pai_http_with_query(url, h->o.secret_query) : NULL;
  if (copy == NULL)
    return false;
  free_url(h);
  h->url = copy;
  return true;
}

static void first_attempt(pai_http *h) {
  h->own_origin = true;
  h->loopback = h->first_loopback;
  h->no_body = false;
  h->method = h->o.method;
  h->hops = 0;
}

static void retry_due(pai_timer *t) {
  pai_http *h = t->ud;
  first_attempt(h);
  if (set_url(h, h->o.url)) {
    go_on(h);
    return;
  }
  pai_error_set(&h->err, PAI_E_NOMEM, "out of memory");
  finish(h);
}

static bool is_idempotent(const char *method) {
  return strcmp(method, "POST") != 0 && strcmp(method, "PATCH") != 0 &&
         strcmp(method, "CONNECT") != 0;
}

bool pai_http_is_retryable_status(int status) {
  return status == 408 || status == 429 || status == 502 || status == 503 || status == 504;
}

// unsent: the server cannot have seen the request. Returns whether another attempt is under way.
static bool try_again(pai_http *h, bool unsent, int64_t asked_ms) {
  if (h->attempt >= h->o.retries || h->delivered)
    return false;
  if (!unsent && !h->o.retry_any && !is_idempotent(h->o.method))
    return false;
  int64_t wait = h->o.retry_wait_ms << (h->attempt < 16 ? h->attempt : 16);
  if (wait > RETRY_WAIT_MAX_MS)
    wait = RETRY_WAIT_MAX_MS;
  unsigned jitter = 0; // so that many clients do not come back together
  if (getrandom(&jitter, sizeof jitter, GRND_NONBLOCK) == (ssize_t)sizeof jitter)
    wait -= wait / 4 * (int64_t)(jitter % 1000) / 1000;
  if (asked_ms > wait)
    wait = asked_ms;
  if (h->deadline_at != 0 && pai_now_ms() + wait >= h->deadline_at)
    return false;
  h->attempt++;
  close_output(h);
  return pai_timer_start(&h->pause, wait, NULL) == 0;
}

static void redirect(pai_http *h) {
  char *to = NULL;
  curl_easy_getinfo(h->easy, CURLINFO_REDIRECT_URL, &to);
  if (to == NULL || pai_http_check_url(to, &h->loopback, NULL) < 0) {
    finish_with(h, PAI_E_PROTO, "a redirect to something that is no http or https URL");
    return;
  }
  bool same = pai_http_same_origin(h->o.url, to);
  bool keeps_body = h->status == 307 || h->status == 308 || strcmp(h->method, "POST") != 0;
  if (h->status == 303)
    keeps_body = false;
  if (!same && h->o.stay) {
    finish_with(h, PAI_E_DENIED, "a redirect to another origin");
    return;
  }
  if (!same && h->o.unix_socket != NULL) {
    finish_with(h, PAI_E_DENIED, "a redirect from a unix socket to another server");
    return;
  }
  if (!same && keeps_body && h->o.body_secret && !h->no_body) {
    finish_with(h, PAI_E_DENIED, "a redirect would carry the secret body to another origin");
    return;
  }
  // once away, what the caller gave stays behind, also if the way leads back
  h->own_origin = h->own_origin && same;
  char *clean = h->own_origin ? NULL : pai_http_without_user(to);
  bool ok = set_url(h, h->own_origin ? to : clean);
  pai_free(clean);
  if (!ok) {
    finish_with(h, PAI_E_NOMEM, "out of memory");
    return;
  }
  if (!keeps_body) {
    h->no_body = true;
    h->method = strcmp(h->method, "HEAD") == 0 ? "HEAD" : "GET";
  }
  h->hops++;
  h->followed = true;
  go_on(h);
}

static void keep_output(pai_http *h) {
  if (h->sink == SINK_NONE && h->fd < 0 && choose_sink(h) < 0) // an empty body
    return;
  if (h->temp == NULL)
    return;
  int fd = h->fd;
  h->fd = -1;
  if (close(fd) < 0 || rename(h->temp, h->o.output) < 0) {
    pai_fs_error(&h->err, errno, "write", h->o.output);
    return;
  }
  pai_free(h->temp);
  h->temp = NULL;
}

static int error_code_of(CURLcode code) {
  switch (code) {
  case CURLE_OPERATION_TIMEDOUT:
    return PAI_E_TIMEOUT;
  case CURLE_URL_MALFORMAT:
    return PAI_E_ARG;
  case CURLE_OUT_OF_MEMORY:
    return PAI_E_NOMEM;
  case CURLE_UNSUPPORTED_PROTOCOL: // an answer that is no HTTP/1
  case CURLE_WEIRD_SERVER_REPLY:
  case CURLE_BAD_CONTENT_ENCODING:
    return PAI_E_PROTO;
  default:
    return PAI_E_NETWORK;
  }
}

static bool is_tls_refusal(CURLcode code) {
  return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
         code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_INVALIDCERTSTATUS ||
         code == CURLE_SSL_CERTPROBLEM;
}

static void failed(pai_http *h, CURLcode code) {
  long os_error = 0;
  curl_easy_getinfo(h->easy, CURLINFO_OS_ERRNO, &os_error);
  h->os_error = (int)os_error;
  h->tls_error = is_tls_refusal(code);
  int kind = error_code_of(code);
  bool unsent = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
                code == CURLE_COULDNT_RESOLVE_PROXY;
  if (h->err.code == PAI_OK && !h->tls_error && (kind == PAI_E_NETWORK || kind == PAI_E_TIMEOUT) &&
      try_again(h, unsent, 0))
    return;
  const char *why = h->reason[0] != '\0' ? h->reason : curl_easy_strerror(code);
  char text[CURL_ERROR_SIZE];
  if (h->o.unix_socket != NULL && unsent) {
    if (h->os_error == 0)
      h->os_error = ECONNREFUSED;
    snprintf(text, sizeof text, "connect to the unix socket \"%s\": %s", h->o.unix_socket,
             strerrordesc_np(h->os_error));
    why = text;
  }
  finish_with(h, kind, why);
}

static void hop_done(pai_http *h, CURLcode code) {
  if (code == CURLE_OK && !h->head_whole) { // libcurl takes half a head for a whole answer
    snprintf(h->reason, sizeof h->reason, "the answer ends within its headers");
    code = CURLE_RECV_ERROR;
  }
  if (code != CURLE_OK) {
    failed(h, code);
    return;
  }
  long status = 0;
  curl_off_t after = 0;
  curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(h->easy, CURLINFO_RETRY_AFTER, &after);
  h->status = (int)status;
  if (is_redirect(h) && h->hops < h->o.follow) {
    redirect(h);
    return;
  }
  int64_t asked = after > 0 && after < 86400 ? (int64_t)after * 1000 : 0;
  if (!pai_http_accepted(h)) {
    if (pai_http_is_retryable_status(h->status) && try_again(h, false, asked))
      return;
  } else if (h->o.output != NULL && !h->o.stream) {
    keep_output(h);
  }
  finish(h);
}

/* Public. */

static void deadline_due(pai_timer *t) {
  pai_http *h = t->ud;
  char why[80];
  snprintf(why, sizeof why, "no complete answer within %lld ms", (long long)h->o.timeout_ms);
  finish_with(h, PAI_E_TIMEOUT, why);
}

int pai_http_start(pai_http *h, const pai_http_options *o, pai_error *err) {
  h->o = *o;
  h->fd = -1;
  h->body_fd = -1;
  h->err = (pai_error){.code = PAI_OK};
  pai_buf_init(&h->head, HEAD_MAX);
  pai_buf_init(&h->body, SIZE_MAX / 2);
  h->deadline = (pai_timer){.fn = deadline_due, .ud = h};
  h->pause = (pai_timer){.fn = retry_due, .ud = h};
  int rc = pai_http_check_url(o->url, &h->first_loopback, err);
  if (rc == 0 && o->unix_socket != NULL &&
      strlen(o->unix_socket) >= sizeof((struct sockaddr_un *)0)->sun_path)
    rc = pai_error_sys(err, ENAMETOOLONG, "connect to the unix socket \"%s\"", o->unix_socket);
  if (rc == 0)
    rc = multi_open(err);
  if (rc == 0 && o->body_wiped && pai_buf_reserve(&h->body, o->max_body) < 0)
    rc = pai_error_set(err, PAI_E_NOMEM, "out of memory");
  if (rc < 0)
    return rc;
  first_attempt(h);
  if (!set_url(h, o->url))
    return pai_error_set(err, PAI_E_NOMEM, "out of memory");
  if (o->timeout_ms > 0) {
    h->deadline_at = pai_now_ms() + o->timeout_ms;
    rc = pai_timer_start(&h->deadline, o->timeout_ms, err);
  }
  return rc < 0 ? rc : start_hop(h, err);
}

void pai_http_resume(pai_http *h) {
  if (!h->paused || h->done)
    return;
  h->paused = false;
  if (curl_easy_pause(h->easy, CURLPAUSE_CONT) != CURLE_OK && !h->done)
    finish_with(h, PAI_E_NETWORK, "the transfer could not go on");
}

void pai_http_stop(pai_http *h) {
  finish(h);
}

void pai_http_cancel(pai_http *h) {
  finish_with(h, PAI_E_CANCELED, "canceled");
}

void pai_http_end(pai_http *h) {
  h->done = true;
  let_go(h);
  if (h->url != NULL)
    close_output(h);
  free_url(h);
  if (h->o.body_wiped && h->body.data != NULL)
    explicit_bzero(h->body.data, h->body.cap);
  pai_buf_free(&h->head);
  pai_buf_free(&h->body);
}
