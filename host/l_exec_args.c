/* The arguments of pai.exec's functions: argument vector, environment, streams. A secret may go
 * into the environment and stdin; in the argument vector, which every user of the machine can read,
 * it is refused. */
#include "l_exec.h"

#include "alloc.h"
#include "fs.h"
#include "l_util.h"
#include "mask.h"

#include <errno.h>
#include <fcntl.h>
#include <lauxlib.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define TYPE "pai.exec.args"
enum { MAX_OUTPUT = 16 << 20, GRACE_MS = 5000, HOLD_MS = 500, UV_KEEP = 1 };

// What a child sees of our environment unless it is told more.
static const char *const inherited[] = {"PATH", "HOME", "USER",   "LANG", "LC_ALL",
                                        "TZ",   "TERM", "TMPDIR", NULL};

extern char **environ;

void pai_l_exec_args_clear(exec_args *a) {
  pai_free(a->argv);
  pai_free(a->envp);
  pai_buf_free(&a->env);
  pai_secret_buf_free(&a->locked);
  for (int i = 0; i < 3; i++)
    if (a->files[i] >= 0)
      close(a->files[i]);
  *a = (exec_args){.files = {-1, -1, -1}};
  pai_buf_init(&a->env, SIZE_MAX / 4);
}

static int args_gc(lua_State *L) {
  pai_l_exec_args_clear(lua_touserdata(L, 1));
  return 0;
}

void pai_l_exec_args_open(lua_State *L) {
  luaL_newmetatable(L, TYPE);
  lua_pushcfunction(L, args_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

static void *checked(lua_State *L, void *block) {
  return block != NULL ? block : (void *)(intptr_t)luaL_error(L, "not enough memory");
}

/* argv. `keep` is the index of a table that keeps the strings. */

static void refuse_secret(lua_State *L, int i, const char *command) {
  pai_error err;
  pai_error_set(&err, PAI_E_DENIED,
                "argument %d of \"%.80s\" is a secret: every user of the machine could read it; "
                "hand it over by env, stdin or a file",
                i - 1, command);
  pai_l_raise(L, &err);
}

static void read_argv(lua_State *L, exec_args *a, int keep) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer n = luaL_len(L, 1);
  luaL_argcheck(L, n > 0 && n < INT32_MAX, 1, "an empty argument list");
  a->argv = checked(L, pai_calloc((size_t)n + 1, sizeof *a->argv));
  for (int i = 1; i <= n; i++) {
    lua_geti(L, 1, i);
    if (pai_secret_test(L, -1) != NULL)
      refuse_secret(L, i, i > 1 ? a->argv[0] : "the command");
    if (lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER)
      luaL_error(L, "argument %d must be a string, not %s", i - 1, luaL_typename(L, -1));
    size_t len;
    const char *text = lua_tolstring(L, -1, &len);
    if (strlen(text) != len)
      luaL_error(L, "argument %d holds a NUL byte", i - 1);
    if (pai_mask_find(text, len))
      refuse_secret(L, i, i > 1 ? a->argv[0] : "the command");
    a->argv[i - 1] = (char *)text;
    lua_rawseti(L, keep, i);
  }
  if (a->argv[0][0] == '\0')
    luaL_argerror(L, 1, "the command is empty");
}

/* The environment. */

static bool is_inherited(const char *entry, size_t name_len) {
  if (strncmp(entry, "XDG_", 4) == 0)
    return true;
  for (const char *const *n = inherited; *n != NULL; n++)
    if (strlen(*n) == name_len && strncmp(entry, *n, name_len) == 0)
      return true;
  return false;
}

// Whether the table at idx sets (or with false removes) the variable of that name.
static bool is_named(lua_State *L, int idx, const char *name, size_t len) {
  if (lua_isnil(L, idx))
    return false;
  lua_pushlstring(L, name, len);
  bool named = lua_rawget(L, idx) != LUA_TNIL;
  lua_pop(L, 1);
  return named;
}

// The value on top of the stack as bytes; NULL for false. secret: it is one.
static const char *env_value(lua_State *L, const char *name, size_t *len, bool *secret) {
  const pai_secret *s = pai_secret_test(L, -1);
  *secret = s != NULL;
  *len = 0;
  if (lua_type(L, -1) == LUA_TBOOLEAN && !lua_toboolean(L, -1))
    return NULL;
  if (s == NULL && lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER)
    luaL_error(L, "option 'env': %s must be a string, a secret, or false", name);
  const char *value = s != NULL ? pai_secret_data(s, len) : luaL_tolstring(L, -1, len);
  if (s == NULL)
    lua_replace(L, -2); // a number's text replaces it
  if (memchr(value, '\0', *len) != NULL)
    luaL_error(L, "option 'env': %s holds a NUL byte", name);
  return value;
}

static const char *env_name(lua_State *L) {
  size_t len;
  const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &len) : NULL;
  if (name == NULL || len == 0 || strlen(name) != len || strchr(name, '=') != NULL)
    luaL_error(L, "option 'env': the name of a variable must be a string without '='");
  return name;
}

