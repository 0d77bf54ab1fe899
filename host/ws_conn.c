/* WebSocket connections. See ws_conn.h. */
#include "ws_conn.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum {
  PIECE = 16384,
  TURN_MAX = 1 << 20,  // bytes read before others get a turn
  SEND_MAX = 64 << 20, // bytes unsent
  LINGER_MS = 1000     // for the peer to end the connection after its last word was said
};

/* The end. */

void pai_ws_over(pai_ws_conn *c) {
  if (c->state == PAI_WS_OVER)
    return;
  c->state = PAI_WS_OVER;
  pai_io_stop(&c->io);
  pai_timer_stop(&c->deadline);
  pai_timer_stop(&c->ping);
  pai_timer_stop(&c->again);
  c->carrier->release(c);
  c->fd = -1;
  c->wake(c->ud);
}

void pai_ws_set_error(pai_ws_conn *c, int code, const char *why) {
  if (c->state != PAI_WS_OVER && c->err.code == PAI_OK)
    pai_error_set(&c->err, code, "WebSocket%s%.120s: %s", c->peer != NULL ? " " : "",
                  c->peer != NULL ? c->peer : "", why);
}

void pai_ws_abort(pai_ws_conn *c, int code, const char *why) {
  pai_ws_set_error(c, code, why);
  pai_ws_over(c);
}

/* The connection. */

static bool finished_talking(const pai_ws_conn *c) {
  return c->codec.err.code != PAI_OK || c->codec.close_seen;
}

// Sends what there is of it; false when the connection is over.
static bool flush(pai_ws_conn *c) {
  pai_buf *out = &c->codec.out;
  while (c->sent < out->len) {
    const char *why;
    ssize_t n = c->carrier->send(c, out->data + c->sent, out->len - c->sent, &why);
    if (n == PAI_WS_LATER)
      break;
    if (n >= 0) {
      c->sent += (size_t)n;
    } else if (finished_talking(c)) { // the peer has gone after its last word
      c->eof = true;
      c->sent = out->len;
    } else {
      pai_ws_abort(c, PAI_E_NETWORK, why);
      return false;
    }
  }
  if (c->sent == out->len) {
    pai_buf_clear(out);
    c->sent = 0;
  } else if (c->sent > PIECE && c->sent > out->len / 2) { // rarely, since it moves the rest
    pai_buf_drop(out, c->sent);
    c->sent = 0;
  }
  return true;
}

// Reads what there is; false when the connection is over. TLS may hold bytes that no event of the
// socket tells of, so it reads on until there is nothing, or comes back by the timer.
static bool pull(pai_ws_conn *c) {
  char piece[PIECE];
  size_t total = 0;
  for (;;) {
    c->paused = c->codec.queue.len >= PAI_WS_HIGH && !finished_talking(c);
    if (c->paused)
      return true;
    if (total >= TURN_MAX) {
      pai_timer_start(&c->again, 0, NULL);
      return true;
    }
    const char *why;
    ssize_t n = c->carrier->recv(c, piece, sizeof piece, &why);
    if (n == PAI_WS_LATER)
      return true;
    if (n < 0 && !(finished_talking(c) && c->codec.close_sent)) {
      pai_ws_abort(c, PAI_E_NETWORK, why);
      return false;
    }
    if (n <= 0) {
      c->eof = true;
      return true;
    }
    c->pinged = false;
    pai_ws_codec_feed(&c->codec, piece, (size_t)n);
    total += (size_t)n;
  }
}

// Whether it is over after what was read and sent.
static bool settle(pai_ws_conn *c) {
  const pai_ws_codec *codec = &c->codec;
  if (!finished_talking(c)) {
    if (c->eof)
      pai_ws_abort(c, PAI_E_CLOSED, "the connection ended without a Close");
    return c->eof;
  }
  if (codec->err.code != PAI_OK && c->err.code == PAI_OK)
    c->err = codec->err;
  bool done = codec->close_seen && codec->close_sent && codec->out.len == 0;
  if (c->eof || (done && c->carrier->server)) {
    pai_ws_over(c);
    return true;
  }
  if (!c->lingering) { // our last frame is lost if we end the connection while the peer still sends
    c->lingering = true;
    pai_timer_start(&c->deadline, LINGER_MS, NULL);
    if (c->carrier->server && codec->out.len == 0)
      shutdown(c->fd, SHUT_WR);
  }
  return false;
}

// A socket that nothing is wanted of is not watched at all: epoll tells of a hang-up all the same.
int pai_ws_watch(pai_ws_conn *c, uint32_t events, pai_error *err) {
  if (events == 0) {
    pai_io_stop(&c->io);
    return 0;
  }
  if (!c->io.active)
    return pai_io_start(&c->io, c->fd, events, err);
  return events == c->io.events ? 0 : pai_io_change(&c->io, events, err);
}

