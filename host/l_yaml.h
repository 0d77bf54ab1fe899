/* What the files of pai.yaml share: l_yaml.c (the module), l_yaml_decode.c, l_yaml_merge.c (the
 * keys
 * << of a map) and l_yaml_encode.c. */
#ifndef PAI_L_YAML_H
#define PAI_L_YAML_H

#include "task.h"
#include "yaml_io.h"

#include <lua.h>
#include <stdbool.h>

#define PAI_L_YAML_TIMESTAMP "pai.yaml.timestamp"

enum { PAI_L_YAML_DEPTH_MOST = 900 }; // libyaml itself stops at 1000

typedef struct pai_l_yaml_work { // what must be freed whatever happens
  pai_yaml_reader reader;
  pai_yaml_writer writer;
  pai_buf path;
  pai_buf out;
} pai_l_yaml_work;

PAI_LJMP pai_l_yaml_work *pai_l_yaml_push_work(lua_State *L); // a userdata that frees it
PAI_LJMP void pai_l_yaml_push_null(lua_State *L);

PAI_LJMP int pai_l_yaml_decode(lua_State *L);
PAI_LJMP int pai_l_yaml_encode(lua_State *L);

// The value of << is on top: kept for later in the list at stack index merges (made when nil).
// False: it is neither a map nor a list of maps.
PAI_LJMP bool pai_l_yaml_merge_keep(lua_State *L, int merges);
// The map's own keys win; of several <<, the later; within a list, the earlier.
PAI_LJMP void pai_l_yaml_merge_apply(lua_State *L, int map, int merges);

#endif
