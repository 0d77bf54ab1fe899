/* For the tests of loadable modules: runs Lua text again and again, first with one allocation
 * failing, the first, the second and so on (Lua collects garbage and tries again, C does not), then
 * with a little more room for Lua each time (there trying again does not help). Each run must end
 * in an orderly way, give all memory and every descriptor back, and the last must succeed. */
#ifndef NOMEM_RUN_H
#define NOMEM_RUN_H

#include "alloc.h"
#include "harness.h"
#include "registry.h"
#include "task.h"

#include <dirent.h>
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

static int nomem_descriptors(void) {
  DIR *d = opendir("/proc/self/fd");
  int n = 0;
  while (d != NULL && readdir(d) != NULL)
    n++;
  if (d != NULL)
    closedir(d);
  return n;
}

typedef struct nomem_test {
  const char *name; // of the module, which is the global m
  lua_CFunction open;
  const char *dir; // the global dir
  const char *text;
} nomem_test;

// fail_at: the allocation that fails; room: bytes that Lua may take beyond what it has. 0: neither.
// 1: the text returned true, 0: it failed as it should, -1: something else is wrong.
static int nomem_once(const nomem_test *t, size_t fail_at, size_t room) {
  pai_lua_heap heap = {0};
  lua_State *L = lua_newstate(pai_lua_alloc, &heap);
  luaL_openlibs(L);
  pai_registry_install(L);
  pai_task_set_main_state(L);
  luaL_requiref(L, t->name, t->open, 0);
  lua_setglobal(L, "m");
  lua_pushstring(L, t->dir);
  lua_setglobal(L, "dir");
  int rc = -1;
  if (luaL_dostring(L, "json = require 'pai.json' task = require 'pai.task'\n"
                       "require 'pai.fs' require 'pai.secret'") == LUA_OK &&
      luaL_loadstring(L, t->text) == LUA_OK) {
    pai_alloc_fail_at(fail_at);
    heap.max = room != 0 ? heap.used + room : 0;
    int status = lua_pcall(L, 0, 1, 0);
    pai_alloc_fail_at(0);
    heap.max = 0;
    rc = status == LUA_OK && lua_toboolean(L, -1);
    if (rc == 0 && fail_at == 0 && room == 0)
      printf("# %s\n", luaL_tolstring(L, -1, NULL));
  } else {
    printf("# %s\n", lua_tostring(L, -1));
  }
  lua_close(L);
  if (heap.used != 0) {
    printf("# %zu bytes of Lua memory are lost\n", heap.used);
    rc = -1;
  }
  return rc;
}

static void nomem_each(const nomem_test *t, size_t failures, size_t stride) {
  CHECK(nomem_once(t, 0, 0) == 1);
  int before = nomem_descriptors(), failed = 0;
  for (size_t n = 1; n <= failures; n++)
    CHECK(nomem_once(t, n, 0) >= 0);
  // until there is room enough, and a little longer
  for (size_t n = 1, enough = 0; enough < 3 && n < 2000; n++) {
    int rc = nomem_once(t, 0, n * stride);
    CHECK(rc >= 0);
    failed += rc == 0;
    enough = rc == 1 ? enough + 1 : 0;
  }
  CHECK(failed > 5);
  CHECK(nomem_descriptors() == before);
  CHECK(nomem_once(t, 0, 0) == 1);
}

#endif
