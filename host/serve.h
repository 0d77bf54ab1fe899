/* An HTTP server on pai's loop over libmicrohttpd: loopback or a unix socket, unless told. A
 * request is handed over when all of it has arrived; its connection sleeps until somebody answers.
 */
#ifndef PAI_SERVE_H
#define PAI_SERVE_H

#include "buf.h"
#include "error.h"
#include "loop.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

typedef struct pai_serve pai_serve;
typedef struct pai_exchange pai_exchange;
typedef struct pai_serve_ws pai_serve_ws; // serve_ws.h

typedef struct pai_serve_options { // strings are borrowed as long as the server lives
  const char *unix_path;           // or:
  const char *host;                // an address; not loopback only with allow_remote
  int port;                        // 0: any free one
  bool allow_remote;
  bool same_uid;              // the peer must be a process of our own user
  size_t max_body;            // bytes
  const char *const *hosts;   // names that the Host header may have, beside loopback's; NULL-ended
  const char *const *origins; // further values of Origin; NULL-ended
  // Called in the loop. request: all of it is there, it must be answered later.
  void (*request)(void *ud, pai_exchange *x);
  void (*wake)(void *ud, pai_exchange *x); // what waited to be sent is low, or the client is gone
  void (*cancel)(void *ud);                // the server closes: answer soon
  void (*closed)(void *ud);                // the end, after pai_serve_close
  void *ud;
} pai_serve_options;

struct pai_exchange {
  pai_serve *serve;            // NULL when the server is gone
  struct MHD_Connection *conn; // NULL when the exchange is over
  pai_exchange *next, *prev;   // in the server's list while conn is there
  int refs;
  void *ud;     // of whoever answers
  char *target; // as sent: path, '?' and query
  char method[24];
  pai_buf body;
  bool gone;     // the client will read no more
  bool http11;   // of the request, or later
  bool answered; // an answer or the head of a stream was given

  // private
  pai_serve_ws *ws; // the answer, while it is one
  struct MHD_Response *response;
  unsigned status;
  pai_buf out; // of a stream
  size_t out_at;
  size_t dropped; // bytes of a body that is too large
  bool seen, handed, suspended, ended, failed, too_large;
};

int pai_serve_open(const pai_serve_options *o, pai_serve **out, pai_error *err);
int pai_serve_port(const pai_serve *s); // 0 for a unix socket
// Stops listening now; requests under way have drain_ms, then they are cancelled, then cut off.
// Calls closed later, never from inside.
void pai_serve_close(pai_serve *s, int64_t drain_ms);
void pai_serve_free(pai_serve *s); // cuts everything off; NULL is fine

pai_exchange *pai_exchange_ref(pai_exchange *x);
void pai_exchange_unref(pai_exchange *x);
// Every header of the request; a name may come several times.
void pai_exchange_headers(pai_exchange *x,
                          void (*fn)(void *ud, const char *name, const char *value), void *ud);
// response is transferred. Only the first answer counts.
void pai_exchange_answer(pai_exchange *x, unsigned status, struct MHD_Response *response);
// A body in JSON: {"message": text}; text is masked.
void pai_exchange_refuse(pai_exchange *x, unsigned status, const char *text, size_t len);
struct MHD_Response *pai_serve_new_message(const char *text, size_t len); // such an answer, or NULL
// The response of an answer that is written afterwards with pai_exchange_write; NULL: no memory.
struct MHD_Response *pai_exchange_new_stream(pai_exchange *x);
// 0; PAI_E_CLOSED when the client is gone. The caller waits while pai_exchange_is_full.
int pai_exchange_write(pai_exchange *x, const void *data, size_t len);
bool pai_exchange_is_full(const pai_exchange *x);
void pai_exchange_end(pai_exchange *x, bool whole); // false: cut off, so that the client sees it

/* Sockets (serve_sock.c). */

int pai_serve_listen_unix(const char *path, int *fd, pai_error *err); // mode 0600
int pai_serve_listen_tcp(const char *host, int port, bool allow_remote, int *fd, pai_error *err);
int pai_serve_port_of(int fd);
bool pai_serve_peer_is_us(int fd); // the process at the other end has our user id
bool pai_serve_is_gone(int fd);    // the other end has closed
// Whether a Host header ("localhost:81") or an Origin ("http://localhost:81") names this server.
bool pai_serve_host_fits(const char *value, const char *const *hosts);
bool pai_serve_origin_fits(const char *value, int port, const char *const *hosts,
                           const char *const *origins);

#endif
