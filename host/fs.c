/* Reading, writing and locking files. See fs.h. A temporary file lies beside its target, so that
 * the rename stays within one file system, and its name begins with a dot so that listings of
 * results pass over what a killed process left. */
#include "fs.h"

#include "mask.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

int pai_fs_error(pai_error *err, int errnum, const char *verb, const char *path) {
  pai_buf shown;
  pai_buf_init(&shown, 2 * PATH_MAX);
  if (pai_mask_text(NULL, path, strlen(path), &shown, NULL) < 0)
    pai_buf_clear(&shown);
  int width = shown.len > 150 ? 150 : (int)shown.len;
  int rc =
      pai_error_sys(err, errnum, "%s \"%.*s\"", verb, width, shown.data != NULL ? shown.data : "");
  pai_buf_free(&shown);
  return rc;
}

// The same words under the code of a ceiling of ours.
static int limit_error(pai_error *err, int errnum, const char *verb, const char *path) {
  pai_fs_error(err, errnum, verb, path);
  if (err != NULL) {
    err->code = PAI_E_LIMIT;
    err->sys_errno = 0;
  }
  return PAI_E_LIMIT;
}

static int read_fd(int fd, const char *path, size_t max, pai_buf *out, pai_error *err) {
  struct stat st;
  size_t start = out->len, step = 65536;
  if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
    step = (size_t)st.st_size + 1; // one more, to see the end without another round
  for (;;) {
    size_t have = out->len - start, want = step > max - have ? max - have + 1 : step;
    int rc = pai_buf_reserve(out, want);
    if (rc == PAI_E_LIMIT)
      return limit_error(err, EFBIG, "read", path);
    if (rc < 0)
      return pai_fs_error(err, ENOMEM, "read", path);
    ssize_t n = read(fd, out->data + out->len, want);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return pai_fs_error(err, errno, "read", path);
    if (n == 0)
      return 0;
    pai_buf_advance(out, (size_t)n);
    if (out->len - start > max)
      return limit_error(err, EFBIG, "read", path);
    step = 65536;
  }
}

int pai_fs_read(const char *path, size_t max, pai_buf *out, pai_error *err) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return pai_fs_error(err, errno, "open", path);
  int rc = read_fd(fd, path, max, out, err);
  close(fd);
  return rc;
}

int pai_fs_write_all(int fd, const void *data, size_t len) {
  const char *p = data;
  while (len > 0) {
    ssize_t n = write(fd, p, len);
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      return -1;
    p += n;
    len -= (size_t)n;
  }
  return 0;
}

int pai_fs_sync_dir_of(const char *path, pai_error *err) {
  char dir[PATH_MAX] = ".";
  const char *slash = strrchr(path, '/');
  if (slash != NULL) {
    size_t n = slash == path ? 1 : (size_t)(slash - path);
    if (n >= sizeof dir)
      return pai_fs_error(err, ENAMETOOLONG, "open", path);
    memcpy(dir, path, n);
    dir[n] = '\0';
  }
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return pai_fs_error(err, errno, "open", dir);
  // Some file systems have nothing to sync in a folder and say EINVAL.
  int failed = fsync(fd) < 0 && errno != EINVAL ? errno : 0;
  close(fd);
  return failed != 0 ? pai_fs_error(err, failed, "sync", dir) : 0;
}

// Opens a new file beside path and writes its name into temp.
static int open_temp(const char *path, char temp[PATH_MAX], pai_error *err) {
  const char *slash = strrchr(path, '/');
  int dir_len = slash != NULL ? (int)(slash - path) + 1 : 0;
  for (int attempt = 0; attempt < 100; attempt++) {
    uint64_t salt;
    if (getrandom(&salt, sizeof salt, 0) != (ssize_t)sizeof salt)
      return pai_fs_error(err, errno, "get random bytes for a file beside", path);
    int n = snprintf(temp, PATH_MAX, "%.*s.pai-%016llx", dir_len, path, (unsigned long long)salt);
    if (n < 0 || n >= PATH_MAX)
      return pai_fs_error(err, ENAMETOOLONG, "open", path);
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0)
      return fd;
    if (errno != EEXIST)
      break;
  }
  return pai_fs_error(err, errno, "make a file beside", path);
}

static int final_mode(const char *path, int asked, int fallback) {
  struct stat st;
  if (asked >= 0)
    return asked;
  if (stat(path, &st) == 0)
    return (int)(st.st_mode & 07777);
  mode_t mask = umask(0); // one thread: nobody sees the moment between
  umask(mask);
  return fallback & ~(int)mask;
}

static int check_target(const char *path, pai_error *err) {
  struct stat st;
  if (stat(path, &st) < 0 || S_ISREG(st.st_mode))
    return 0;
  return pai_fs_error(err, S_ISDIR(st.st_mode) ? EISDIR : EINVAL, "replace", path);
}

