/* What the files of pai.json share. The memory that only C knows (escapes, sort keys, output)
 * belongs to one userdata, so nothing leaks when Lua raises. */
#ifndef PAI_L_JSON_H
#define PAI_L_JSON_H

#include "buf.h"
#include "task.h"

#include <lua.h>
#include <stdbool.h>

typedef struct pai_json_work { // upvalue 1 of every function
  pai_buf bytes;
  pai_buf keys;  // of the tables being written, see l_json_encode.c
  pai_buf picks; // pai_json_pick
} pai_json_work;

pai_json_work *pai_json_work_begin(lua_State *L); // emptied
// Whether the value at idx has upvalue 2 for its metatable, as a list has.
bool pai_json_is_marked(lua_State *L, int idx);

PAI_LJMP int pai_json_l_decode(lua_State *L);
PAI_LJMP int pai_json_l_encode(lua_State *L);
PAI_LJMP int pai_json_l_seal(lua_State *L);

#endif
