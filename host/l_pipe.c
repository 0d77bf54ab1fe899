/* pai.pipe: lines of a descriptor as they come, and room for what is written to another. */
#include "l_util.h"
#include "l_wait.h"
#include "loop.h"
#include "pipe.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LINES_MT "pai.pipe.lines"
#define ROOM_MT "pai.pipe.room"

// Something that waits for a descriptor.
typedef struct watch {
  pai_io io;
  pai_waitq waiting;
} watch;

// Whoever is woken mostly waits again at once, so the descriptor stays watched until nobody does.
static void on_ready(pai_io *io, uint32_t events) {
  (void)events;
  watch *w = io->ud;
  if (w->waiting.first == NULL)
    pai_io_stop(io);
  pai_io_set_background(io, true);
  pai_waitq_wake(&w->waiting);
}

// Whether the loop watches fd now. What it cannot watch (a file) never makes anybody wait: 0.
static int watch_start(watch *w, int fd, uint32_t events, pai_error *err) {
  pai_io_set_background(&w->io, false);
  if (w->io.active)
    return 1;
  w->io.fn = on_ready;
  w->io.ud = w;
  int rc = pai_loop_init(err);
  if (rc == 0)
    rc = pai_io_start(&w->io, fd, events, err);
  if (rc < 0)
    return err->sys_errno == EPERM ? 0 : rc;
  return 1;
}

/* ---- lines ---- */

typedef struct reader {
  pai_lines lines;
  watch watch;
} reader;

static int l_lines(lua_State *L) {
  static const char *const options[] = {"max", NULL};
  lua_Integer fd = luaL_checkinteger(L, 1);
  luaL_argcheck(L, fd >= 0 && fd <= 1 << 20, 1, "not a descriptor");
  pai_l_check_options(L, 2, options);
  lua_Integer max = pai_l_opt_integer(L, 2, "max", 8 << 20);
  if (max < 1 || max > 1 << 30)
    return luaL_error(L, "option 'max' must be 1 to 2^30 bytes");
  reader *r = lua_newuserdatauv(L, sizeof *r, 0);
  *r = (reader){0};
  pai_lines_init(&r->lines, (int)fd, (size_t)max);
  luaL_setmetatable(L, LINES_MT);
  return 1;
}

static int lines_gc(lua_State *L) {
  reader *r = luaL_checkudata(L, 1, LINES_MT);
  pai_io_stop(&r->watch.io);
  pai_waitq_wake(&r->watch.waiting);
  pai_lines_free(&r->lines);
  return 0;
}

// stack: reader, wait
static int read_step(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  reader *r = luaL_checkudata(L, 1, LINES_MT);
  pai_l_wait *w = lua_touserdata(L, 2);
  pai_error err;
  if (ctx != 0 && pai_lines_read(&r->lines, &err) < 0)
    return pai_l_fail(L, &err);
  for (;;) {
    const char *line;
    size_t len;
    int rc = pai_lines_next(&r->lines, &line, &len, &err);
    if (rc == 1) {
      lua_pushlstring(L, line, len);
      return 1;
    }
    if (rc == PAI_E_CLOSED) {
      lua_pushnil(L);
      return 1;
    }
    if (rc < 0)
      return pai_l_fail(L, &err);
    rc = watch_start(&r->watch, r->lines.fd, EPOLLIN, &err);
    if (rc < 0)
      return pai_l_fail(L, &err);
    if (rc == 1) {
      pai_l_wait_join(w, &r->watch.waiting);
      if (!pai_op_ready(L, &w->waiter.op))
        return pai_await(L, &w->waiter.op, 1, read_step);
    }
    if (pai_lines_read(&r->lines, &err) < 0)
      return pai_l_fail(L, &err);
  }
}

static int l_read(lua_State *L) {
  luaL_checkudata(L, 1, LINES_MT);
  lua_settop(L, 1);
  pai_l_wait_push(L, 1, -1);
  return read_step(L, LUA_OK, 0);
}

/* ---- room ---- */

// The watch for each descriptor is kept in the registry: several tasks may wait for one.
static watch *push_watch(lua_State *L, int fd) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, ROOM_MT ".all");
  if (lua_rawgeti(L, -1, fd) == LUA_TNIL) {
    lua_pop(L, 1);
    watch *made = lua_newuserdatauv(L, sizeof *made, 0);
    *made = (watch){0};
    luaL_setmetatable(L, ROOM_MT);
    lua_pushvalue(L, -1);
    lua_rawseti(L, -3, fd);
  }
  lua_remove(L, -2);
  return lua_touserdata(L, -1);
}

static int room_gc(lua_State *L) {
  watch *w = luaL_checkudata(L, 1, ROOM_MT);
  pai_io_stop(&w->io);
  pai_waitq_wake(&w->waiting);
  return 0;
}

static int room_over(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  pai_l_wait *w = lua_touserdata(L, 3);
  pai_l_wait_end(w);
  lua_pushboolean(L, !w->timed_out);
  return 1;
}

// stack: fd, watch, wait
static int l_room(lua_State *L) {
  lua_Integer fd = luaL_checkinteger(L, 1);
  luaL_argcheck(L, fd >= 0 && fd <= 1 << 20, 1, "not a descriptor");
  int64_t timeout_ms = lua_isnoneornil(L, 2) ? -1 : pai_l_check_duration(L, 2);
  if (pai_pipe_has_room((int)fd)) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_settop(L, 1);
  watch *w = push_watch(L, (int)fd);
  pai_error err;
  int rc = watch_start(w, (int)fd, EPOLLOUT, &err);
  if (rc < 0)
    return pai_l_fail(L, &err);
  pai_l_wait *wait = pai_l_wait_push(L, 2, timeout_ms);
  if (rc == 0)
    return room_over(L, LUA_OK, 0);
  pai_l_wait_join(wait, &w->waiting);
  return pai_await(L, &wait->waiter.op, 0, room_over);
}

static void new_type(lua_State *L, const char *name, lua_CFunction gc) {
  luaL_newmetatable(L, name);
  lua_pushcfunction(L, gc);
  lua_setfield(L, -2, "__gc");
}

static const luaL_Reg methods[] = {{"read", l_read}, {NULL, NULL}};

static const luaL_Reg functions[] = {{"lines", l_lines}, {"room", l_room}, {NULL, NULL}};

int luaopen_pai_pipe(lua_State *L);
int luaopen_pai_pipe(lua_State *L) {
  new_type(L, LINES_MT, lines_gc);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  new_type(L, ROOM_MT, room_gc);
  luaL_newlib(L, functions);
  return 1;
}
