/* pai.secret: handles. A handle says where its value came from and how long it is, never what it
 * is; other primitives open it in C. */
#include "l_secret.h"
#include "l_util.h"
#include "mask.h"
#include "secret.h"
#include "secret_doc.h"
#include "secret_dotenv.h"
#include "term.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SECRET_MT "pai.secret"
#define ASK_MT "pai.secret.ask"
#define DOTENV_MT "pai.secret.dotenv"
#define JOINED_MT "pai.secret.joined"
#define GENERATE_MAX 4096

int luaopen_pai_secret(lua_State *L);

/* ---- handles ---- */

const pai_secret *pai_secret_test(lua_State *L, int idx) {
  pai_secret **box = luaL_testudata(L, idx, SECRET_MT);
  return box != NULL ? *box : NULL;
}

static pai_secret **new_box(lua_State *L) {
  pai_secret **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, SECRET_MT);
  return box;
}

static int push_protected(lua_State *L) {
  pai_secret *s = lua_touserdata(L, 1);
  luaL_requiref(L, "pai.secret", luaopen_pai_secret, 0); // its metatables, whoever comes first
  *new_box(L) = s;
  return 1;
}

void pai_secret_push(lua_State *L, pai_secret *s) {
  lua_pushcfunction(L, push_protected);
  lua_pushlightuserdata(L, s);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
    pai_secret_free(s);
    lua_error(L);
  }
}

int pai_secret_push_new(lua_State *L, const char *name, const void *data, size_t len,
                        pai_error *err) {
  pai_secret *s = pai_secret_new(name, data, len, err);
  if (s == NULL)
    return err->code;
  pai_secret_push(L, s);
  return 0;
}

const pai_secret *pai_l_secret_check(lua_State *L, int arg) {
  const pai_secret *s = pai_secret_test(L, arg);
  if (s == NULL)
    luaL_typeerror(L, arg, SECRET_MT);
  return s;
}

static int secret_gc(lua_State *L) {
  pai_secret **box = lua_touserdata(L, 1);
  pai_secret_free(*box);
  *box = NULL;
  return 0;
}

static int secret_tostring(lua_State *L) {
  lua_pushliteral(L, PAI_MASK_TEXT);
  return 1;
}

static int secret_concat(lua_State *L) {
  return luaL_error(L, "a secret cannot be joined with text: hand it to a primitive as it is");
}

static int l_name(lua_State *L) {
  lua_pushstring(L, pai_secret_name(pai_l_secret_check(L, 1)));
  return 1;
}

static int l_len(lua_State *L) {
  size_t len;
  pai_secret_data(pai_l_secret_check(L, 1), &len);
  lua_pushinteger(L, (lua_Integer)len);
  return 1;
}

static int l_equals(lua_State *L) {
  const pai_secret *a = pai_l_secret_check(L, 1), *b = pai_l_secret_check(L, 2);
  lua_pushboolean(L, pai_secret_equal(a, b));
  return 1;
}

// Two inputs may have one source, and each says for itself who gets the value.
static int l_copy(lua_State *L) {
  const pai_secret *s = pai_l_secret_check(L, 1);
  size_t len;
  pai_error err;
  const char *value = pai_secret_data(s, &len);
  pai_secret **box = new_box(L);
  *box = pai_secret_new(pai_secret_name(s), value, len, &err);
  return *box != NULL ? 1 : pai_l_raise(L, &err);
}

static int l_doubt(lua_State *L) {
  lua_pushstring(L, pai_secret_doubt(pai_l_secret_check(L, 1)));
  return 1;
}

static int l_masked(lua_State *L) {
  lua_pushboolean(L, pai_secret_masked(pai_l_secret_check(L, 1)));
  return 1;
}

/* ---- where they come from ---- */

int pai_l_secret_warned(lua_State *L) {
  const pai_secret *s = pai_secret_test(L, -1);
  size_t len;
  if (pai_secret_masked(s))
    return 1;
  const char *value = pai_secret_data(s, &len);
  lua_pushfstring(L, "%s is not masked in output: it is %s", pai_secret_name(s),
                  pai_mask_unfit(value, len));
  return 2;
}

static int l_from_env(lua_State *L) {
  const char *name = luaL_checkstring(L, 1), *value = getenv(name);
  pai_error err;
  if (value == NULL || *value == '\0') {
    pai_error_set(&err, PAI_E_NOTFOUND, "the environment variable %.80s is %s", name,
                  value == NULL ? "not set" : "empty");
    return pai_l_fail(L, &err);
  }
  const char *source = lua_pushfstring(L, "env %s", name);
  pai_secret **box = new_box(L);
  *box = pai_secret_new(source, value, strlen(value), &err);
  return *box != NULL ? pai_l_secret_warned(L) : pai_l_fail(L, &err);
}

