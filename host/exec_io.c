/* The streams of a child process. See exec_io.h. Output is masked before anything else sees it. */
#include "exec_io.h"

#include "alloc.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#ifdef PAI_HARD // every border is met often
enum { READ_SIZE = 7, LINE_MAX_SIZE = 100, DROP_SIZE = 64 };
#else
enum { READ_SIZE = 64 * 1024, LINE_MAX_SIZE = 1024 * 1024, DROP_SIZE = 256 * 1024 };
#endif

typedef struct record {
  uint32_t len;
  uint32_t stream;
} record;

struct exec_chunk {
  exec_chunk *next;
  char *plain; // owned; NULL when the bytes are secret
  pai_secret_buf locked;
  size_t len, pos;
};

/* Lines. */

size_t pai_exec_lines_size(const exec_lines *l) {
  return l->queue.len - l->head;
}

bool pai_exec_lines_first(const exec_lines *l, const char **line, size_t *len, int *stream) {
  if (pai_exec_lines_size(l) == 0)
    return false;
  record r;
  memcpy(&r, l->queue.data + l->head, sizeof r);
  *line = l->queue.data + l->head + sizeof r;
  *len = r.len;
  *stream = (int)r.stream;
  return true;
}

void pai_exec_lines_drop(exec_lines *l) {
  record r;
  memcpy(&r, l->queue.data + l->head, sizeof r);
  l->head += sizeof r + r.len;
  if (l->head == l->queue.len) {
    pai_buf_clear(&l->queue);
    l->head = 0;
  } else if (l->head > DROP_SIZE && l->head > l->queue.len / 2) {
    pai_buf_drop(&l->queue, l->head);
    l->head = 0;
  }
}

// Ends the line that is o->part followed by the n bytes of d.
static int end_line(exec_out *o, const char *d, size_t n) {
  pai_buf *q = &o->lines->queue;
  record r = {.len = (uint32_t)(o->part.len + n), .stream = (uint32_t)o->number};
  if (pai_buf_reserve(q, sizeof r + r.len) < 0)
    return PAI_E_NOMEM;
  pai_buf_add(q, &r, sizeof r);
  pai_buf_add(q, o->part.data, o->part.len);
  pai_buf_add(q, d, n);
  pai_buf_clear(&o->part);
  return 0;
}

static int split(exec_out *o, const char *d, size_t n) {
  while (n > 0) {
    const char *nl = memchr(d, '\n', n);
    size_t take = nl != NULL ? (size_t)(nl - d) : n;
    bool too_long = take > LINE_MAX_SIZE - o->part.len;
    if (too_long)
      take = LINE_MAX_SIZE - o->part.len;
    if (too_long || nl != NULL ? end_line(o, d, take) < 0 : pai_buf_add(&o->part, d, take) < 0)
      return PAI_E_NOMEM;
    if (!too_long && nl != NULL)
      take++;
    d += take;
    n -= take;
  }
  return 0;
}

/* Output. */

void pai_exec_out_init(exec_out *o, int number, size_t max) {
  *o = (exec_out){.number = number, .fd = -1, .max = max};
  pai_buf_init(&o->text, max);
  pai_buf_init(&o->part, LINE_MAX_SIZE);
}

static int emit(exec_out *o, const char *d, size_t n) {
  if (o->keep) {
    size_t room = o->max - o->text.len;
    o->truncated = o->truncated || n > room;
    if (pai_buf_add(&o->text, d, n < room ? n : room) < 0)
      return PAI_E_NOMEM;
  }
  if (o->lines == NULL || n == 0)
    return 0;
  return o->whole ? end_line(o, d, n) : split(o, d, n);
}

// Passes d through the mask; end: nothing follows.
static int pass(exec_out *o, const char *d, size_t n, bool end, pai_error *err) {
  int rc;
  if (o->mask == NULL) {
    rc = emit(o, d, n);
  } else {
    pai_buf shown;
    pai_buf_init(&shown, SIZE_MAX / 4);
    rc = pai_mask_stream_feed(o->mask, d, n, &shown, err);
    if (rc == 0 && end)
      rc = pai_mask_stream_finish(o->mask, &shown, err);
    if (rc == 0)
      rc = emit(o, shown.data, shown.len);
    pai_buf_free(&shown);
  }
  if (rc == 0 && end && o->part.len > 0 && o->lines != NULL)
    rc = end_line(o, NULL, 0);
  return rc < 0 ? pai_error_set(err, rc, "keep the output of a child: out of memory") : 0;
}

static ssize_t read_secret(exec_out *o, pai_error *err) {
  int rc = pai_secret_buf_reserve(&o->locked, 4096, err);
  if (rc < 0)
    return -1;
  ssize_t n = read(o->fd, o->locked.data + o->locked.len, 4096);
  if (n > 0)
    o->locked.len += (size_t)n;
  return n;
}

