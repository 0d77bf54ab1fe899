/* The sockets of a server: how they are made, and who is at the other end. See serve.h. */
#include "serve.h"

#include "fs.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 512 };

// One at a time looks for a stale socket in a folder and replaces it: else the second could remove
// the fresh socket of the first.
static int lock_folder(const char *path, pai_error *err) {
  char dir[PATH_MAX];
  const char *slash = strrchr(path, '/');
  int n = slash == NULL ? snprintf(dir, sizeof dir, ".")
                        : snprintf(dir, sizeof dir, "%.*s", (int)(slash - path + 1), path);
  if (n < 0 || (size_t)n >= sizeof dir)
    return pai_fs_error(err, ENAMETOOLONG, "listen on", path);
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return pai_fs_error(err, errno, "listen on", path);
  for (int tries = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
    if (errno != EWOULDBLOCK || tries == 100) {
      int rc = pai_fs_error(err, errno, "listen on", path);
      close(fd);
      return rc;
    }
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  }
  return fd;
}

// Removes a socket that nobody listens on.
static int clear_stale(const char *path, const struct sockaddr_un *addr, pai_error *err) {
  struct stat st;
  if (lstat(path, &st) < 0)
    return errno == ENOENT ? 0 : pai_fs_error(err, errno, "listen on", path);
  if (!S_ISSOCK(st.st_mode))
    return pai_fs_error(err, EEXIST, "listen on", path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0)
    return pai_error_sys(err, errno, "make a socket");
  int rc = connect(fd, (const struct sockaddr *)addr, sizeof *addr);
  int errnum = rc < 0 ? errno : 0;
  close(fd);
  if (errnum != ECONNREFUSED && errnum != ENOENT) // also EAGAIN: somebody with a full queue
    return pai_fs_error(err, EADDRINUSE, "listen on", path);
  if (errnum == ECONNREFUSED && unlink(path) < 0)
    return pai_fs_error(err, errno, "remove the stale socket", path);
  return 0;
}

static int bind_unix(int fd, const char *path, const struct sockaddr_un *addr, pai_error *err) {
  int rc = clear_stale(path, addr, err);
  if (rc < 0)
    return rc;
  mode_t before = umask(0177);
  rc = bind(fd, (const struct sockaddr *)addr, sizeof *addr);
  int errnum = errno;
  umask(before);
  if (rc == 0 && listen(fd, BACKLOG) == 0)
    return 0;
  return pai_fs_error(err, rc < 0 ? errnum : errno, "listen on", path);
}

int pai_serve_listen_unix(const char *path, int *fd, pai_error *err) {
  struct sockaddr_un addr = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof addr.sun_path)
    return pai_error_sys(err, ENAMETOOLONG,
                         "listen on a unix socket (%zu bytes, at most %zu): \"%.100s...\"",
                         strlen(path), sizeof addr.sun_path - 1, path);
  memcpy(addr.sun_path, path, strlen(path) + 1);
  *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (*fd < 0)
    return pai_error_sys(err, errno, "make a socket");
  int lock = lock_folder(path, err);
  int rc = lock < 0 ? lock : bind_unix(*fd, path, &addr, err);
  if (lock >= 0)
    close(lock);
  if (rc < 0) {
    close(*fd);
    *fd = -1;
  }
  return rc;
}

typedef union address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
} address;

static socklen_t address_size(const address *a) {
  return a->any.sa_family == AF_INET6 ? sizeof a->v6 : sizeof a->v4;
}

static bool read_address(const char *host, int port, address *a) {
  memset(a, 0, sizeof *a);
  if (strcmp(host, "localhost") == 0)
    host = "127.0.0.1";
  if (inet_pton(AF_INET, host, &a->v4.sin_addr) == 1) {
    a->v4.sin_family = AF_INET;
    a->v4.sin_port = htons((uint16_t)port);
    return true;
  }
  if (inet_pton(AF_INET6, host, &a->v6.sin6_addr) != 1)
    return false;
  a->v6.sin6_family = AF_INET6;
  a->v6.sin6_port = htons((uint16_t)port);
  return true;
}

static bool is_loopback(const address *a) {
  if (a->any.sa_family == AF_INET)
    return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
  return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
}

int pai_serve_listen_tcp(const char *host, int port, bool allow_remote, int *fd, pai_error *err) {
  address a;
  if (!read_address(host, port, &a))
    return pai_error_set(err, PAI_E_ARG, "listen on \"%.60s\": not an address", host);
  if (!allow_remote && !is_loopback(&a))
    return pai_error_set(err, PAI_E_DENIED,
                         "listen on %.60s: only loopback addresses, unless allow_remote is set",
                         host);
  *fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (*fd < 0)
    return pai_error_sys(err, errno, "make a socket");
  int one = 1;
  setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (a.any.sa_family == AF_INET6)
    setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
  if (bind(*fd, &a.any, address_size(&a)) == 0 && listen(*fd, BACKLOG) == 0)
    return 0;
  int rc = pai_error_sys(err, errno, "listen on %.60s port %d", host, port);
  close(*fd);
  *fd = -1;
  return rc;
}

