/* Byte streams of a program that carries them on: TCP connections to a local port, connections to
 * an address or a unix socket, and standard input. A listener binds loopback only. */
#ifndef PAI_SOCK_H
#define PAI_SOCK_H

#include "error.h"
#include "loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct pai_sock {                  // zero it first
  void (*wake)(void *ud, uint32_t events); // called in the loop when what was wanted may go on
  void *ud;
  int fd; // -1 when closed
  bool listener;
  bool foreign; // not of our making (standard input): its flags are left as they are

  // private
  pai_io io;
} pai_sock;

// host: "127.0.0.1", "::1", "localhost" or another loopback address; port 0: any free one.
int pai_sock_listen(pai_sock *s, const char *host, int port, pai_error *err);
// Begins to connect, to a unix socket or to an address (no name) and port; it stands, or has
// failed, when it can be written to.
int pai_sock_connect(pai_sock *s, const char *unix_path, const char *host, int port,
                     pai_error *err);
int pai_sock_connected(pai_sock *s, pai_error *err);             // 1, 0: not yet, or why it failed
int pai_sock_port(const pai_sock *s);                            // that it is bound to
void pai_sock_wrap(pai_sock *s, int fd);                         // foreign: not closed by us
int pai_sock_accept(pai_sock *s, pai_sock *out, pai_error *err); // 1, 0: nobody yet
// Bytes read, 0 at the end, or an error; *again: nothing yet.
ssize_t pai_sock_read(pai_sock *s, void *buf, size_t len, bool *again, pai_error *err);
ssize_t pai_sock_write(pai_sock *s, const void *buf, size_t len, pai_error *err); // 0: no room yet
// Calls wake once for EPOLLIN, EPOLLOUT or both, whichever come.
int pai_sock_want(pai_sock *s, uint32_t events, pai_error *err);
void pai_sock_shut(pai_sock *s); // nothing more will be written
void pai_sock_close(pai_sock *s);

#endif
