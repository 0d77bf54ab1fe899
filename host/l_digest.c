/* pai.digest: pai.crypto's sha256 without libcrypto's start-up. */
#include "digest.h"
#include "l_util.h"

static int l_sha256(lua_State *L) {
  size_t len;
  const char *text = luaL_checklstring(L, 1, &len);
  unsigned char digest[PAI_SHA256_LEN];
  pai_sha256(text, len, digest);
  char hex[2 * PAI_SHA256_LEN];
  for (size_t i = 0; i < PAI_SHA256_LEN; i++) {
    hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
    hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
  }
  lua_pushlstring(L, hex, sizeof hex);
  return 1;
}

static const luaL_Reg functions[] = {{"sha256", l_sha256}, {NULL, NULL}};

int luaopen_pai_digest(lua_State *L);
int luaopen_pai_digest(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
