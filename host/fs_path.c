/* Paths and what the system says of processes. See fs.h. pai_fs_resolve is what "may only write
 * below" rests on: it reads every link itself, so that a link to something that does not exist yet
 * still counts as what it points to. */
#include "fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define MAX_LINKS 40

// A path that is made one part at a time; always absolute, never ends with '/'; "" is the root.
typedef struct builder {
  char *path; // of PATH_MAX bytes
  size_t len;
} builder;

static int add_part(builder *b, const char *part, size_t len) {
  if (len == 0 || (len == 1 && part[0] == '.'))
    return 0;
  if (len == 2 && part[0] == '.' && part[1] == '.') {
    while (b->len > 0 && b->path[--b->len] != '/')
      continue;
    return 0;
  }
  if (b->len + len + 2 > PATH_MAX)
    return ENAMETOOLONG;
  b->path[b->len++] = '/';
  memcpy(b->path + b->len, part, len);
  b->len += len;
  return 0;
}

// Replaces the last part by what it links to: the target goes before what is left in rest.
static int follow(builder *b, char rest[PATH_MAX], size_t *rest_at, int *links) {
  char target[PATH_MAX];
  b->path[b->len] = '\0';
  ssize_t n = readlink(b->path, target, sizeof target - 1);
  if (n < 0) // no link, or nothing there: it stays as it is
    return errno == EINVAL || errno == ENOENT || errno == ENOTDIR ? 0 : errno;
  if (++*links > MAX_LINKS)
    return ELOOP;
  size_t left = strlen(rest + *rest_at);
  if ((size_t)n + 1 + left + 1 > PATH_MAX)
    return ENAMETOOLONG;
  memmove(rest + n + 1, rest + *rest_at, left + 1);
  memcpy(rest, target, (size_t)n);
  rest[n] = '/';
  *rest_at = 0;
  if (target[0] == '/')
    b->len = 0;
  else
    add_part(b, "..", 2);
  return 0;
}

static int start_at(builder *b, const char *path, const char *base) {
  b->len = 0;
  if (path[0] == '/')
    return 0;
  if (base == NULL) {
    if (getcwd(b->path, PATH_MAX) == NULL)
      return errno;
    b->len = strlen(b->path);
    if (b->len == 1)
      b->len = 0;
    return 0;
  }
  for (const char *p = base; *p != '\0';) {
    size_t n = strcspn(p, "/");
    int failed = add_part(b, p, n);
    if (failed != 0)
      return failed;
    p += n + (p[n] == '/');
  }
  return 0;
}

static void finish(builder *b) {
  if (b->len == 0)
    b->path[b->len++] = '/';
  b->path[b->len] = '\0';
}

int pai_fs_resolve(const char *path, char out[PATH_MAX], pai_error *err) {
  builder b = {.path = out};
  char rest[PATH_MAX];
  size_t len = strlen(path), at = 0;
  int links = 0;
  int failed = len >= sizeof rest ? ENAMETOOLONG : len == 0 ? ENOENT : start_at(&b, path, NULL);
  if (failed == 0)
    memcpy(rest, path, len + 1);
  while (failed == 0 && rest[at] != '\0') {
    size_t n = strcspn(rest + at, "/");
    bool named = n > 2 || (n > 0 && strncmp(rest + at, "..", n) != 0);
    failed = add_part(&b, rest + at, n);
    at += n + (rest[at + n] == '/');
    if (failed == 0 && named)
      failed = follow(&b, rest, &at, &links);
  }
  if (failed != 0)
    return pai_fs_error(err, failed, "resolve", path);
  finish(&b);
  return 0;
}

int pai_fs_abspath(const char *path, const char *base, char out[PATH_MAX], pai_error *err) {
  builder b = {.path = out};
  int failed = start_at(&b, path, base);
  for (const char *p = path; failed == 0 && *p != '\0';) {
    size_t n = strcspn(p, "/");
    failed = add_part(&b, p, n);
    p += n + (p[n] == '/');
  }
  if (failed != 0)
    return pai_fs_error(err, failed, "make absolute", path);
  finish(&b);
  return 0;
}

bool pai_fs_is_under(const char *path, const char *root) {
  size_t n = strlen(root);
  if (n == 1) // "/"
    return true;
  return strncmp(path, root, n) == 0 && (path[n] == '\0' || path[n] == '/');
}

int pai_fs_disk_free(const char *path, uint64_t *out, pai_error *err) {
  char there[PATH_MAX];
  struct statvfs fs;
  int rc = pai_fs_resolve(path, there, err);
  if (rc < 0)
    return rc;
  while (statvfs(there, &fs) < 0) {
    char *slash = strrchr(there, '/');
    if ((errno != ENOENT && errno != ENOTDIR) || there[1] == '\0')
      return pai_fs_error(err, errno, "see the free space at", path);
    slash[slash == there] = '\0';
  }
  *out = (uint64_t)fs.f_bavail * fs.f_frsize;
  return 0;
}

static ssize_t read_proc(const char *path, char *out, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  ssize_t n;
  do
    n = read(fd, out, size - 1);
  while (n < 0 && errno == EINTR);
  int failed = errno;
  close(fd);
  errno = failed;
  if (n >= 0)
    out[n] = '\0';
  return n;
}

int pai_fs_process_info(pid_t pid, pai_fs_process *out, pai_error *err) {
  char path[64], stat[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  // The name is in brackets and may hold anything, brackets too: the last one ends it.
  const char *open = NULL, *close = NULL;
  if (read_proc(path, stat, sizeof stat) > 0) {
    open = strchr(stat, '(');
    close = strrchr(stat, ')');
  }
  if (open == NULL || close == NULL)
    return pai_error_sys(err, ESRCH, "look at process %d", (int)pid);
  int ppid = 0;
  unsigned long long start = 0;
  if (sscanf(close + 1,
             " %c %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
             &out->state, &ppid, &start) != 3)
    return pai_error_set(err, PAI_E_INTERNAL, "process %d: /proc has another form", (int)pid);
  out->ppid = ppid;
  out->start_time = start;
  snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
  ssize_t n = read_proc(path, out->cmd, sizeof out->cmd);
  for (ssize_t i = 0; i < n - 1; i++)
    if (out->cmd[i] == '\0')
      out->cmd[i] = ' ';
  if (n <= 0)
    snprintf(out->cmd, sizeof out->cmd, "[%.*s]", (int)(close - open - 1), open + 1);
  return 0;
}

int pai_fs_boot_id(char out[64], pai_error *err) {
  static const char path[] = "/proc/sys/kernel/random/boot_id";
  ssize_t n = read_proc(path, out, 64);
  if (n < 0)
    return pai_fs_error(err, errno, "read", path);
  out[strcspn(out, "\n")] = '\0';
  return 0;
}
