/* pai.serve: each request becomes a table and a task. The task runs the handler, makes a response
 * of what it returns, and runs the function of a stream; how it ends decides what a client that has
 * not been answered yet is told. A server is kept in the registry until it has been closed. */
#include "l_serve.h"

#include "l_serve_ws.h"
#include "l_util.h"
#include "l_ws_conn.h"
#include "task.h"

#include <string.h>

#define SERVER "pai.serve.server"
#define EXCHANGE "pai.serve.exchange"

enum { BODY_MAX = 8 << 20, UV_HANDLER = 1, UV_KEEP = 2 };

typedef struct exchange exchange;

typedef struct server {
  pai_serve *serve; // NULL: closed
  pai_waitq closers;
  exchange *running;
} server;

// w, and what gone() looks at. While its task runs it is in its server's list and, under the
// address of x, in the registry.
struct exchange {
  pai_exchange *x;
  pai_task *task; // NULL once it has ended; holds a reference to x
  pai_waitq writers;
  server *server; // NULL when not in the list
  exchange *next, *prev;
};

typedef struct writer { // a write that waits; lives on the caller's stack
  pai_waiter waiter;
} writer;

int luaopen_pai_serve(lua_State *L);

static void leave_list(exchange *e) {
  if (e->server == NULL)
    return;
  if (e->prev != NULL)
    e->prev->next = e->next;
  else
    e->server->running = e->next;
  if (e->next != NULL)
    e->next->prev = e->prev;
  e->server = NULL;
  e->next = e->prev = NULL;
}

static int exchange_gc(lua_State *L) {
  exchange *e = luaL_checkudata(L, 1, EXCHANGE);
  if (e->x == NULL)
    return 0;
  leave_list(e);
  if (e->task != NULL) // the state is being closed: the task will never end
    pai_exchange_unref(e->x);
  e->x->ud = NULL;
  pai_exchange_unref(e->x);
  e->x = NULL;
  return 0;
}

static int l_gone(lua_State *L) {
  exchange *e = luaL_checkudata(L, lua_upvalueindex(1), EXCHANGE);
  lua_pushboolean(L, e->x->gone);
  return 1;
}

/* The task of a request. Stack: handler, exchange, request. */

static int stream_done(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  exchange *e = luaL_checkudata(L, 2, EXCHANGE);
  pai_exchange_end(e->x, true);
  return 0;
}

static int handler_done(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  exchange *e = luaL_checkudata(L, 2, EXCHANGE);
  lua_settop(L, 4);
  if (lua_istable(L, 4)) {
    bool upgrade = lua_getfield(L, 4, "websocket") != LUA_TNIL;
    lua_settop(L, 4);
    if (upgrade)
      return pai_l_serve_answer_websocket(L, e->x, 4) ? pai_l_serve_ws_run(L) : 0;
  }
  if (!pai_l_serve_answer(L, e->x, 4))
    return 0;
  lua_pushvalue(L, 2);
  lua_callk(L, 1, 0, 0, stream_done);
  return stream_done(L, LUA_OK, 0);
}

static int run_handler(lua_State *L) {
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 3);
  lua_callk(L, 1, 1, 0, handler_done);
  return handler_done(L, LUA_OK, 0);
}

// The text of the error object on top, which may push something above it.
static const char *error_text(lua_State *L, size_t *len) {
  const char *type = luaL_typename(L, -1);
  if (lua_type(L, -1) == LUA_TTABLE) {
    lua_pushliteral(L, "message");
    lua_rawget(L, -2);
  }
  if (lua_type(L, -1) == LUA_TSTRING)
    return lua_tolstring(L, -1, len);
  *len = strlen(type);
  return type;
}

static bool was_canceled(lua_State *L) {
  if (lua_type(L, -1) != LUA_TTABLE)
    return false;
  lua_pushliteral(L, "code");
  lua_rawget(L, -2);
  bool is = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "ECANCELED") == 0;
  lua_pop(L, 1);
  return is;
}

