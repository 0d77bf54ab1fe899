/* What arrives of an answer: its headers, and its body to where the request wants it. See
 * http_priv.h. */
#include "http_priv.h"

#include "alloc.h"
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
  HEAD_USUAL = 1024,
  ERROR_BODY_MAX = 1 << 20, // bytes kept of an answer that was not asked for
  STREAM_HIGH = 256 << 10   // bytes that wait for the task before the transfer is paused
};

enum { SINK_NONE, SINK_DROP, SINK_MEMORY, SINK_ERROR, SINK_STREAM, SINK_FILE, SINK_INTO };

void pai_http_drop_output(pai_http *h) {
  pai_http_close_files(h);
  if (h->temp != NULL)
    unlink(h->temp);
  pai_free(h->temp);
  h->temp = NULL;
}

void pai_http_body_reset(pai_http *h) {
  pai_buf_clear(&h->head);
  h->head_lines = 0;
  pai_buf_clear(&h->body);
  h->sink = SINK_NONE;
  h->status = 0;
  h->paused = false;
  h->head_whole = false;
  pai_http_drop_output(h);
}

// From a callback: libcurl then ends the transfer.
static size_t refuse(pai_http *h, int code, const char *why) {
  pai_http_set_error(h, code, why);
  return 0;
}

size_t pai_http_on_header(char *line, size_t size, size_t count, void *ud) {
  pai_http *h = ud;
  size_t len = size * count;
  if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
    pai_buf_clear(&h->head); // an interim answer, or that of a proxy, came before
    h->head_lines = 0;
    h->head_whole = false;
    return len;
  }
  if (len > 0 && (line[0] == '\r' || line[0] == '\n'))
    h->head_whole = true;
  else
    h->head_lines++;
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

bool pai_http_is_redirect(const pai_http *h) {
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
  if (pai_http_is_redirect(h))
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

size_t pai_http_on_body(char *data, size_t size, size_t count, void *ud) {
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

void pai_http_keep_output(pai_http *h) {
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
