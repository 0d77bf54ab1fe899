/* The only place that calls malloc. pai_alloc_fail_at lets a test fail the n-th allocation. */
#ifndef PAI_ALLOC_H
#define PAI_ALLOC_H

#include "arena.h"

#include <stdbool.h>
#include <stddef.h>

void *pai_alloc(size_t size);                 // owned: pai_free; NULL when memory is out
void *pai_calloc(size_t count, size_t size);  // zeroed, overflow checked
void *pai_realloc(void *ptr, size_t size);    // on NULL the old block is still valid
char *pai_strndup(const char *s, size_t len); // terminated copy, owned
void pai_free(void *ptr);                     // NULL is fine

// Fails the n-th allocation from now (1 = the next), once; 0 turns it off. Returns how far off the
// failure asked for before still was, 0 when it has happened.
size_t pai_alloc_fail_at(size_t n);
// For other allocators: counts one allocation and says whether it is the one to fail.
bool pai_alloc_must_fail(void);

// Lua's allocator over the same functions; ud is a pai_lua_heap or NULL for no ceiling.
typedef struct pai_lua_heap {
  size_t used;     // bytes
  size_t max;      // bytes, 0 = no ceiling
  bool ending;     // the process ends right after: blocks are not given back one by one
  pai_arena arena; // of small blocks; none unless it was opened
} pai_lua_heap;
void *pai_lua_alloc(void *ud, void *ptr, size_t osize, size_t nsize);

#endif
