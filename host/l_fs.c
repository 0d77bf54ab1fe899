/* pai.fs: files, folders, paths, locks and processes for Lua. */
#include "fs.h"
#include "l_buf.h"
#include "l_util.h"
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_MT "pai.fs.names"
#define LOCK_MT "pai.fs.lock"
#define READ_MAX ((lua_Integer)256 << 20)
#define WALK_MAX 1000000
#define LOCK_RETRY_MS 20

// A path argument; one with a '\0' in it would name another file in C.
static const char *check_path(lua_State *L, int arg) {
  size_t len;
  luaL_checktype(L, arg, LUA_TSTRING);
  const char *path = lua_tolstring(L, arg, &len);
  luaL_argcheck(L, strlen(path) == len, arg, "a path has a NUL byte in it");
  return path;
}

// Permission bits: an integer, or octal digits such as "0600".
static int mode_value(lua_State *L, int idx, const char *what) {
  lua_Integer mode = -1;
  if (lua_type(L, idx) == LUA_TSTRING) {
    const char *text = lua_tostring(L, idx);
    char *end;
    unsigned long v = strtoul(text, &end, 8);
    if (end != text && *end == '\0' && text[0] >= '0' && text[0] <= '7' && v <= 07777)
      mode = (lua_Integer)v;
  } else if (lua_isinteger(L, idx)) {
    mode = lua_tointeger(L, idx);
  }
  if (mode < 0 || mode > 07777)
    luaL_error(L, "%s must be permission bits: an integer or a string such as \"0600\"", what);
  return (int)mode;
}

static int opt_mode(lua_State *L, int idx) {
  int mode = -1;
  if (lua_isnoneornil(L, idx))
    return mode;
  if (lua_getfield(L, idx, "mode") != LUA_TNIL)
    mode = mode_value(L, -1, "option 'mode'");
  lua_pop(L, 1);
  return mode;
}

// true, or nil and the error.
static int result(lua_State *L, int rc, const pai_error *err) {
  if (rc < 0)
    return pai_l_fail(L, err);
  lua_pushboolean(L, 1);
  return 1;
}

static int result_sys(lua_State *L, int rc, const char *verb, const char *path) {
  pai_error err;
  return result(L, rc < 0 ? pai_fs_error(&err, errno, verb, path) : 0, &err);
}

static int l_read(lua_State *L) {
  static const char *const options[] = {"max", NULL};
  const char *path = check_path(L, 1);
  pai_l_check_options(L, 2, options);
  lua_Integer max = pai_l_opt_integer(L, 2, "max", READ_MAX);
  if (max < 0 || max > (lua_Integer)1 << 40)
    return luaL_error(L, "option 'max' must be a number of bytes");
  pai_error err;
  pai_buf *b = pai_l_new_buf(L, (size_t)max + 1);
  if (pai_fs_read(path, (size_t)max, b, &err) < 0)
    return pai_l_fail(L, &err);
  pai_l_push_buf(L, b);
  return 1;
}

static int l_write(lua_State *L) {
  static const char *const options[] = {"mode", "sync", "exclusive", NULL};
  size_t len;
  const char *path = check_path(L, 1);
  luaL_checktype(L, 2, LUA_TSTRING);
  const char *text = lua_tolstring(L, 2, &len);
  pai_l_check_options(L, 3, options);
  pai_fs_mode how = {.mode = opt_mode(L, 3),
                     .sync = pai_l_opt_bool(L, 3, "sync", true),
                     .exclusive = pai_l_opt_bool(L, 3, "exclusive", false)};
  pai_error err;
  return result(L, pai_fs_write(path, text, len, &how, &err), &err);
}

static int l_append(lua_State *L) {
  static const char *const options[] = {"mode", "sync", NULL};
  size_t len;
  const char *path = check_path(L, 1);
  luaL_checktype(L, 2, LUA_TSTRING);
  const char *text = lua_tolstring(L, 2, &len);
  pai_l_check_options(L, 3, options);
  int mode = opt_mode(L, 3);
  bool sync = pai_l_opt_bool(L, 3, "sync", false);
  pai_error err;
  return result(L, pai_fs_append(path, text, len, mode, sync, &err), &err);
}

