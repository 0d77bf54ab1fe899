/* One line a built-in module: its name for require and its luaopen_ function. */
#include "registry.h"

#include <lauxlib.h>

int luaopen_pai_digest(lua_State *L);
int luaopen_pai_exec(lua_State *L);
int luaopen_pai_fs(lua_State *L);
int luaopen_pai_json(lua_State *L);
int luaopen_pai_sandbox(lua_State *L);
int luaopen_pai_task(lua_State *L);
int luaopen_pai_mask(lua_State *L);
int luaopen_pai_out(lua_State *L);
int luaopen_pai_pipe(lua_State *L);
int luaopen_pai_secret(lua_State *L);
int luaopen_pai_sock(lua_State *L);
int luaopen_pai_term(lua_State *L);

static const luaL_Reg modules[] = {
    {"pai.digest", luaopen_pai_digest},
    {"pai.exec", luaopen_pai_exec},
    {"pai.fs", luaopen_pai_fs},
    {"pai.json", luaopen_pai_json},
    {"pai.sandbox", luaopen_pai_sandbox},
    {"pai.task", luaopen_pai_task},
    {"pai.mask", luaopen_pai_mask},
    {"pai.out", luaopen_pai_out},
    {"pai.pipe", luaopen_pai_pipe},
    {"pai.secret", luaopen_pai_secret},
    {"pai.sock", luaopen_pai_sock},
    {"pai.term", luaopen_pai_term},
    {NULL, NULL},
};

void pai_registry_install(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  for (const luaL_Reg *m = modules; m->name != NULL; m++) {
    lua_pushcfunction(L, m->func);
    lua_setfield(L, -2, m->name);
  }
  lua_pop(L, 1);
}
