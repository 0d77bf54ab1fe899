/* pai.sign: signatures with keys that are handles, checksums over parts of files, and key files in
 * which the named entries become handles and the rest text. */
#include "l_util.h"
#include "secret.h"
#include "sign.h"

#include <string.h>

#define HASHER "pai.sign.hasher"
#define LIST "pai.sign.list"

int luaopen_pai_sign(lua_State *L);

static const pai_secret *check_key(lua_State *L, int arg) {
  const pai_secret *key = pai_secret_test(L, arg);
  if (key == NULL)
    luaL_typeerror(L, arg, "pai.secret");
  return key;
}

static void push_hex(lua_State *L, const unsigned char *data, size_t len) {
  static const char digits[] = "0123456789abcdef";
  luaL_Buffer b;
  char *to = luaL_buffinitsize(L, &b, len * 2);
  for (size_t i = 0; i < len; i++) {
    *to++ = digits[data[i] >> 4];
    *to++ = digits[data[i] & 15];
  }
  luaL_pushresultsize(&b, len * 2);
}

static int l_v4(lua_State *L) {
  size_t len;
  const pai_secret *key = check_key(L, 1);
  const char *date = luaL_checkstring(L, 2), *region = luaL_checkstring(L, 3);
  const char *service = luaL_checkstring(L, 4), *text = luaL_checklstring(L, 5, &len);
  unsigned char out[PAI_SIGN_BYTES];
  pai_error err;
  if (pai_sign_v4(key, date, region, service, text, len, out, &err) < 0)
    return pai_l_raise(L, &err);
  push_hex(L, out, sizeof out);
  return 1;
}

static int l_shared(lua_State *L) {
  size_t len;
  const pai_secret *key = check_key(L, 1);
  const char *text = luaL_checklstring(L, 2, &len);
  unsigned char out[PAI_SIGN_BYTES], code[PAI_SIGN_BYTES * 2];
  pai_error err;
  if (pai_sign_shared(key, text, len, out, &err) < 0)
    return pai_l_fail(L, &err);
  int n = EVP_EncodeBlock(code, out, sizeof out);
  lua_pushlstring(L, (const char *)code, (size_t)n);
  return 1;
}

// sha256(PART...): of texts and secrets, one after another.
static int l_sha256(lua_State *L) {
  int n = lua_gettop(L);
  EVP_MD_CTX *ctx = EVP_MD_CTX_new();
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned out_len = 0;
  bool ok = ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
  int wrong = 0;
  for (int i = 1; i <= n && ok && wrong == 0; i++) {
    size_t len = 0;
    const pai_secret *secret = pai_secret_test(L, i);
    const char *data = secret != NULL                  ? pai_secret_data(secret, &len)
                       : lua_type(L, i) == LUA_TSTRING ? lua_tolstring(L, i, &len)
                                                       : NULL;
    wrong = data == NULL ? i : 0;
    ok = wrong != 0 || EVP_DigestUpdate(ctx, data, len);
  }
  ok = ok && EVP_DigestFinal_ex(ctx, out, &out_len);
  EVP_MD_CTX_free(ctx);
  if (wrong != 0)
    return luaL_typeerror(L, wrong, "string or secret");
  if (!ok)
    return luaL_error(L, "out of memory for a digest");
  push_hex(L, out, out_len);
  return 1;
}

/* Checksums. */

static int hasher_gc(lua_State *L) {
  pai_sign_hasher_free(luaL_checkudata(L, 1, HASHER));
  return 0;
}

static int l_hasher(lua_State *L) {
  int n = lua_gettop(L);
  luaL_argcheck(L, n > 0, 1, "the name of a digest");
  pai_sign_hasher *h = lua_newuserdatauv(L, sizeof *h, 0);
  *h = (pai_sign_hasher){0};
  luaL_setmetatable(L, HASHER);
  for (int i = 1; i <= n; i++) {
    pai_error err;
    int rc = pai_sign_hasher_add(h, luaL_checkstring(L, i), &err);
    if (rc == PAI_E_ARG)
      return luaL_argerror(L, i, err.message);
    if (rc < 0)
      return pai_l_raise(L, &err);
  }
  return 1;
}

static uint64_t check_size(lua_State *L, int arg) {
  lua_Integer n = luaL_checkinteger(L, arg);
  luaL_argcheck(L, n >= 0, arg, "must not be negative");
  return (uint64_t)n;
}

