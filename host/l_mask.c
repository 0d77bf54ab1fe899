/* pai.mask: masks of a set of one's own, and whole texts by the process-wide one. */
#include "l_buf.h"
#include "l_util.h"
#include "mask.h"
#include "secret.h"

#define MASK_MT "pai.mask"
#define TEXT_MAX ((size_t)1 << 31)

typedef struct mask {
  pai_mask_set *set;
  pai_mask_stream *stream;
} mask;

static mask *check_mask(lua_State *L) {
  return luaL_checkudata(L, 1, MASK_MT);
}

static int mask_gc(lua_State *L) {
  mask *m = check_mask(L);
  pai_mask_stream_free(m->stream);
  pai_mask_set_free(m->set);
  *m = (mask){0};
  return 0;
}

static int l_new(lua_State *L) {
  mask *m = lua_newuserdatauv(L, sizeof *m, 0);
  *m = (mask){0};
  luaL_setmetatable(L, MASK_MT);
  m->set = pai_mask_set_new();
  m->stream = m->set != NULL ? pai_mask_stream_new(m->set) : NULL;
  return m->stream != NULL ? 1 : luaL_error(L, "out of memory for a masker");
}

// true, or false and why values like this are not masked.
static int l_add(lua_State *L) {
  mask *m = check_mask(L);
  const pai_secret *secret = pai_secret_test(L, 2);
  size_t len;
  const char *value =
      secret != NULL ? pai_secret_data(secret, &len) : luaL_checklstring(L, 2, &len);
  pai_error err;
  int rc = pai_mask_set_add(m->set, value, len, &err);
  if (rc < 0)
    return pai_l_fail(L, &err);
  lua_pushboolean(L, rc);
  if (rc > 0)
    return 1;
  lua_pushstring(L, pai_mask_unfit(value, len));
  return 2;
}

static int l_feed(lua_State *L) {
  mask *m = check_mask(L);
  size_t len;
  const char *text = luaL_checklstring(L, 2, &len);
  pai_error err;
  pai_buf *out = pai_l_new_buf(L, TEXT_MAX);
  if (pai_mask_stream_feed(m->stream, text, len, out, &err) < 0)
    return pai_l_raise(L, &err);
  pai_l_push_buf(L, out);
  return 1;
}

static int l_finish(lua_State *L) {
  mask *m = check_mask(L);
  pai_error err;
  pai_buf *out = pai_l_new_buf(L, TEXT_MAX);
  if (pai_mask_stream_finish(m->stream, out, &err) < 0)
    return pai_l_raise(L, &err);
  pai_l_push_buf(L, out);
  return 1;
}

static int l_held(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)pai_mask_stream_held(check_mask(L)->stream));
  return 1;
}

static int l_text(lua_State *L) {
  size_t len;
  const char *text = luaL_checklstring(L, 1, &len);
  pai_error err;
  if (!pai_mask_find(text, len)) {
    lua_settop(L, 1);
    return 1;
  }
  pai_buf *out = pai_l_new_buf(L, TEXT_MAX);
  if (pai_mask_text(NULL, text, len, out, &err) < 0)
    return pai_l_raise(L, &err);
  pai_l_push_buf(L, out);
  return 1;
}

static int l_find(lua_State *L) {
  size_t len;
  const char *text = luaL_checklstring(L, 1, &len);
  lua_pushboolean(L, pai_mask_find(text, len));
  return 1;
}

static const luaL_Reg methods[] = {
    {"add", l_add}, {"feed", l_feed}, {"finish", l_finish}, {"held", l_held}, {NULL, NULL},
};

static const luaL_Reg functions[] = {
    {"new", l_new},
    {"text", l_text},
    {"find", l_find},
    {NULL, NULL},
};

int luaopen_pai_mask(lua_State *L);
int luaopen_pai_mask(lua_State *L) {
  luaL_newmetatable(L, MASK_MT);
  lua_pushcfunction(L, mask_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_newlib(L, functions);
  return 1;
}
