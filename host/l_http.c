/* pai.http: options in, answer (l_http_answer.c) out; http.c does the work. A request is a userdata
 * on its caller's stack, marked to be closed, so that however the caller ends (return, error,
 * cancellation) the transfer ends with it. Strings and secrets that the request borrows are kept in
 * its user value. */
#include "http.h"
#include "l_http_answer.h"
#include "l_http_options.h"
#include "l_util.h"

#define REQUEST "pai.http.request"

enum { ARG = PAI_L_HTTP_ARG, SELF = PAI_L_HTTP_SELF, KEEP = PAI_L_HTTP_KEEP };

typedef struct request {
  pai_http http;
  pai_op op; // the await that is under way
} request;

int luaopen_pai_http(lua_State *L);

static void on_wake(void *ud) {
  request *r = ud;
  pai_op_complete(&r->op);
}

static void on_cancel(pai_op *op) {
  request *r = (request *)((char *)op - offsetof(request, op));
  pai_http_cancel(&r->http);
}

static int request_gc(lua_State *L) {
  request *r = luaL_checkudata(L, 1, REQUEST);
  pai_http_end(&r->http);
  return 0;
}

/* Waiting. */

static int step(lua_State *L);

// on_data has returned: false means that the caller has enough.
static void data_taken(lua_State *L, request *r) {
  bool enough = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
  lua_settop(L, KEEP);
  if (enough)
    pai_http_stop(&r->http);
  else
    pai_http_resume(&r->http);
}

static int data_taken_k(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  data_taken(L, lua_touserdata(L, SELF));
  return step(L);
}

static int woken_k(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  return step(L);
}

static int step(lua_State *L) {
  request *r = lua_touserdata(L, SELF);
  pai_http *h = &r->http;
  for (;;) {
    pai_op_init(&r->op, on_cancel);
    if (h->o.stream && h->body.len > 0 && pai_http_accepted(h) && h->err.code == PAI_OK) {
      lua_getfield(L, ARG, "on_data");
      lua_pushlstring(L, h->body.data, h->body.len);
      pai_buf_clear(&h->body);
      lua_callk(L, 1, 1, 0, data_taken_k);
      data_taken(L, r);
    } else if (h->done) {
      return pai_l_http_push_answer(L, h);
    } else if (!pai_op_ready(L, &r->op)) {
      return pai_await(L, &r->op, 0, woken_k);
    }
  }
}

static int l_request(lua_State *L) {
  luaL_checktype(L, ARG, LUA_TTABLE);
  lua_settop(L, ARG);
  request *r = lua_newuserdatauv(L, sizeof *r, 1);
  *r = (request){.http = {.wake = on_wake, .ud = r}};
  luaL_setmetatable(L, REQUEST);
  lua_createtable(L, 4, 0);
  lua_pushvalue(L, KEEP);
  lua_setiuservalue(L, SELF, 1);
  pai_http_options o;
  pai_l_http_options(L, &o);
  lua_toclose(L, SELF);
  pai_error err;
  if (pai_http_start(&r->http, &o, &err) < 0)
    return pai_l_fail(L, &err);
  return step(L);
}

static int l_under_way(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)pai_http_under_way());
  return 1;
}

static const luaL_Reg functions[] = {
    {"request", l_request},
    {"under_way", l_under_way},
    {NULL, NULL},
};

static int library_gc(lua_State *L) {
  (void)L;
  pai_http_unuse();
  return 0;
}

int luaopen_pai_http(lua_State *L) {
  // made first, so it is finalised last
  lua_newuserdatauv(L, 0, 0);
  lua_newtable(L);
  pai_http_use();
  lua_pushcfunction(L, library_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_setfield(L, LUA_REGISTRYINDEX, "pai.http.library");
  luaL_newmetatable(L, REQUEST);
  lua_pushcfunction(L, request_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, request_gc);
  lua_setfield(L, -2, "__close");
  pai_l_http_answer_type(L);
  luaL_newlib(L, functions);
  return 1;
}
