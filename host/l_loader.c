/* The searcher for pai's own Lua modules. See loader.h. A chunk is named by its path below the
 * root, so that a message reads the same on every machine; lua/luac.lua gives bytecode the same. */
#include "loader.h"

#include <lauxlib.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const pai_paths *places;

static bool is_newer(const struct stat *a, const struct stat *b) {
  if (a->st_mtim.tv_sec != b->st_mtim.tv_sec)
    return a->st_mtim.tv_sec > b->st_mtim.tv_sec;
  return a->st_mtim.tv_nsec > b->st_mtim.tv_nsec;
}

// Reads and loads a file under the chunk's name; mode as for lua_load. False with nothing pushed if
// it can't be read or is not what mode wants, and the message is not needed.
static int load_file(lua_State *L, const char *path, const char *chunk, const char *mode) {
  FILE *f = fopen(path, "rbe");
  if (f == NULL)
    return LUA_ERRFILE;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  size_t n;
  do {
    n = fread(luaL_prepbuffer(&b), 1, LUAL_BUFFERSIZE, f);
    luaL_addsize(&b, n);
  } while (n > 0);
  fclose(f);
  luaL_pushresult(&b);
  size_t len;
  const char *text = lua_tolstring(L, -1, &len);
  int status = luaL_loadbufferx(L, text, len, chunk, mode);
  lua_remove(L, -2);
  return status;
}

// Tries lua/NAME.lua and its bytecode; name has slashes. 0 when there is no such source.
static int try(lua_State *L, const char *name, const char *suffix) {
  char source[PATH_MAX], code[PATH_MAX], chunk[PATH_MAX];
  struct stat source_stat, code_stat;
  int n = snprintf(source, sizeof source, "%s/lua/%s%s.lua", places->root, name, suffix);
  if (n < 0 || (size_t)n >= sizeof source || stat(source, &source_stat) < 0)
    return 0;
  snprintf(chunk, sizeof chunk, "@lua/%s%s.lua", name, suffix);
  n = snprintf(code, sizeof code, "%s/pai/lua/%s%s.luac", places->lib, name, suffix);
  bool current = n > 0 && (size_t)n < sizeof code && stat(code, &code_stat) == 0 &&
                 !is_newer(&source_stat, &code_stat);
  int status = current ? load_file(L, code, chunk, "b") : LUA_ERRFILE;
  if (status != LUA_OK) { // of another Lua, cut short: the source will do
    if (status != LUA_ERRFILE)
      lua_pop(L, 1);
    status = load_file(L, source, chunk, "t");
  }
  if (status == LUA_ERRFILE)
    return luaL_error(L, "cannot read %s", source);
  if (status != LUA_OK)
    return lua_error(L);
  lua_pushstring(L, source);
  return 2;
}

static int search(lua_State *L) {
  const char *module = luaL_checkstring(L, 1);
  if (strncmp(module, "pai", 3) != 0 || (module[3] != '\0' && module[3] != '.')) {
    lua_pushnil(L);
    return 1;
  }
  const char *name = luaL_gsub(L, module, ".", "/");
  int results = try(L, name, "");
  if (results == 0)
    results = try(L, name, "/init");
  if (results == 0)
    lua_pushfstring(L, "no file 'lua/%s.lua' or 'lua/%s/init.lua' below '%s'", name, name,
                    places->root);
  return results == 0 ? 1 : results;
}

void pai_loader_install(lua_State *L, const pai_paths *paths) {
  places = paths;
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "searchers");
  for (lua_Integer i = luaL_len(L, -1); i >= 2; i--) {
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushcfunction(L, search);
  lua_rawseti(L, -2, 2);
  lua_pop(L, 2);
}
