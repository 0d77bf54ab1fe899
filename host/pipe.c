/* Lines of a descriptor, room in another. See pipe.h. */
#include "pipe.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { PIECE = 65536 };

void pai_lines_init(pai_lines *r, int fd, size_t max) {
  *r = (pai_lines){.fd = fd, .max = max};
  // A line that is too long is found out when it is longer than max by less than one piece.
  pai_buf_init(&r->text, max + 2 * PIECE);
}

void pai_lines_free(pai_lines *r) {
  pai_buf_free(&r->text);
}

// What was handed out is dropped when little is left behind it, so that no byte is moved twice.
static void compact(pai_lines *r) {
  if (r->start == 0)
    return;
  pai_buf_drop(&r->text, r->start);
  r->scanned -= r->start;
  r->start = 0;
}

static int too_long(const pai_lines *r, pai_error *err) {
  return pai_error_set(err, PAI_E_LIMIT, "a line of more than %zu bytes", r->max);
}

static int at_end(pai_lines *r, const char **line, size_t *len, pai_error *err) {
  size_t rest = r->text.len - r->start;
  bool skipped = r->skipping;
  r->skipping = false;
  *line = r->text.data + r->start;
  *len = rest;
  r->start = r->scanned = r->text.len;
  if (skipped || rest > r->max)
    return too_long(r, err);
  return rest > 0 ? 1 : pai_error_set(err, PAI_E_CLOSED, "the end of the input");
}

int pai_lines_next(pai_lines *r, const char **line, size_t *len, pai_error *err) {
  const char *data = r->text.data;
  size_t left = r->text.len - r->scanned;
  const char *stop = left > 0 ? memchr(data + r->scanned, '\n', left) : NULL;
  if (stop == NULL && r->ended)
    return at_end(r, line, len, err);
  if (stop == NULL) {
    r->scanned = r->text.len;
    if (r->text.len - r->start > r->max) {
      r->skipping = true;
      r->start = r->scanned = 0;
      pai_buf_clear(&r->text);
    }
    return 0;
  }
  size_t end = (size_t)(stop - data);
  bool skipped = r->skipping;
  *line = data + r->start;
  *len = end - r->start;
  r->start = r->scanned = end + 1;
  r->skipping = false;
  if (skipped || *len > r->max)
    return too_long(r, err);
  if (*len > 0 && (*line)[*len - 1] == '\r')
    (*len)--;
  return 1;
}

int pai_lines_read(pai_lines *r, pai_error *err) {
  compact(r);
  int rc = pai_buf_reserve(&r->text, PIECE);
  if (rc < 0)
    return pai_error_set(err, rc, "out of memory for the input");
  ssize_t n;
  do {
    n = read(r->fd, r->text.data + r->text.len, PIECE);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EAGAIN)
    return 0;
  if (n < 0)
    return pai_error_sys(err, errno, "read descriptor %d", r->fd);
  pai_buf_advance(&r->text, (size_t)n);
  r->ended = n == 0;
  return 0;
}

bool pai_pipe_has_room(int fd) {
  struct pollfd ready = {.fd = fd, .events = POLLOUT};
  return poll(&ready, 1, 0) != 0;
}