static bool name_of(int fd, bool peer, address *a) {
  socklen_t size = sizeof *a;
  memset(a, 0, sizeof *a);
  return (peer ? getpeername(fd, &a->any, &size) : getsockname(fd, &a->any, &size)) == 0;
}

static int port_in(const address *a) {
  if (a->any.sa_family == AF_INET)
    return ntohs(a->v4.sin_port);
  return a->any.sa_family == AF_INET6 ? ntohs(a->v6.sin6_port) : 0;
}

int pai_serve_port_of(int fd) {
  address a;
  return name_of(fd, false, &a) ? port_in(&a) : 0;
}

// As /proc/net/tcp and tcp6 print it. mapped: an IPv4 address of a socket that is of IPv6.
static void print_address(const address *a, bool mapped, char out[48]) {
  if (a->any.sa_family == AF_INET) {
    snprintf(out, 48, "%s%08X:%04X", mapped ? "0000000000000000FFFF0000" : "",
             a->v4.sin_addr.s_addr, (unsigned)port_in(a));
    return;
  }
  uint32_t words[4];
  memcpy(words, &a->v6.sin6_addr, sizeof words);
  snprintf(out, 48, "%08X%08X%08X%08X:%04X", words[0], words[1], words[2], words[3],
           (unsigned)port_in(a));
}

// The user of the TCP socket whose own end is `end` and whose other end is `other`; -1: none found.
static long find_uid(const char *table, const char *end, const char *other) {
  char pair[100], line[512];
  snprintf(pair, sizeof pair, ": %s %s ", end, other);
  FILE *f = fopen(table, "re");
  if (f == NULL)
    return -1;
  long uid = -1;
  while (uid < 0 && fgets(line, sizeof line, f) != NULL) {
    const char *at = strstr(line, pair);
    // after the two addresses: st tx:rx tr:when retrnsmt uid
    if (at != NULL && sscanf(at + strlen(pair), "%*s %*s %*s %*s %ld", &uid) != 1)
      uid = -1;
  }
  fclose(f);
  return uid;
}

static bool tcp_peer_is_us(int fd) {
  address here, there;
  if (!name_of(fd, false, &here) || !name_of(fd, true, &there))
    return false;
  long uid = -1;
  for (int mapped = 0; mapped < 2 && uid < 0; mapped++) {
    bool six = there.any.sa_family == AF_INET6;
    char end[48], other[48];
    print_address(&there, mapped == 1, end);
    print_address(&here, mapped == 1, other);
    uid = find_uid(six || mapped == 1 ? "/proc/net/tcp6" : "/proc/net/tcp", end, other);
  }
  return uid >= 0 && (uid_t)uid == geteuid();
}

bool pai_serve_peer_is_us(int fd) {
  address a;
  if (!name_of(fd, false, &a))
    return false;
  if (a.any.sa_family != AF_UNIX)
    return tcp_peer_is_us(fd);
  struct ucred peer;
  socklen_t size = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

bool pai_serve_is_gone(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLRDHUP};
  return poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

static bool is_listed(const char *name, size_t len, const char *const *hosts) {
  for (; hosts != NULL && *hosts != NULL; hosts++)
    if (strlen(*hosts) == len && strncasecmp(*hosts, name, len) == 0)
      return true;
  return false;
}

// port 0: any. A name that the caller listed may have any port: a tunnel's, for one.
static bool name_fits(const char *value, int port, const char *const *hosts) {
  static const char *const loopback[] = {"localhost", "127.0.0.1", "[::1]", NULL};
  const char *colon = strrchr(value, ':');
  if (colon != NULL && strchr(colon, ']') != NULL)
    colon = NULL; // part of an IPv6 address
  size_t len = colon != NULL ? (size_t)(colon - value) : strlen(value);
  if (is_listed(value, len, hosts))
    return true;
  char *end = NULL;
  long given = colon != NULL ? strtol(colon + 1, &end, 10) : 80;
  if (colon != NULL && (end == colon + 1 || *end != '\0'))
    return false;
  return (port == 0 || given == port) && is_listed(value, len, loopback);
}

bool pai_serve_host_fits(const char *value, const char *const *hosts) {
  return name_fits(value, 0, hosts);
}

bool pai_serve_origin_fits(const char *value, int port, const char *const *hosts,
                           const char *const *origins) {
  static const char http[] = "http://";
  if (is_listed(value, strlen(value), origins))
    return true;
  return strncmp(value, http, sizeof http - 1) == 0 &&
         name_fits(value + sizeof http - 1, port, hosts);
}
