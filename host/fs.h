/* Files: whole-file reads and atomic writes, trees, locks, paths, and what /proc says of a process.
 * Paths are '\0'-terminated. Every descriptor is close-on-exec; symbolic links are followed where
 * open(2) would, never while a tree is walked or removed, and a write replaces a link by a file. */
#ifndef PAI_FS_H
#define PAI_FS_H

#include "buf.h"
#include "error.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// "VERB "PATH": why"; the path is masked before it is cut to fit. Returns the code.
int pai_fs_error(pai_error *err, int errnum, const char *verb, const char *path);

// Appends the whole file to out; over max bytes is PAI_E_LIMIT. Waits on a FIFO as open(2) does.
int pai_fs_read(const char *path, size_t max, pai_buf *out, pai_error *err);

typedef struct pai_fs_mode {
  int mode;       // permission bits; -1: those of the file that is replaced, else 0666 less umask
  bool sync;      // the data and the folder's entry reach the disk before this returns
  bool exclusive; // PAI_E_SYS with EEXIST when there is such a file
} pai_fs_mode;
// Whole or not at all: a temporary file beside it, then rename. Only regular files are replaced.
int pai_fs_write(const char *path, const void *data, size_t len, const pai_fs_mode *how,
                 pai_error *err);
int pai_fs_copy(const char *from, const char *to, const pai_fs_mode *how, pai_error *err);
int pai_fs_append(const char *path, const void *data, size_t len, int mode, bool sync,
                  pai_error *err);
int pai_fs_write_all(int fd, const void *data, size_t len); // 0 or -1 with errno
int pai_fs_sync_dir_of(const char *path, pai_error *err);

int pai_fs_mkdir(const char *path, bool parents, int mode, pai_error *err);

// A list of names, zero it first. Freed by pai_fs_names_free in any state.
typedef struct pai_fs_names {
  char **items; // owned, each owned
  size_t count, cap;
} pai_fs_names;
void pai_fs_names_free(pai_fs_names *names);
int pai_fs_list(const char *dir, pai_fs_names *names, pai_error *err); // sorted by bytes
// Relative paths of all that is not a folder, sorted by bytes; over max entries: PAI_E_LIMIT.
int pai_fs_walk(const char *dir, size_t max, pai_fs_names *names, pai_error *err);
int pai_fs_glob(const char *pattern, pai_fs_names *names, pai_error *err); // sorted by bytes
int pai_fs_remove(const char *path, bool recursive, pai_error *err);

// An absolute path without symbolic links, "." and ".."; what does not exist is kept as written.
int pai_fs_resolve(const char *path, char out[PATH_MAX], pai_error *err);
// The same without looking at the disk, against base (NULL: the working directory).
int pai_fs_abspath(const char *path, const char *base, char out[PATH_MAX], pai_error *err);
// Whether path is root or below it, both as pai_fs_resolve gives them.
bool pai_fs_is_under(const char *path, const char *root);
// Bytes a user may still write where path is or would be.
int pai_fs_disk_free(const char *path, uint64_t *out, pai_error *err);

// An advisory lock on a file that is made if need be. 0 and *fd, or PAI_E_SYS with EAGAIN.
int pai_fs_try_lock(const char *path, int *fd, pai_error *err);

typedef struct pai_fs_process {
  pid_t ppid;
  uint64_t start_time; // clock ticks after boot; with the pid it names a process for good
  char state;          // R S D Z T…
  char cmd[256];       // arguments divided by spaces, or "[name]" for one without
} pai_fs_process;
int pai_fs_process_info(pid_t pid, pai_fs_process *out, pai_error *err); // PAI_E_SYS, ESRCH: none
int pai_fs_boot_id(char out[64], pai_error *err);

#endif
