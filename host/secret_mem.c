/* Locked memory. See secret_mem.h. Blocks are powers of two; a freed one goes to the list of its
 * size and is never given back to the system, one over LARGEST has a mapping of its own. */
#include "secret_mem.h"

#include "alloc.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define SMALLEST 32
#define LARGEST 65536
#define CLASSES 12 // 32 to 65,536
#define REGION ((size_t)256 << 10)

typedef struct block {
  struct block *next;
} block;

static block *freed[CLASSES];
static char *fresh; // what is left of the newest region
static size_t fresh_len;
static bool all_locked = true;

static void *map_locked(size_t size) {
  void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED)
    return NULL;
  madvise(p, size, MADV_DONTDUMP);
  // Over the limit the bytes may reach the swap; that is said by doctor, not refused.
  if (mlock(p, size) < 0)
    all_locked = false;
  return p;
}

static size_t class_of(size_t size) {
  size_t c = 0;
  for (size_t s = SMALLEST; s < size; s *= 2)
    c++;
  return c;
}

static size_t round_to_pages(size_t size) {
  return (size + 4095) & ~(size_t)4095;
}

void *pai_locked_alloc(size_t size) {
  if (pai_alloc_must_fail() || size > SIZE_MAX / 2)
    return NULL;
  if (size > LARGEST)
    return map_locked(round_to_pages(size));
  size_t c = class_of(size), block_size = (size_t)SMALLEST << c;
  block *b = freed[c];
  if (b != NULL) {
    freed[c] = b->next;
    b->next = NULL;
    return b;
  }
  if (fresh_len < block_size) {
    // What is left of the old region goes to the lists.
    for (size_t i = CLASSES; i-- > 0;) {
      size_t s = (size_t)SMALLEST << i;
      if (fresh_len >= s) {
        pai_locked_free(fresh, s);
        fresh += s;
        fresh_len -= s;
      }
    }
    char *region = map_locked(REGION);
    if (region == NULL)
      return NULL;
    fresh = region;
    fresh_len = REGION;
  }
  void *p = fresh;
  fresh += block_size;
  fresh_len -= block_size;
  return p;
}

void pai_locked_free(void *p, size_t size) {
  if (p == NULL)
    return;
  pai_wipe(p, size);
  if (size > LARGEST) {
    munmap(p, round_to_pages(size));
    return;
  }
  size_t c = class_of(size);
  block *b = p;
  b->next = freed[c];
  freed[c] = b;
}

void *pai_locked_grow(void *p, size_t old_size, size_t new_size) {
  void *larger = pai_locked_alloc(new_size);
  if (larger == NULL)
    return NULL;
  if (p != NULL)
    memcpy(larger, p, old_size);
  pai_locked_free(p, old_size);
  return larger;
}

void pai_wipe(void *p, size_t size) {
  if (size != 0)
    explicit_bzero(p, size);
}

bool pai_equal(const void *a, size_t a_len, const void *b, size_t b_len) {
  const unsigned char *x = a, *y = b;
  size_t n = a_len < b_len ? a_len : b_len;
  unsigned char diff = a_len != b_len;
  for (size_t i = 0; i < n; i++)
    diff |= x[i] ^ y[i];
  return diff == 0;
}

bool pai_locked_is_locked(void) {
  return all_locked;
}