const char *pai_l_secret_path(lua_State *L) {
  size_t len;
  const char *path = luaL_checklstring(L, 1, &len);
  luaL_argcheck(L, strlen(path) == len, 1, "a path has a NUL byte in it");
  return path;
}

static int l_from_file(lua_State *L) {
  const char *path = pai_l_secret_path(L);
  const char *source = lua_pushfstring(L, "file %s", path);
  pai_secret **box = new_box(L);
  pai_secret_buf b = {0};
  pai_error err;
  if (pai_secret_read_file(path, &b, &err) < 0)
    return pai_l_fail(L, &err);
  if (b.len == 0) {
    pai_secret_buf_free(&b);
    pai_error_set(&err, PAI_E_NOTFOUND, "the secret file \"%.150s\" is empty", path);
    return pai_l_fail(L, &err);
  }
  *box = pai_secret_buf_take(&b, source, true, &err);
  return *box != NULL ? pai_l_secret_warned(L) : pai_l_fail(L, &err);
}

typedef struct dotenv {
  lua_State *L;
  pai_secret_buf text;
} dotenv;

static int dotenv_gc(lua_State *L) {
  dotenv *d = lua_touserdata(L, 1);
  pai_secret_buf_free(&d->text);
  return 0;
}

// The names that are no secrets are at index 2, the handles at 4, the warnings at 5, the texts of
// those names at 6.
static int add_entry(void *ud, const pai_dotenv_entry *e, pai_error *err) {
  lua_State *L = ((dotenv *)ud)->L;
  if (e->value_len == 0)
    return 0; // as if it were not there
  lua_pushlstring(L, e->name, e->name_len);
  lua_pushvalue(L, -1);
  if (lua_rawget(L, 2) != LUA_TNIL) {
    lua_pop(L, 1);
    lua_pushlstring(L, e->value, e->value_len);
    lua_rawset(L, 6);
    return 0;
  }
  lua_pop(L, 1);
  const char *source = lua_pushfstring(L, "dotenv %s", lua_tostring(L, -1));
  pai_secret **box = new_box(L);
  *box = pai_secret_new(source, e->value, e->value_len, err);
  if (*box == NULL)
    return PAI_E_NOMEM;
  if (pai_l_secret_warned(L) == 2)
    lua_rawseti(L, 5, (lua_Integer)lua_rawlen(L, 5) + 1);
  lua_remove(L, -2);
  lua_rawset(L, 4);
  return 0;
}

static int l_from_dotenv(lua_State *L) {
  const char *path = pai_l_secret_path(L);
  pai_error err;
  lua_settop(L, 2);
  if (lua_isnil(L, 2))
    lua_newtable(L), lua_replace(L, 2);
  luaL_checktype(L, 2, LUA_TTABLE);
  dotenv *d = lua_newuserdatauv(L, sizeof *d, 0);
  *d = (dotenv){.L = L};
  luaL_setmetatable(L, DOTENV_MT);
  for (int i = 0; i < 3; i++)
    lua_newtable(L);
  if (pai_secret_read_file(path, &d->text, &err) < 0)
    return pai_l_fail(L, &err);
  int rc = pai_dotenv_parse(d->text.data, d->text.len, add_entry, d, &err);
  pai_secret_buf_free(&d->text);
  if (rc == PAI_E_PARSE) {
    char why[sizeof err.message];
    memcpy(why, err.message, sizeof why);
    pai_error_set(&err, PAI_E_PARSE, "\"%.120s\", %.100s", path, why);
  }
  return rc < 0 ? pai_l_fail(L, &err) : 3;
}

