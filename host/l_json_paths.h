/* Paths into JSON, such as `items[].metadata.name`, as a tree that the decoder walks along. */
#ifndef PAI_L_JSON_PATHS_H
#define PAI_L_JSON_PATHS_H

#include "buf.h"
#include "task.h"

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct pai_json_pick { // a node of the tree; index 0 is the root
  const char *key;             // borrowed from the path's string
  size_t len;
  int child, next; // 0 = none
  int each;        // the node of "[]", 0 = none
  bool whole;
  bool secret; // of option 'secret': the value becomes a handle
} pai_json_pick;

// Adds the paths that this option of the table at index 2 lists (or there is none); false when it
// is absent. The list stays on the stack, which keeps their strings alive.
PAI_LJMP bool pai_json_paths(lua_State *L, pai_buf *picks, const char *option);

#endif
