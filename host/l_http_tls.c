/* Options for TLS. See l_http_tls.h. */
#include "l_http_tls.h"

#include "l_util.h"
#include "secret.h"

// Pops the value on top.
static void keep_value(lua_State *L, int keep) {
  lua_rawseti(L, keep, (lua_Integer)lua_rawlen(L, keep) + 1);
}

// A field of the table on top: a PEM text or a secret.
static const char *take_pem(lua_State *L, int keep, const char *name, size_t *len) {
  int type = lua_getfield(L, -1, name);
  const pai_secret *secret = pai_secret_test(L, -1);
  const char *data = NULL;
  if (secret != NULL)
    data = pai_secret_data(secret, len);
  else if (type == LUA_TSTRING)
    data = lua_tolstring(L, -1, len);
  else if (type != LUA_TNIL)
    luaL_error(L, "a field of option 'tls' must be a string or a secret, not a %s",
               luaL_typename(L, -1));
  keep_value(L, keep);
  return data;
}

void pai_l_http_tls(lua_State *L, int arg, int keep, pai_http_tls *out) {
  static const char *const fields[] = {"ca", "cert", "key", "insecure", NULL};
  int top = lua_gettop(L);
  out->ca_file = pai_l_opt_string(L, arg, "ca_file", NULL);
  if (out->ca_file != NULL) {
    lua_getfield(L, arg, "ca_file");
    keep_value(L, keep);
  }
  if (lua_getfield(L, arg, "tls") != LUA_TNIL) {
    pai_l_check_options(L, -1, fields);
    out->ca = take_pem(L, keep, "ca", &out->ca_len);
    out->cert = take_pem(L, keep, "cert", &out->cert_len);
    out->key = take_pem(L, keep, "key", &out->key_len);
    if ((out->cert == NULL) != (out->key == NULL))
      luaL_error(L, "option 'tls': a certificate and its key go together");
    out->insecure = pai_l_opt_bool(L, lua_gettop(L), "insecure", false);
  }
  const char *to = pai_l_opt_string(L, arg, "connect_to", NULL);
  if (to != NULL) {
    out->connect_to = lua_pushfstring(L, "::%s", to);
    keep_value(L, keep);
  }
  lua_settop(L, top);
}