static int l_generate(lua_State *L) {
  static const char digits[] = "0123456789abcdef";
  lua_Integer n = luaL_checkinteger(L, 1);
  luaL_argcheck(L, n >= 8 && n <= GENERATE_MAX, 1, "8 to 4096 bytes");
  pai_error err;
  pai_secret **box = new_box(L);
  pai_secret_buf b = {0};
  size_t bytes = (size_t)n;
  // The random bytes lie behind the place of their digits, which never overtake them.
  if (pai_secret_buf_reserve(&b, 2 * bytes, &err) < 0)
    return pai_l_fail(L, &err);
  unsigned char *raw = (unsigned char *)b.data + bytes;
  for (size_t have = 0; have < bytes;) {
    ssize_t got = getrandom(raw + have, bytes - have, 0);
    have += got > 0 ? (size_t)got : 0;
  }
  for (size_t i = 0; i < bytes; i++) {
    unsigned char c = raw[i];
    b.data[2 * i] = digits[c >> 4];
    b.data[2 * i + 1] = digits[c & 15];
  }
  b.len = 2 * bytes;
  *box = pai_secret_buf_take(&b, "generated", false, &err);
  return *box != NULL ? pai_l_secret_warned(L) : pai_l_fail(L, &err);
}

typedef struct joined {
  pai_secret_buf text;
} joined;

static int joined_gc(lua_State *L) {
  joined *j = lua_touserdata(L, 1);
  pai_secret_buf_free(&j->text);
  return 0;
}

static int l_join(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  joined *j = lua_newuserdatauv(L, sizeof *j, 0);
  *j = (joined){0};
  luaL_setmetatable(L, JOINED_MT);
  lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
  pai_error err;
  int rc = 0;
  for (lua_Integer i = 1; i <= n && rc == 0; i++) {
    size_t len;
    int type = lua_rawgeti(L, 1, i);
    const pai_secret *s = pai_secret_test(L, -1);
    if (s == NULL && type != LUA_TSTRING)
      return luaL_error(L, "part %I must be a string or a secret", (LUAI_UACINT)i);
    const char *data = s != NULL ? pai_secret_data(s, &len) : lua_tolstring(L, -1, &len);
    rc = pai_secret_buf_add(&j->text, data, len, &err);
    lua_pop(L, 1);
  }
  if (rc < 0)
    return pai_l_fail(L, &err);
  pai_secret **box = new_box(L);
  *box = pai_secret_buf_take(&j->text, "a text with secrets in it", false, &err);
  return *box != NULL ? 1 : pai_l_fail(L, &err);
}

/* ---- asking ---- */

static int ask_gc(lua_State *L) {
  pai_term_ask_stop(lua_touserdata(L, 1));
  return 0;
}

static int answered(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  pai_term_ask *ask = lua_touserdata(L, (int)ctx);
  if (ask->rc == 0 && ask->line.len == 0)
    ask->rc = pai_error_set(&ask->err, PAI_E_CLOSED, "the question got no answer");
  if (ask->rc < 0)
    return pai_l_fail(L, &ask->err);
  pai_secret **box = new_box(L);
  *box = pai_secret_buf_take(&ask->line, "prompt", false, &ask->err);
  return *box != NULL ? pai_l_secret_warned(L) : pai_l_fail(L, &ask->err);
}

static int l_prompt(lua_State *L) {
  size_t len;
  const char *text = luaL_optlstring(L, 1, "", &len);
  pai_error err;
  pai_term_ask *ask = lua_newuserdatauv(L, sizeof *ask, 0);
  *ask = (pai_term_ask){0};
  luaL_setmetatable(L, ASK_MT);
  if (pai_term_ask_start(ask, text, len, false, &err) < 0)
    return pai_l_fail(L, &err);
  return pai_await(L, &ask->op, lua_gettop(L), answered);
}

static const luaL_Reg methods[] = {
    {"name", l_name},   {"len", l_len},   {"equals", l_equals}, {"masked", l_masked},
    {"doubt", l_doubt}, {"copy", l_copy}, {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"from_env", l_from_env},
    {"from_file", l_from_file},
    {"from_dotenv", l_from_dotenv},
    {"prompt", l_prompt},
    {"generate", l_generate},
    {"join", l_join},
    {NULL, NULL},
};

static void set_gc(lua_State *L, const char *name, lua_CFunction gc) {
  luaL_newmetatable(L, name);
  lua_pushcfunction(L, gc);
  lua_setfield(L, -2, "__gc");
  lua_pushboolean(L, 0); // getmetatable gives nothing to change
  lua_setfield(L, -2, "__metatable");
}

int luaopen_pai_secret(lua_State *L) {
  set_gc(L, ASK_MT, ask_gc);
  set_gc(L, DOTENV_MT, dotenv_gc);
  set_gc(L, JOINED_MT, joined_gc);
  set_gc(L, SECRET_MT, secret_gc);
  lua_pushcfunction(L, secret_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pushcfunction(L, secret_concat);
  lua_setfield(L, -2, "__concat");
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  pai_l_secret_sources(L);
  return 1;
}
