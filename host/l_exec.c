/* pai.exec: run, start, detach. The work is exec.c; the arguments are read in l_exec_args.c.
 *
 * A process is a userdata; whoever waits for it, its lines or room in its stdin joins one queue
 * that is woken when there is something to look at, and looks again. run keeps its process in a
 * to-be-closed slot, so that an error or a cancellation stops it before it goes on. */
#include "l_exec.h"
#include "l_util.h"
#include "l_wait.h"

#include <ctype.h>
#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

int luaopen_pai_exec(lua_State *L);

#define TYPE "pai.exec.proc"
enum { UV_TAKER = 1, UV_RESULT = 2, UV_ACCEPT = 3, UV_COMMAND = 4, UV_COUNT = 4 };
enum { UNWRITTEN_HIGH = 1 << 20 }; // bytes queued for stdin before write waits

typedef struct proc {
  pai_proc *p; // owned
  pai_waitq waiters;
  bool wants_lines; // somebody waits for one
  bool wants_room;  // somebody waits until stdin has taken more
} proc;

static void on_change(void *ud) {
  proc *x = ud;
  const char *line;
  size_t len;
  int stream;
  if (x->waiters.first != NULL &&
      (pai_proc_over(x->p) || (x->wants_lines && pai_proc_line(x->p, &line, &len, &stream)) ||
       (x->wants_room && pai_proc_unwritten(x->p) <= UNWRITTEN_HIGH)))
    pai_waitq_wake(&x->waiters);
}

static proc *check_proc(lua_State *L, int idx) {
  return luaL_checkudata(L, idx, TYPE);
}

/* Results. */

static void push_output(lua_State *L, proc *x, int stream) {
  pai_secret_buf *locked = pai_proc_secret(x->p, stream);
  if (locked == NULL) {
    pai_buf *text = pai_proc_text(x->p, stream);
    lua_pushlstring(L, text->len > 0 ? text->data : "", text->len);
    pai_buf_free(text);
    return;
  }
  char name[128];
  lua_getiuservalue(L, 1, UV_COMMAND);
  snprintf(name, sizeof name, "output of %.100s", lua_tostring(L, -1));
  lua_pop(L, 1);
  pai_error err;
  pai_secret *s = pai_secret_buf_take(locked, name, true, &err);
  if (s == NULL)
    pai_l_raise(L, &err);
  pai_secret_push(L, s);
}

static const char *signal_name(int signo, char *name, size_t size) {
  const char *abbrev = sigabbrev_np(signo);
  if (abbrev != NULL)
    snprintf(name, size, "SIG%s", abbrev);
  else
    snprintf(name, size, "signal %d", signo);
  return name;
}

// Pushes the result table of the process at 1, made once.
static void push_result(lua_State *L, proc *x, const pai_proc_status *st) {
  if (lua_getiuservalue(L, 1, UV_RESULT) == LUA_TTABLE)
    return;
  lua_pop(L, 1);
  lua_createtable(L, 0, 8);
  push_output(L, x, 1);
  lua_setfield(L, -2, "stdout");
  push_output(L, x, 2);
  lua_setfield(L, -2, "stderr");
  if (st->signal == 0) {
    lua_pushinteger(L, st->code);
    lua_setfield(L, -2, "code");
  } else {
    char name[32];
    lua_pushstring(L, signal_name(st->signal, name, sizeof name));
    lua_setfield(L, -2, "signal");
    lua_pushinteger(L, st->signal);
    lua_setfield(L, -2, "signo");
  }
  lua_pushinteger(L, st->duration_ms);
  lua_setfield(L, -2, "duration_ms");
  lua_pushboolean(L, st->truncated);
  lua_setfield(L, -2, "truncated");
  lua_pushboolean(L, st->held);
  lua_setfield(L, -2, "held");
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, UV_RESULT);
}