static int l_copy(lua_State *L) {
  static const char *const options[] = {"mode", "sync", "exclusive", NULL};
  const char *from = check_path(L, 1), *to = check_path(L, 2);
  pai_l_check_options(L, 3, options);
  pai_fs_mode how = {.mode = opt_mode(L, 3),
                     .sync = pai_l_opt_bool(L, 3, "sync", false),
                     .exclusive = pai_l_opt_bool(L, 3, "exclusive", false)};
  pai_error err;
  pai_loop_state.waiting = 1; // large files take their time, which no watchdog should end
  int rc = pai_fs_copy(from, to, &how, &err);
  pai_loop_state.waiting = 0;
  return result(L, rc, &err);
}

static int l_mkdir(lua_State *L) {
  static const char *const options[] = {"parents", "mode", NULL};
  const char *path = check_path(L, 1);
  pai_l_check_options(L, 2, options);
  bool parents = pai_l_opt_bool(L, 2, "parents", false);
  pai_error err;
  return result(L, pai_fs_mkdir(path, parents, opt_mode(L, 2), &err), &err);
}

static const char *type_name(mode_t mode) {
  switch (mode & S_IFMT) {
  case S_IFREG:
    return "file";
  case S_IFDIR:
    return "directory";
  case S_IFLNK:
    return "link";
  case S_IFIFO:
    return "fifo";
  case S_IFSOCK:
    return "socket";
  default:
    return "device";
  }
}

static void set_integer(lua_State *L, const char *name, lua_Integer v) {
  lua_pushinteger(L, v);
  lua_setfield(L, -2, name);
}

static int l_stat(lua_State *L) {
  static const char *const options[] = {"follow", NULL};
  const char *path = check_path(L, 1);
  pai_l_check_options(L, 2, options);
  struct stat st;
  int rc = pai_l_opt_bool(L, 2, "follow", true) ? stat(path, &st) : lstat(path, &st);
  if (rc < 0)
    return result_sys(L, rc, "look at", path);
  lua_createtable(L, 0, 7);
  lua_pushstring(L, type_name(st.st_mode));
  lua_setfield(L, -2, "type");
  set_integer(L, "size", st.st_size);
  set_integer(L, "mode", st.st_mode & 07777);
  set_integer(L, "mtime_ms", (lua_Integer)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000);
  set_integer(L, "uid", st.st_uid);
  set_integer(L, "ino", (lua_Integer)st.st_ino);
  set_integer(L, "dev", (lua_Integer)st.st_dev);
  return 1;
}

static int names_gc(lua_State *L) {
  pai_fs_names_free(lua_touserdata(L, 1));
  return 0;
}

static pai_fs_names *new_names(lua_State *L) {
  pai_fs_names *names = lua_newuserdatauv(L, sizeof *names, 0);
  *names = (pai_fs_names){0};
  luaL_setmetatable(L, NAMES_MT);
  return names;
}

