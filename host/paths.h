/* Where pai's own files are, found from the executable: a checkout's build tree or an installed
 * prefix (bin/, lib/pai/, share/pai/). */
#ifndef PAI_PATHS_H
#define PAI_PATHS_H

#include "error.h"

#include <limits.h>

typedef struct pai_paths {
  char exe[PATH_MAX];  // the executable
  char lib[PATH_MAX];  // holds pai/*.so
  char root[PATH_MAX]; // holds lua/, recipes/, components/
} pai_paths;

int pai_paths_find(pai_paths *p, pai_error *err);

#endif
