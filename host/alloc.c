/* Memory. See alloc.h. The failing n-th allocation is a test's tool and costs one compare. */
#include "alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static size_t fail_at;

static int must_fail(void) {
  return fail_at != 0 && --fail_at == 0;
}

size_t pai_alloc_fail_at(size_t n) {
  size_t left = fail_at;
  fail_at = n;
  return left;
}

bool pai_alloc_must_fail(void) {
  return must_fail();
}

void *pai_alloc(size_t size) {
  return must_fail() ? NULL : malloc(size != 0 ? size : 1);
}

void *pai_calloc(size_t count, size_t size) {
  return must_fail() ? NULL : calloc(count != 0 ? count : 1, size != 0 ? size : 1);
}

void *pai_realloc(void *ptr, size_t size) {
  return must_fail() ? NULL : realloc(ptr, size != 0 ? size : 1);
}

char *pai_strndup(const char *s, size_t len) {
  if (len == SIZE_MAX)
    return NULL;
  char *copy = pai_alloc(len + 1);
  if (copy == NULL)
    return NULL;
  if (len != 0) // s may then be NULL
    memcpy(copy, s, len);
  copy[len] = '\0';
  return copy;
}

void pai_free(void *ptr) {
  free(ptr);
}

// Gives a block of either kind back.
static void drop(pai_lua_heap *heap, void *ptr, size_t size) {
  if (heap != NULL && heap->ending)
    return;
  if (heap != NULL && pai_arena_has(&heap->arena, ptr))
    pai_arena_give(&heap->arena, ptr, size);
  else
    free(ptr);
}

// A block of nsize bytes with what the old one held; NULL leaves that as it is.
static void *resize(pai_lua_heap *heap, void *ptr, size_t old, size_t nsize) {
  if (heap == NULL || heap->arena.base == NULL)
    return realloc(ptr, nsize);
  bool ours = ptr != NULL && pai_arena_has(&heap->arena, ptr);
  if (ours && pai_arena_units(nsize) == pai_arena_units(old))
    return ptr;
  if (ptr != NULL && !ours)
    return realloc(ptr, nsize);
  void *block = pai_arena_take(&heap->arena, nsize);
  if (block == NULL)
    block = malloc(nsize);
  if (block == NULL)
    return ours && nsize < old ? ptr : NULL; // Lua counts on it that less always works
  if (ours) {
    memcpy(block, ptr, old < nsize ? old : nsize);
    pai_arena_give(&heap->arena, ptr, old);
  }
  return block;
}

void *pai_lua_alloc(void *ud, void *ptr, size_t osize, size_t nsize) {
  pai_lua_heap *heap = ud;
  size_t old = ptr != NULL ? osize : 0;
  if (nsize == 0) {
    if (ptr != NULL)
      drop(heap, ptr, old);
    if (heap != NULL)
      heap->used -= old;
    return NULL;
  }
  if (heap != NULL && heap->max != 0 && nsize > old && heap->used - old + nsize > heap->max)
    return NULL;
  if (nsize > old && must_fail())
    return NULL;
  void *block = resize(heap, ptr, old, nsize);
  if (block != NULL && heap != NULL)
    heap->used = heap->used - old + nsize;
  return block;
}
