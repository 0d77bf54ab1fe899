/* libcurl on the loop. See http_multi.h.
 *
 * Between two transfers a socket's io is a background one: should its peer send something or close,
 * it is no longer watched, and libcurl finds out when it wants to use the connection again. Only
 * libcurl's own sockets are kept so, for close_socket tells when they go: a descriptor that was
 * closed and is another file by now must not be taken for a watched one. */
#include "http_multi.h"

#include "alloc.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  KEPT_EACH = 4, // idle connections a transfer
  KEPT_MOST = 128
};

struct pai_http_socket {
  pai_io io;
  pai_http_multi *multi;
  bool opened; // by open_socket
  bool idle;   // libcurl has not asked for it
};

static int set_timer(CURLM *curl, long after_ms, void *ud);

static void drain(pai_http_multi *m) {
  int left;
  for (CURLMsg *msg; m->curl != NULL && (msg = curl_multi_info_read(m->curl, &left)) != NULL;)
    if (msg->msg == CURLMSG_DONE)
      m->done(m->ud, msg->easy_handle, msg->data.result);
  if (m->late)
    set_timer(m->curl, 0, m);
}

/* Sockets. */

static pai_http_socket *find(const pai_http_multi *m, int fd) {
  return fd >= 0 && (size_t)fd < m->room ? m->sockets[fd] : NULL;
}

static void forget(pai_http_multi *m, int fd) {
  pai_http_socket *s = find(m, fd);
  if (s == NULL)
    return;
  pai_io_stop(&s->io);
  m->sockets[fd] = NULL;
  pai_free(s);
}

