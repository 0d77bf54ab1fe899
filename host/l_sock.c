/* pai.sock: TCP connections, unix sockets and standard input as streams. Nothing is buffered here:
 * a read takes what there is, a write waits until all of it has gone. */
#include "l_util.h"
#include "l_wait.h"
#include "sock.h"
#include "task.h"

#include <string.h>
#include <sys/epoll.h>

#define SOCK "pai.sock"

enum { PIECE = 16384 };

typedef struct sock {
  pai_sock s;
  pai_waitq readers, writers;
} sock;

int luaopen_pai_sock(lua_State *L);

static void on_wake(void *ud, uint32_t events) {
  sock *x = ud;
  if ((events & ~(uint32_t)EPOLLOUT) != 0)
    pai_waitq_wake(&x->readers);
  if ((events & ~(uint32_t)EPOLLIN) != 0)
    pai_waitq_wake(&x->writers);
  // The watch has ended with the event. Whoever is not woken by it would never be.
  uint32_t left = (x->readers.first != NULL ? (uint32_t)EPOLLIN : 0u) |
                  (x->writers.first != NULL ? (uint32_t)EPOLLOUT : 0u);
  pai_error err;
  if (left != 0 && pai_sock_want(&x->s, left, &err) < 0) {
    pai_waitq_wake(&x->readers);
    pai_waitq_wake(&x->writers);
  }
}

static sock *new_sock(lua_State *L) {
  sock *x = lua_newuserdatauv(L, sizeof *x, 0);
  *x = (sock){.s = {.wake = on_wake, .ud = x, .fd = -1}};
  luaL_setmetatable(L, SOCK);
  return x;
}

static sock *check_sock(lua_State *L) {
  return luaL_checkudata(L, 1, SOCK);
}

static int l_close(lua_State *L) {
  sock *x = check_sock(L);
  pai_sock_close(&x->s);
  pai_waitq_wake(&x->readers);
  pai_waitq_wake(&x->writers);
  return 0;
}

static int fail_closed(lua_State *L) {
  pai_error err;
  pai_error_set(&err, PAI_E_CLOSED, "the connection is closed");
  return pai_l_fail(L, &err);
}

static int fail_timeout(lua_State *L, const char *what) {
  pai_error err;
  pai_error_set(&err, PAI_E_TIMEOUT, "%s in time", what);
  return pai_l_fail(L, &err);
}

static int64_t opt_timeout(lua_State *L, int arg) {
  return lua_isnoneornil(L, arg) ? -1 : pai_l_check_duration(L, arg);
}

// The wait at idx, joined; NULL with the error pushed.
static pai_op *join(lua_State *L, sock *x, int idx, uint32_t events) {
  pai_error err;
  pai_l_wait *w = lua_touserdata(L, idx);
  pai_l_wait_join(w, events == EPOLLIN ? &x->readers : &x->writers);
  if (pai_sock_want(&x->s,
                    events | (x->writers.first != NULL ? (uint32_t)EPOLLOUT : 0u) |
                        (x->readers.first != NULL ? (uint32_t)EPOLLIN : 0u),
                    &err) == 0)
    return &w->waiter.op;
  pai_l_wait_end(w);
  pai_l_fail(L, &err);
  return NULL;
}

/* Reading: the stream at 1, the wait at 2. */

static int read_step(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  sock *x = check_sock(L);
  pai_l_wait *w = lua_touserdata(L, 2);
  for (;;) {
    if (x->s.fd < 0) {
      pai_l_wait_end(w);
      return fail_closed(L);
    }
    char piece[PIECE];
    pai_error err;
    bool again;
    lua_settop(L, 2);
    ssize_t n = pai_sock_read(&x->s, piece, sizeof piece, &again, &err);
    if (n < 0 || !again) {
      pai_l_wait_end(w);
      if (n < 0)
        return pai_l_fail(L, &err);
      if (n == 0)
        return 0;
      lua_pushlstring(L, piece, (size_t)n);
      return 1;
    }
    if (w->timed_out)
      return fail_timeout(L, "nothing came");
    pai_op *op = join(L, x, 2, EPOLLIN);
    if (op == NULL)
      return 2;
    if (!pai_op_ready(L, op))
      return pai_await(L, op, ctx, read_step);
  }
}

static int l_read(lua_State *L) {
  check_sock(L);
  int64_t timeout_ms = opt_timeout(L, 2);
  lua_settop(L, 1);
  pai_l_wait_push(L, 1, timeout_ms);
  return read_step(L, LUA_OK, 0);
}

/* Writing: the stream at 1, the text at 2, the wait at 3; ctx is what has gone. */

static int write_step(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  sock *x = check_sock(L);
  size_t len, sent = (size_t)ctx;
  const char *data = lua_tolstring(L, 2, &len);
  pai_l_wait *w = lua_touserdata(L, 3);
  for (;;) {
    if (x->s.fd < 0) {
      pai_l_wait_end(w);
      return fail_closed(L);
    }
    pai_error err;
    ssize_t n = sent < len ? pai_sock_write(&x->s, data + sent, len - sent, &err) : 0;
    sent += n > 0 ? (size_t)n : 0;
    if (n < 0 || sent == len) {
      pai_l_wait_end(w);
      if (n < 0)
        return pai_l_fail(L, &err);
      lua_pushboolean(L, 1);
      return 1;
    }
    if (w->timed_out)
      return fail_timeout(L, "the other side did not read");
    pai_op *op = join(L, x, 3, EPOLLOUT);
    if (op == NULL)
      return 2;
    if (!pai_op_ready(L, op))
      return pai_await(L, op, (lua_KContext)sent, write_step);
  }
}