static int hasher_file(lua_State *L) {
  pai_sign_hasher *h = luaL_checkudata(L, 1, HASHER);
  const char *path = luaL_checkstring(L, 2);
  uint64_t offset = check_size(L, 3), len = check_size(L, 4);
  pai_error err;
  if (pai_sign_hasher_file(h, path, offset, len, &err) < 0)
    return pai_l_fail(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}

static int hasher_hex(lua_State *L) {
  pai_sign_hasher *h = luaL_checkudata(L, 1, HASHER);
  for (size_t i = 0; i < h->count; i++) {
    unsigned char out[EVP_MAX_MD_SIZE];
    size_t len;
    pai_error err;
    if (pai_sign_hasher_value(h, i, out, &len, &err) < 0)
      return pai_l_raise(L, &err);
    push_hex(L, out, len);
  }
  return (int)h->count;
}

/* Key files. */

typedef struct lists {
  pai_secret_buf text;
  pai_secret_buf records;
} lists;

static int list_gc(lua_State *L) {
  lists *l = luaL_checkudata(L, 1, LIST);
  pai_secret_buf_free(&l->text);
  pai_secret_buf_free(&l->records);
  return 0;
}

static lists *push_lists(lua_State *L) {
  lists *l = lua_newuserdatauv(L, sizeof *l, 0);
  *l = (lists){0};
  luaL_setmetatable(L, LIST);
  return l;
}

// Whether the list of names at idx has this one; case counts.
static bool is_secret(lua_State *L, int idx, const pai_sign_record *r) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, idx);
  bool found = false;
  for (lua_Integer i = 1; i <= n && !found; i++) {
    size_t len;
    lua_rawgeti(L, idx, i);
    const char *name = lua_tolstring(L, -1, &len);
    found = name != NULL && len == r->name_len && memcmp(name, r->name, len) == 0;
    lua_pop(L, 1);
  }
  return found;
}

static void push_value(lua_State *L, const pai_sign_record *r, bool secret, const char *source) {
  if (!secret || r->value_len == 0) {
    lua_pushlstring(L, r->value, r->value_len);
    return;
  }
  pai_error err;
  if (memchr(r->value, '&', r->value_len) != NULL &&
      pai_sign_mask_sas(r->value, r->value_len, &err) < 0)
    pai_l_raise(L, &err);
  pai_secret *s = pai_secret_new(source, r->value, r->value_len, &err);
  if (s == NULL)
    pai_l_raise(L, &err);
  pai_secret_push(L, s);
}

// Pushes the table of the records. names: stack index of the list of secret entries.
static void push_tree(lua_State *L, const pai_secret_buf *records, int names, const char *source) {
  pai_sign_record r;
  int base = lua_gettop(L) + 1;
  lua_newtable(L);
  for (size_t at = 0; pai_sign_next(records, &at, &r);) {
    luaL_checkstack(L, 4, "a key file that is too deep");
    if (r.kind == PAI_SIGN_OPEN) {
      lua_pushlstring(L, r.name, r.name_len);
      lua_newtable(L);
      lua_pushvalue(L, -2);
      lua_pushvalue(L, -2);
      lua_rawset(L, -5);
      lua_remove(L, -2);
    } else if (r.kind == PAI_SIGN_SHUT) {
      lua_pop(L, 1);
    } else {
      lua_pushlstring(L, r.name, r.name_len);
      push_value(L, &r, is_secret(L, names, &r), source);
      lua_rawset(L, -3);
    }
  }
  lua_settop(L, base);
}

// keys(PATH|SECRET, FORM, NAMES)
static int l_keys(lua_State *L) {
  static const char *const forms[] = {"yaml", "ini", "pairs", NULL};
  typedef int (*reader)(const char *, size_t, pai_secret_buf *, pai_error *);
  static const reader readers[] = {pai_sign_yaml, pai_sign_ini, pai_sign_pairs};
  reader read = readers[luaL_checkoption(L, 2, NULL, forms)];
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_settop(L, 3);
  const pai_secret *given = pai_secret_test(L, 1);
  const char *source = given != NULL ? pai_secret_name(given) : luaL_checkstring(L, 1);
  lists *l = push_lists(L);
  pai_error err;
  size_t len = 0;
  const char *text = given != NULL ? pai_secret_data(given, &len) : NULL;
  if (given == NULL) {
    if (pai_sign_read(source, &l->text, &err) < 0)
      return pai_l_fail(L, &err);
    text = l->text.data;
    len = l->text.len;
  }
  if (read(text, len, &l->records, &err) < 0) {
    char why[sizeof err.message];
    memcpy(why, err.message, sizeof why);
    if (err.code == PAI_E_PARSE)
      pai_error_set(&err, PAI_E_PARSE, "%.120s: %.100s", source, why);
    return pai_l_fail(L, &err);
  }
  push_tree(L, &l->records, 3, source);
  return 1;
}

static int l_mask_sas(lua_State *L) {
  size_t len;
  const char *sas = pai_secret_data(check_key(L, 1), &len);
  pai_error err;
  return pai_sign_mask_sas(sas, len, &err) < 0 ? pai_l_raise(L, &err) : 0;
}

static const luaL_Reg functions[] = {
    {"v4", l_v4},     {"shared", l_shared},     {"hasher", l_hasher},
    {"keys", l_keys}, {"mask_sas", l_mask_sas}, {"sha256", l_sha256},
    {NULL, NULL},
};

static const luaL_Reg methods[] = {{"file", hasher_file}, {"hex", hasher_hex}, {NULL, NULL}};

static void set_gc(lua_State *L, const char *name, lua_CFunction gc) {
  luaL_newmetatable(L, name);
  lua_pushcfunction(L, gc);
  lua_setfield(L, -2, "__gc");
}

int luaopen_pai_sign(lua_State *L) {
  set_gc(L, LIST, list_gc);
  set_gc(L, HASHER, hasher_gc);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
