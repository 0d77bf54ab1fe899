/* Bodies that are parts of files: sent from one, or written into one. See http_priv.h. */
#include "http_priv.h"

#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t under_way; // by all requests of this process

uint64_t pai_http_under_way(void) {
  return under_way;
}

// What this request has moved so far, of the attempt that is running.
static void note(pai_http *h, uint64_t moved) {
  under_way += moved - h->moved;
  h->moved = moved;
}

void pai_http_close_files(pai_http *h) {
  note(h, 0);
  if (h->fd >= 0)
    close(h->fd);
  if (h->body_fd >= 0)
    close(h->body_fd);
  h->fd = -1;
  h->body_fd = -1;
}

// A file that ends early must not be taken for a whole body: the transfer fails.
static size_t read_body(char *to, size_t size, size_t count, void *ud) {
  pai_http *h = ud;
  uint64_t left = h->o.body_len - h->body_at;
  size_t want = size * count < left ? size * count : (size_t)left;
  if (want == 0)
    return 0;
  ssize_t n;
  do {
    n = pread(h->body_fd, to, want, (off_t)(h->o.body_offset + h->body_at));
  } while (n < 0 && errno == EINTR);
  if (n < 0)
    pai_fs_error(&h->err, errno, "read", h->o.body_file);
  else if (n == 0)
    pai_error_set(&h->err, PAI_E_PROTO, "\"%.160s\" became shorter while it was sent",
                  h->o.body_file);
  if (n <= 0)
    return CURL_READFUNC_ABORT;
  h->body_at += (uint64_t)n;
  note(h, h->body_at);
  return (size_t)n;
}

// libcurl begins anew on another connection when a kept one has gone.
static int seek_body(void *ud, curl_off_t offset, int origin) {
  pai_http *h = ud;
  if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > h->o.body_len)
    return CURL_SEEKFUNC_CANTSEEK;
  h->body_at = (uint64_t)offset;
  return CURL_SEEKFUNC_OK;
}

int pai_http_send_file(pai_http *h) {
  struct stat st;
  h->body_fd = open(h->o.body_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (h->body_fd < 0 || fstat(h->body_fd, &st) < 0)
    return pai_fs_error(&h->err, errno, "open", h->o.body_file);
  if (!S_ISREG(st.st_mode))
    return pai_error_set(&h->err, PAI_E_DENIED, "send \"%.160s\": not a regular file",
                         h->o.body_file);
  h->body_at = 0;
  CURL *e = h->easy;
  curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(e, CURLOPT_INFILESIZE_LARGE, (curl_off_t)h->o.body_len);
  curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10);
  curl_easy_setopt(e, CURLOPT_READFUNCTION, read_body);
  curl_easy_setopt(e, CURLOPT_READDATA, h);
  curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, seek_body);
  curl_easy_setopt(e, CURLOPT_SEEKDATA, h);
  return 0;
}

// A server that does not know ranges answers 200 with the whole: it must not land in the middle.
int pai_http_open_into(pai_http *h) {
  if (h->status != 206 && !(h->status == 200 && h->o.into_offset == 0))
    return pai_error_set(&h->err, PAI_E_PROTO, "the server answered %d to a request for a part",
                         h->status);
  h->written = 0;
  h->fd = open(h->o.into, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  return h->fd < 0 ? pai_fs_error(&h->err, errno, "write", h->o.into) : 0;
}

int pai_http_write_into(pai_http *h, const char *data, size_t len) {
  if (len > h->o.into_len - h->written)
    return pai_error_set(&h->err, PAI_E_PROTO, "the server sent more than the part asked for");
  while (len > 0) {
    ssize_t n = pwrite(h->fd, data, len, (off_t)(h->o.into_offset + h->written));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return pai_fs_error(&h->err, errno, "write", h->o.into);
    data += n;
    len -= (size_t)n;
    h->written += (uint64_t)n;
    note(h, h->written);
  }
  return 0;
}
