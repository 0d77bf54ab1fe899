/* Where pai's own files are. See paths.h. */
#include "paths.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// Cuts the last component of path; false when there is none left.
static bool cut_last(char *path) {
  char *slash = strrchr(path, '/');
  if (slash == NULL || slash == path)
    return false;
  *slash = '\0';
  return true;
}

static bool has_lua(const char *dir) {
  char probe[PATH_MAX];
  int n = snprintf(probe, sizeof probe, "%s/lua/pai/cli/init.lua", dir);
  return n > 0 && (size_t)n < sizeof probe && access(probe, R_OK) == 0;
}

int pai_paths_find(pai_paths *p, pai_error *err) {
  ssize_t n = readlink("/proc/self/exe", p->exe, sizeof p->exe - 1);
  if (n < 0)
    return pai_error_sys(err, errno, "read the link \"/proc/self/exe\"");
  p->exe[n] = '\0';
  char dir[PATH_MAX];
  memcpy(dir, p->exe, (size_t)n + 1);
  if (!cut_last(dir) || !cut_last(dir))
    return pai_error_set(err, PAI_E_NOTFOUND, "find pai's files beside \"%s\"", p->exe);
  if ((size_t)snprintf(p->lib, sizeof p->lib, "%s/lib", dir) >= sizeof p->lib)
    return pai_error_set(err, PAI_E_LIMIT, "the path of the executable is too long");
  do {
    char share[PATH_MAX];
    if ((size_t)snprintf(share, sizeof share, "%s/share/pai", dir) < sizeof share &&
        has_lua(share)) {
      memcpy(p->root, share, sizeof share);
      return 0;
    }
    if (has_lua(dir)) {
      memcpy(p->root, dir, sizeof dir);
      return 0;
    }
  } while (cut_last(dir));
  return pai_error_set(err, PAI_E_NOTFOUND,
                       "find pai's Lua files (lua/pai) near \"%s\": is the installation whole?",
                       p->exe);
}
