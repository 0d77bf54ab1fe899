/* pai.crypto. Digests are lower-case hex unless raw is asked for; a key, and either side of equal,
 * may be a secret handle, which never becomes a Lua string. */
#include "crypto.h"
#include "l_buf.h"
#include "l_util.h"
#include "secret.h"

#include <string.h>

enum { TEXT_MAX = 1 << 30 };

typedef struct bytes {
  const char *data;
  size_t len;
} bytes;

// A string or a secret at arg; borrowed while the Lua value lives.
static bytes check_bytes(lua_State *L, int arg) {
  bytes b;
  const pai_secret *secret = pai_secret_test(L, arg);
  if (secret != NULL)
    b.data = pai_secret_data(secret, &b.len);
  else if (lua_type(L, arg) == LUA_TSTRING)
    b.data = lua_tolstring(L, arg, &b.len);
  else
    luaL_typeerror(L, arg, "string or secret");
  return b;
}

static int push_hex(lua_State *L, const unsigned char *data, size_t len) {
  static const char digits[] = "0123456789abcdef";
  luaL_Buffer b;
  char *to = luaL_buffinitsize(L, &b, len * 2);
  for (size_t i = 0; i < len; i++) {
    *to++ = digits[data[i] >> 4];
    *to++ = digits[data[i] & 15];
  }
  luaL_pushresultsize(&b, len * 2);
  return 1;
}

static bool opt_raw(lua_State *L, int idx) {
  static const char *const options[] = {"raw", NULL};
  pai_l_check_options(L, idx, options);
  return pai_l_opt_bool(L, idx, "raw", false);
}

// What was asked for is wrong: raise. Anything else is a fault of the library: raise as well.
static int push_digest(lua_State *L, int rc, const unsigned char *digest, size_t len, bool raw,
                       const pai_error *err) {
  if (rc == PAI_E_ARG)
    return luaL_error(L, "%s", err->message);
  if (rc < 0)
    return pai_l_raise(L, err);
  if (!raw)
    return push_hex(L, digest, len);
  lua_pushlstring(L, (const char *)digest, len);
  return 1;
}

static int l_digest(lua_State *L) {
  size_t len, n;
  const char *algorithm = luaL_checkstring(L, 1);
  const char *text = luaL_checklstring(L, 2, &len);
  bool raw = opt_raw(L, 3);
  unsigned char digest[PAI_CRYPTO_DIGEST_MAX];
  pai_error err;
  int rc = pai_crypto_digest(algorithm, text, len, digest, &n, &err);
  return push_digest(L, rc, digest, n, raw, &err);
}

static int l_sha256(lua_State *L) {
  size_t len, n;
  const char *text = luaL_checklstring(L, 1, &len);
  unsigned char digest[PAI_CRYPTO_DIGEST_MAX];
  pai_error err;
  int rc = pai_crypto_digest("sha256", text, len, digest, &n, &err);
  return push_digest(L, rc, digest, n, false, &err);
}

static int l_hmac(lua_State *L) {
  size_t len, n;
  const char *algorithm = luaL_checkstring(L, 1);
  bytes key = check_bytes(L, 2);
  const char *text = luaL_checklstring(L, 3, &len);
  bool raw = opt_raw(L, 4);
  unsigned char digest[PAI_CRYPTO_DIGEST_MAX];
  pai_error err;
  int rc = pai_crypto_hmac(algorithm, key.data, key.len, text, len, digest, &n, &err);
  return push_digest(L, rc, digest, n, raw, &err);
}

static int file_digest(lua_State *L, const char *algorithm, const char *path) {
  unsigned char digest[PAI_CRYPTO_DIGEST_MAX];
  size_t n;
  pai_error err;
  int rc = pai_crypto_digest_file(algorithm, path, digest, &n, &err);
  if (rc == PAI_E_ARG)
    return luaL_error(L, "%s", err.message);
  return rc < 0 ? pai_l_fail(L, &err) : push_hex(L, digest, n);
}

static int l_file_sha256(lua_State *L) {
  return file_digest(L, "sha256", luaL_checkstring(L, 1));
}

static int l_file_digest(lua_State *L) {
  const char *algorithm = luaL_checkstring(L, 1);
  return file_digest(L, algorithm, luaL_checkstring(L, 2));
}

static bool opt_url(lua_State *L, int idx) {
  static const char *const options[] = {"url", NULL};
  pai_l_check_options(L, idx, options);
  return pai_l_opt_bool(L, idx, "url", false);
}

// What was made of a secret is one: room was reserved, so that there is this copy to wipe only.
static int push_sealed(lua_State *L, pai_buf *out, const char *name) {
  pai_error err;
  int rc = pai_secret_push_new(L, name, out->data != NULL ? out->data : "", out->len, &err);
  if (out->data != NULL)
    explicit_bzero(out->data, out->cap);
  return rc < 0 ? pai_l_fail(L, &err) : 1;
}

