/* Memory for secret bytes: locked against swapping as far as the limit allows, left out of core
 * dumps, wiped when it is freed. Small blocks share regions, so that a thousand secrets do not need
 * a thousand pages. */
#ifndef PAI_SECRET_MEM_H
#define PAI_SECRET_MEM_H

#include <stdbool.h>
#include <stddef.h>

void *pai_locked_alloc(size_t size); // zeroed; owned: pai_locked_free; NULL: no memory
// size is what was asked for; wipes; NULL is fine.
void pai_locked_free(void *p, size_t size);
// A larger block with the old bytes; on NULL the old one is still valid.
void *pai_locked_grow(void *p, size_t old_size, size_t new_size);
void pai_wipe(void *p, size_t size); // the compiler does not leave it out
// Equal bytes, in a time that depends on the lengths only.
bool pai_equal(const void *a, size_t a_len, const void *b, size_t b_len);
// Whether all regions could be locked (RLIMIT_MEMLOCK); true while there is none.
bool pai_locked_is_locked(void);

#endif