static int push_names(lua_State *L, pai_fs_names *names, int rc, const pai_error *err) {
  if (rc < 0)
    return pai_l_fail(L, err);
  lua_createtable(L, (int)names->count, 0);
  for (size_t i = 0; i < names->count; i++) {
    lua_pushstring(L, names->items[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  pai_fs_names_free(names);
  return 1;
}

static int l_list(lua_State *L) {
  pai_error err;
  const char *path = check_path(L, 1);
  pai_fs_names *names = new_names(L);
  return push_names(L, names, pai_fs_list(path, names, &err), &err);
}

static int l_walk(lua_State *L) {
  static const char *const options[] = {"max", NULL};
  pai_error err;
  const char *path = check_path(L, 1);
  pai_l_check_options(L, 2, options);
  lua_Integer max = pai_l_opt_integer(L, 2, "max", WALK_MAX);
  pai_fs_names *names = new_names(L);
  return push_names(L, names, pai_fs_walk(path, (size_t)max, names, &err), &err);
}

static int l_glob(lua_State *L) {
  pai_error err;
  const char *pattern = check_path(L, 1);
  pai_fs_names *names = new_names(L);
  return push_names(L, names, pai_fs_glob(pattern, names, &err), &err);
}

static int l_remove(lua_State *L) {
  static const char *const options[] = {"recursive", NULL};
  const char *path = check_path(L, 1);
  pai_l_check_options(L, 2, options);
  bool recursive = pai_l_opt_bool(L, 2, "recursive", false);
  char real[PATH_MAX];
  pai_error err;
  if (recursive && pai_fs_resolve(path, real, &err) == 0 && real[1] == '\0')
    return luaL_error(L, "the root of the file system is not removed");
  return result(L, pai_fs_remove(path, recursive, &err), &err);
}

static int l_rename(lua_State *L) {
  const char *from = check_path(L, 1), *to = check_path(L, 2);
  return result_sys(L, rename(from, to), "rename", from);
}

static int l_link(lua_State *L) {
  const char *target = check_path(L, 1), *path = check_path(L, 2);
  return result_sys(L, link(target, path), "link", path);
}

static int l_symlink(lua_State *L) {
  const char *target = check_path(L, 1), *path = check_path(L, 2);
  return result_sys(L, symlink(target, path), "make the link", path);
}

static int l_chmod(lua_State *L) {
  const char *path = check_path(L, 1);
  int mode = mode_value(L, 2, "argument 2");
  return result_sys(L, chmod(path, (mode_t)mode), "change the mode of", path);
}

static int l_readlink(lua_State *L) {
  const char *path = check_path(L, 1);
  char target[PATH_MAX];
  ssize_t n = readlink(path, target, sizeof target);
  if (n < 0)
    return result_sys(L, -1, "read the link", path);
  lua_pushlstring(L, target, (size_t)n);
  return 1;
}

static int l_realpath(lua_State *L) {
  const char *path = check_path(L, 1);
  char out[PATH_MAX];
  if (realpath(path, out) == NULL)
    return result_sys(L, -1, "resolve", path);
  lua_pushstring(L, out);
  return 1;
}

static int l_exists(lua_State *L) {
  struct stat st;
  lua_pushboolean(L, stat(check_path(L, 1), &st) == 0);
  return 1;
}

static int l_cwd(lua_State *L) {
  char out[PATH_MAX];
  if (getcwd(out, sizeof out) == NULL)
    return result_sys(L, -1, "find", "the working directory");
  lua_pushstring(L, out);
  return 1;
}

static int l_tempdir(lua_State *L) {
  static const char *const options[] = {"prefix", "dir", NULL};
  pai_l_check_options(L, 1, options);
  const char *env = getenv("TMPDIR");
  const char *dir = pai_l_opt_string(L, 1, "dir", env != NULL && *env != '\0' ? env : "/tmp");
  const char *prefix = pai_l_opt_string(L, 1, "prefix", "pai-");
  char path[PATH_MAX];
  pai_error err;
  if (strchr(prefix, '/') != NULL)
    return luaL_error(L, "option 'prefix' must not hold a '/'");
  int n = snprintf(path, sizeof path, "%s/%sXXXXXX", dir, prefix);
  if (n < 0 || (size_t)n >= sizeof path) {
    pai_fs_error(&err, ENAMETOOLONG, "make a folder in", dir);
    return pai_l_fail(L, &err);
  }
  if (mkdtemp(path) == NULL)
    return result_sys(L, -1, "make a folder in", dir);
  lua_pushstring(L, path);
  return 1;
}

static int l_under(lua_State *L) {
  const char *path = check_path(L, 1);
  char real[PATH_MAX], root[PATH_MAX];
  pai_error err;
  luaL_checktype(L, 2, LUA_TTABLE);
  bool under = false;
  bool known = pai_fs_resolve(path, real, &err) == 0;
  lua_Integer n = (lua_Integer)lua_rawlen(L, 2);
  for (lua_Integer i = 1; known && i <= n && !under; i++) {
    if (lua_rawgeti(L, 2, i) != LUA_TSTRING)
      return luaL_error(L, "argument 2 must be a list of paths");
    const char *text = check_path(L, lua_gettop(L));
    under = pai_fs_resolve(text, root, &err) == 0 && pai_fs_is_under(real, root);
    lua_pop(L, 1);
  }
  lua_pushboolean(L, under);
  return 1;
}

static int l_disk_free(lua_State *L) {
  const char *path = check_path(L, 1);
  uint64_t bytes;
  pai_error err;
  if (pai_fs_disk_free(path, &bytes, &err) < 0)
    return pai_l_fail(L, &err);
  lua_pushinteger(L, (lua_Integer)bytes);
  return 1;
}

static int l_join(lua_State *L) {
  int n = lua_gettop(L), first = 1;
  luaL_Buffer b;
  for (int i = 1; i <= n; i++)
    if (check_path(L, i)[0] == '/')
      first = i; // an absolute part begins anew
  luaL_buffinit(L, &b);
  bool slash = true;
  for (int i = first; i <= n; i++) {
    size_t len;
    const char *part = lua_tolstring(L, i, &len);
    if (len == 0)
      continue;
    if (!slash)
      luaL_addchar(&b, '/');
    luaL_addlstring(&b, part, len);
    slash = part[len - 1] == '/';
  }
  luaL_pushresult(&b);
  return 1;
}

// The path without the slashes at its end; "/" stays.
static size_t trimmed(const char *path) {
  size_t len = strlen(path);
  while (len > 1 && path[len - 1] == '/')
    len--;
  return len;
}

static int l_dirname(lua_State *L) {
  const char *path = check_path(L, 1);
  size_t len = trimmed(path);
  while (len > 0 && path[len - 1] != '/')
    len--;
  if (len == 0) {
    lua_pushliteral(L, ".");
    return 1;
  }
  while (len > 1 && path[len - 1] == '/')
    len--;
  lua_pushlstring(L, path, len);
  return 1;
}

static int l_basename(lua_State *L) {
  const char *path = check_path(L, 1);
  size_t len = trimmed(path), start = len;
  while (start > 0 && path[start - 1] != '/')
    start--;
  if (start == len && len == 1)
    start = 0; // the root
  lua_pushlstring(L, path + start, len - start);
  return 1;
}

static int l_abspath(lua_State *L) {
  const char *path = check_path(L, 1);
  const char *base = lua_isnoneornil(L, 2) ? NULL : check_path(L, 2);
  luaL_argcheck(L, base == NULL || base[0] == '/', 2, "the base must be absolute");
  char out[PATH_MAX];
  pai_error err;
  if (pai_fs_abspath(path, base, out, &err) < 0)
    return pai_l_fail(L, &err);
  lua_pushstring(L, out);
  return 1;
}

static int l_process(lua_State *L) {
  lua_Integer pid = luaL_checkinteger(L, 1);
  pai_fs_process info;
  pai_error err;
  if (pid <= 0 || pid > INT32_MAX) {
    pai_error_sys(&err, ESRCH, "look at process %lld", (long long)pid);
    return pai_l_fail(L, &err);
  }
  if (pai_fs_process_info((pid_t)pid, &info, &err) < 0)
    return pai_l_fail(L, &err);
  lua_createtable(L, 0, 4);
  set_integer(L, "start_time", (lua_Integer)info.start_time);
  set_integer(L, "ppid", info.ppid);
  lua_pushlstring(L, &info.state, 1);
  lua_setfield(L, -2, "state");
  lua_pushstring(L, info.cmd);
  lua_setfield(L, -2, "cmd");
  return 1;
}

static int l_boot_id(lua_State *L) {
  char id[64];
  pai_error err;
  if (pai_fs_boot_id(id, &err) < 0)
    return pai_l_fail(L, &err);
  lua_pushstring(L, id);
  return 1;
}

static int l_hostname(lua_State *L) {
  char name[256] = "";
  if (gethostname(name, sizeof name - 1) < 0)
    return result_sys(L, -1, "find", "the host's name");
  lua_pushstring(L, name);
  return 1;
}

static int l_user(lua_State *L) {
  char memory[4096];
  struct passwd entry, *found = NULL;
  lua_Integer asked = luaL_optinteger(L, 1, -1);
  luaL_argcheck(L, lua_isnoneornil(L, 1) || (asked >= 0 && asked < UINT32_MAX), 1, "not a uid");
  uid_t uid = asked < 0 ? geteuid() : (uid_t)asked;
  // A user that is in no list, as in many containers, goes by the number.
  if (getpwuid_r(uid, &entry, memory, sizeof memory, &found) == 0 && found != NULL)
    lua_pushstring(L, found->pw_name);
  else
    lua_pushfstring(L, "%d", (int)uid);
  lua_pushinteger(L, uid);
  return 2;
}

/* ---- locks ---- */

typedef struct lock {
  pai_op op;
  pai_timer timer;
  int fd; // -1: not held
  int64_t give_up_ms;
  const char *path; // a user value holds the string
  int rc;
  pai_error err;
} lock;

static int lock_gc(lua_State *L) {
  lock *k = lua_touserdata(L, 1);
  pai_timer_stop(&k->timer);
  if (k->fd >= 0)
    close(k->fd);
  k->fd = -1;
  return 0;
}

static int l_lock_release(lua_State *L) {
  luaL_checkudata(L, 1, LOCK_MT);
  return lock_gc(L);
}

static lock *check_held(lua_State *L) {
  lock *k = luaL_checkudata(L, 1, LOCK_MT);
  if (k->fd < 0)
    luaL_error(L, "the lock was released");
  return k;
}

// Replaces what is in the locked file; pai.fs.write would put another file in its place.
static int l_lock_write(lua_State *L) {
  lock *k = check_held(L);
  size_t len;
  const char *text = luaL_checklstring(L, 2, &len);
  int rc = lseek(k->fd, 0, SEEK_SET) < 0 || ftruncate(k->fd, 0) < 0 ||
                   pai_fs_write_all(k->fd, text, len) < 0
               ? -1
               : 0;
  return result_sys(L, rc, "write", k->path);
}

static void lock_retry(pai_timer *t) {
  lock *k = t->ud;
  k->rc = pai_fs_try_lock(k->path, &k->fd, &k->err);
  bool again = k->rc < 0 && k->err.sys_errno == EAGAIN && pai_now_ms() < k->give_up_ms;
  pai_error ignored;
  if (!again || pai_timer_start(t, LOCK_RETRY_MS, &ignored) < 0)
    pai_op_complete(&k->op);
}

static void lock_cancel(pai_op *op) {
  lock *k = (lock *)(void *)((char *)op - offsetof(lock, op));
  pai_timer_stop(&k->timer);
  pai_op_complete(op);
}

static int lock_done(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  lock *k = lua_touserdata(L, (int)ctx);
  if (k->rc < 0)
    return pai_l_fail(L, &k->err);
  lua_pushvalue(L, (int)ctx);
  return 1;
}

static int l_lock(lua_State *L) {
  static const char *const options[] = {"wait", NULL};
  const char *path = check_path(L, 1);
  pai_l_check_options(L, 2, options);
  int64_t wait_ms = pai_l_opt_duration(L, 2, "wait", 0);
  lock *k = lua_newuserdatauv(L, sizeof *k, 1);
  *k = (lock){.fd = -1, .path = path};
  k->timer.fn = lock_retry;
  k->timer.ud = k;
  luaL_setmetatable(L, LOCK_MT);
  int at = lua_gettop(L);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, at, 1);
  k->rc = pai_fs_try_lock(path, &k->fd, &k->err);
  if (k->rc == 0 || k->err.sys_errno != EAGAIN || wait_ms == 0)
    return lock_done(L, LUA_OK, at);
  pai_error err;
  k->give_up_ms = pai_now_ms() + wait_ms;
  pai_op_init(&k->op, lock_cancel);
  if (pai_loop_init(&err) < 0 || pai_timer_start(&k->timer, LOCK_RETRY_MS, &err) < 0)
    return pai_l_fail(L, &err);
  return pai_await(L, &k->op, at, lock_done);
}

static const luaL_Reg lock_methods[] = {
    {"release", l_lock_release},
    {"write", l_lock_write},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"read", l_read},
    {"write", l_write},
    {"append", l_append},
    {"copy", l_copy},
    {"mkdir", l_mkdir},
    {"stat", l_stat},
    {"list", l_list},
    {"walk", l_walk},
    {"glob", l_glob},
    {"remove", l_remove},
    {"rename", l_rename},
    {"link", l_link},
    {"symlink", l_symlink},
    {"chmod", l_chmod},
    {"readlink", l_readlink},
    {"realpath", l_realpath},
    {"exists", l_exists},
    {"cwd", l_cwd},
    {"tempdir", l_tempdir},
    {"under", l_under},
    {"disk_free", l_disk_free},
    {"join", l_join},
    {"dirname", l_dirname},
    {"basename", l_basename},
    {"abspath", l_abspath},
    {"process", l_process},
    {"boot_id", l_boot_id},
    {"hostname", l_hostname},
    {"user", l_user},
    {"lock", l_lock},
    {NULL, NULL},
};

int luaopen_pai_fs(lua_State *L);
int luaopen_pai_fs(lua_State *L) {
  luaL_newmetatable(L, NAMES_MT);
  lua_pushcfunction(L, names_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newmetatable(L, LOCK_MT);
  lua_pushcfunction(L, lock_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, lock_gc);
  lua_setfield(L, -2, "__close");
  luaL_newlib(L, lock_methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
