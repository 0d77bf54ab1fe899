/* Text channels. See out.h. */
#include "out.h"

#include "alloc.h"
#include "buf.h"
#include "fs.h"
#include "loop.h"
#include "mask.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX ((size_t)1 << 30)
#define KEEP ((size_t)256 << 10) // bytes of buffer kept between writes

struct pai_out {
  int fd;
  bool gone; // the reader
  bool sync;
  pai_mask_stream *mask; // owned; made at the first write
  pai_buf text;          // masked, on its way to fd
  char *path;            // owned; NULL for 1 and 2
};

static pai_out standard[3] = {{.fd = 0}, {.fd = 1}, {.fd = 2}};

static void flush_standard(void) {
  for (int fd = 1; fd <= 2; fd++)
    if (standard[fd].mask != NULL)
      pai_out_flush(&standard[fd], NULL);
}

// The masks of 1 and 2 are made at the first write.
static int prepare(pai_out *o, pai_error *err) {
  static bool at_exit;
  if (o->mask != NULL)
    return 0;
  o->mask = pai_mask_stream_new(NULL);
  if (o->mask == NULL)
    return pai_error_set(err, PAI_E_NOMEM, "out of memory for output");
  pai_buf_init(&o->text, TEXT_MAX);
  if (o->path == NULL && !at_exit)
    at_exit = atexit(flush_standard) == 0;
  return 0;
}

pai_out *pai_out_std(int fd) {
  return fd == 1 || fd == 2 ? &standard[fd] : NULL;
}

pai_out *pai_out_open(const char *path, const pai_out_mode *how, pai_error *err) {
  pai_out *o = pai_calloc(1, sizeof *o);
  char *copy = pai_strndup(path, strlen(path));
  if (o == NULL || copy == NULL) {
    pai_free(o);
    pai_free(copy);
    pai_error_set(err, PAI_E_NOMEM, "out of memory for output");
    return NULL;
  }
  int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | (how->append ? O_APPEND : O_TRUNC);
  *o = (pai_out){.fd = open(path, flags, (mode_t)how->mode), .sync = how->sync, .path = copy};
  if (o->fd < 0)
    pai_fs_error(err, errno, "open", path);
  if (o->fd < 0 || prepare(o, err) < 0) {
    if (o->fd >= 0)
      close(o->fd);
    pai_free(copy);
    pai_free(o);
    return NULL;
  }
  return o;
}

static int write_error(pai_out *o, int errnum, pai_error *err) {
  if (o->path != NULL)
    return pai_fs_error(err, errnum, "write", o->path);
  if (errnum == EPIPE) {
    o->gone = true;
    return 0;
  }
  return pai_error_sys(err, errnum, "write to standard %s", o->fd == 1 ? "output" : "error");
}

// A file that is left with half a text would hold it in the middle once more follows.
static void take_back(pai_out *o, off_t size) {
  if (size >= 0 && ftruncate(o->fd, size) < 0)
    return; // not a file: nothing to take back
}

// Writes all of text; 0 or an errno. A slow reader (a pager) is waited for as long as it takes, and
// that is no fault that a watchdog should end.
static int write_text(pai_out *o) {
  const char *p = o->text.data;
  size_t left = o->text.len;
  int failed = 0;
  sig_atomic_t before = pai_loop_state.waiting;
  pai_loop_state.waiting = 1;
  while (left > 0 && failed == 0) {
    ssize_t n = write(o->fd, p, left);
    if (n >= 0) {
      p += n;
      left -= (size_t)n;
    } else if (errno == EAGAIN) {
      struct pollfd ready = {.fd = o->fd, .events = POLLOUT};
      poll(&ready, 1, -1);
    } else if (errno != EINTR) {
      failed = errno;
    }
  }
  if (failed == 0 && o->sync && fdatasync(o->fd) < 0 && errno != EINVAL && errno != EROFS)
    failed = errno;
  pai_loop_state.waiting = before;
  return failed;
}

// Writes what is in o->text and empties it.
int pai_out_drain(pai_out *o, pai_error *err) {
  struct stat st;
  if (o->text.len == 0)
    return 0;
  bool file = o->path != NULL && fstat(o->fd, &st) == 0 && S_ISREG(st.st_mode);
  int failed = o->gone ? 0 : write_text(o);
  if (o->text.cap > KEEP)
    pai_buf_free(&o->text);
  pai_buf_clear(&o->text);
  if (failed == 0)
    return 0;
  take_back(o, file ? st.st_size : -1);
  return write_error(o, failed, err);
}

int pai_out_add(pai_out *o, const void *data, size_t len, pai_error *err) {
  int rc = prepare(o, err);
  if (rc == 0 && !o->gone)
    rc = pai_mask_stream_feed(o->mask, data, len, &o->text, err);
  return rc;
}

int pai_out_write(pai_out *o, const void *data, size_t len, pai_error *err) {
  int rc = pai_out_add(o, data, len, err);
  return rc == 0 ? pai_out_drain(o, err) : rc;
}

int pai_out_flush(pai_out *o, pai_error *err) {
  int rc = prepare(o, err);
  if (rc == 0 && !o->gone)
    rc = pai_mask_stream_finish(o->mask, &o->text, err);
  return rc == 0 ? pai_out_drain(o, err) : rc;
}

int pai_out_sync(pai_out *o, pai_error *err) {
  int rc = pai_out_flush(o, err);
  // Terminals and pipes have nothing to sync.
  if (rc == 0 && fsync(o->fd) < 0 && errno != EINVAL && errno != EROFS)
    rc = write_error(o, errno, err);
  return rc;
}

int pai_out_close(pai_out *o, pai_error *err) {
  if (o == NULL)
    return 0;
  int rc = pai_out_flush(o, err);
  if (close(o->fd) < 0 && rc == 0)
    rc = write_error(o, errno, err);
  pai_mask_stream_free(o->mask);
  pai_buf_free(&o->text);
  pai_free(o->path);
  pai_free(o);
  return rc;
}

bool pai_out_is_closed(const pai_out *o) {
  return o->gone;
}