// Sizes the table at idx: bytes needed for its entries; counts them; notes whether one is a secret.
static size_t measure_env(lua_State *L, int idx, size_t *count, bool *secret) {
  size_t total = 0;
  *count = 0;
  *secret = false;
  for (lua_pushnil(L); lua_next(L, idx) != 0; lua_pop(L, 1)) {
    size_t len;
    bool is_secret;
    const char *name = env_name(L);
    if (env_value(L, name, &len, &is_secret) == NULL)
      continue;
    *secret = *secret || is_secret;
    *count += 1;
    total += strlen(name) + len + 2;
  }
  return total;
}

// Writes NAME=VALUE entries at `at`, which has room for them, and points envp at them.
static void fill_env(lua_State *L, int idx, char *at, char **envp) {
  for (lua_pushnil(L); lua_next(L, idx) != 0; lua_pop(L, 1)) {
    size_t len;
    bool secret;
    const char *name = env_name(L);
    const char *value = env_value(L, name, &len, &secret);
    if (value == NULL)
      continue;
    size_t name_len = strlen(name);
    *envp++ = at;
    memcpy(at, name, name_len);
    at[name_len] = '=';
    memcpy(at + name_len + 1, value, len);
    at += name_len + len + 2;
    at[-1] = '\0';
  }
}

static void read_env(lua_State *L, exec_args *a, bool whole) {
  int idx = lua_gettop(L) + 1;
  if (lua_isnoneornil(L, 2))
    lua_pushnil(L);
  else if (lua_getfield(L, 2, "env") != LUA_TNIL && !lua_istable(L, -1))
    luaL_error(L, "option 'env' must be a table");
  size_t ours = 0, count = 0, total = 0, n = 0;
  bool secret = false;
  while (environ != NULL && environ[ours] != NULL)
    ours++;
  if (lua_istable(L, idx))
    total = measure_env(L, idx, &count, &secret);
  a->envp = checked(L, pai_calloc(ours + count + 1, sizeof *a->envp));
  for (size_t i = 0; i < ours; i++) {
    size_t len = strcspn(environ[i], "=");
    if ((whole || is_inherited(environ[i], len)) && !is_named(L, idx, environ[i], len))
      a->envp[n++] = environ[i];
  }
  pai_error err;
  if (secret && pai_secret_buf_reserve(&a->locked, total, &err) < 0)
    pai_l_raise(L, &err);
  if (!secret && pai_buf_reserve(&a->env, total) < 0)
    luaL_error(L, "not enough memory");
  if (secret)
    a->locked.len = total; // so that all of it is wiped
  if (count > 0)
    fill_env(L, idx, secret ? a->locked.data : a->env.data, a->envp + n);
  for (char **e = a->envp; *e != NULL; e++)
    if (strncmp(*e, "PATH=", 5) == 0)
      a->spec.search = *e + 5;
  lua_settop(L, idx - 1);
}

/* Streams. */

static int open_file(lua_State *L, int stream, exec_args *a, pai_error *err) {
  static const char *const in_options[] = {"file", NULL};
  static const char *const out_options[] = {"file", "append", "mode", NULL};
  pai_l_check_options(L, -1, stream == 0 ? in_options : out_options);
  const char *path = pai_l_opt_string(L, -1, "file", NULL);
  if (path == NULL)
    luaL_error(L, "a stream given as a table needs 'file'");
  int how = O_RDONLY;
  if (stream != 0)
    how = O_WRONLY | O_CREAT | (pai_l_opt_bool(L, -1, "append", false) ? O_APPEND : O_TRUNC);
  mode_t mode = (mode_t)(stream != 0 ? pai_l_opt_integer(L, -1, "mode", 0600) : 0);
  int fd = open(path, how | O_CLOEXEC | O_NOCTTY, mode & 0777);
  if (fd < 0)
    return pai_fs_error(err, errno, "open", path);
  a->files[stream] = fd;
  a->spec.std[stream] = fd;
  return 0;
}

static int out_kind(const char *text, int stream, int capture) {
  if (strcmp(text, "capture") == 0 && capture != PAI_EXEC_NULL)
    return PAI_EXEC_PIPE;
  if (strcmp(text, "null") == 0)
    return PAI_EXEC_NULL;
  if (strcmp(text, "inherit") == 0 && capture != PAI_EXEC_NULL)
    return PAI_EXEC_INHERIT;
  if (strcmp(text, "secret") == 0 && capture != PAI_EXEC_NULL)
    return PAI_EXEC_SECRET;
  return strcmp(text, "stdout") == 0 && stream == 2 ? PAI_EXEC_STDOUT : 0;
}

