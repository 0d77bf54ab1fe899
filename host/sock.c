/* Byte streams. See sock.h. */
#include "sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef union address {
  struct sockaddr any;
  struct sockaddr_un path;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} address;

static void ready(pai_io *io, uint32_t events) {
  pai_sock *s = io->ud;
  pai_io_stop(io); // whoever still wants something says so again
  s->wake(s->ud, events);
}

// Its length; 0: no address.
static socklen_t read_address(const char *host, int port, address *a) {
  memset(a, 0, sizeof *a);
  if (strcmp(host, "localhost") == 0)
    host = "127.0.0.1";
  if (inet_pton(AF_INET, host, &a->v4.sin_addr) == 1) {
    a->v4.sin_family = AF_INET;
    a->v4.sin_port = htons((uint16_t)port);
    return sizeof a->v4;
  }
  if (inet_pton(AF_INET6, host, &a->v6.sin6_addr) != 1)
    return 0;
  a->v6.sin6_family = AF_INET6;
  a->v6.sin6_port = htons((uint16_t)port);
  return sizeof a->v6;
}

static socklen_t loopback(const char *host, int port, address *a) {
  socklen_t len = read_address(host, port, a);
  if (len == sizeof a->v4)
    return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127 ? len : 0;
  return len != 0 && IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr) ? len : 0;
}

int pai_sock_listen(pai_sock *s, const char *host, int port, pai_error *err) {
  address a;
  socklen_t len = loopback(host, port, &a);
  s->fd = -1;
  if (len == 0)
    return pai_error_set(err, PAI_E_DENIED, "listen on \"%.60s\": only loopback is allowed", host);
  int rc = pai_loop_init(err), on = 1;
  if (rc < 0)
    return rc;
  s->fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  s->listener = true;
  if (s->fd >= 0)
    setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (s->fd < 0 || bind(s->fd, &a.any, len) < 0 || listen(s->fd, 64) < 0) {
    int error = errno;
    pai_sock_close(s);
    return pai_error_sys(err, error, "listen on %.60s port %d", host, port);
  }
  return 0;
}

int pai_sock_connect(pai_sock *s, const char *unix_path, const char *host, int port,
                     pai_error *err) {
  address a = {0};
  socklen_t len = 0;
  int on = 1;
  s->fd = -1;
  if (unix_path != NULL && strlen(unix_path) >= sizeof a.path.sun_path)
    return pai_error_sys(err, ENAMETOOLONG, "connect to the unix socket \"%s\"", unix_path);
  if (unix_path != NULL) {
    a.path.sun_family = AF_UNIX;
    memcpy(a.path.sun_path, unix_path, strlen(unix_path) + 1);
    len = sizeof a.path;
  } else {
    len = read_address(host, port, &a);
  }
  if (len == 0)
    return pai_error_set(err, PAI_E_ARG, "connect to \"%.60s\": not an address", host);
  int rc = pai_loop_init(err);
  if (rc < 0)
    return rc;
  s->fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (s->fd >= 0 && unix_path == NULL)
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (s->fd >= 0 && (connect(s->fd, &a.any, len) == 0 || errno == EINPROGRESS))
    return 0;
  int error = errno;
  pai_sock_close(s);
  return pai_error_sys(err, error, "connect to %.100s", unix_path != NULL ? unix_path : host);
}

int pai_sock_connected(pai_sock *s, pai_error *err) {
  struct pollfd p = {.fd = s->fd, .events = POLLOUT};
  int error = 0;
  socklen_t len = sizeof error;
  if (poll(&p, 1, 0) == 0)
    return 0;
  if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0)
    return 1;
  return pai_error_sys(err, error, "connect");
}

int pai_sock_port(const pai_sock *s) {
  address a = {0};
  socklen_t len = sizeof a;
  if (getsockname(s->fd, &a.any, &len) < 0)
    return 0;
  return ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
}

void pai_sock_wrap(pai_sock *s, int fd) {
  s->fd = fd;
  s->foreign = true;
}

int pai_sock_accept(pai_sock *s, pai_sock *out, pai_error *err) {
  int on = 1;
  int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    out->fd = fd;
    return 1;
  }
  if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)
    return 0;
  return pai_error_sys(err, errno, "accept a connection");
}

ssize_t pai_sock_read(pai_sock *s, void *buf, size_t len, bool *again, pai_error *err) {
  *again = false;
  struct pollfd p = {.fd = s->fd, .events = POLLIN};
  if (s->foreign && poll(&p, 1, 0) == 0) { // it may block
    *again = true;
    return 0;
  }
  ssize_t n = read(s->fd, buf, len);
  if (n >= 0)
    return n;
  if (errno == EAGAIN || errno == EINTR) {
    *again = true;
    return 0;
  }
  if (errno == EIO && s->foreign) // a terminal that has gone
    return 0;
  return pai_error_sys(err, errno, "read from a connection");
}

ssize_t pai_sock_write(pai_sock *s, const void *buf, size_t len, pai_error *err) {
  ssize_t n = send(s->fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n >= 0)
    return n;
  if (errno == EAGAIN || errno == EINTR)
    return 0;
  return pai_error_sys(err, errno, "write to a connection");
}

int pai_sock_want(pai_sock *s, uint32_t events, pai_error *err) {
  int rc = pai_loop_init(err);
  if (rc < 0)
    return rc;
  s->io.fn = ready;
  s->io.ud = s;
  return s->io.active ? pai_io_change(&s->io, s->io.events | events, err)
                      : pai_io_start(&s->io, s->fd, events, err);
}

void pai_sock_shut(pai_sock *s) {
  if (s->fd >= 0)
    shutdown(s->fd, SHUT_WR);
}

void pai_sock_close(pai_sock *s) {
  pai_io_stop(&s->io);
  if (s->fd >= 0 && !s->foreign)
    close(s->fd);
  s->fd = -1;
}
