/* pai.sandbox: what a recipe's Lua may reach, and the limits on it.
 *
 * The environment holds copies of pure functions, by name: a new function of a new Lua version is
 * not in it. setmetatable refuses __gc (finalizers run where no hook can stop them), getmetatable
 * gives only what the recipe itself has set, load takes text and keeps the environment. The count
 * hook acts in chunks named "@recipe:…" only, so trusted code is never cut in two. */
#include "alloc.h"
#include "l_util.h"
#include "sandbox.h"
#include "task.h"

#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

int luaopen_pai_sandbox(lua_State *L);

#define RECIPE "@recipe:"
enum { HOOK_COUNT = 100000, WATCHDOG_MS = 30000 };

typedef struct library {
  const char *name; // NULL: the basic functions
  const char *const *functions;
} library;

static const char *const base_names[] = {
    "assert", "error",  "ipairs", "next",     "pairs",    "pcall", "rawequal", "rawget",
    "rawlen", "rawset", "select", "tonumber", "tostring", "type",  "_VERSION", NULL};
static const char *const string_names[] = {
    "byte", "char",     "find", "format",  "gmatch", "gsub",   "len",   "lower", "match",
    "pack", "packsize", "rep",  "reverse", "sub",    "unpack", "upper", NULL};
static const char *const table_names[] = {"concat", "insert", "move",   "pack",
                                          "remove", "sort",   "unpack", NULL};
static const char *const math_names[] = {
    "abs", "acos",       "asin", "atan",      "ceil", "cos",    "deg",
    "exp", "floor",      "fmod", "huge",      "log",  "max",    "maxinteger",
    "min", "mininteger", "modf", "pi",        "rad",  "random", "randomseed",
    "sin", "sqrt",       "tan",  "tointeger", "type", "ult",    NULL};
static const char *const utf8_names[] = {"char", "charpattern", "codes", "codepoint",
                                         "len",  "offset",      NULL};
static const char *const coroutine_names[] = {
    "close", "create", "isyieldable", "resume", "running", "status", "wrap", "yield", NULL};
static const char *const os_names[] = {"clock", "date", "difftime", "time", NULL};

static const library libraries[] = {{"string", string_names}, {"table", table_names},
                                    {"math", math_names},     {"utf8", utf8_names},
                                    {"os", os_names},         {"coroutine", coroutine_names}};

// Copies the named fields of the table on top of the stack into the one at idx.
static void copy_fields(lua_State *L, int idx, const char *const *names) {
  for (; *names != NULL; names++) {
    lua_getfield(L, -1, *names);
    lua_setfield(L, idx, *names);
  }
}

// Pushes the table that knows the metatables set by recipes.
static void push_known(lua_State *L) {
  if (luaL_getsubtable(L, LUA_REGISTRYINDEX, "pai.sandbox.metatables"))
    return;
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
}

// Pushes the metatable of the table at 1 if a recipe has set it, its __metatable if it has that,
// else nil. True in the first case, and when there is none at all.
static bool push_own_metatable(lua_State *L) {
  if (lua_type(L, 1) != LUA_TTABLE || !lua_getmetatable(L, 1)) {
    lua_pushnil(L);
    return lua_type(L, 1) == LUA_TTABLE;
  }
  lua_pushliteral(L, "__metatable");
  if (lua_rawget(L, -2) != LUA_TNIL)
    return false;
  lua_pop(L, 1);
  push_known(L);
  lua_pushvalue(L, -2);
  if (lua_rawget(L, -2) == LUA_TNIL)
    return false;
  lua_pop(L, 2);
  return true;
}

static int l_getmetatable(lua_State *L) {
  luaL_checkany(L, 1);
  push_own_metatable(L);
  return 1;
}

