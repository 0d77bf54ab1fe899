/* pai.yaml. Everything that only C could free lives in one userdata per call, so that any step of
 * reading (l_yaml_decode.c) or writing (l_yaml_encode.c) may raise. */
#include "l_yaml.h"

#include "json.h"
#include "l_util.h"

#include <string.h>

#define WORK "pai.yaml.work"

enum { OUTPUT_MAX = 1 << 30, PATH_MAX_BYTES = 1 << 20 };

static int work_gc(lua_State *L) {
  pai_l_yaml_work *w = luaL_checkudata(L, 1, WORK);
  pai_yaml_reader_free(&w->reader);
  pai_yaml_writer_free(&w->writer);
  pai_buf_free(&w->path);
  pai_buf_free(&w->out);
  return 0;
}

pai_l_yaml_work *pai_l_yaml_push_work(lua_State *L) {
  pai_l_yaml_work *w = lua_newuserdatauv(L, sizeof *w, 0);
  memset(w, 0, sizeof *w);
  pai_buf_init(&w->path, PATH_MAX_BYTES);
  pai_buf_init(&w->out, OUTPUT_MAX);
  luaL_setmetatable(L, WORK);
  return w;
}

void pai_l_yaml_push_null(lua_State *L) {
  lua_pushlightuserdata(L, (void *)&pai_json_null);
}

static int timestamp_tostring(lua_State *L) {
  lua_getfield(L, 1, "timestamp");
  return 1;
}

static const luaL_Reg functions[] = {
    {"decode", pai_l_yaml_decode},
    {"encode", pai_l_yaml_encode},
    {NULL, NULL},
};

int luaopen_pai_yaml(lua_State *L);

int luaopen_pai_yaml(lua_State *L) {
  luaL_newmetatable(L, WORK);
  lua_pushcfunction(L, work_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newmetatable(L, PAI_L_YAML_TIMESTAMP);
  lua_pushcfunction(L, timestamp_tostring);
  lua_setfield(L, -2, "__tostring");
  luaL_newlib(L, functions);
  pai_l_yaml_push_null(L);
  lua_setfield(L, -2, "null");
  return 1;
}
