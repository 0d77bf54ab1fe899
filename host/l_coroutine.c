/* coroutine.resume, wrap, close and status that know of the host's suspends: where a coroutine
 * inside a task waits for the host, its resumer passes the wait outwards and goes on with it once
 * the host is done, so a wait inside a generator looks like any slow call. While it waits so, it is
 * "normal" to everybody else: it cannot be resumed or closed by another task. */
#include "l_util.h"
#include "registry.h"
#include "task.h"

#include <lauxlib.h>
#include <stdbool.h>

static lua_State *check_co(lua_State *L, int arg) {
  lua_State *co = lua_tothread(L, arg);
  luaL_argexpected(L, co != NULL, arg, "coroutine");
  return co;
}

static const char *status_of(lua_State *L, lua_State *co) {
  if (L == co)
    return "running";
  if (pai_task_is_suspended(co))
    return lua_status(co) == LUA_YIELD ? "normal" : "dead"; // dead: a task's, with its results
  switch (lua_status(co)) {
  case LUA_YIELD:
    return "suspended";
  case LUA_OK: {
    lua_Debug ar;
    if (lua_getstack(co, 0, &ar))
      return "normal";
    return lua_gettop(co) == 0 ? "dead" : "suspended";
  }
  default:
    return "dead";
  }
}

// Pushes what co yielded or returned and returns its count, or pushes the error and returns -1.
static int resume_end(lua_State *L, lua_State *co, int status, int nres) {
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(co, L, 1);
    return -1;
  }
  if (!lua_checkstack(L, nres + 1)) {
    lua_pop(co, nres);
    lua_pushliteral(L, "too many results to resume");
    return -1;
  }
  lua_xmove(co, L, nres);
  return nres;
}

static int refuse(lua_State *L, const char *text) {
  lua_pushstring(L, text);
  return -1;
}

enum { SUSPENDED = -2 };

static int resume_start(lua_State *L, lua_State *co, int nargs) {
  const char *status = status_of(L, co);
  if (*status != 's')
    return refuse(L, *status == 'd' ? "cannot resume dead coroutine"
                                    : "cannot resume non-suspended coroutine");
  if (!lua_checkstack(co, nargs + 1))
    return refuse(L, "too many arguments to resume");
  lua_xmove(L, co, nargs);
  int nres = 0;
  bool suspended;
  int rc = pai_task_resume(L, co, nargs, &nres, &suspended);
  return suspended ? SUSPENDED : resume_end(L, co, rc, nres);
}

static int resume_again(lua_State *L, lua_State *co) {
  lua_pop(co, 1); // the mark of its suspend
  int nres = 0;
  bool suspended;
  int rc = pai_task_resume(L, co, 0, &nres, &suspended);
  return suspended ? SUSPENDED : resume_end(L, co, rc, nres);
}

static int resume_k(lua_State *L, int status, lua_KContext ctx);

static int resume_result(lua_State *L, int n) {
  if (n == SUSPENDED)
    return pai_task_pass(L, 0, resume_k);
  lua_pushboolean(L, n >= 0);
  int results = n >= 0 ? n : 1;
  lua_insert(L, -(results + 1));
  return results + 1;
}

static int resume_k(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  return resume_result(L, resume_again(L, lua_tothread(L, 1)));
}

static int l_resume(lua_State *L) {
  return resume_result(L, resume_start(L, check_co(L, 1), lua_gettop(L) - 1));
}

static int wrap_k(lua_State *L, int status, lua_KContext ctx);

static int wrap_result(lua_State *L, lua_State *co, int n) {
  if (n == SUSPENDED)
    return pai_task_pass(L, 0, wrap_k);
  if (n >= 0)
    return n;
  int status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) { // an error inside it: its variables are closed
    status = pai_task_close(co);
    lua_xmove(co, L, 1);
  }
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int wrap_k(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  return wrap_result(L, co, resume_again(L, co));
}

static int wrap_call(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  return wrap_result(L, co, resume_start(L, co, lua_gettop(L)));
}

static int l_wrap(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, wrap_call, 1);
  return 1;
}

static int l_close(lua_State *L) {
  lua_State *co = check_co(L, 1);
  const char *status = status_of(L, co);
  if (*status != 's' && *status != 'd')
    return luaL_error(L, "cannot close a %s coroutine", status);
  if (pai_task_is_suspended(co) || pai_task_close(co) == LUA_OK) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushboolean(L, 0);
  lua_xmove(co, L, 1);
  return 2;
}

static int l_status(lua_State *L) {
  lua_pushstring(L, status_of(L, check_co(L, 1)));
  return 1;
}

static const luaL_Reg functions[] = {
    {"resume", l_resume}, {"wrap", l_wrap}, {"close", l_close}, {"status", l_status}, {NULL, NULL}};

void pai_coroutine_install(lua_State *L) {
  lua_getglobal(L, "coroutine");
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