static int l_setmetatable(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  int type = lua_type(L, 2);
  luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
  lua_settop(L, 2);
  if (!push_own_metatable(L))
    return luaL_error(L, "cannot change a protected metatable");
  if (type == LUA_TTABLE) {
    lua_pushliteral(L, "__gc");
    if (lua_rawget(L, 2) != LUA_TNIL)
      return luaL_error(L, "a recipe's metatable cannot have __gc: use a local with <close>");
    push_known(L);
    lua_pushvalue(L, 2);
    lua_pushboolean(L, 1);
    lua_rawset(L, -3);
  }
  lua_settop(L, 2);
  lua_setmetatable(L, 1);
  return 1;
}

// Text at `text`, environment at env: pushes the function and returns true, or pushes the message.
static bool load_text(lua_State *L, int text, const char *name, int env) {
  size_t len;
  const char *code = lua_tolstring(L, text, &len);
  if (luaL_loadbufferx(L, code, len, name, "t") != LUA_OK)
    return false;
  lua_pushvalue(L, env);
  if (lua_setupvalue(L, -2, 1) == NULL)
    lua_pop(L, 1); // a chunk without globals
  return true;
}

// load(text [, name [, mode [, env]]]) of a recipe: its environment is upvalue 1.
static int l_recipe_load(lua_State *L) {
  luaL_checktype(L, 1, LUA_TSTRING);
  const char *name = luaL_optstring(L, 2, "load");
  bool own = lua_isnone(L, 4);
  lua_settop(L, 4);
  if (own) {
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_replace(L, 4);
  }
  name = *name == '=' || *name == '@' ? name + 1 : name;
  name = strncmp(name, RECIPE + 1, strlen(RECIPE + 1)) == 0 ? lua_pushfstring(L, "@%s", name)
                                                            : lua_pushfstring(L, RECIPE "%s", name);
  if (load_text(L, 1, name, 4))
    return 1;
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

static int handled(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  return lua_gettop(L) - 1; // false and what the handler gave
}

static int tried(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  if (status == LUA_OK || status == LUA_YIELD)
    return lua_gettop(L) - 1;
  lua_pushboolean(L, 0);
  lua_replace(L, 2);
  lua_pushvalue(L, 1);
  lua_insert(L, 3); // handler, false, handler, error
  lua_callk(L, 1, LUA_MULTRET, 0, handled);
  return handled(L, LUA_OK, 0);
}

// xpcall whose handler runs after the error has been caught: Lua's own runs it where a hook that
// raised is not called again, so a handler that loops could not be stopped.
static int l_xpcall(lua_State *L) {
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_pushboolean(L, 1);
  lua_pushvalue(L, 1);
  lua_rotate(L, 3, 2);
  lua_remove(L, 1); // handler, true, function, arguments
  return tried(L, lua_pcallk(L, lua_gettop(L) - 3, LUA_MULTRET, 0, 0, tried), 0);
}

// Strings are shared by all code: their methods come from a table that nobody can reach.
static void protect_strings(lua_State *L) {
  lua_pushliteral(L, "");
  lua_getmetatable(L, -1);
  if (lua_getfield(L, -1, "__metatable") == LUA_TNIL) {
    lua_newtable(L);
    lua_getglobal(L, LUA_STRLIBNAME);
    copy_fields(L, lua_gettop(L) - 1, string_names);
    lua_pop(L, 1);
    lua_setfield(L, -3, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -3, "__metatable");
  }
  lua_pop(L, 3);
}

static int l_env(lua_State *L) {
  protect_strings(L);
  lua_newtable(L);
  int env = lua_gettop(L);
  lua_pushglobaltable(L);
  copy_fields(L, env, base_names);
  for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
    lua_newtable(L);
    lua_getglobal(L, libraries[i].name);
    copy_fields(L, lua_gettop(L) - 1, libraries[i].functions);
    lua_pop(L, 1);
    lua_setfield(L, env, libraries[i].name);
  }
  lua_settop(L, env);
  lua_pushvalue(L, env);
  lua_setfield(L, env, "_G");
  lua_pushcfunction(L, l_getmetatable);
  lua_setfield(L, env, "getmetatable");
  lua_pushcfunction(L, l_setmetatable);
  lua_setfield(L, env, "setmetatable");
  lua_pushcfunction(L, l_xpcall);
  lua_setfield(L, env, "xpcall");
  lua_pushvalue(L, env);
  lua_pushcclosure(L, l_recipe_load, 1);
  lua_setfield(L, env, "load");
  return 1;
}