static void refuse_failed(pai_exchange *x, lua_State *co) {
  static const char closing[] = "The server is closing";
  static const char prefix[] = "Internal server error: ";
  if (was_canceled(co)) {
    pai_exchange_refuse(x, 503, closing, sizeof closing - 1);
    return;
  }
  size_t len;
  const char *text = error_text(co, &len);
  pai_buf whole;
  pai_buf_init(&whole, (size_t)1 << 20);
  if (pai_buf_add(&whole, prefix, sizeof prefix - 1) == 0)
    (void)pai_buf_add(&whole, text, len);
  pai_exchange_refuse(x, 500, whole.data, whole.len);
  pai_buf_free(&whole);
}

static void task_done(void *ud, lua_State *co, int status, int nresults) {
  (void)nresults;
  pai_exchange *x = ud;
  exchange *e = x->ud;
  e->task = NULL;
  leave_list(e);
  if (status != LUA_OK && x->ws != NULL && x->answered && lua_checkstack(co, 4)) {
    int code = was_canceled(co) ? PAI_WS_GOING_AWAY : 1011;
    pai_ws_leave(&x->ws->conn, code, PAI_E_INTERNAL, "the handler failed");
  } else if (status != LUA_OK && x->answered) {
    pai_exchange_end(x, false);
  } else if (status != LUA_OK && lua_checkstack(co, 4)) {
    int top = lua_gettop(co);
    refuse_failed(x, co);
    lua_settop(co, top);
  }
  lua_State *L = pai_main_state();
  lua_checkstack(L, 2);
  lua_pushnil(L); // to a field that is there: takes no memory
  lua_rawsetp(L, LUA_REGISTRYINDEX, x);
  pai_exchange_unref(x);
}

// Protected. 1: the server's userdata (light), 2: the pai_exchange (light).
static int start_task(lua_State *L) {
  server *s = lua_touserdata(L, 1);
  pai_exchange *x = lua_touserdata(L, 2);
  lua_settop(L, 0);
  lua_pushcfunction(L, run_handler);
  lua_rawgetp(L, LUA_REGISTRYINDEX, s);
  lua_getiuservalue(L, -1, UV_HANDLER);
  lua_remove(L, -2);
  exchange *e = lua_newuserdatauv(L, sizeof *e, 0);
  *e = (exchange){.x = pai_exchange_ref(x)};
  luaL_setmetatable(L, EXCHANGE);
  x->ud = e;
  pai_l_serve_push_request(L, x);
  lua_pushvalue(L, 3);
  lua_pushcclosure(L, l_gone, 1);
  lua_setfield(L, -2, "gone");
  lua_pushvalue(L, 3);
  lua_rawsetp(L, LUA_REGISTRYINDEX, x);
  pai_error err;
  if (pai_task_spawn(L, 3, task_done, x, &e->task, &err) < 0) {
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, x);
    return pai_l_raise(L, &err);
  }
  pai_exchange_ref(x); // the task's
  e->server = s;
  e->next = s->running;
  if (e->next != NULL)
    e->next->prev = e;
  s->running = e;
  return 0;
}

static void on_request(void *ud, pai_exchange *x) {
  lua_State *L = pai_main_state();
  if (lua_checkstack(L, LUA_MINSTACK)) {
    lua_pushcfunction(L, start_task);
    lua_pushlightuserdata(L, ud);
    lua_pushlightuserdata(L, x);
    if (lua_pcall(L, 2, 0, 0) == LUA_OK)
      return;
    lua_pop(L, 1);
  }
  static const char text[] = "Internal server error: out of memory";
  pai_exchange_refuse(x, 500, text, sizeof text - 1);
}

static void on_wake(void *ud, pai_exchange *x) {
  (void)ud;
  exchange *e = x->ud;
  if (e != NULL)
    pai_waitq_wake(&e->writers);
}

// Also those whose client has gone: the server's end is theirs.
static void on_cancel(void *ud) {
  server *s = ud;
  for (exchange *e = s->running; e != NULL; e = e->next)
    if (e->task != pai_task_current())
      pai_task_cancel(e->task);
}

/* w */

static exchange *check_w(lua_State *L) {
  return luaL_checkudata(L, 1, EXCHANGE);
}