static void socket_ready(pai_io *io, uint32_t events) {
  pai_http_socket *s = (pai_http_socket *)io; // io is its first member
  pai_http_multi *m = s->multi;
  if (s->idle) {
    pai_io_stop(io);
    return;
  }
  int flags = ((events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
              ((events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
              ((events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0);
  int running;
  curl_multi_socket_action(m->curl, io->fd, flags, &running);
  drain(m);
}

// A new entry for fd, whatever one of that number was before.
static pai_http_socket *add_socket(pai_http_multi *m, int fd) {
  forget(m, fd);
  if ((size_t)fd >= m->room) {
    size_t room = (size_t)fd + 32;
    pai_http_socket **grown = pai_realloc(m->sockets, room * sizeof *grown);
    if (grown == NULL)
      return NULL;
    memset(grown + m->room, 0, (room - m->room) * sizeof *grown);
    m->sockets = grown;
    m->room = room;
  }
  pai_http_socket *s = pai_calloc(1, sizeof *s);
  if (s == NULL)
    return NULL;
  s->multi = m;
  s->io.fn = socket_ready;
  m->sockets[fd] = s;
  return s;
}

static curl_socket_t open_socket(void *ud, curlsocktype purpose, struct curl_sockaddr *a) {
  (void)purpose;
  int fd = socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
  pai_http_socket *s = fd >= 0 ? add_socket(ud, fd) : NULL;
  if (s != NULL) // else it is watched when libcurl asks for it, and no longer
    s->opened = true;
  return fd;
}

static int close_socket(void *ud, curl_socket_t fd) {
  forget(ud, fd);
  return close(fd);
}

static int watch(pai_http_multi *m, int fd, uint32_t events, pai_error *err) {
  pai_http_socket *s = find(m, fd);
  if (s == NULL)
    s = add_socket(m, fd);
  if (s == NULL)
    return pai_error_set(err, PAI_E_NOMEM, "out of memory");
  s->idle = false;
  pai_io_set_background(&s->io, false);
  return s->io.active ? pai_io_change(&s->io, events, err) : pai_io_start(&s->io, fd, events, err);
}

static void unwatch(pai_http_multi *m, int fd) {
  pai_http_socket *s = find(m, fd);
  if (s == NULL)
    return;
  if (!s->opened) {
    forget(m, fd);
    return;
  }
  s->idle = true;
  pai_io_set_background(&s->io, true);
}

// A callback that told libcurl of a failure would end every transfer of the handle, for good. So
// the one that it is about is ended soon, and libcurl told that all is well.
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ud, void *known) {
  (void)known;
  pai_http_multi *m = ud;
  if (what == CURL_POLL_REMOVE) {
    unwatch(m, fd);
    return 0;
  }
  uint32_t events =
      ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0u) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0u);
  pai_error err;
  if (watch(m, fd, events, &err) < 0)
    m->failed(m->ud, easy, &err);
  return 0;
}

/* The timer. */

static void timer_due(pai_timer *t) {
  pai_http_multi *m = t->ud;
  int running;
  curl_multi_socket_action(m->curl, CURL_SOCKET_TIMEOUT, 0, &running);
  drain(m);
}

static int set_timer(CURLM *curl, long after_ms, void *ud) {
  (void)curl;
  pai_http_multi *m = ud;
  m->late = false;
  if (after_ms < 0)
    pai_timer_stop(&m->timer);
  else
    m->late = pai_timer_start(&m->timer, after_ms, NULL) < 0;
  return 0;
}

/* Public. */

int pai_http_multi_open(pai_http_multi *m, pai_error *err) {
  if (m->curl != NULL)
    return 0;
  int rc = pai_loop_init(err);
  if (rc < 0)
    return rc;
  m->curl = curl_multi_init();
  if (m->curl == NULL)
    return pai_error_set(err, PAI_E_NOMEM, "start libcurl: out of memory");
  m->timer = (pai_timer){.fn = timer_due, .ud = m};
  curl_multi_setopt(m->curl, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(m->curl, CURLMOPT_SOCKETDATA, m);
  curl_multi_setopt(m->curl, CURLMOPT_TIMERFUNCTION, set_timer);
  curl_multi_setopt(m->curl, CURLMOPT_TIMERDATA, m);
  return 0;
}

void pai_http_multi_close(pai_http_multi *m) {
  if (m->curl == NULL)
    return;
  curl_multi_cleanup(m->curl);
  m->curl = NULL;
  m->late = false;
  pai_timer_stop(&m->timer);
  for (size_t fd = 0; fd < m->room; fd++)
    forget(m, (int)fd);
  pai_free(m->sockets);
  m->sockets = NULL;
  m->room = 0;
  m->running = 0;
  m->kept = 0;
}

void pai_http_multi_prepare(pai_http_multi *m, CURL *easy) {
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
  curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, m);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, m);
}

void pai_http_multi_route(CURL *easy, const char *unix_socket, const char *proxy, bool loopback) {
  if (unix_socket != NULL)
    curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, unix_socket);
  if (proxy != NULL) {
    curl_easy_setopt(easy, CURLOPT_PROXY, proxy);
    curl_easy_setopt(easy, CURLOPT_NOPROXY, ""); // the option stands above no_proxy
  } else if (unix_socket != NULL || loopback) {
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); // no proxy of the environment can reach these
  }
}

// How many idle connections are kept goes by the most transfers since none ran. By itself libcurl
// goes by how many run now: where tasks take turns, each turn would close what the next one opens.
static void count(pai_http_multi *m, int delta) {
  m->running += delta;
  int kept = m->running * KEPT_EACH;
  kept = kept < KEPT_EACH ? KEPT_EACH : kept > KEPT_MOST ? KEPT_MOST : kept;
  if (kept == m->kept || (kept < m->kept && m->running > 0))
    return;
  m->kept = kept;
  curl_multi_setopt(m->curl, CURLMOPT_MAXCONNECTS, (long)kept);
}

int pai_http_multi_add(pai_http_multi *m, CURL *easy, pai_error *err) {
  bool added = curl_multi_add_handle(m->curl, easy) == CURLM_OK;
  if (added && m->late)
    set_timer(m->curl, 0, m);
  if (added && !m->late) {
    count(m, 1);
    return 0;
  }
  if (added)
    curl_multi_remove_handle(m->curl, easy);
  m->late = false;
  return pai_error_set(err, PAI_E_NOMEM, "out of memory");
}

void pai_http_multi_remove(pai_http_multi *m, CURL *easy) {
  curl_multi_remove_handle(m->curl, easy);
  count(m, -1);
}

void pai_http_multi_leave(pai_http_multi *m, int fd) {
  forget(m, fd);
}
