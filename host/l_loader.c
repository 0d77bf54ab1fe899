/* The searcher for pai's own Lua modules. See loader.h. A chunk is named by its path below the
 * root, so that a message reads the same on every machine; lua/luac.lua gives bytecode the same.
 *
 * Bytecode is one file, lib/pai/lua.bundle, since forty small ones cost a run half a millisecond:
 * a header (magic, version, count), the index sorted by name, the chunks. A source that is newer
 * than the bundle wins, one that is gone is not found. */
#include "loader.h"

#include <fcntl.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 64, BUNDLE_VERSION = 1 };

typedef struct {
  char magic[8];
  uint32_t version, count; // little endian, as is every machine that pai runs on
} bundle_header;

typedef struct {
  char name[NAME_MAX_BYTES]; // zero padded
  uint32_t offset, size;     // bytes from the start of the file
} bundle_entry;

static const pai_paths *places;
static struct {
  bool opened;
  const char *data; // NULL: there is none, or it is no good
  size_t size;
  struct timespec made;
} bundle;

static bool is_newer(struct timespec a, struct timespec b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

// Maps the bundle; without one, or with one of another version, sources are compiled.
static void open_bundle(void) {
  bundle.opened = true;
  char path[PATH_MAX];
  int n = snprintf(path, sizeof path, "%s/pai/lua.bundle", places->lib);
  if (n < 0 || (size_t)n >= sizeof path)
    return;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return;
  struct stat st;
  void *data = MAP_FAILED;
  if (fstat(fd, &st) == 0 && st.st_size >= (off_t)sizeof(bundle_header))
    data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (data == MAP_FAILED)
    return;
  bundle_header head;
  memcpy(&head, data, sizeof head);
  size_t room = ((size_t)st.st_size - sizeof head) / sizeof(bundle_entry);
  if (memcmp(head.magic, "pai lua\n", sizeof head.magic) != 0 || head.version != BUNDLE_VERSION ||
      head.count > room) {
    munmap(data, (size_t)st.st_size);
    return;
  }
  bundle.data = data;
  bundle.size = (size_t)st.st_size;
  bundle.made = st.st_mtim;
}

static int by_name(const void *name, const void *entry) {
  return strncmp(name, ((const bundle_entry *)entry)->name, NAME_MAX_BYTES);
}

// The bytecode of a module, or NULL.
static const char *find_code(const char *name, struct timespec source_time, size_t *size) {
  if (!bundle.opened)
    open_bundle();
  if (bundle.data == NULL || is_newer(source_time, bundle.made))
    return NULL;
  bundle_header head;
  memcpy(&head, bundle.data, sizeof head);
  const bundle_entry *entry =
      bsearch(name, bundle.data + sizeof head, head.count, sizeof *entry, by_name);
  if (entry == NULL || entry->offset > bundle.size || entry->size > bundle.size - entry->offset)
    return NULL;
  *size = entry->size;
  return bundle.data + entry->offset;
}

// Loads a source under the chunk's name. LUA_ERRFILE, with nothing pushed, if it can't be read.
static int load_source(lua_State *L, const char *path, const char *chunk) {
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
  int status = luaL_loadbufferx(L, text, len, chunk, "t");
  lua_remove(L, -2);
  return status;
}

// Tries lua/NAME.lua or its bytecode; name has slashes. 0 when there is no such source.
static int try(lua_State *L, const char *name, const char *suffix) {
  char source[PATH_MAX], chunk[PATH_MAX];
  const char *key = lua_pushfstring(L, "%s%s", name, suffix);
  struct stat st;
  int n = snprintf(source, sizeof source, "%s/lua/%s.lua", places->root, key);
  if (n < 0 || (size_t)n >= sizeof source || stat(source, &st) < 0) {
    lua_pop(L, 1);
    return 0;
  }
  snprintf(chunk, sizeof chunk, "@lua/%s.lua", key);
  size_t size;
  const char *code = find_code(key, st.st_mtim, &size);
  int status = code != NULL ? luaL_loadbufferx(L, code, size, chunk, "b") : LUA_ERRFILE;
  if (status != LUA_OK) { // none, of another Lua, cut short: the source will do
    if (code != NULL)
      lua_pop(L, 1);
    status = load_source(L, source, chunk);
  }
  if (status == LUA_ERRFILE)
    return luaL_error(L, "cannot read %s", source);
  if (status != LUA_OK)
    return lua_error(L);
  lua_remove(L, -2);
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
