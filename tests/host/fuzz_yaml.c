/* Any bytes: decode gives a value or an error with a place, under both schemas. A value, written
 * and read again, is the same under both: what is written is read alike by every reader. */
#include "registry.h"
#include "task.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int luaopen_pai_yaml(lua_State *L);

static const char check[] =
    "local yaml, json = require('pai.yaml'), require('pai.json')\n"
    // what JSON cannot hold is made a string
    "local function plain(v, depth)\n"
    "  assert(depth < 2000)\n"
    "  if type(v) == 'number' and (v ~= v or v == math.huge or v == -math.huge) then\n"
    "    return tostring(v)\n"
    "  elseif type(v) ~= 'table' then\n"
    "    return v\n"
    "  end\n"
    "  local out = json.is_array(v) and json.array() or {}\n"
    "  for k, x in pairs(v) do out[k] = plain(x, depth + 1) end\n"
    "  return out\n"
    "end\n"
    "local limits = { max_size = 65536, max_aliases = 20, all = true, positions = true }\n"
    "return function(text)\n"
    "  for _, schema in ipairs({ 'core', '1.1' }) do\n"
    "    limits.schema = schema\n"
    "    local v, err = yaml.decode(text, limits)\n"
    "    if v == nil then\n"
    "      assert(#err.message > 0 and (err.code ~= 'EPARSE' or err.line >= 1))\n"
    "    elseif #text < 2000 then\n"
    "      local ok, written = pcall(yaml.encode, v, { all = true })\n"
    "      assert(ok, written)\n"
    "      local before = json.encode(plain(v, 0))\n"
    "      for _, other in ipairs({ 'core', '1.1' }) do\n"
    "        local back = assert(yaml.decode(written, { schema = other, all = true,\n"
    "          max_depth = 900 }))\n"
    "        assert(json.encode(plain(back, 0)) == before, written)\n"
    "      end\n"
    "    end\n"
    "  end\n"
    "end\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static lua_State *L;
  if (L == NULL) {
    L = luaL_newstate();
    luaL_openlibs(L);
    pai_registry_install(L);
    luaL_requiref(L, "pai.yaml", luaopen_pai_yaml, 0);
    lua_settop(L, 0);
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
