/* The paths of options pick and secret. See l_json_paths.h. */
#include "l_json_paths.h"

#include <lauxlib.h>
#include <string.h>

// A child of node for this key, made if it is new.
static int add_pick(lua_State *L, pai_buf *picks, int node, const char *key, size_t len) {
  pai_json_pick *all = (pai_json_pick *)(void *)picks->data;
  int count = (int)(picks->len / sizeof(pai_json_pick));
  if (key == NULL) {
    if (all[node].each != 0)
      return all[node].each;
  } else {
    for (int c = all[node].child; c != 0; c = all[c].next)
      if (all[c].len == len && memcmp(all[c].key, key, len) == 0)
        return c;
  }
  pai_json_pick fresh = {.key = key, .len = len};
  if (key != NULL)
    fresh.next = all[node].child;
  if (pai_buf_add(picks, &fresh, sizeof fresh) < 0)
    luaL_error(L, "out of memory for a path");
  all = (pai_json_pick *)(void *)picks->data;
  if (key == NULL)
    all[node].each = count;
  else
    all[node].child = count;
  return count;
}

// One path: names divided by dots, "[]" for every item of a list, ["any.name"] for odd names.
static void compile_path(lua_State *L, pai_buf *picks, const char *path, bool secret) {
  const char *p = path;
  int node = 0;
  bool ok = *p != '\0';
  while (ok && *p != '\0') {
    if (p[0] == '[' && p[1] == ']') {
      node = add_pick(L, picks, node, NULL, 0);
      p += 2;
    } else if (p[0] == '[' && p[1] == '"') {
      const char *end = strstr(p + 2, "\"]");
      ok = end != NULL;
      if (ok) {
        node = add_pick(L, picks, node, p + 2, (size_t)(end - p) - 2);
        p = end + 2;
      }
    } else {
      size_t len = strcspn(p, ".[");
      ok = len > 0;
      if (ok)
        node = add_pick(L, picks, node, p, len);
      p += len;
    }
    if (ok && *p == '.')
      ok = *++p != '\0' && *p != '.' && *p != '[';
  }
  if (!ok)
    luaL_error(L, "option '%s': '%s' is no path such as \"items[].metadata.name\"",
               secret ? "secret" : "pick", path);
  pai_json_pick *last = &((pai_json_pick *)(void *)picks->data)[node];
  last->whole = last->whole || !secret;
  last->secret = last->secret || secret;
}

bool pai_json_paths(lua_State *L, pai_buf *picks, const char *option) {
  bool secret = *option == 's';
  if (lua_isnoneornil(L, 2) || lua_getfield(L, 2, option) == LUA_TNIL)
    return false;
  if (!lua_istable(L, -1))
    luaL_error(L, "option '%s' must be a list of paths", option);
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  if (n == 0)
    luaL_error(L, "option '%s' must name at least one path", option);
  pai_json_pick root = {0};
  if (picks->len == 0 && pai_buf_add(picks, &root, sizeof root) < 0)
    luaL_error(L, "out of memory for a path");
  for (lua_Integer i = 1; i <= n; i++) {
    if (lua_rawgeti(L, -1, i) != LUA_TSTRING)
      luaL_error(L, "option '%s' must be a list of paths", option);
    compile_path(L, picks, lua_tostring(L, -1), secret); // the list keeps the string alive
    lua_pop(L, 1);
  }
  return true;
}
