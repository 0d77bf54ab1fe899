/* The keys << of a YAML map. See l_yaml.h. */
#include "l_yaml.h"

static bool is_map(lua_State *L, int idx) {
  if (!lua_istable(L, idx))
    return false;
  if (!lua_getmetatable(L, idx))
    return true;
  lua_pop(L, 1);
  return false;
}

bool pai_l_yaml_merge_keep(lua_State *L, int merges) {
  bool fits = is_map(L, -1);
  if (!fits && lua_istable(L, -1)) {
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    fits = true;
    for (lua_Integer i = 1; i <= n && fits; i++) {
      lua_rawgeti(L, -1, i);
      fits = is_map(L, -1);
      lua_pop(L, 1);
    }
  }
  if (!fits)
    return false;
  if (lua_isnil(L, merges)) {
    lua_newtable(L);
    lua_replace(L, merges);
  }
  lua_rawseti(L, merges, (lua_Integer)lua_rawlen(L, merges) + 1);
  return true;
}

// Copies into the table at `into` what it has not. from is on top and is popped.
static void fill_from(lua_State *L, int into) {
  lua_pushnil(L);
  while (lua_next(L, -2) != 0) {
    lua_pushvalue(L, -2);
    lua_rawget(L, into);
    bool absent = lua_isnil(L, -1);
    lua_pop(L, 1);
    if (absent) {
      lua_pushvalue(L, -2);
      lua_insert(L, -2);
      lua_rawset(L, into);
    } else {
      lua_pop(L, 1);
    }
  }
  lua_pop(L, 1);
}

void pai_l_yaml_merge_apply(lua_State *L, int map, int merges) {
  if (lua_isnil(L, merges))
    return;
  for (lua_Integer i = (lua_Integer)lua_rawlen(L, merges); i >= 1; i--) {
    lua_rawgeti(L, merges, i);
    if (is_map(L, -1)) {
      fill_from(L, map);
      continue;
    }
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    for (lua_Integer k = 1; k <= n; k++) {
      lua_rawgeti(L, -1, k);
      fill_from(L, map);
    }
    lua_pop(L, 1);
  }
}