static int writer_gc(lua_State *L) {
  writer *w = lua_touserdata(L, 1);
  pai_waitq_leave(&w->waiter);
  return 0;
}

static int fail_closed(lua_State *L) {
  pai_error err;
  pai_error_set(&err, PAI_E_CLOSED, "the client is gone");
  return pai_l_fail(L, &err);
}

static int written(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  exchange *e = check_w(L);
  if (e->x->gone)
    return fail_closed(L);
  lua_pushboolean(L, true);
  return 1;
}

static int w_write(lua_State *L) {
  exchange *e = check_w(L);
  size_t len;
  const char *data = luaL_checklstring(L, 2, &len);
  int rc = pai_exchange_write(e->x, data, len);
  if (rc == PAI_E_CLOSED)
    return fail_closed(L);
  if (rc < 0)
    return luaL_error(L, "too much to send at once");
  if (!pai_exchange_is_full(e->x))
    return written(L, LUA_OK, 0);
  lua_settop(L, 1);
  writer *w = lua_newuserdatauv(L, sizeof *w, 1);
  *w = (writer){0};
  luaL_setmetatable(L, "pai.serve.writer");
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  pai_waitq_join(&e->writers, &w->waiter);
  return pai_await(L, &w->waiter.op, 0, written);
}

static int w_gone(lua_State *L) {
  lua_pushboolean(L, check_w(L)->x->gone);
  return 1;
}

/* Servers. */

static void forget_running(server *s) {
  while (s->running != NULL)
    leave_list(s->running);
}

static void on_closed(void *ud) {
  server *s = ud;
  lua_State *L = pai_main_state();
  lua_checkstack(L, 2);
  on_cancel(s);
  forget_running(s);
  pai_waitq_wake(&s->closers);
  pai_serve_free(s->serve);
  s->serve = NULL;
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, s);
}

static int server_gc(lua_State *L) {
  server *s = luaL_checkudata(L, 1, SERVER);
  forget_running(s);
  pai_serve_free(s->serve);
  s->serve = NULL;
  return 0;
}

// Option `name`, a list of strings, as a NULL-ended array that the list at index keep owns.
static const char **take_names(lua_State *L, const char *name, int keep) {
  int type = lua_getfield(L, 1, name);
  if (type == LUA_TNIL) {
    lua_pop(L, 1);
    return NULL;
  }
  if (type != LUA_TTABLE)
    luaL_error(L, "option '%s' must be a list of strings", name);
  size_t n = (size_t)lua_rawlen(L, -1);
  const char **names = lua_newuserdatauv(L, (n + 1) * sizeof *names, 0);
  lua_rawseti(L, keep, (lua_Integer)lua_rawlen(L, keep) + 1);
  for (size_t i = 0; i < n; i++) {
    if (lua_rawgeti(L, -1, (lua_Integer)i + 1) != LUA_TSTRING)
      luaL_error(L, "option '%s' must be a list of strings", name);
    names[i] = lua_tostring(L, -1);
    lua_rawseti(L, keep, (lua_Integer)lua_rawlen(L, keep) + 1);
  }
  names[n] = NULL;
  lua_pop(L, 1);
  return names;
}

static const char *take_string(lua_State *L, const char *name, const char *def, int keep) {
  const char *s = pai_l_opt_string(L, 1, name, def);
  if (s != def) {
    lua_getfield(L, 1, name);
    lua_rawseti(L, keep, (lua_Integer)lua_rawlen(L, keep) + 1);
  }
  return s;
}

static void take_options(lua_State *L, pai_serve_options *o, int keep) {
  o->unix_path = take_string(L, "unix", NULL, keep);
  o->host = take_string(L, "host", "127.0.0.1", keep);
  lua_Integer port = pai_l_opt_integer(L, 1, "port", 0);
  lua_Integer max = pai_l_opt_integer(L, 1, "max_body", BODY_MAX);
  if (port < 0 || port > 65535)
    luaL_error(L, "option 'port' must be between 0 and 65535");
  if (max < 0 || max > 1 << 30)
    luaL_error(L, "option 'max_body' must be between 0 and 1073741824");
  o->port = (int)port;
  o->max_body = (size_t)max;
  o->same_uid = pai_l_opt_bool(L, 1, "same_uid", false);
  o->allow_remote = pai_l_opt_bool(L, 1, "allow_remote", false);
  o->hosts = take_names(L, "hosts", keep);
  o->origins = take_names(L, "origins", keep);
  if (o->allow_remote && o->hosts == NULL)
    luaL_error(L, "option 'allow_remote' needs 'hosts', the names that this server goes by");
}