// stdout and stderr. def: where it goes when nothing is said, PAI_EXEC_NULL for a detached child.
static int read_out(lua_State *L, exec_args *a, int stream, int def, pai_error *err) {
  const char *option = stream == 1 ? "stdout" : "stderr";
  int rc = 0;
  a->spec.std[stream] = def;
  if (lua_isnoneornil(L, 2))
    return 0;
  int type = lua_getfield(L, 2, option);
  if (type == LUA_TTABLE) {
    rc = open_file(L, stream, a, err);
  } else if (type != LUA_TNIL) {
    int kind = type == LUA_TSTRING ? out_kind(lua_tostring(L, -1), stream, def) : 0;
    if (kind == 0)
      luaL_error(L, "option '%s' must be %s", option,
                 def == PAI_EXEC_NULL
                     ? "\"null\", \"stdout\" (stderr only), or { file = PATH }"
                     : "\"capture\", \"null\", \"inherit\", \"secret\", \"stdout\" "
                       "(stderr only), or { file = PATH }");
    a->spec.std[stream] = kind;
  }
  lua_pop(L, 1);
  return rc;
}

// What is text or a secret is written after the start, from the options table.
static int read_in(lua_State *L, exec_args *a, exec_kind kind, pai_error *err) {
  int rc = 0;
  a->spec.std[0] = PAI_EXEC_NULL;
  if (lua_isnoneornil(L, 2))
    return 0;
  int type = lua_getfield(L, 2, "stdin");
  const char *text = type == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  if (type == LUA_TTABLE) {
    rc = open_file(L, 0, a, err);
  } else if (text != NULL && strcmp(text, "inherit") == 0 && kind != EXEC_DETACH) {
    a->spec.std[0] = PAI_EXEC_INHERIT;
  } else if (text == NULL || strcmp(text, "null") != 0) {
    if (kind == EXEC_DETACH && type != LUA_TNIL)
      luaL_error(L, "option 'stdin' must be \"null\" or { file = PATH }");
    if (type != LUA_TNIL && type != LUA_TSTRING && pai_secret_test(L, -1) == NULL)
      luaL_error(L, "option 'stdin' must be text, a secret, { file = PATH }, \"null\", \"pipe\" or "
                    "\"inherit\"");
    a->spec.std[0] = type != LUA_TNIL ? PAI_EXEC_PIPE : PAI_EXEC_NULL;
    a->feed = type != LUA_TNIL && (text == NULL || strcmp(text, "pipe") != 0);
  }
  lua_pop(L, 1);
  return rc;
}

exec_args *pai_l_exec_args(lua_State *L, exec_kind kind, pai_error *err) {
  exec_args *a = lua_newuserdatauv(L, sizeof *a, 1);
  *a = (exec_args){.files = {-1, -1, -1}};
  pai_buf_init(&a->env, SIZE_MAX / 4);
  luaL_setmetatable(L, TYPE);
  lua_newtable(L);
  int keep = lua_gettop(L);
  lua_pushvalue(L, keep);
  lua_setiuservalue(L, keep - 1, UV_KEEP);
  read_argv(L, a, keep);
  lua_settop(L, keep - 1);
  read_env(L, a, pai_l_opt_bool(L, 2, "inherit_env", false));
  lua_Integer max = pai_l_opt_integer(L, 2, "max_output", MAX_OUTPUT);
  if (max < 0)
    luaL_error(L, "option 'max_output' must not be negative");
  lua_Integer mounts_of = pai_l_opt_integer(L, 2, "mounts_of", 0);
  if (mounts_of < 0 || mounts_of > INT32_MAX)
    luaL_error(L, "option 'mounts_of' must be the number of a process");
  a->spec = (pai_exec_spec){.argv = a->argv,
                            .envp = a->envp,
                            .search = a->spec.search,
                            .cwd = pai_l_opt_string(L, 2, "cwd", NULL),
                            .mounts_of = (pid_t)mounts_of,
                            .detach = kind == EXEC_DETACH,
                            .raw = pai_l_opt_bool(L, 2, "raw", false),
                            .text = true,
                            .max_output = (size_t)max,
                            .timeout_ms = pai_l_opt_duration(L, 2, "timeout", -1),
                            .grace_ms = pai_l_opt_duration(L, 2, "grace", GRACE_MS),
                            .hold_ms = pai_l_opt_duration(L, 2, "hold", HOLD_MS)};
  int def = kind == EXEC_DETACH ? PAI_EXEC_NULL : PAI_EXEC_PIPE;
  if (read_in(L, a, kind, err) < 0 || read_out(L, a, 1, def, err) < 0 ||
      read_out(L, a, 2, def, err) < 0) {
    lua_settop(L, keep - 2);
    return NULL;
  }
  return a;
}