static int put_in_place(const char *temp, const char *path, bool exclusive) {
  if (!exclusive)
    return rename(temp, path);
  if (renameat2(AT_FDCWD, temp, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
    return 0;
  if (errno != EINVAL && errno != ENOSYS)
    return -1;
  if (link(temp, path) < 0) // a file system without that flag
    return -1;
  return unlink(temp);
}

// Ends a temporary file: its mode, its place. Takes fd and, on failure, the file.
static int finish_temp(int fd, const char *temp, const char *path, int mode, const pai_fs_mode *how,
                       pai_error *err) {
  int failed = 0;
  if (fchmod(fd, (mode_t)mode) < 0 || (how->sync && fsync(fd) < 0))
    failed = errno;
  if (close(fd) < 0 && failed == 0)
    failed = errno;
  if (failed == 0 && put_in_place(temp, path, how->exclusive) < 0)
    failed = errno;
  if (failed != 0) {
    unlink(temp);
    return pai_fs_error(err, failed, "write", path);
  }
  return how->sync ? pai_fs_sync_dir_of(path, err) : 0;
}

int pai_fs_write(const char *path, const void *data, size_t len, const pai_fs_mode *how,
                 pai_error *err) {
  char temp[PATH_MAX];
  int rc = check_target(path, err);
  int fd = rc < 0 ? rc : open_temp(path, temp, err);
  if (fd < 0)
    return fd;
  if (pai_fs_write_all(fd, data, len) < 0) {
    int failed = errno;
    close(fd);
    unlink(temp);
    return pai_fs_error(err, failed, "write", path);
  }
  return finish_temp(fd, temp, path, final_mode(path, how->mode, 0666), how, err);
}

// The bytes of one open file into another: within the kernel where that works.
static int copy_bytes(int in, int out) {
  static char buffer[65536];
  ssize_t n;
  do {
    n = copy_file_range(in, NULL, out, NULL, (size_t)1 << 30, 0);
  } while (n > 0 || (n < 0 && errno == EINTR));
  if (n == 0 && lseek(out, 0, SEEK_CUR) > 0)
    return 0;
  // Not possible between these two, or a file such as those of /proc that has no size.
  for (;;) {
    n = read(in, buffer, sizeof buffer);
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      return (int)n;
    if (pai_fs_write_all(out, buffer, (size_t)n) < 0)
      return -1;
  }
}

int pai_fs_copy(const char *from, const char *to, const pai_fs_mode *how, pai_error *err) {
  char temp[PATH_MAX];
  struct stat st;
  int rc = check_target(to, err);
  if (rc < 0)
    return rc;
  int in = open(from, O_RDONLY | O_CLOEXEC);
  if (in < 0)
    return pai_fs_error(err, errno, "open", from);
  if (fstat(in, &st) < 0 || !S_ISREG(st.st_mode)) {
    close(in);
    return pai_fs_error(err, S_ISDIR(st.st_mode) ? EISDIR : EINVAL, "copy", from);
  }
  int out = open_temp(to, temp, err);
  if (out < 0) {
    close(in);
    return out;
  }
  int failed = copy_bytes(in, out) < 0 ? errno : 0;
  close(in);
  if (failed != 0) {
    close(out);
    unlink(temp);
    return pai_fs_error(err, failed, "copy to", to);
  }
  int mode = how->mode >= 0 ? how->mode : (int)(st.st_mode & 07777);
  return finish_temp(out, temp, to, mode, how, err);
}

int pai_fs_append(const char *path, const void *data, size_t len, int mode, bool sync,
                  pai_error *err) {
  int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, mode < 0 ? 0666 : (mode_t)mode);
  if (fd < 0)
    return pai_fs_error(err, errno, "open", path);
  int failed = pai_fs_write_all(fd, data, len) < 0 || (sync && fsync(fd) < 0) ? errno : 0;
  if (close(fd) < 0 && failed == 0)
    failed = errno;
  return failed != 0 ? pai_fs_error(err, failed, "append to", path) : 0;
}

int pai_fs_try_lock(const char *path, int *out, pai_error *err) {
  for (;;) {
    struct stat mine, there;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
      return pai_fs_error(err, errno, "open", path);
    int failed = 0;
    while (flock(fd, LOCK_EX | LOCK_NB) < 0 && failed == 0)
      failed = errno == EINTR ? 0 : errno;
    if (failed == 0 && fstat(fd, &mine) == 0 && stat(path, &there) == 0 &&
        mine.st_ino == there.st_ino && mine.st_dev == there.st_dev) {
      *out = fd;
      return 0;
    }
    close(fd); // the owner before us took the file away between open and lock: once more
    if (failed != 0)
      return pai_fs_error(err, failed, "lock", path);
  }
}
