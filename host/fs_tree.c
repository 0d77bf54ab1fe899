/* Folders and trees. See fs.h. Trees are walked with descriptors and without following symbolic
 * links, so that a link put in place meanwhile leads nowhere. */
#include "alloc.h"
#include "fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEEPEST 128 // folders within folders; each holds a descriptor

static bool is_dir(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int pai_fs_mkdir(const char *path, bool parents, int mode, pai_error *err) {
  char part[PATH_MAX];
  size_t len = strlen(path);
  mode_t bits = mode < 0 ? 0777 : (mode_t)mode;
  if (len == 0 || len >= sizeof part)
    return pai_fs_error(err, len == 0 ? ENOENT : ENAMETOOLONG, "make the folder", path);
  if (mkdir(path, bits) == 0)
    return 0;
  int failed = errno;
  memcpy(part, path, len + 1);
  for (size_t i = 1; parents && failed == ENOENT && i < len; i++) {
    if (part[i] != '/')
      continue;
    part[i] = '\0';
    if (mkdir(part, 0777) < 0 && errno != EEXIST)
      return pai_fs_error(err, errno, "make the folder", part);
    part[i] = '/';
  }
  if (parents && failed == ENOENT) {
    if (mkdir(path, bits) == 0)
      return 0;
    failed = errno;
  }
  if (parents && failed == EEXIST && is_dir(path))
    return 0;
  return pai_fs_error(err, failed, "make the folder", path);
}

void pai_fs_names_free(pai_fs_names *names) {
  for (size_t i = 0; i < names->count; i++)
    pai_free(names->items[i]);
  pai_free(names->items);
  *names = (pai_fs_names){0};
}

static int add_name(pai_fs_names *names, const char *name, size_t len) {
  if (names->count == names->cap) {
    size_t cap = names->cap == 0 ? 32 : names->cap * 2;
    char **items = pai_realloc(names->items, cap * sizeof *items);
    if (items == NULL)
      return -1;
    names->items = items;
    names->cap = cap;
  }
  char *copy = pai_strndup(name, len);
  if (copy == NULL)
    return -1;
  names->items[names->count++] = copy;
  return 0;
}

static int compare_names(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_names(pai_fs_names *names) {
  if (names->count > 1)
    qsort(names->items, names->count, sizeof *names->items, compare_names);
}

static bool is_dots(const char *name) {
  return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

// The next entry that is not "." or ".."; NULL at the end or with errno set.
static struct dirent *next_entry(DIR *dir) {
  struct dirent *e;
  do {
    errno = 0;
    e = readdir(dir);
  } while (e != NULL && is_dots(e->d_name));
  return e;
}

// d_type is not filled in by every file system.
static bool is_folder(int dir_fd, const struct dirent *e) {
  struct stat st;
  if (e->d_type != DT_UNKNOWN)
    return e->d_type == DT_DIR;
  return fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static DIR *open_dir(int at, const char *name, int flags) {
  int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | flags);
  if (fd < 0)
    return NULL;
  DIR *dir = fdopendir(fd);
  if (dir == NULL)
    close(fd);
  return dir;
}

int pai_fs_list(const char *path, pai_fs_names *names, pai_error *err) {
  DIR *dir = open_dir(AT_FDCWD, path, 0);
  if (dir == NULL)
    return pai_fs_error(err, errno, "list", path);
  struct dirent *e = next_entry(dir);
  int failed = e == NULL ? errno : 0;
  while (e != NULL) {
    if (add_name(names, e->d_name, strlen(e->d_name)) < 0) {
      failed = ENOMEM;
      break;
    }
    e = next_entry(dir);
    failed = e == NULL ? errno : 0;
  }
  closedir(dir);
  if (failed != 0)
    return pai_fs_error(err, failed, "list", path);
  sort_names(names);
  return 0;
}

typedef struct walk {
  pai_fs_names *names;
  size_t max;
  int depth;
  char rel[PATH_MAX]; // of the entry at hand
} walk;

// Takes dir. rel ends with '/' or is empty, its length is len. 0 or an errno; EFBIG: over max.
static int walk_dir(walk *w, DIR *dir, size_t len) {
  int failed = 0;
  if (++w->depth > DEEPEST)
    failed = ELOOP;
  while (failed == 0) {
    struct dirent *e = next_entry(dir);
    if (e == NULL) {
      failed = errno;
      break;
    }
    size_t n = strlen(e->d_name);
    if (len + n + 2 > sizeof w->rel) {
      failed = ENAMETOOLONG;
      break;
    }
    memcpy(w->rel + len, e->d_name, n + 1);
    if (!is_folder(dirfd(dir), e)) {
      if (w->names->count == w->max)
        failed = EFBIG;
      else if (add_name(w->names, w->rel, len + n) < 0)
        failed = ENOMEM;
      continue;
    }
    DIR *sub = open_dir(dirfd(dir), e->d_name, O_NOFOLLOW);
    if (sub != NULL) {
      w->rel[len + n] = '/';
      failed = walk_dir(w, sub, len + n + 1);
    } else if (errno != ENOENT) {
      failed = errno;
    }
  }
  closedir(dir);
  w->depth--;
  return failed;
}

int pai_fs_walk(const char *path, size_t max, pai_fs_names *names, pai_error *err) {
  walk w = {.names = names, .max = max};
  DIR *dir = open_dir(AT_FDCWD, path, 0);
  int failed = dir == NULL ? errno : walk_dir(&w, dir, 0);
  if (failed == EFBIG)
    return pai_error_set(err, PAI_E_LIMIT, "a walk found more than %zu files", max);
  if (failed != 0)
    return pai_fs_error(err, failed, "walk", path);
  sort_names(names);
  return 0;
}

int pai_fs_glob(const char *pattern, pai_fs_names *names, pai_error *err) {
  glob_t found = {0};
  int rc = glob(pattern, GLOB_BRACE | GLOB_NOSORT, NULL, &found);
  int failed = rc == GLOB_NOSPACE ? ENOMEM : rc == GLOB_ABORTED ? EIO : 0;
  for (size_t i = 0; rc == 0 && failed == 0 && i < found.gl_pathc; i++)
    if (add_name(names, found.gl_pathv[i], strlen(found.gl_pathv[i])) < 0)
      failed = ENOMEM;
  globfree(&found);
  if (failed != 0)
    return pai_fs_error(err, failed, "look for", pattern);
  sort_names(names);
  return 0;
}

// Empties dir and takes it. 0 or an errno.
static int empty_dir(DIR *dir, int depth) {
  int failed = depth > DEEPEST ? ELOOP : 0;
  while (failed == 0) {
    struct dirent *e = next_entry(dir);
    if (e == NULL) {
      failed = errno;
      break;
    }
    bool folder = is_folder(dirfd(dir), e);
    if (folder) {
      DIR *sub = open_dir(dirfd(dir), e->d_name, O_NOFOLLOW);
      failed = sub != NULL ? empty_dir(sub, depth + 1) : errno;
    }
    if (failed == 0 && unlinkat(dirfd(dir), e->d_name, folder ? AT_REMOVEDIR : 0) < 0 &&
        errno != ENOENT)
      failed = errno;
  }
  closedir(dir);
  return failed;
}

int pai_fs_remove(const char *path, bool recursive, pai_error *err) {
  struct stat st;
  if (lstat(path, &st) < 0)
    return pai_fs_error(err, errno, "remove", path);
  if (!S_ISDIR(st.st_mode))
    return unlink(path) < 0 ? pai_fs_error(err, errno, "remove", path) : 0;
  if (recursive) {
    DIR *dir = open_dir(AT_FDCWD, path, O_NOFOLLOW);
    int failed = dir != NULL ? empty_dir(dir, 1) : errno;
    if (failed != 0)
      return pai_fs_error(err, failed, "remove", path);
  }
  return rmdir(path) < 0 ? pai_fs_error(err, errno, "remove", path) : 0;
}
