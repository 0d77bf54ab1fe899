/* pai.term: what a program must know of the terminal. */
#include "l_util.h"
#include "term.h"

#include <unistd.h>

#define ASK_MT "pai.term.ask"
#define RAW_MT "pai.term.raw"

static int check_fd(lua_State *L, int arg) {
  lua_Integer fd = luaL_checkinteger(L, arg);
  luaL_argcheck(L, fd >= 0 && fd <= 1 << 20, arg, "not a descriptor");
  return (int)fd;
}

static int l_isatty(lua_State *L) {
  lua_pushboolean(L, isatty(check_fd(L, 1)));
  return 1;
}

static int l_size(lua_State *L) {
  int cols, rows;
  pai_term_size(&cols, &rows);
  lua_pushinteger(L, cols);
  lua_pushinteger(L, rows);
  return 2;
}

static int l_color(lua_State *L) {
  lua_pushboolean(L, pai_term_color(check_fd(L, 1)));
  return 1;
}

static int l_width(lua_State *L) {
  size_t len;
  const char *text = luaL_checklstring(L, 1, &len);
  lua_pushinteger(L, (lua_Integer)pai_term_width(text, len));
  return 1;
}

static int ask_gc(lua_State *L) {
  pai_term_ask_stop(lua_touserdata(L, 1));
  return 0;
}

static int line_read(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  pai_term_ask *ask = lua_touserdata(L, (int)ctx);
  if (ask->rc < 0)
    return pai_l_fail(L, &ask->err);
  lua_pushlstring(L, ask->line.data, ask->line.len);
  pai_term_ask_stop(ask);
  return 1;
}

static int l_read_line(lua_State *L) {
  size_t len;
  const char *prompt = luaL_optlstring(L, 1, "", &len);
  pai_error err;
  pai_term_ask *ask = lua_newuserdatauv(L, sizeof *ask, 0);
  *ask = (pai_term_ask){0};
  luaL_setmetatable(L, ASK_MT);
  if (pai_term_ask_start(ask, prompt, len, true, &err) < 0)
    return pai_l_fail(L, &err);
  return pai_await(L, &ask->op, lua_gettop(L), line_read);
}

static int raw_stop(lua_State *L) {
  pai_term_raw_stop(luaL_checkudata(L, 1, RAW_MT));
  return 0;
}

static int l_raw(lua_State *L) {
  pai_error err;
  pai_term_raw *raw = lua_newuserdatauv(L, sizeof *raw, 0);
  *raw = (pai_term_raw){0};
  luaL_setmetatable(L, RAW_MT);
  return pai_term_raw_start(raw, &err) < 0 ? pai_l_fail(L, &err) : 1;
}

static const luaL_Reg functions[] = {
    {"isatty", l_isatty},       {"size", l_size}, {"color", l_color}, {"width", l_width},
    {"read_line", l_read_line}, {"raw", l_raw},   {NULL, NULL},
};

int luaopen_pai_term(lua_State *L);
int luaopen_pai_term(lua_State *L) {
  luaL_newmetatable(L, ASK_MT);
  lua_pushcfunction(L, ask_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newmetatable(L, RAW_MT);
  lua_pushcfunction(L, raw_stop);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, raw_stop);
  lua_setfield(L, -2, "__close");
  lua_newtable(L);
  lua_pushcfunction(L, raw_stop);
  lua_setfield(L, -2, "restore");
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
