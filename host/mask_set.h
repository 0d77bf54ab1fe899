/* What mask.c, mask_set.c and mask_forms.c share; nobody else includes this.
 *
 * A needle of at least m bytes holds, wherever it occurs, a window of four bytes that begins at a
 * multiple of m - 3. So the text is looked at only there: four bytes, a hash, one bit of a map;
 * what passes is compared with the needles that have these four bytes. The longer the shortest
 * needle, the fewer looks; needles of 6 and 7 bytes therefore have a filter of their own. Which m
 * bytes of a needle are filed is chosen when it is added: those that are rarest among what is
 * filed, so that a thousand tokens with one prefix do not all answer to it. */
#ifndef PAI_MASK_SET_H
#define PAI_MASK_SET_H

#include "mask.h"

#include <stdint.h>
#include <string.h>

#define GRAM 4
#define SHORT_SPAN 6 // the shortest needle of the filter for short ones
#define LONG_SPAN 8  // and of the other one
#define MAX_SPAN 20  // a larger step gains nothing
#define MAX_BASE 64  // how far into a needle the filed bytes may begin

typedef struct needle {
  const uint8_t *bytes; // locked memory
  uint32_t len;
  uint32_t base; // where the bytes begin that are filed; chosen once
} needle;

typedef struct entry {
  uint32_t gram;   // four bytes of the needle
  uint32_t needle; // index
  uint32_t next;   // index + 1 of the next entry with this hash, 0 = none
  uint16_t offset; // of the gram in the needle
} entry;

typedef struct filter {
  uint32_t span;      // every needle in here is at least so long
  uint32_t map_shift; // 32 - log2(bits of the map)
  uint64_t *map;
  uint32_t *heads; // by the hash's upper bits: index + 1 of the first entry
  uint32_t head_shift;
  entry *entries; // locked memory
  uint32_t count, cap;
} filter;

struct pai_mask_set {
  needle *needles;
  uint32_t *sorted; // needle indexes in the order of their bytes
  uint32_t count, cap;
  uint32_t longest;
  filter small, large;
  uint64_t first[4];     // the bytes that needles begin with
  uint64_t *prefix;      // a map of the hashes of their first four bytes
  uint32_t prefix_shift; // 32 - log2(bits of that map)
  uint8_t *cover;        // of block bytes, 1 = part of a needle; all 0 between uses
  size_t block;          // bytes looked at in one go, at least four times longest
};

static inline uint32_t gram_at(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, GRAM);
  return v;
}

static inline uint32_t gram_hash(uint32_t gram) {
  return gram * UINT32_C(0x9E3779B1);
}

// A form in which the value may be printed; 0 goes on, else it is the result of pai_mask_forms.
typedef int (*pai_mask_form)(void *ud, const uint8_t *bytes, size_t len);
// Calls fn with value in every encoding; buffers between are wiped. 0, PAI_E_NOMEM or fn's result.
int pai_mask_forms(const uint8_t *value, size_t len, pai_mask_form fn, void *ud);
#define PAI_MASK_FORMS_MAX 6 // a form is at most so many times as long as the value

#endif