static void work(pai_ws_conn *c) {
  if (c->state != PAI_WS_OPEN || (!c->eof && !pull(c)))
    return;
  if (!flush(c) || settle(c))
    return;
  uint32_t events =
      (c->paused || c->eof ? 0u : EPOLLIN) | (c->codec.out.len > 0 ? (uint32_t)EPOLLOUT : 0u);
  pai_error err;
  if (pai_ws_watch(c, events, &err) < 0)
    pai_ws_abort(c, err.code, err.message);
  else
    c->wake(c->ud);
}

static void io_ready(pai_io *io, uint32_t events) {
  (void)events;
  work(io->ud);
}

/* Deadlines. */

static void again_due(pai_timer *t) {
  work(t->ud);
}

static void deadline_due(pai_timer *t) {
  pai_ws_conn *c = t->ud;
  if (c->state != PAI_WS_OPEN)
    c->carrier->late(c);
  else if (finished_talking(c))
    pai_ws_over(c);
  else
    pai_ws_abort(c, PAI_E_TIMEOUT, "the peer did not answer the Close in time");
}

static void ping_due(pai_timer *t) {
  pai_ws_conn *c = t->ud;
  if (c->pinged && !c->paused) {
    pai_ws_abort(c, PAI_E_TIMEOUT, "the peer is silent");
    return;
  }
  pai_timer_start(&c->ping, c->ping_ms, NULL);
  if (c->paused || c->codec.close_sent)
    return;
  c->pinged = true; // whatever comes takes it back
  if (pai_ws_codec_send(&c->codec, PAI_WS_PING, "", 0, NULL) == 0)
    work(c);
}

/* Public. */

void pai_ws_conn_init(pai_ws_conn *c, const pai_ws_carrier *carrier, size_t max_message,
                      int64_t ping_ms) {
  *c = (pai_ws_conn){.wake = c->wake,
                     .ud = c->ud,
                     .carrier = carrier,
                     .deadline = {.fn = deadline_due, .ud = c},
                     .ping = {.fn = ping_due, .ud = c},
                     .again = {.fn = again_due, .ud = c},
                     .ping_ms = ping_ms,
                     .fd = -1};
  pai_ws_codec_init(&c->codec, max_message, SEND_MAX);
  if (carrier->server)
    pai_ws_codec_set_server(&c->codec);
}

void pai_ws_conn_open(pai_ws_conn *c, int fd, const void *data, size_t len) {
  pai_error err;
  c->state = PAI_WS_OPEN;
  c->opened = true;
  c->fd = fd;
  c->io.fn = io_ready; // it may be watched already, for the handshake
  c->io.ud = c;
  pai_timer_stop(&c->deadline);
  int rc = pai_ws_watch(c, EPOLLIN, &err);
  if (rc == 0 && c->ping_ms > 0)
    rc = pai_timer_start(&c->ping, c->ping_ms, &err);
  if (rc == 0)
    rc = pai_timer_start(&c->again, 0, &err); // for what came with the handshake
  pai_ws_codec_feed(&c->codec, data, len);
  if (rc < 0)
    pai_ws_abort(c, err.code, err.message);
  else
    c->wake(c->ud);
}

size_t pai_ws_unsent(const pai_ws_conn *c) {
  return c->codec.out.len - c->sent;
}

int pai_ws_send(pai_ws_conn *c, int opcode, const void *data, size_t len, pai_error *err) {
  int rc = pai_ws_codec_send(&c->codec, opcode, data, len, err);
  return rc < 0 ? rc : pai_timer_start(&c->again, 0, err);
}

void pai_ws_taken(pai_ws_conn *c) {
  if (c->paused && c->state == PAI_WS_OPEN && c->codec.queue.len < PAI_WS_HIGH)
    pai_timer_start(&c->again, 0, NULL);
}

int pai_ws_close(pai_ws_conn *c, int code, const char *reason, size_t len, int64_t wait_ms,
                 pai_error *err) {
  int rc = pai_ws_codec_close(&c->codec, code, reason, len, err);
  rc = rc < 0 || c->lingering ? rc : pai_timer_start(&c->deadline, wait_ms, err);
  return rc < 0 ? rc : pai_timer_start(&c->again, 0, err);
}

void pai_ws_leave(pai_ws_conn *c, int close_code, int code, const char *why) {
  if (c->state == PAI_WS_OPEN && !c->eof &&
      pai_ws_codec_close(&c->codec, close_code, NULL, 0, NULL) == 0)
    (void)flush(c);
  pai_ws_abort(c, code, why);
}

void pai_ws_conn_free(pai_ws_conn *c) {
  pai_ws_codec_free(&c->codec);
}
