/* pai.json: the library, what its functions share, and the mark of lists. */
#include "json.h"
#include "l_json.h"

#include <lauxlib.h>

#define ARRAY_MT "pai.array"
#define WORK_MT "pai.json.work"
#define KEEP (1 << 20) // bytes of work memory kept between calls

static int work_gc(lua_State *L) {
  pai_json_work *w = lua_touserdata(L, 1);
  pai_buf_free(&w->bytes);
  pai_buf_free(&w->keys);
  pai_buf_free(&w->picks);
  return 0;
}

pai_json_work *pai_json_work_begin(lua_State *L) {
  pai_json_work *w = lua_touserdata(L, lua_upvalueindex(1));
  if (w->bytes.cap > KEEP)
    pai_buf_free(&w->bytes);
  pai_buf_clear(&w->bytes);
  pai_buf_clear(&w->keys);
  pai_buf_clear(&w->picks);
  return w;
}

void pai_json_push_array_mt(lua_State *L) {
  if (luaL_newmetatable(L, ARRAY_MT)) {
    lua_pushboolean(L, 0); // hidden: the one table is shared by all lists
    lua_setfield(L, -2, "__metatable");
  }
}

bool pai_json_is_marked(lua_State *L, int idx) {
  if (!lua_getmetatable(L, idx))
    return false;
  bool marked = lua_rawequal(L, -1, lua_upvalueindex(2));
  lua_pop(L, 1);
  return marked;
}

static int l_array(lua_State *L) {
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_setmetatable(L, 1);
  return 1;
}

static int l_is_array(lua_State *L) {
  lua_settop(L, 1);
  lua_pushboolean(L, pai_json_is_marked(L, 1));
  return 1;
}

static const luaL_Reg functions[] = {
    {"decode", pai_json_l_decode}, {"encode", pai_json_l_encode},
    {"seal", pai_json_l_seal},     {"array", l_array},
    {"is_array", l_is_array},      {NULL, NULL},
};

int luaopen_pai_json(lua_State *L);
int luaopen_pai_json(lua_State *L) {
  luaL_newlibtable(L, functions);
  pai_json_work *w = lua_newuserdatauv(L, sizeof *w, 0);
  *w = (pai_json_work){0};
  pai_buf_init(&w->bytes, (size_t)1 << 31);
  pai_buf_init(&w->keys, (size_t)1 << 30);
  pai_buf_init(&w->picks, (size_t)1 << 20);
  if (luaL_newmetatable(L, WORK_MT)) {
    lua_pushcfunction(L, work_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  pai_json_push_array_mt(L);
  luaL_setfuncs(L, functions, 2);
  lua_pushlightuserdata(L, (void *)&pai_json_null);
  lua_setfield(L, -2, "null");
  return 1;
}