static int l_load(lua_State *L) {
  luaL_checktype(L, 1, LUA_TSTRING);
  const char *name = luaL_checkstring(L, 2);
  luaL_checktype(L, 3, LUA_TTABLE);
  if (load_text(L, 1, name, 3))
    return 1;
  size_t len;
  const char *text = lua_tolstring(L, -1, &len);
  const char *colon = len > 0 ? strchr(text, ':') : NULL;
  pai_error err;
  pai_error_set(&err, PAI_E_PARSE, "%s", text);
  int results = pai_l_fail(L, &err);
  lua_Integer line = 0; // "PLACE:LINE: …"
  for (; colon != NULL && line == 0; colon = strchr(colon + 1, ':'))
    for (const char *c = colon + 1; *c >= '0' && *c <= '9' && line < 100000000; c++)
      line = line * 10 + (*c - '0');
  if (line > 0) {
    lua_pushinteger(L, line);
    lua_setfield(L, -2, "line");
  }
  return results;
}

static int hook_count = HOOK_COUNT;

// Gives the loop a turn. Where Lua can't yield (a comparator of table.sort, a message handler) an
// error comes before the watchdog does, at every instruction until Lua is out of there.
static void count_hook(lua_State *L, lua_Debug *ar) {
  if (!lua_getinfo(L, "S", ar) || strncmp(ar->source, RECIPE, strlen(RECIPE)) != 0)
    return;
  pai_task_preempt(L);
  if (lua_status(L) == LUA_YIELD) {
    if (lua_gethookcount(L) != hook_count)
      lua_sethook(L, count_hook, LUA_MASKCOUNT, hook_count);
  } else if (pai_watchdog_late()) {
    lua_sethook(L, count_hook, LUA_MASKCOUNT, 1);
    luaL_error(L, "a loop held the host for too long where it cannot be interrupted");
  }
}

static int l_guard(lua_State *L) {
  static const char *const options[] = {"label", "memory", "hook", "watchdog", NULL};
  luaL_checktype(L, 1, LUA_TTABLE);
  pai_l_check_options(L, 1, options);
  const char *label = pai_l_opt_string(L, 1, "label", "a recipe");
  lua_Integer memory = pai_l_opt_integer(L, 1, "memory", 0);
  lua_Integer count = pai_l_opt_integer(L, 1, "hook", HOOK_COUNT);
  int64_t watchdog_ms = pai_l_opt_duration(L, 1, "watchdog", WATCHDOG_MS);
  if (memory < 0 || count < 1 || count > INT32_MAX)
    return luaL_error(L, "option '%s' is out of range", memory < 0 ? "memory" : "hook");
  void *ud;
  lua_getallocf(L, &ud);
  pai_lua_heap *heap = ud;
  if (heap != NULL)
    heap->max = (size_t)memory;
  hook_count = (int)count;
  lua_sethook(pai_main_state(), count_hook, LUA_MASKCOUNT, (int)count);
  lua_sethook(L, count_hook, LUA_MASKCOUNT, (int)count);
  pai_error err;
  if (pai_watchdog_start(label, watchdog_ms, &err) < 0)
    return pai_l_raise(L, &err);
  return 0;
}

static const luaL_Reg functions[] = {
    {"load", l_load}, {"env", l_env}, {"guard", l_guard}, {NULL, NULL}};

int luaopen_pai_sandbox(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
