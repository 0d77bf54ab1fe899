/* Small blocks of the main Lua state, cut from one mapping. A short run makes some ten thousand of
 * them, nearly all of modules that stay; malloc and its page faults took a fifth of such a run. */
#ifndef PAI_ARENA_H
#define PAI_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  PAI_ARENA_SIZE = 2 << 20, // address space; memory is taken as it is needed
  PAI_ARENA_UNIT = 16,      // bytes; every block is aligned to it
  PAI_ARENA_BLOCK = 512     // bytes of the largest block
};

typedef struct pai_arena {
  char *base;                                        // NULL: there is none
  size_t used, backed;                               // bytes cut, bytes that have memory
  void *spare[PAI_ARENA_BLOCK / PAI_ARENA_UNIT + 1]; // given back, by units; linked
} pai_arena;

void pai_arena_open(pai_arena *a);               // without memory it stays empty
void pai_arena_close(pai_arena *a);              // its blocks are gone
void *pai_arena_take(pai_arena *a, size_t size); // NULL: full, or not a small block
void pai_arena_give(pai_arena *a, void *block, size_t size);

static inline bool pai_arena_has(const pai_arena *a, const void *block) {
  return a->base != NULL && (uintptr_t)block - (uintptr_t)a->base < PAI_ARENA_SIZE;
}

static inline size_t pai_arena_units(size_t size) {
  return (size + PAI_ARENA_UNIT - 1) / PAI_ARENA_UNIT;
}

#endif
