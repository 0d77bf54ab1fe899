/* The allocator: the n-th failure, Lua's heap with a ceiling and with an arena. */
#include "alloc.h"
#include "harness.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdint.h>
#include <string.h>

static void test_nth_failure(void) {
  pai_alloc_fail_at(3);
  void *a = pai_alloc(10), *b = pai_calloc(2, 10), *c = pai_realloc(a, 100);
  CHECK(a != NULL && b != NULL && c == NULL);
  c = pai_realloc(a, 100); // only once, and the old block was still valid
  CHECK(c != NULL);
  pai_free(b);
  pai_free(c);
  pai_alloc_fail_at(1);
  CHECK(pai_strndup("x", 1) == NULL);
  pai_alloc_fail_at(5);
  pai_alloc_fail_at(0);
  for (int i = 0; i < 10; i++) {
    void *p = pai_alloc(0);
    CHECK(p != NULL);
    pai_free(p);
  }
}

static void test_edges(void) {
  CHECK(pai_strndup("x", SIZE_MAX) == NULL);
#ifndef __SANITIZE_ADDRESS__ // which ends the program here
  volatile size_t half = SIZE_MAX / 2;
  CHECK(pai_calloc(half, 4) == NULL);
#endif
  char *s = pai_strndup("abcdef", 3);
  CHECK(strcmp(s, "abc") == 0);
  pai_free(s);
  pai_free(NULL);
}

static int grow(lua_State *L) {
  lua_Integer count = luaL_checkinteger(L, 1);
  lua_newtable(L);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_pushfstring(L, "a string of some length, number %I", (LUAI_UACINT)i);
    lua_rawseti(L, -2, i);
  }
  return 0;
}

static void test_lua_ceiling(void) {
  pai_lua_heap heap = {.max = 1 << 20};
  lua_State *L = lua_newstate(pai_lua_alloc, &heap);
  CHECK(L != NULL);
  lua_pushcfunction(L, grow);
  lua_pushinteger(L, 100000);
  CHECK(lua_pcall(L, 1, 0, 0) == LUA_ERRMEM);
  CHECK(heap.used <= heap.max);
  lua_settop(L, 0);
  lua_gc(L, LUA_GCCOLLECT, 0);
  CHECK(heap.used < 200000); // the state lives on
  heap.max = 0;
  lua_pushcfunction(L, grow);
  lua_pushinteger(L, 100000);
  CHECK(lua_pcall(L, 1, 0, 0) == LUA_OK);
  lua_close(L);
  CHECK(heap.used == 0); // all that was counted in was counted out
}

// A state whose n-th allocation fails is refused or raises; it never crashes.
static void fail_each(bool with_arena) {
  for (size_t n = 1; n < 120; n++) {
    pai_lua_heap heap = {0};
    if (with_arena)
      pai_arena_open(&heap.arena);
    pai_alloc_fail_at(n);
    lua_State *L = lua_newstate(pai_lua_alloc, &heap);
    int status = LUA_OK;
    if (L != NULL) {
      lua_pushcfunction(L, grow);
      lua_pushinteger(L, 500);
      status = lua_pcall(L, 1, 0, 0);
      lua_close(L);
    }
    pai_alloc_fail_at(0);
    // Lua collects and tries again, so one failure need not show.
    CHECK(status == LUA_OK || status == LUA_ERRMEM);
    CHECK(heap.used == 0);
    pai_arena_close(&heap.arena);
  }
}

static void test_lua_failures(void) {
  fail_each(false);
  fail_each(true);
}

static void test_arena_blocks(void) {
  pai_arena a;
  pai_arena_open(&a);
  char *one = pai_arena_take(&a, 1), *two = pai_arena_take(&a, 17);
  CHECK(one != NULL && two == one + PAI_ARENA_UNIT); // neighbours, each aligned
  CHECK((uintptr_t)one % PAI_ARENA_UNIT == 0);
  CHECK(pai_arena_has(&a, one) && !pai_arena_has(&a, &a));
  CHECK(pai_arena_take(&a, PAI_ARENA_BLOCK + 1) == NULL);
  pai_arena_give(&a, two, 17);
  CHECK(pai_arena_take(&a, 16) != two); // of another size
  CHECK(pai_arena_take(&a, 32) == two);
  size_t count = 0;
  while (pai_arena_take(&a, PAI_ARENA_BLOCK) != NULL)
    count++;
  CHECK(count == (PAI_ARENA_SIZE - 4 * PAI_ARENA_UNIT) / PAI_ARENA_BLOCK);
  pai_arena_give(&a, one, 1);
  CHECK(pai_arena_take(&a, 1) == one); // full, and yet there is what was given back
  pai_arena_close(&a);
  CHECK(pai_arena_take(&a, 1) == NULL && !pai_arena_has(&a, one));
}

// What a block holds goes along when it grows out of the arena, shrinks into another size, or finds
// the arena full.
static void test_arena_heap(void) {
  pai_lua_heap heap = {0};
  pai_arena_open(&heap.arena);
  char *p = pai_lua_alloc(&heap, NULL, LUA_TSTRING, 10);
  memcpy(p, "012345678", 10);
  CHECK(pai_arena_has(&heap.arena, p));
  CHECK(pai_lua_alloc(&heap, p, 10, 16) == p);
  char *big = pai_lua_alloc(&heap, p, 16, 2000);
  CHECK(!pai_arena_has(&heap.arena, big) && strcmp(big, "012345678") == 0);
  CHECK(pai_lua_alloc(&heap, NULL, LUA_TSTRING, 16) == p); // its place is free again
  memcpy(p, "0123", 5);
  while (pai_arena_take(&heap.arena, PAI_ARENA_UNIT) != NULL)
    ;
  char *out = pai_lua_alloc(&heap, p, 16, 40);
  CHECK(!pai_arena_has(&heap.arena, out) && strcmp(out, "0123") == 0);
  pai_lua_alloc(&heap, out, 40, 0);
  pai_lua_alloc(&heap, big, 2000, 0);
  CHECK(heap.used == 0);
  pai_arena_close(&heap.arena);

  heap = (pai_lua_heap){0};
  pai_arena_open(&heap.arena);
  lua_State *L = lua_newstate(pai_lua_alloc, &heap);
  lua_pushcfunction(L, grow);
  lua_pushinteger(L, 100000); // more than the arena holds
  CHECK(lua_pcall(L, 1, 0, 0) == LUA_OK);
  lua_gc(L, LUA_GCCOLLECT, 0);
  lua_pushcfunction(L, grow);
  lua_pushinteger(L, 1000);
  CHECK(lua_pcall(L, 1, 0, 0) == LUA_OK);
  lua_close(L);
  CHECK(heap.used == 0);
  pai_arena_close(&heap.arena);
}

int main(void) {
  RUN(test_nth_failure);
  RUN(test_edges);
  RUN(test_lua_ceiling);
  RUN(test_lua_failures);
  RUN(test_arena_blocks);
  RUN(test_arena_heap);
  return finish();
}
