/* The entry: makes the Lua state, tells it where pai's files are, and hands over to Lua.
 * `pai lua FILE ARGS` runs FILE as the plain interpreter would, with `pai` and the host's modules
 * at hand; everything else is pai.cli. Exit codes: what Lua returns, 70 when pai itself failed. */
#include "alloc.h"
#include "guard.h"
#include "loader.h"
#include "out.h"
#include "paths.h"
#include "registry.h"
#include "task.h"

#include <fcntl.h>
#include <lauxlib.h>
#include <lualib.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_FAULT = 70, EXIT_USAGE = 2 };

// A checker of addresses is to see every block, one of leaks to get each back.
#ifdef __SANITIZE_ADDRESS__
enum { CHECKED = true };
#else
enum { CHECKED = false };
#endif

static pai_paths paths;
static bool plain; // pai lua: fails as lua does
static pai_lua_heap heap;

// What a run allocates in its first milliseconds is modules, which stay: collecting them is waste.
enum { FIRST_COLLECTION_KIB = 4096 };

static void say(const char *text, size_t len) {
  fflush(stdout); // what print wrote comes first
  pai_out *o = pai_out_std(2);
  if (o == NULL)
    return;
  pai_out_write(o, text, len, NULL);
  pai_out_flush(o, NULL);
}

static void complain(const char *text) {
  say("pai: ", 5);
  say(text, strlen(text));
  say("\n", 1);
}

static int message_handler(lua_State *L) {
  const char *text = luaL_tolstring(L, 1, NULL);
  if (luaL_getmetafield(L, 1, "__tostring") == LUA_TNIL || plain)
    luaL_traceback(L, L, text, 1);
  else
    lua_pushstring(L, text); // an error value says enough
  return 1;
}

static int exit_status;

// The finalizer of the state's first object, which Lua therefore calls last. What lua_close would
// do after it is to visit every object to give its memory back: the end of the process does that,
// too.
static int last_finalizer(lua_State *L) {
  if (heap.ending)
    exit(exit_status);
  (void)L;
  return 0;
}

static void mark_first_object(lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, last_finalizer);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  luaL_ref(L, LUA_REGISTRYINDEX);
}

// Runs every finalizer and ends the process.
static _Noreturn void leave(lua_State *L, int status) {
  exit_status = status;
  heap.ending = !CHECKED;
  lua_close(L);
  exit(status);
}

static int at_panic(lua_State *L) {
  const char *text = lua_tostring(L, -1);
  complain(text != NULL ? text : "an error outside of any call");
  _exit(EXIT_FAULT);
}

// os.exit([code [, close]]): closes the state unless told not to, so that children are ended and
// files are written out also when it is called inside a task.
static int l_exit(lua_State *L) {
  int status = EXIT_SUCCESS;
  if (lua_isboolean(L, 1))
    status = lua_toboolean(L, 1) ? EXIT_SUCCESS : EXIT_FAILURE;
  else
    status = (int)luaL_optinteger(L, 1, EXIT_SUCCESS);
  if (lua_isnoneornil(L, 2) || lua_toboolean(L, 2))
    leave(L, status);
  exit(status);
}

static void set_arg_table(lua_State *L, int argc, char **argv, int script) {
  lua_createtable(L, argc - script, script + 1);
  for (int i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i - script);
  }
  lua_setglobal(L, "arg");
}

static void set_package_paths(lua_State *L) {
  lua_getglobal(L, "package");
  const char *def = (lua_getfield(L, -1, "path"), lua_tostring(L, -1));
  lua_pushfstring(L, "%s/lua/?.lua;%s/lua/?/init.lua;%s", paths.root, paths.root, def);
  lua_setfield(L, -3, "path");
  lua_pop(L, 1);
  def = (lua_getfield(L, -1, "cpath"), lua_tostring(L, -1));
  lua_pushfstring(L, "%s/?.so;%s", paths.lib, def);
  lua_setfield(L, -3, "cpath");
  lua_pop(L, 2);
}

// pai.NAME loads the module of that name at first use.
static int pai_index(lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushfstring(L, "pai.%s", luaL_checkstring(L, 2));
  lua_call(L, 1, 1);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, -2);
  lua_rawset(L, 1);
  return 1;
}

