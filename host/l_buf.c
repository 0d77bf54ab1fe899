/* A pai_buf that Lua owns. See l_buf.h. */
#include "l_buf.h"

#include <lauxlib.h>

#define BUF_MT "pai.buf"

static int buf_gc(lua_State *L) {
  pai_buf_free(lua_touserdata(L, 1));
  return 0;
}

pai_buf *pai_l_new_buf(lua_State *L, size_t max) {
  pai_buf *b = lua_newuserdatauv(L, sizeof *b, 0);
  pai_buf_init(b, max);
  if (luaL_newmetatable(L, BUF_MT)) {
    lua_pushcfunction(L, buf_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return b;
}

void pai_l_push_buf(lua_State *L, pai_buf *b) {
  lua_pushlstring(L, b->len != 0 ? b->data : "", b->len);
  pai_buf_free(b);
}
