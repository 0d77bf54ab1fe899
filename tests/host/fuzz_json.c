/* Any bytes: decode gives a value or an error with a place. A value, written and read again, is
 * written the same; picking from it works. In a list of many, long enough for the cache of keys and
 * strings, each is as it is alone. */
#include "registry.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char check[] =
    "local json = require('pai.json')\n"
    "return function(text)\n"
    "  local v, err = json.decode(text)\n"
    "  json.decode(text, { pick = { 'a', 'a[].b', '[].c.d' }, null = false })\n"
    "  if err then\n"
    "    assert(err.line >= 1 and err.column >= 1 and #err.message > 0)\n"
    "    return\n"
    "  end\n"
    "  local once = json.encode(v)\n"
    "  assert(once == json.encode((json.decode(once))))\n"
    "  assert(once == json.encode((json.decode(json.encode(v, { pretty = true })))))\n"
    "  local list = '[' .. (text .. ','):rep(4096 // #text + 1) .. text .. ']'\n"
    "  for _, item in ipairs(assert(json.decode(list, { max_depth = 600 }))) do\n"
    "    assert(once == json.encode(item))\n"
    "  end\n"
    "end\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static lua_State *L;
  if (L == NULL) {
    L = luaL_newstate();
    luaL_openlibs(L);
    pai_registry_install(L);
    if (luaL_dostring(L, check) != LUA_OK)
      abort();
  }
  lua_pushvalue(L, 1);
  lua_pushlstring(L, (const char *)data, size);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    abort();
  }
  return 0;
}