// The table behind require "pai": where things are, and every module.
static int open_pai(lua_State *L) {
  lua_createtable(L, 0, 4);
  lua_pushstring(L, paths.exe);
  lua_setfield(L, -2, "exe");
  lua_pushstring(L, paths.root);
  lua_setfield(L, -2, "root");
  lua_pushstring(L, paths.lib);
  lua_setfield(L, -2, "lib");
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, pai_index);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
  return 1;
}

static void open_libraries(lua_State *L) {
  luaL_openlibs(L);
  lua_getglobal(L, "os");
  lua_pushcfunction(L, l_exit);
  lua_setfield(L, -2, "exit");
  lua_pop(L, 1);
  set_package_paths(L);
  pai_coroutine_install(L);
  pai_registry_install(L);
  pai_loader_install(L, &paths);
  luaL_requiref(L, "pai", open_pai, 1);
  lua_pop(L, 1);
}

static int run_script(lua_State *L, int argc, char **argv) {
  if (argc < 3 || strcmp(argv[2], "--help") == 0) {
    static const char usage[] = "usage: pai lua FILE [ARG ...]\n"
                                "Runs FILE under the plain Lua 5.4 interpreter with pai's modules "
                                "at hand; no sandbox.\n";
    pai_out_write(pai_out_std(argc < 3 ? 2 : 1), usage, sizeof usage - 1, NULL);
    return argc < 3 ? EXIT_USAGE : EXIT_SUCCESS;
  }
  plain = true;
  set_arg_table(L, argc, argv, 2);
  if (luaL_loadfile(L, argv[2]) != LUA_OK)
    return lua_error(L);
  luaL_checkstack(L, argc, "too many arguments");
  for (int i = 3; i < argc; i++)
    lua_pushstring(L, argv[i]);
  lua_call(L, argc - 3, 0);
  return EXIT_SUCCESS;
}

static int run_command(lua_State *L, int argc, char **argv) {
  set_arg_table(L, argc, argv, 0);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "pai.cli");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "main");
  lua_getglobal(L, "arg");
  lua_call(L, 1, 1);
  return (int)lua_tointeger(L, -1);
}

static int run(lua_State *L) {
  int argc = (int)lua_tointeger(L, 1);
  char **argv = lua_touserdata(L, 2);
  open_libraries(L);
  bool script = argc >= 2 && strcmp(argv[1], "lua") == 0;
  lua_pushinteger(L, script ? run_script(L, argc, argv) : run_command(L, argc, argv));
  return 1;
}

// A descriptor that we open must never become a child's 0, 1 or 2 by chance.
static void hold_standard(void) {
  int fd;
  do {
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  } while (fd >= 0 && fd <= 2);
  if (fd > 2)
    close(fd);
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], PAI_GUARD_ARG) == 0)
    return pai_guard_main();
  pai_error err;
  hold_standard();
  sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
  if (pai_paths_find(&paths, &err) < 0) {
    complain(err.message);
    return EXIT_FAULT;
  }
  if (!CHECKED)
    pai_arena_open(&heap.arena);
  lua_State *L = lua_newstate(pai_lua_alloc, &heap);
  if (L == NULL) {
    complain("out of memory");
    return EXIT_FAULT;
  }
  lua_atpanic(L, at_panic);
  if (!CHECKED)
    mark_first_object(L);
  lua_gc(L, LUA_GCSTEP, -FIRST_COLLECTION_KIB); // a negative step is a credit
  pai_task_set_main_state(L);
  pai_task_set_reporter(say);
  lua_pushcfunction(L, message_handler);
  lua_pushcfunction(L, run);
  lua_pushinteger(L, argc);
  lua_pushlightuserdata(L, argv);
  int status;
  if (lua_pcall(L, 2, 1, 1) != LUA_OK) {
    complain(lua_tostring(L, -1));
    status = plain ? EXIT_FAILURE : EXIT_FAULT;
  } else {
    status = (int)lua_tointeger(L, -1);
  }
  leave(L, status);
}
