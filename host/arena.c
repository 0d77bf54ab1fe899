// Small blocks of the main Lua state. See arena.h.
#include "arena.h"

#include <string.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 // Linux 5.14; refused by an older one, whose pages then fault in
#endif

enum { STEP = 128 << 10 }; // bytes that get their memory at once

void pai_arena_open(pai_arena *a) {
  *a = (pai_arena){0};
  void *base = mmap(NULL, PAI_ARENA_SIZE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base != MAP_FAILED)
    a->base = base;
}

void pai_arena_close(pai_arena *a) {
  if (a->base != NULL)
    munmap(a->base, PAI_ARENA_SIZE);
  *a = (pai_arena){0};
}

void *pai_arena_take(pai_arena *a, size_t size) {
  size_t units = pai_arena_units(size);
  if (a->base == NULL || size > PAI_ARENA_BLOCK)
    return NULL;
  void *block = a->spare[units];
  if (block != NULL) {
    memcpy(&a->spare[units], block, sizeof(void *));
    return block;
  }
  size_t bytes = units * PAI_ARENA_UNIT;
  if (bytes > PAI_ARENA_SIZE - a->used)
    return NULL;
  block = a->base + a->used;
  a->used += bytes;
  if (a->used > a->backed) {
    madvise(a->base + a->backed, STEP, MADV_POPULATE_WRITE);
    a->backed += STEP;
  }
  return block;
}

void pai_arena_give(pai_arena *a, void *block, size_t size) {
  size_t units = pai_arena_units(size);
  memcpy(block, &a->spare[units], sizeof(void *));
  a->spare[units] = block;
}
