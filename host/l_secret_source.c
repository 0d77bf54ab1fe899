/* pai.secret: values out of documents and standard input, and .env files that are changed. */
#include "fs.h"
#include "l_secret.h"
#include "l_util.h"
#include "secret_doc.h"
#include "secret_dotenv.h"
#include "secret_mem.h"

#include <lauxlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BOX_MT "pai.secret.buf"
#define MAX_KEYS 16

static int box_gc(lua_State *L) {
  pai_secret_buf_free(lua_touserdata(L, 1));
  return 0;
}

// Locked memory that is wiped whatever raises.
static pai_secret_buf *new_buf(lua_State *L) {
  pai_secret_buf *b = lua_newuserdatauv(L, sizeof *b, 0);
  *b = (pai_secret_buf){0};
  if (luaL_newmetatable(L, BOX_MT)) {
    lua_pushcfunction(L, box_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return b;
}

/* ---- documents ---- */

typedef struct wanted {
  const char *keys[MAX_KEYS]; // borrowed while the options live
  size_t count;
  bool yaml, basic;
} wanted;

// Options are at 2: { json = keys } or { yaml = keys }, basic.
static void read_options(lua_State *L, wanted *w) {
  static const char *const names[] = {"json", "yaml", "basic", NULL};
  luaL_checktype(L, 2, LUA_TTABLE);
  pai_l_check_options(L, 2, names);
  *w = (wanted){.basic = pai_l_opt_bool(L, 2, "basic", false)};
  w->yaml = lua_getfield(L, 2, "yaml") != LUA_TNIL;
  if (!w->yaml) {
    lua_pop(L, 1);
    lua_getfield(L, 2, "json");
  }
  luaL_argcheck(L, lua_istable(L, -1), 2, "json or yaml must be a list of keys");
  w->count = lua_rawlen(L, -1);
  luaL_argcheck(L, w->count > 0 && w->count <= MAX_KEYS, 2, "1 to 16 keys");
  for (size_t i = 0; i < w->count; i++) {
    luaL_argcheck(L, lua_rawgeti(L, -1, (lua_Integer)i + 1) == LUA_TSTRING, 2, "a key is text");
    w->keys[i] = lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

// 1: found; text has a '\0' behind its end.
static int find(const wanted *w, const char *text, size_t len, pai_secret_buf *out,
                pai_error *err) {
  int rc = w->yaml ? pai_doc_yaml(text, len, w->keys, w->count, out, err)
                   : pai_doc_json(text, len, w->keys, w->count, out, err);
  if (rc == 1 && w->basic)
    rc = pai_doc_basic(out, err) < 0 ? PAI_E_PARSE : 1;
  return rc;
}

static int fail_of(lua_State *L, const char *what, const wanted *w, int rc, pai_error *err) {
  pai_error said;
  const char *last = w->keys[w->count - 1];
  if (rc == 0)
    pai_error_set(&said, PAI_E_NOTFOUND, "%.120s has no \"%.60s\"", what, last);
  else
    pai_error_set(&said, err->code, "%.100s, \"%.40s\": %.80s", what, last, err->message);
  return pai_l_fail(L, &said);
}

static int push_secret(lua_State *L, const char *name, pai_secret_buf *b, bool trim) {
  pai_error err;
  pai_secret *s = pai_secret_buf_take(b, name, trim, &err);
  if (s == NULL)
    return pai_l_fail(L, &err);
  pai_secret_push(L, s);
  return pai_l_secret_warned(L);
}

// Finds what the options want in the file at 1. 1: it is in out; else what to return.
static int find_in_file(lua_State *L, wanted *w, pai_secret_buf *out, int *results) {
  const char *path = pai_l_secret_path(L);
  pai_error err;
  read_options(L, w);
  pai_secret_buf *text = new_buf(L);
  int rc = pai_secret_read_file(path, text, &err);
  if (rc < 0) {
    *results = pai_l_fail(L, &err);
    return rc;
  }
  text->data[text->len] = '\0'; // reading leaves room for more
  rc = find(w, text->data, text->len, out, &err);
  pai_secret_buf_free(text);
  if (rc != 1)
    *results = fail_of(L, path, w, rc, &err);
  return rc;
}

static int l_from_document(lua_State *L) {
  wanted w;
  int results;
  lua_settop(L, 2);
  pai_secret_buf *out = new_buf(L);
  if (find_in_file(L, &w, out, &results) != 1)
    return results;
  const char *source = lua_pushfstring(L, "file %s", lua_tostring(L, 1));
  return push_secret(L, source, out, false);
}

static int l_field(lua_State *L) {
  wanted w;
  int results;
  lua_settop(L, 2);
  pai_secret_buf *out = new_buf(L);
  if (find_in_file(L, &w, out, &results) != 1)
    return results;
  lua_pushlstring(L, out->data, out->len);
  return 1;
}

static int l_pick(lua_State *L) {
  wanted w;
  size_t len;
  pai_error err;
  lua_settop(L, 2);
  const pai_secret *s = pai_l_secret_check(L, 1);
  read_options(L, &w);
  pai_secret_buf *out = new_buf(L);
  const char *text = pai_secret_data(s, &len);
  int rc = find(&w, text, len, out, &err);
  if (rc != 1)
    return fail_of(L, pai_secret_name(s), &w, rc, &err);
  return push_secret(L, pai_secret_name(s), out, false);
}

static int l_from_stdin(lua_State *L) {
  pai_error err;
  pai_secret_buf *b = new_buf(L);
  if (pai_secret_read_fd(0, "standard input", b, &err) < 0)
    return pai_l_fail(L, &err);
  if (b->len == 0 || (b->len == 1 && b->data[0] == '\n')) {
    pai_error_set(&err, PAI_E_CLOSED, "standard input gave no value");
    return pai_l_fail(L, &err);
  }
  return push_secret(L, "standard input", b, true);
}

/* ---- .env ---- */

static int l_save_dotenv(lua_State *L) {
  const char *path = pai_l_secret_path(L), *name = luaL_checkstring(L, 2), *value = NULL;
  size_t len = 0;
  pai_error err;
  lua_settop(L, 3);
  if (!lua_isnil(L, 3))
    value = pai_secret_data(pai_l_secret_check(L, 3), &len);
  pai_secret_buf *text = new_buf(L);
  struct stat st;
  if (stat(path, &st) == 0 && pai_secret_read_file(path, text, &err) < 0)
    return pai_l_fail(L, &err);
  int rc = pai_dotenv_edit(text, name, value, len, &err);
  if (rc < 0) {
    char why[sizeof err.message];
    memcpy(why, err.message, sizeof why);
    pai_error_set(&err, rc, "\"%.120s\" is not changed: %.100s", path, why);
    return pai_l_fail(L, &err);
  }
  pai_fs_mode how = {.mode = 0600, .sync = true};
  bool changed = value != NULL || rc > 0;
  if (changed && pai_fs_write(path, text->data, text->len, &how, &err) < 0)
    return pai_l_fail(L, &err);
  lua_pushinteger(L, rc);
  return 1;
}

// Names of the environment's variables and how many bytes each value has. The values stay there.
static int l_env_names(lua_State *L) {
  lua_newtable(L);
  for (char **entry = environ; *entry != NULL; entry++) {
    const char *equals = strchr(*entry, '=');
    if (equals == NULL)
      continue;
    lua_pushlstring(L, *entry, (size_t)(equals - *entry));
    lua_pushinteger(L, (lua_Integer)strlen(equals + 1));
    lua_rawset(L, -3);
  }
  return 1;
}

static const luaL_Reg functions[] = {
    {"env_names", l_env_names},
    {"from_document", l_from_document},
    {"field", l_field},
    {"pick", l_pick},
    {"from_stdin", l_from_stdin},
    {"save_dotenv", l_save_dotenv},
    {NULL, NULL},
};

void pai_l_secret_sources(lua_State *L) {
  luaL_setfuncs(L, functions, 0);
}
