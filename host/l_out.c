/* pai.out: the one way for Lua to write text that people or files get. */
#include "l_util.h"
#include "out.h"

#include <string.h>

#define CHANNEL_MT "pai.out.channel"

// Writes the strings and numbers from index first on; true, or nil and the error.
static int write_from(lua_State *L, pai_out *o, int first) {
  pai_error err;
  int last = lua_gettop(L);
  for (int i = first; i <= last; i++)
    luaL_checkstring(L, i); // all or nothing
  for (int i = first; i <= last; i++) {
    size_t len;
    const char *text = lua_tolstring(L, i, &len);
    if (pai_out_add(o, text, len, &err) < 0)
      return pai_l_fail(L, &err);
  }
  if (pai_out_drain(o, &err) < 0)
    return pai_l_fail(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}

static pai_out *check_std(lua_State *L, int arg) {
  lua_Integer fd = luaL_checkinteger(L, arg);
  luaL_argcheck(L, fd == 1 || fd == 2, arg, "1 (standard output) or 2 (standard error) expected");
  return pai_out_std((int)fd);
}

static int l_write(lua_State *L) {
  return write_from(L, check_std(L, 1), 2);
}

static int l_stdout(lua_State *L) {
  return write_from(L, pai_out_std(1), 1);
}

static int l_stderr(lua_State *L) {
  return write_from(L, pai_out_std(2), 1);
}

static int result(lua_State *L, int rc, const pai_error *err) {
  if (rc < 0)
    return pai_l_fail(L, err);
  lua_pushboolean(L, 1);
  return 1;
}

static int l_flush(lua_State *L) {
  pai_error err;
  return result(L, pai_out_flush(check_std(L, 1), &err), &err);
}

static int l_closed(lua_State *L) {
  lua_pushboolean(L, pai_out_is_closed(check_std(L, 1)));
  return 1;
}

static int l_open(lua_State *L) {
  static const char *const options[] = {"append", "mode", "sync", NULL};
  size_t len;
  const char *path = luaL_checklstring(L, 1, &len);
  luaL_argcheck(L, strlen(path) == len, 1, "a path has a NUL byte in it");
  pai_l_check_options(L, 2, options);
  lua_Integer mode = pai_l_opt_integer(L, 2, "mode", 0600);
  if (mode < 0 || mode > 07777)
    return luaL_error(L, "option 'mode' must be permission bits");
  pai_out_mode how = {.append = pai_l_opt_bool(L, 2, "append", true),
                      .sync = pai_l_opt_bool(L, 2, "sync", false),
                      .mode = (int)mode};
  pai_error err;
  pai_out **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, CHANNEL_MT);
  *box = pai_out_open(path, &how, &err);
  return *box != NULL ? 1 : pai_l_fail(L, &err);
}

static pai_out *check_channel(lua_State *L) {
  pai_out **box = luaL_checkudata(L, 1, CHANNEL_MT);
  if (*box == NULL)
    luaL_error(L, "the channel was closed");
  return *box;
}

static int l_channel_write(lua_State *L) {
  return write_from(L, check_channel(L), 2);
}

static int l_channel_sync(lua_State *L) {
  pai_error err;
  return result(L, pai_out_sync(check_channel(L), &err), &err);
}

static int l_channel_close(lua_State *L) {
  pai_out **box = luaL_checkudata(L, 1, CHANNEL_MT), *o = *box;
  pai_error err;
  *box = NULL;
  return result(L, pai_out_close(o, &err), &err);
}

static const luaL_Reg methods[] = {
    {"write", l_channel_write},
    {"sync", l_channel_sync},
    {"close", l_channel_close},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"write", l_write},   {"stdout", l_stdout}, {"stderr", l_stderr}, {"flush", l_flush},
    {"closed", l_closed}, {"open", l_open},     {NULL, NULL},
};

int luaopen_pai_out(lua_State *L);
int luaopen_pai_out(lua_State *L) {
  luaL_newmetatable(L, CHANNEL_MT);
  lua_pushcfunction(L, l_channel_close);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, l_channel_close);
  lua_setfield(L, -2, "__close");
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