static int l_base64_encode(lua_State *L) {
  bytes in = check_bytes(L, 1);
  bool url = opt_url(L, 2);
  const pai_secret *secret = pai_secret_test(L, 1);
  pai_buf *out = pai_l_new_buf(L, TEXT_MAX);
  if ((secret != NULL && pai_buf_reserve(out, in.len / 3 * 4 + 8) < 0) ||
      pai_crypto_base64_encode(in.data, in.len, url, out) < 0)
    return luaL_error(L, "%I bytes are too many for base64", (LUAI_UACINT)in.len);
  if (secret != NULL)
    return push_sealed(L, out, pai_secret_name(secret));
  pai_l_push_buf(L, out);
  return 1;
}

static int l_base64_decode(lua_State *L) {
  bytes in = check_bytes(L, 1);
  bool url = opt_url(L, 2);
  const pai_secret *secret = pai_secret_test(L, 1);
  pai_buf *out = pai_l_new_buf(L, TEXT_MAX);
  pai_error err;
  if (secret != NULL && pai_buf_reserve(out, in.len) < 0)
    return luaL_error(L, "out of memory");
  int rc = pai_crypto_base64_decode(in.data, in.len, url, out, &err);
  if (secret != NULL && rc == 0)
    return push_sealed(L, out, pai_secret_name(secret));
  if (rc < 0)
    return pai_l_fail(L, &err);
  pai_l_push_buf(L, out);
  return 1;
}

// The claims are no secret, the signature is: so those of a secret token may be looked at. The
// signature is not checked; that is for whoever the token is for.
static int l_jwt_claims(lua_State *L) {
  bytes in = check_bytes(L, 1);
  pai_error err;
  const char *end = in.data + in.len;
  const char *from = memchr(in.data, '.', in.len);
  const char *to = from != NULL ? memchr(from + 1, '.', (size_t)(end - from) - 1) : NULL;
  pai_buf *out = pai_l_new_buf(L, TEXT_MAX);
  if (to == NULL ||
      pai_crypto_base64_decode(from + 1, (size_t)(to - from) - 1, true, out, NULL) < 0) {
    pai_error_set(&err, PAI_E_PARSE, "the token is no JWT");
    return pai_l_fail(L, &err);
  }
  pai_l_push_buf(L, out);
  return 1;
}

// How many random bytes are wanted.
static lua_Integer check_count(lua_State *L, int arg) {
  lua_Integer n = luaL_checkinteger(L, arg);
  luaL_argcheck(L, n >= 0 && n <= PAI_CRYPTO_RANDOM_MAX, arg, "must be between 0 and 16777216");
  return n;
}

static int l_random(lua_State *L) {
  size_t n = (size_t)check_count(L, 1);
  luaL_Buffer b;
  char *to = luaL_buffinitsize(L, &b, n);
  pai_error err;
  if (pai_crypto_random(to, n, &err) < 0)
    return pai_l_raise(L, &err);
  luaL_pushresultsize(&b, n);
  return 1;
}

static int l_hex(lua_State *L) {
  lua_Integer n = check_count(L, 1);
  lua_settop(L, 0);
  lua_pushinteger(L, n);
  l_random(L);
  size_t len;
  const char *data = lua_tolstring(L, -1, &len);
  return push_hex(L, (const unsigned char *)data, len);
}

static int l_uuid(lua_State *L) {
  unsigned char id[16];
  pai_error err;
  if (pai_crypto_random(id, sizeof id, &err) < 0)
    return pai_l_raise(L, &err);
  id[6] = (unsigned char)((id[6] & 0x0f) | 0x40); // version 4
  id[8] = (unsigned char)((id[8] & 0x3f) | 0x80); // the variant of RFC 4122
  push_hex(L, id, sizeof id);
  const char *hex = lua_tostring(L, -1);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  static const size_t parts[] = {8, 4, 4, 4, 12};
  for (size_t i = 0, at = 0; i < sizeof parts / sizeof parts[0]; at += parts[i++]) {
    if (i > 0)
      luaL_addchar(&b, '-');
    luaL_addlstring(&b, hex + at, parts[i]);
  }
  luaL_pushresult(&b);
  return 1;
}

static int l_equal(lua_State *L) {
  bytes a = check_bytes(L, 1);
  bytes b = check_bytes(L, 2);
  lua_pushboolean(L, pai_crypto_equal(a.data, a.len, b.data, b.len));
  return 1;
}

static const luaL_Reg functions[] = {
    {"sha256", l_sha256},
    {"digest", l_digest},
    {"hmac", l_hmac},
    {"file_sha256", l_file_sha256},
    {"file_digest", l_file_digest},
    {"base64_encode", l_base64_encode},
    {"base64_decode", l_base64_decode},
    {"jwt_claims", l_jwt_claims},
    {"random", l_random},
    {"hex", l_hex},
    {"uuid", l_uuid},
    {"equal", l_equal},
    {NULL, NULL},
};

int luaopen_pai_crypto(lua_State *L);

int luaopen_pai_crypto(lua_State *L) {
  luaL_newlib(L, functions);
  return 1;
}
