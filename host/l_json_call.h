/* pai.json for the modules that are loaded at need: luaopen_ functions are not exported to them. */
#ifndef PAI_L_JSON_CALL_H
#define PAI_L_JSON_CALL_H

#include "task.h"

#include <lauxlib.h>
#include <lua.h>

// Pushes the function pai.json.NAME.
static inline void pai_l_push_json_function(lua_State *L, const char *name) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  if (lua_getfield(L, -1, "pai.json") != LUA_TFUNCTION)
    luaL_error(L, "pai.json is not part of this program");
  luaL_requiref(L, "pai.json", lua_tocfunction(L, -1), 0);
  lua_getfield(L, -1, name);
  lua_replace(L, -4);
  lua_pop(L, 2);
}

#endif