static int l_listen(lua_State *L) {
  static const char *const options[] = {"unix",     "host",  "port",    "handler",      "max_body",
                                        "same_uid", "hosts", "origins", "allow_remote", NULL};
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  pai_l_check_options(L, 1, options);
  server *s = lua_newuserdatauv(L, sizeof *s, 2);
  *s = (server){0};
  luaL_setmetatable(L, SERVER);
  if (lua_getfield(L, 1, "handler") != LUA_TFUNCTION)
    return luaL_error(L, "option 'handler' must be a function");
  lua_setiuservalue(L, 2, UV_HANDLER);
  lua_newtable(L);
  lua_pushvalue(L, 3);
  lua_setiuservalue(L, 2, UV_KEEP);
  pai_serve_options o = {
      .request = on_request, .wake = on_wake, .cancel = on_cancel, .closed = on_closed, .ud = s};
  take_options(L, &o, 3);
  lua_pushvalue(L, 2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, s);
  pai_error err;
  if (pai_serve_open(&o, &s->serve, &err) == 0) {
    lua_settop(L, 2);
    return 1;
  }
  lua_pushnil(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, s);
  return pai_l_fail(L, &err);
}

static server *check_server(lua_State *L) {
  return luaL_checkudata(L, 1, SERVER);
}

static int s_port(lua_State *L) {
  server *s = check_server(L);
  if (s->serve == NULL)
    return luaL_error(L, "the server is closed");
  lua_pushinteger(L, pai_serve_port(s->serve));
  return 1;
}

static int closed(lua_State *L, int status, lua_KContext ctx) {
  (void)L, (void)status, (void)ctx;
  return 0;
}

static bool is_in_handler(const server *s) {
  for (exchange *e = s->running; e != NULL; e = e->next)
    if (e->task == pai_task_current())
      return true;
  return false;
}

// Called from a handler it does not wait: the server cannot end before that handler has.
static int s_close(lua_State *L) {
  static const char *const options[] = {"drain", NULL};
  server *s = check_server(L);
  pai_l_check_options(L, 2, options);
  int64_t drain_ms = pai_l_opt_duration(L, 2, "drain", 0);
  if (s->serve == NULL)
    return 0;
  pai_serve_close(s->serve, drain_ms);
  if (is_in_handler(s))
    return 0;
  lua_settop(L, 1);
  writer *w = lua_newuserdatauv(L, sizeof *w, 1);
  *w = (writer){0};
  luaL_setmetatable(L, "pai.serve.writer");
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  pai_waitq_join(&s->closers, &w->waiter);
  return pai_await(L, &w->waiter.op, 0, closed);
}

static const luaL_Reg exchange_methods[] = {
    {"write", w_write},
    {"gone", w_gone},
    {NULL, NULL},
};

static const luaL_Reg server_methods[] = {
    {"port", s_port},
    {"close", s_close},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"listen", l_listen},
    {NULL, NULL},
};

static void new_type(lua_State *L, const char *name, lua_CFunction gc, const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  lua_pushcfunction(L, gc);
  lua_setfield(L, -2, "__gc");
  if (methods != NULL) {
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
  }
  lua_pop(L, 1);
}

int luaopen_pai_serve(lua_State *L) {
  new_type(L, EXCHANGE, exchange_gc, exchange_methods);
  new_type(L, SERVER, server_gc, server_methods);
  new_type(L, "pai.serve.writer", writer_gc, NULL);
  pai_l_serve_answer_type(L);
  pai_l_ws_types(L);
  luaL_newlib(L, functions);
  return 1;
}