static int l_write(lua_State *L) {
  sock *x = check_sock(L);
  luaL_checkstring(L, 2);
  luaL_argcheck(L, !x->s.foreign && !x->s.listener, 1, "not a stream to write to");
  int64_t timeout_ms = opt_timeout(L, 3);
  lua_settop(L, 2);
  pai_l_wait_push(L, 1, timeout_ms);
  return write_step(L, LUA_OK, 0);
}

static int l_shut(lua_State *L) {
  pai_sock_shut(&check_sock(L)->s);
  return 0;
}

/* Listening. */

static int accept_step(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  sock *x = check_sock(L);
  pai_l_wait *w = lua_touserdata(L, 2);
  for (;;) {
    lua_settop(L, 2);
    if (x->s.fd < 0) {
      pai_l_wait_end(w);
      return fail_closed(L);
    }
    pai_error err;
    sock *peer = new_sock(L);
    int rc = pai_sock_accept(&x->s, &peer->s, &err);
    if (rc != 0) {
      pai_l_wait_end(w);
      return rc < 0 ? pai_l_fail(L, &err) : 1;
    }
    lua_settop(L, 2);
    if (w->timed_out)
      return fail_timeout(L, "nobody connected");
    pai_op *op = join(L, x, 2, EPOLLIN);
    if (op == NULL)
      return 2;
    if (!pai_op_ready(L, op))
      return pai_await(L, op, ctx, accept_step);
  }
}

static int l_accept(lua_State *L) {
  sock *x = check_sock(L);
  luaL_argcheck(L, x->s.listener, 1, "not a listener");
  int64_t timeout_ms = opt_timeout(L, 2);
  lua_settop(L, 1);
  pai_l_wait_push(L, 1, timeout_ms);
  return accept_step(L, LUA_OK, 0);
}

static int l_port(lua_State *L) {
  const sock *x = check_sock(L);
  lua_pushinteger(L, pai_sock_port(&x->s));
  return 1;
}

static int l_listen(lua_State *L) {
  static const char *const options[] = {"host", "port", NULL};
  pai_l_check_options(L, 1, options);
  lua_settop(L, 1);
  const char *host = pai_l_opt_string(L, 1, "host", "127.0.0.1");
  lua_Integer port = pai_l_opt_integer(L, 1, "port", 0);
  if (port < 0 || port > 65535)
    return luaL_error(L, "option 'port' must be between 0 and 65535");
  sock *x = new_sock(L);
  pai_error err;
  return pai_sock_listen(&x->s, host, (int)port, &err) < 0 ? pai_l_fail(L, &err) : 1;
}

/* Connecting: the stream at 1, the wait at 2. */

static int connect_step(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  sock *x = check_sock(L);
  pai_l_wait *w = lua_touserdata(L, 2);
  for (;;) {
    pai_error err;
    int rc = x->s.fd < 0 ? 0 : pai_sock_connected(&x->s, &err);
    if (rc != 0 || x->s.fd < 0 || w->timed_out) {
      bool late = rc == 0 && w->timed_out;
      pai_l_wait_end(w);
      lua_settop(L, 1);
      if (rc > 0)
        return 1;
      pai_sock_close(&x->s);
      return rc < 0 ? pai_l_fail(L, &err)
             : late ? fail_timeout(L, "connect: no answer")
                    : fail_closed(L);
    }
    pai_op *op = join(L, x, 2, EPOLLOUT);
    if (op == NULL)
      return 2;
    if (!pai_op_ready(L, op))
      return pai_await(L, op, ctx, connect_step);
  }
}

static int l_connect(lua_State *L) {
  static const char *const options[] = {"unix", "host", "port", "timeout", NULL};
  luaL_checktype(L, 1, LUA_TTABLE);
  pai_l_check_options(L, 1, options);
  lua_settop(L, 1);
  const char *path = pai_l_opt_string(L, 1, "unix", NULL);
  const char *host = pai_l_opt_string(L, 1, "host", "127.0.0.1");
  lua_Integer port = pai_l_opt_integer(L, 1, "port", 0);
  int64_t timeout_ms = pai_l_opt_duration(L, 1, "timeout", 30000);
  if (path == NULL && (port < 1 || port > 65535))
    return luaL_error(L, "option 'port' must be between 1 and 65535");
  sock *x = new_sock(L);
  pai_error err;
  if (pai_sock_connect(&x->s, path, host, (int)port, &err) < 0)
    return pai_l_fail(L, &err);
  lua_remove(L, 1);
  pai_l_wait_push(L, 1, timeout_ms);
  return connect_step(L, LUA_OK, 0);
}

static int l_stdin(lua_State *L) {
  pai_sock_wrap(&new_sock(L)->s, 0);
  return 1;
}

static const luaL_Reg methods[] = {
    {"read", l_read},     {"write", l_write}, {"shut", l_shut}, {"close", l_close},
    {"accept", l_accept}, {"port", l_port},   {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"listen", l_listen},
    {"connect", l_connect},
    {"stdin", l_stdin},
    {NULL, NULL},
};

int luaopen_pai_sock(lua_State *L) {
  luaL_newmetatable(L, SOCK);
  lua_pushcfunction(L, l_close);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, l_close);
  lua_setfield(L, -2, "__close");
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