int pai_exec_out_read(exec_out *o, int rounds, pai_error *err) {
  static char buffer[READ_SIZE];
  for (; rounds > 0 && o->fd >= 0; rounds--) {
    err->code = 0;
    ssize_t n = o->secret ? read_secret(o, err) : read(o->fd, buffer, sizeof buffer);
    if (n < 0 && err->code == 0 && (errno == EAGAIN || errno == EINTR))
      return 0;
    int rc = n < 0 ? err->code : 0;
    if (n > 0 && !o->secret)
      rc = pass(o, buffer, (size_t)n, false, err);
    if (n > 0 && rc == 0)
      continue;
    int end = pai_exec_out_close(o, err);
    return rc < 0 ? rc : end;
  }
  return o->fd >= 0;
}

int pai_exec_out_close(exec_out *o, pai_error *err) {
  if (o->fd < 0)
    return 0;
  pai_io_stop(&o->io);
  close(o->fd);
  o->fd = -1;
  return o->secret ? 0 : pass(o, NULL, 0, true, err);
}

void pai_exec_out_free(exec_out *o) {
  if (o->fd >= 0) {
    pai_io_stop(&o->io);
    close(o->fd);
    o->fd = -1;
  }
  pai_mask_stream_free(o->mask);
  o->mask = NULL;
  pai_buf_free(&o->text);
  pai_buf_free(&o->part);
  pai_secret_buf_free(&o->locked);
}

int pai_exec_out_split(exec_out *o, pai_error *err) {
  if (split(o, o->text.data, o->text.len) < 0 ||
      (o->fd < 0 && o->part.len > 0 && end_line(o, NULL, 0) < 0))
    return pai_error_set(err, PAI_E_NOMEM, "split the output of a child: out of memory");
  pai_buf_free(&o->text);
  o->keep = false;
  return 0;
}

/* Input. */

static void chunk_free(exec_chunk *c) {
  pai_free(c->plain);
  pai_secret_buf_free(&c->locked);
  pai_free(c);
}

static int chunk_add(exec_in *in, const void *data, size_t len, bool secret, pai_error *err) {
  exec_chunk *c = pai_calloc(1, sizeof *c);
  int rc = c == NULL ? PAI_E_NOMEM : 0;
  if (rc == 0 && secret)
    rc = pai_secret_buf_add(&c->locked, data, len, err);
  else if (rc == 0 && (c->plain = pai_strndup(data, len)) == NULL)
    rc = PAI_E_NOMEM;
  if (rc < 0) {
    if (c != NULL)
      chunk_free(c);
    return pai_error_set(err, rc, "queue the input of a child: out of memory");
  }
  c->len = len;
  if (in->last != NULL)
    in->last->next = c;
  else
    in->first = c;
  in->last = c;
  in->size += len;
  return 0;
}

// Writes to the pipe: how many bytes went, 0 when it is full, -1 when nobody reads any more.
static ssize_t put(exec_in *in, const char *data, size_t len) {
  ssize_t n = write(in->fd, data, len);
  return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
}

int pai_exec_in_add(exec_in *in, const void *data, size_t len, bool secret, pai_error *err) {
  if (in->fd < 0 || in->closing)
    return pai_error_set(err, PAI_E_CLOSED, "write to a child: its input is closed");
  const char *bytes = data;
  while (in->first == NULL && len > 0) {
    ssize_t n = put(in, bytes, len);
    if (n < 0) {
      pai_exec_in_close(in);
      return pai_error_set(err, PAI_E_CLOSED, "write to a child: it does not read any more");
    }
    if (n == 0)
      break;
    bytes += n;
    len -= (size_t)n;
  }
  return len > 0 ? chunk_add(in, bytes, len, secret, err) : 0;
}

void pai_exec_in_flush(exec_in *in) {
  while (in->first != NULL) {
    exec_chunk *c = in->first;
    ssize_t n = put(in, (c->plain != NULL ? c->plain : c->locked.data) + c->pos, c->len - c->pos);
    if (n < 0) {
      pai_exec_in_close(in);
      return;
    }
    if (n == 0)
      return;
    c->pos += (size_t)n;
    in->size -= (size_t)n;
    if (c->pos < c->len)
      continue;
    in->first = c->next;
    if (in->first == NULL)
      in->last = NULL;
    chunk_free(c);
  }
  if (in->closing)
    pai_exec_in_close(in);
}

void pai_exec_in_close(exec_in *in) {
  while (in->first != NULL) {
    exec_chunk *c = in->first;
    in->first = c->next;
    chunk_free(c);
  }
  in->last = NULL;
  in->size = 0;
  in->closing = true;
  if (in->fd < 0)
    return;
  pai_io_stop(&in->io);
  close(in->fd);
  in->fd = -1;
}
