/* The answer that a handler's table stands for. See l_serve.h. */
#include "l_json_call.h"
#include "l_serve.h"
#include "l_serve_ws.h"
#include "l_util.h"

#include <string.h>
#include <strings.h>

#define RESPONSE "pai.serve.response"

static void check_text(lua_State *L, const char *name, const char *value, size_t len) {
  bool fits = *name != '\0' && strpbrk(name, ": \t\r\n") == NULL;
  for (size_t i = 0; i < len && fits; i++)
    fits = value[i] != '\r' && value[i] != '\n' && value[i] != '\0';
  if (!fits)
    luaL_error(L, "the answer's header \"%s\" cannot be sent", name);
}

// The value on top, popped.
static void set_header(lua_State *L, struct MHD_Response *r, const char *name) {
  size_t len;
  const char *value = lua_tolstring(L, -1, &len);
  if (value == NULL)
    luaL_error(L, "the answer's header \"%s\" must be a string", name);
  check_text(L, name, value, len);
  if (MHD_add_response_header(r, name, value) != MHD_YES)
    luaL_error(L, "the answer's header \"%s\" cannot be sent", name);
  lua_pop(L, 1);
}

// Adds the field `headers` of the answer at idx; true if Content-Type was among them.
static bool set_headers(lua_State *L, struct MHD_Response *r, int idx) {
  bool typed = false;
  int type = lua_getfield(L, idx, "headers");
  if (type != LUA_TNIL && type != LUA_TTABLE)
    luaL_error(L, "the answer's headers must be a table");
  int headers = lua_gettop(L);
  if (type == LUA_TTABLE) {
    for (lua_pushnil(L); lua_next(L, headers) != 0;) {
      if (lua_type(L, -2) != LUA_TSTRING)
        luaL_error(L, "the answer's headers must be a table from name to value");
      const char *name = lua_tostring(L, -2);
      typed = typed || strcasecmp(name, "content-type") == 0;
      if (!lua_istable(L, -1)) {
        set_header(L, r, name);
        continue;
      }
      lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
      for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, i);
        set_header(L, r, name);
      }
      lua_pop(L, 1);
    }
  }
  lua_settop(L, headers - 1);
  return typed;
}

// Pushes the body of the answer at idx (a string, or JSON made of it); returns its content type.
static const char *push_body(lua_State *L, int idx) {
  bool json = lua_getfield(L, idx, "json") != LUA_TNIL;
  bool body = lua_getfield(L, idx, "body") != LUA_TNIL;
  if (json && body)
    luaL_error(L, "an answer has either a body or json");
  if (json) {
    pai_l_push_json_function(L, "encode");
    lua_pushvalue(L, -3);
    lua_call(L, 1, 1);
    return "application/json";
  }
  if (body && lua_type(L, -1) != LUA_TSTRING)
    luaL_error(L, "the answer's body must be a string, not a %s", luaL_typename(L, -1));
  if (!body)
    lua_pushliteral(L, "");
  return "text/plain; charset=utf-8";
}

typedef struct response_box { // owns a response until it has been handed over
  struct MHD_Response *r;
} response_box;

static int box_gc(lua_State *L) {
  response_box *box = lua_touserdata(L, 1);
  if (box->r != NULL)
    MHD_destroy_response(box->r);
  box->r = NULL;
  return 0;
}

static response_box *push_box(lua_State *L) {
  response_box *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->r = NULL;
  luaL_setmetatable(L, RESPONSE);
  return box;
}

static unsigned take_status(lua_State *L, int idx) {
  static const char *const fields[] = {"status",    "headers",  "body",        "json", "stream",
                                       "websocket", "protocol", "max_message", "ping", NULL};
  if (!lua_istable(L, idx))
    luaL_error(L, "the handler must return an answer (a table), not a %s", luaL_typename(L, idx));
  pai_l_check_options(L, idx, fields);
  lua_Integer status = pai_l_opt_integer(L, idx, "status", 200);
  if (status < 200 || status > 599)
    luaL_error(L, "the answer's status must be between 200 and 599");
  return (unsigned)status;
}

bool pai_l_serve_answer(lua_State *L, pai_exchange *x, int idx) {
  unsigned status = take_status(L, idx);
  bool streams = lua_getfield(L, idx, "stream") != LUA_TNIL;
  if (streams && lua_type(L, -1) != LUA_TFUNCTION)
    luaL_error(L, "the answer's stream must be a function");
  response_box *box = push_box(L);
  const char *type = "application/octet-stream";
  if (streams) {
    box->r = pai_exchange_new_stream(x);
  } else {
    type = push_body(L, idx);
    size_t len;
    const char *body = lua_tolstring(L, -1, &len);
    box->r = MHD_create_response_from_buffer(len, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY);
  }
  if (box->r == NULL)
    luaL_error(L, "out of memory for an answer");
  if (!set_headers(L, box->r, idx) && status != 204 && status != 304)
    MHD_add_response_header(box->r, "Content-Type", type);
  struct MHD_Response *r = box->r;
  box->r = NULL;
  pai_exchange_answer(x, status, r);
  lua_settop(L, idx + 1);
  return streams;
}

// What asks for no WebSocket, or for none that we speak.
static void refuse_upgrade(pai_exchange *x, unsigned status, const pai_error *err) {
  struct MHD_Response *r = pai_serve_new_message(err->message, strlen(err->message));
  if (r != NULL && status == 426) {
    MHD_add_response_header(r, "Upgrade", "websocket");
    MHD_add_response_header(r, "Sec-WebSocket-Version", "13");
  }
  if (r != NULL)
    pai_exchange_answer(x, status, r);
  else
    pai_exchange_refuse(x, status, "", 0);
}

bool pai_l_serve_answer_websocket(lua_State *L, pai_exchange *x, int idx) {
  char accept[32];
  pai_error err;
  take_status(L, idx);
  if (lua_getfield(L, idx, "websocket") != LUA_TFUNCTION)
    luaL_error(L, "the answer's websocket must be a function");
  for (const char *const *f = (const char *const[]){"status", "body", "json", "stream", NULL};
       *f != NULL; f++)
    if (lua_getfield(L, idx, *f) != LUA_TNIL)
      luaL_error(L, "an answer with a websocket has no %s", *f);
  lua_settop(L, idx + 1);
  if (x->conn == NULL)
    return false;
  unsigned status = pai_serve_ws_check(x, accept, &err);
  if (status != 101) {
    refuse_upgrade(x, status, &err);
    return false;
  }
  response_box *box = push_box(L);
  box->r = pai_l_serve_ws_push(L, x, idx, accept);
  set_headers(L, box->r, idx);
  struct MHD_Response *r = box->r;
  box->r = NULL;
  pai_exchange_answer(x, 101, r);
  lua_remove(L, -2);
  return true;
}

void pai_l_serve_answer_type(lua_State *L) {
  luaL_newmetatable(L, RESPONSE);
  lua_pushcfunction(L, box_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}