static bool is_accepted(lua_State *L, const pai_proc_status *st) {
  if (st->signal != 0 || st->timed_out)
    return false;
  int type = lua_getiuservalue(L, 1, UV_ACCEPT);
  bool accepted = type == LUA_TNIL ? st->code == 0 : type == LUA_TSTRING; // "any"
  for (lua_Integer i = 1; type == LUA_TTABLE && !accepted; i++) {
    if (lua_rawgeti(L, -1, i) == LUA_TNIL) {
      lua_pop(L, 1);
      break;
    }
    accepted = lua_tointeger(L, -1) == st->code;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return accepted;
}

// The last line of text that says something, of at most 160 bytes.
static const char *last_line(const char *text, size_t len, int *out_len) {
  while (len > 0 && isspace((unsigned char)text[len - 1]))
    len--;
  size_t from = len;
  while (from > 0 && text[from - 1] != '\n')
    from--;
  while (from < len && isspace((unsigned char)text[from]))
    from++;
  size_t n = len - from < 160 ? len - from : 160;
  while (n > 0 && n < len - from && ((unsigned char)text[from + n] & 0xC0) == 0x80)
    n--; // not inside a character
  *out_len = (int)n;
  return text + from;
}

// What the child said last, for the message. The result is on top of the stack.
static const char *complaint(lua_State *L, int *len) {
  static const char *const streams[] = {"stderr", "stdout"};
  *len = 0;
  for (int i = 0; i < 2 && *len == 0; i++) {
    size_t size;
    const char *text =
        lua_getfield(L, -1, streams[i]) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : NULL;
    lua_pop(L, 1); // the result keeps it
    if (text != NULL)
      text = last_line(text, size, len);
    if (*len > 0)
      return text;
  }
  return "";
}

// The result on top is a failure: returns nil and the error.
static int push_failure(lua_State *L, const pai_proc_status *st) {
  int result = lua_gettop(L);
  lua_getiuservalue(L, 1, UV_COMMAND);
  const char *command = lua_tostring(L, -1);
  lua_pushvalue(L, result);
  int len;
  char name[32], how[64];
  const char *said = complaint(L, &len);
  if (st->signal != 0)
    snprintf(how, sizeof how, "was ended by %s", signal_name(st->signal, name, sizeof name));
  else
    snprintf(how, sizeof how, "ended with exit code %d", st->code);
  pai_error err;
  if (st->timed_out)
    pai_error_set(&err, PAI_E_TIMEOUT, "\"%.60s\" was stopped after its timeout of %lld ms",
                  command, (long long)st->timeout_ms);
  else
    pai_error_set(&err, PAI_E_SYS, "\"%.60s\" %s%s%.*s", command, how, len > 0 ? ": " : "", len,
                  said);
  pai_exec_mask_error(&err); // raw output was not
  lua_settop(L, result);
  lua_pushnil(L);
  pai_l_push_error(L, &err);
  if (!st->timed_out) {
    lua_pushliteral(L, "EEXIT");
    lua_setfield(L, -2, "code");
  }
  lua_getfield(L, result, "code");
  lua_setfield(L, -2, "exit");
  static const char *const fields[] = {"signal", "signo", "stdout", "stderr", "duration_ms", NULL};
  for (const char *const *f = fields; *f != NULL; f++) {
    lua_getfield(L, result, *f);
    lua_setfield(L, -2, *f);
  }
  return 2;
}

static int finish(lua_State *L, proc *x) {
  pai_proc_status st;
  pai_error err;
  if (pai_proc_get_status(x->p, &st, &err) < 0)
    return pai_l_fail(L, &err);
  push_result(L, x, &st);
  return is_accepted(L, &st) ? 1 : push_failure(L, &st);
}

/* Waiting. The process is at 1. */

// Others' news (a line that nobody reads any more) wake it too.
static int stop_step(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  proc *x = check_proc(L, 1);
  pai_l_wait *w = lua_touserdata(L, 2);
  while (x->p != NULL && !pai_proc_over(x->p)) {
    pai_l_wait_join(w, &x->waiters);
    if (!pai_op_ready(L, &w->waiter.op))
      return pai_await(L, &w->waiter.op, ctx, stop_step);
  }
  if (pai_task_current() != NULL)
    pai_task_shield(pai_task_current(), -1);
  return 0;
}

// __close, stop: TERM, grace, KILL; goes on when it is over, also in a cancelled task.
static int l_proc_stop(lua_State *L) {
  proc *x = check_proc(L, 1);
  if (x->p == NULL || pai_proc_over(x->p))
    return 0;
  lua_settop(L, 1);
  pai_l_wait_push(L, 1, -1);
  pai_proc_stop(x->p);
  if (pai_task_current() != NULL)
    pai_task_shield(pai_task_current(), 1);
  return stop_step(L, LUA_OK, 0);
}

static int l_proc_gc(lua_State *L) {
  proc *x = lua_touserdata(L, 1);
  pai_proc_free(x->p);
  x->p = NULL;
  return 0;
}

static void join(lua_State *L, proc *x) {
  pai_l_wait_join(lua_touserdata(L, 2), &x->waiters);
}

// At 1 the process, at 2 the wait, at 3 the function for lines or nil.
static int wait_step(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  proc *x = check_proc(L, 1);
  pai_l_wait *w = lua_touserdata(L, 2);
  for (;;) {
    lua_settop(L, 3);
    const char *line;
    size_t len;
    int stream;
    x->wants_lines = !lua_isnil(L, 3);
    while (x->wants_lines && pai_proc_line(x->p, &line, &len, &stream)) {
      lua_pushvalue(L, 3);
      lua_pushlstring(L, line, len);
      lua_pushstring(L, stream == 1 ? "stdout" : "stderr");
      pai_proc_drop_line(x->p);
      lua_callk(L, 2, 0, ctx, wait_step);
    }
    if (pai_proc_over(x->p)) {
      pai_l_wait_end(w);
      return finish(L, x);
    }
    if (w->timed_out) {
      pai_error err;
      pai_error_set(&err, PAI_E_TIMEOUT, "wait for a process: it has not ended in time");
      return pai_l_fail(L, &err);
    }
    join(L, x);
    if (!pai_op_ready(L, &w->waiter.op))
      return pai_await(L, &w->waiter.op, ctx, wait_step);
  }
}

static int64_t opt_timeout(lua_State *L, int arg) {
  return lua_isnoneornil(L, arg) ? -1 : pai_l_check_duration(L, arg);
}

static int l_proc_wait(lua_State *L) {
  proc *x = check_proc(L, 1);
  int64_t timeout_ms = opt_timeout(L, 2);
  lua_settop(L, 1);
  pai_l_wait_push(L, 1, timeout_ms);
  if (lua_getiuservalue(L, 1, UV_TAKER) == LUA_TNIL)
    pai_proc_unbound(x->p);
  return wait_step(L, LUA_OK, 0);
}

static int read_line_step(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  proc *x = check_proc(L, 1);
  pai_l_wait *w = lua_touserdata(L, 2);
  for (;;) {
    const char *line;
    size_t len;
    int stream;
    if (pai_proc_line(x->p, &line, &len, &stream)) {
      pai_l_wait_end(w);
      lua_pushlstring(L, line, len);
      lua_pushstring(L, stream == 1 ? "stdout" : "stderr");
      pai_proc_drop_line(x->p);
      return 2;
    }
    pai_error err;
    if (pai_proc_over(x->p)) {
      pai_proc_status st;
      if (pai_proc_get_status(x->p, &st, &err) < 0)
        return pai_l_fail(L, &err);
      lua_pushnil(L);
      return 1;
    }
    if (w->timed_out) {
      pai_error_set(&err, PAI_E_TIMEOUT, "read a line of a process: none came in time");
      return pai_l_fail(L, &err);
    }
    x->wants_lines = true;
    join(L, x);
    if (!pai_op_ready(L, &w->waiter.op))
      return pai_await(L, &w->waiter.op, ctx, read_line_step);
  }
}

static int l_proc_read_line(lua_State *L) {
  proc *x = check_proc(L, 1);
  int64_t timeout_ms = opt_timeout(L, 2);
  pai_error err;
  if (pai_proc_want_lines(x->p, &err) < 0)
    return pai_l_fail(L, &err);
  lua_settop(L, 1);
  pai_l_wait_push(L, 1, timeout_ms);
  return read_line_step(L, LUA_OK, 0);
}

static int write_step(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  proc *x = check_proc(L, 1);
  pai_l_wait *w = lua_touserdata(L, 2);
  while (pai_proc_unwritten(x->p) > UNWRITTEN_HIGH) {
    x->wants_room = true;
    join(L, x);
    if (!pai_op_ready(L, &w->waiter.op))
      return pai_await(L, &w->waiter.op, ctx, write_step);
  }
  x->wants_room = false;
  pai_l_wait_end(w);
  lua_pushboolean(L, 1);
  return 1;
}

// Writes the text or secret at idx.
static int put(lua_State *L, proc *x, int idx, pai_error *err) {
  const pai_secret *s = pai_secret_test(L, idx);
  size_t len;
  const char *text = s != NULL ? pai_secret_data(s, &len) : luaL_checklstring(L, idx, &len);
  return pai_proc_write(x->p, text, len, s != NULL, err);
}

static int l_proc_write(lua_State *L) {
  proc *x = check_proc(L, 1);
  pai_error err;
  if (put(L, x, 2, &err) < 0)
    return pai_l_fail(L, &err);
  lua_settop(L, 1);
  pai_l_wait_push(L, 1, -1);
  return write_step(L, LUA_OK, 0);
}

static int l_proc_close_stdin(lua_State *L) {
  pai_proc_close_stdin(check_proc(L, 1)->p);
  return 0;
}

static int l_proc_kill(lua_State *L) {
  proc *x = check_proc(L, 1);
  const char *name = luaL_optstring(L, 2, "TERM");
  if (strncmp(name, "SIG", 3) == 0)
    name += 3;
  int signo = 1;
  const char *abbrev = sigabbrev_np(signo);
  while (signo < NSIG && (abbrev == NULL || strcmp(abbrev, name) != 0))
    abbrev = sigabbrev_np(++signo);
  luaL_argcheck(L, signo < NSIG, 2, "not the name of a signal");
  pai_error err;
  if (pai_proc_kill(x->p, signo, &err) < 0)
    return pai_l_fail(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}

static int l_proc_index(lua_State *L) {
  proc *x = check_proc(L, 1);
  const char *key = luaL_checkstring(L, 2);
  if (strcmp(key, "pid") == 0) {
    lua_pushinteger(L, pai_proc_pid(x->p));
  } else if (strcmp(key, "start_time") == 0) {
    lua_pushinteger(L, (lua_Integer)pai_proc_start_time(x->p));
  } else {
    lua_pushvalue(L, 2);
    lua_rawget(L, lua_upvalueindex(1));
  }
  return 1;
}

static int l_proc_tostring(lua_State *L) {
  lua_pushfstring(L, "process %d", (int)pai_proc_pid(check_proc(L, 1)->p));
  return 1;
}

/* Starting. */

static const char *const start_options[] = {
    "cwd",  "env",     "inherit_env", "stdin",      "stdout", "stderr", "timeout",   "grace",
    "hold", "on_line", "on_output",   "max_output", "accept", "raw",    "mounts_of", NULL};
static const char *const run_options[] = {
    "cwd",     "env",   "inherit_env", "stdin",     "stdout",    "stderr",
    "timeout", "grace", "hold",        "on_line",   "on_output", "max_output",
    "accept",  "raw",   "on_start",    "mounts_of", NULL};
static const char *const detach_options[] = {"cwd",    "env",    "inherit_env", "stdin",
                                             "stdout", "stderr", NULL};

// Copies option `name` into user value uv of the process on top, if it has one of the two types.
static bool keep_option(lua_State *L, const char *name, int uv, int type, int other) {
  if (lua_isnoneornil(L, 2))
    return false;
  int is = lua_getfield(L, 2, name);
  if (is != LUA_TNIL && is != type && is != other)
    luaL_error(L, "option '%s' must not be a %s", name, lua_typename(L, is));
  if (is == LUA_TNIL)
    lua_pop(L, 1);
  else
    lua_setiuservalue(L, -2, uv);
  return is != LUA_TNIL;
}

// Pushes the new process, or returns NULL with the error set.
static proc *start(lua_State *L, exec_kind kind, pai_error *err) {
  lua_settop(L, 2);
  pai_l_check_options(L, 2, kind == EXEC_RUN ? run_options : start_options);
  exec_args *a = pai_l_exec_args(L, kind, err);
  if (a == NULL)
    return NULL;
  proc *x = lua_newuserdatauv(L, sizeof *x, UV_COUNT);
  *x = (proc){.p = NULL};
  luaL_setmetatable(L, TYPE);
  a->spec.lines = keep_option(L, "on_line", UV_TAKER, LUA_TFUNCTION, LUA_TFUNCTION);
  a->spec.pieces = keep_option(L, "on_output", UV_TAKER, LUA_TFUNCTION, LUA_TFUNCTION);
  if (a->spec.lines && a->spec.pieces)
    luaL_error(L, "options 'on_line' and 'on_output' exclude each other");
  keep_option(L, "accept", UV_ACCEPT, LUA_TTABLE, LUA_TSTRING);
  if (lua_getiuservalue(L, -1, UV_ACCEPT) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "any") != 0)
    luaL_error(L, "option 'accept' must be a list of exit codes or \"any\"");
  lua_pop(L, 1);
  lua_pushstring(L, a->argv[0]);
  lua_setiuservalue(L, -2, UV_COMMAND);
  int rc = pai_exec_start(&a->spec, on_change, x, &x->p, err);
  bool feed = a->feed;
  pai_l_exec_args_clear(a);
  if (rc < 0)
    return NULL;
  if (feed) {
    lua_getfield(L, 2, "stdin");
    put(L, x, lua_gettop(L), err); // a child that does not read it is none of our business
    pai_proc_close_stdin(x->p);
    lua_pop(L, 1);
  }
  return x;
}

static int l_start(lua_State *L) {
  pai_error err;
  return start(L, EXEC_START, &err) != NULL ? 1 : pai_l_fail(L, &err);
}

static int l_run(lua_State *L) {
  pai_error err;
  proc *x = start(L, EXEC_RUN, &err);
  if (x == NULL)
    return pai_l_fail(L, &err);
  lua_insert(L, 1); // process, argv, options, …
  lua_settop(L, 3);
  lua_toclose(L, 1);
  bool told = !lua_isnil(L, 3) && lua_getfield(L, 3, "on_start") != LUA_TNIL;
  lua_getiuservalue(L, 1, UV_TAKER);
  lua_replace(L, 3);
  pai_l_wait_push(L, 1, -1);
  lua_replace(L, 2);
  if (told) {
    lua_pushinteger(L, pai_proc_pid(x->p));
    lua_pushinteger(L, (lua_Integer)pai_proc_start_time(x->p));
    lua_callk(L, 2, 0, 0, wait_step);
  }
  return wait_step(L, LUA_OK, 0);
}

static int l_detach(lua_State *L) {
  pai_error err;
  pid_t pid;
  lua_settop(L, 2);
  pai_l_check_options(L, 2, detach_options);
  exec_args *a = pai_l_exec_args(L, EXEC_DETACH, &err);
  if (a == NULL)
    return pai_l_fail(L, &err);
  int rc = pai_exec_detach(&a->spec, &pid, &err);
  pai_l_exec_args_clear(a);
  if (rc < 0)
    return pai_l_fail(L, &err);
  lua_pushinteger(L, pid);
  return 1;
}

static const luaL_Reg methods[] = {{"wait", l_proc_wait},
                                   {"kill", l_proc_kill},
                                   {"stop", l_proc_stop},
                                   {"write", l_proc_write},
                                   {"close_stdin", l_proc_close_stdin},
                                   {"read_line", l_proc_read_line},
                                   {NULL, NULL}};

static const luaL_Reg meta[] = {
    {"__gc", l_proc_gc}, {"__close", l_proc_stop}, {"__tostring", l_proc_tostring}, {NULL, NULL}};

static const luaL_Reg functions[] = {
    {"run", l_run}, {"start", l_start}, {"detach", l_detach}, {NULL, NULL}};

int luaopen_pai_exec(lua_State *L) {
  pai_l_exec_args_open(L);
  luaL_newmetatable(L, TYPE);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_pushcclosure(L, l_proc_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  luaL_newlib(L, functions);
  return 1;
}
