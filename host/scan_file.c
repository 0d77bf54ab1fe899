/* Files in and redacted copies out. See scan.h. A copy grows in a temporary file beside its target,
 * whose name begins with a dot, and takes its place when it is whole. */
#include "fs.h"
#include "out.h"
#include "scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct sink {
  const char *path;
  pai_out *out; // standard output
  int fd;       // or the temporary file
  char temp[PATH_MAX];
} sink;

static int write_sink(void *ud, const void *data, size_t len, pai_error *err) {
  sink *k = ud;
  if (k->out != NULL)
    return pai_out_write(k->out, data, len, err);
  if (pai_fs_write_all(k->fd, data, len) < 0)
    return pai_fs_error(err, errno, "write", k->path);
  return 0;
}

// mode: permission bits of the copy.
static int open_sink(sink *k, mode_t mode, pai_error *err) {
  struct stat st;
  if (strcmp(k->path, "-") == 0) {
    k->out = pai_out_std(1);
    return k->out != NULL ? 0 : pai_error_set(err, PAI_E_NOMEM, "open standard output: no memory");
  }
  if (lstat(k->path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISLNK(st.st_mode))
    return pai_fs_error(err, S_ISDIR(st.st_mode) ? EISDIR : EEXIST, "write", k->path);
  const char *slash = strrchr(k->path, '/');
  int dir = slash != NULL ? (int)(slash - k->path + 1) : 0;
  int n = snprintf(k->temp, sizeof k->temp, "%.*s.%s.XXXXXX", dir, k->path, k->path + dir);
  if (n < 0 || (size_t)n >= sizeof k->temp)
    return pai_fs_error(err, ENAMETOOLONG, "write", k->path);
  k->fd = mkostemp(k->temp, O_CLOEXEC);
  if (k->fd < 0)
    return pai_fs_error(err, errno, "write beside", k->path);
  if (fchmod(k->fd, mode) < 0)
    return pai_fs_error(err, errno, "set the mode of", k->temp);
  return 0;
}

// keep: the copy is whole.
static int close_sink(sink *k, bool keep, pai_error *err) {
  int rc = 0;
  if (k->out != NULL)
    return keep ? pai_out_flush(k->out, err) : 0;
  if (k->fd < 0)
    return 0;
  if (keep && fsync(k->fd) < 0)
    rc = pai_fs_error(err, errno, "write", k->path);
  if (close(k->fd) < 0 && keep && rc == 0)
    rc = pai_fs_error(err, errno, "write", k->path);
  if (keep && rc == 0 && rename(k->temp, k->path) < 0)
    rc = pai_fs_error(err, errno, "write", k->path);
  if (!keep || rc < 0)
    unlink(k->temp);
  return rc;
}

static int scan_open(pai_scan *s, int fd, sink *k, const pai_scan_job *job, pai_scan_sum *sum,
                     pai_error *err) {
  struct stat st;
  pai_scan_job mine = *job;
  int rc = 0;
  if (k->path != NULL) {
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    rc = open_sink(k, regular ? st.st_mode & 07777 : 0600, err);
    mine.write = write_sink;
    mine.write_ud = k;
  }
  if (rc == 0)
    rc = pai_scan_fd(s, fd, &mine, sum, err);
  if (k->path == NULL)
    return rc;
  bool looked = rc == 0 && (!sum->is_binary || job->binary);
  int closed = close_sink(k, looked, err);
  return rc < 0 ? rc : closed;
}

// A message about a descriptor, with the file's name in front.
static int name_it(const char *path, int rc, pai_error *err) {
  pai_error inner = *err;
  if (inner.sys_errno != 0 && strncmp(inner.message, "read", 4) == 0)
    return pai_fs_error(err, inner.sys_errno, "read", path);
  return rc;
}

int pai_scan_file(pai_scan *s, const char *path, const char *output, const pai_scan_job *job,
                  pai_scan_sum *sum, pai_error *err) {
  sink k = {.path = output, .fd = -1};
  *sum = (pai_scan_sum){0};
  if (strcmp(path, "-") == 0)
    return scan_open(s, 0, &k, job, sum, err);
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0)
    return pai_fs_error(err, errno, "open", path);
  int rc = scan_open(s, fd, &k, job, sum, err);
  close(fd);
  return rc < 0 ? name_it(path, rc, err) : rc;
}
