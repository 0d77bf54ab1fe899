/* What the files of the masker share; nobody else includes this.
 *
 * A needle of at least m bytes holds, wherever it occurs, a window of four bytes that begins at a
 * multiple of m - 3. So the text is looked at only there: four bytes, a hash, one bit of a map;
 * what passes is compared with the needles that have these four bytes. The longer the shortest
 * needle, the fewer looks; needles of 6 and 7 bytes therefore have a filter of their own. Which m
 * bytes of a needle are filed is chosen when it is added: those that are rarest among what is
 * filed, so that a thousand tokens with one prefix do not all answer to it.
 *
 * What is no literal - a colour code or a line's end within a value, an escape here and there - is
 * found on a flat view of the text: codes and line ends left out, escapes decoded. It is made only
 * where one of the bytes occurs that begin such an atom, and looked at only around its atoms: an
 * occurrence that is not plain in the text holds one, and then the four bytes across its border are
 * in the map of all grams of the flat needles. */
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

// Needles in the order of their bytes, and what tells that a text does not begin with one.
typedef struct words {
  needle *needles;
  uint32_t *sorted; // needle indexes in the order of their bytes
  uint32_t count, cap;
  uint32_t longest;
  uint64_t first[4];     // the bytes that needles begin with
  uint64_t *prefix;      // a map of the hashes of their first four bytes
  uint32_t prefix_shift; // 32 - log2(bits of that map)
} words;

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

// A stretch of the flat view. atom 0: its bytes stand in the text as they are, from `text` on. Else
// all of them are what the `atom` bytes at `text` stand for.
typedef struct segment {
  uint32_t flat, text, atom;
} segment;

typedef struct view {
  uint8_t *bytes; // locked memory
  segment *segments;
  uint32_t len, count;
  uint32_t pending; // where in the text an atom begins that is not whole; its length if none does
  bool broken;      // the text ends with a line's end (and blanks)
} view;

struct pai_mask_set {
  words plain;
  filter small, large;
  words flat;          // the needles of the flat view
  uint64_t *grams;     // a map of the hashes of all their grams
  uint32_t gram_shift; // 32 - log2(bits of that map)
  size_t gram_count;
  view view;      // of the text at hand
  size_t reach;   // no occurrence is longer than this in the text
  uint8_t *cover; // of block bytes, 1 = part of a needle; all 0 between uses
  size_t block;   // bytes looked at in one go, at least four times reach
  uint64_t work;  // what was looked at closely so far: comparisons and steps along chains
};

static inline uint32_t gram_at(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, GRAM);
  return v;
}

static inline uint32_t gram_hash(uint32_t gram) {
  return gram * UINT32_C(0x9E3779B1);
}

static inline bool has_bit(const uint64_t *map, uint32_t bit) {
  return (map[bit / 64] >> (bit % 64) & 1) != 0;
}

static inline void set_bit(uint64_t *map, uint32_t bit) {
  map[bit / 64] |= UINT64_C(1) << bit % 64;
}

/* mask_words.c */

void pai_words_free(words *w);
// Adds a copy. 1, 0 when it is there already, PAI_E_NOMEM, PAI_E_LIMIT.
int pai_words_add(words *w, const uint8_t *bytes, size_t len);
void pai_words_drop(words *w); // takes the newest back
// The longest needle that text begins with; NULL: none. Counts comparisons in *work.
const needle *pai_words_at(const words *w, const uint8_t *text, size_t len, uint64_t *work);
// The first place at or after `from` from which everything up to the end is the beginning of a
// longer needle; len when there is none.
size_t pai_words_live(const words *w, const uint8_t *text, size_t from, size_t len);

/* mask_flat.c */

// Room for the view of a text of so many bytes. 0 or PAI_E_NOMEM; v is as before then.
int pai_view_room(view *v, size_t old_size, size_t size);
void pai_view_free(view *v, size_t size);
// Makes the view; final: nothing follows, an atom that is not whole stands for itself.
void pai_view_make(view *v, const uint8_t *text, size_t len, bool final);
// Where in the text this byte begins and ends.
size_t pai_view_text(const view *v, uint32_t flat);
size_t pai_view_text_end(const view *v, uint32_t flat);

#define PAI_ATOM_MAX 1024 // bytes of one atom
#define PAI_FLAT_MAX 8192 // bytes of a needle of the flat view

/* mask_find.c */

// Sets cover for every needle in the text, which is at most one block long; *found if there is one.
void pai_mask_cover(pai_mask_set *set, const uint8_t *text, size_t len, bool final, bool *found);
// After pai_mask_cover: from where the text must be kept, and up to where it may be shown.
typedef struct mask_hold {
  size_t keep, show;
} mask_hold;
mask_hold pai_mask_hold(const pai_mask_set *set, const uint8_t *text, size_t len);

/* mask_forms.c, mask_forms_text.c */

// A form in which the value may be printed; 0 goes on, else it is the result of pai_mask_forms.
typedef int (*pai_mask_form)(void *ud, const uint8_t *bytes, size_t len);
// Calls fn with value in every encoding; buffers between are wiped. 0, PAI_E_NOMEM or fn's result.
int pai_mask_forms(const uint8_t *value, size_t len, pai_mask_form fn, void *ud);
// The same with what the flat view shows of those forms.
int pai_mask_flat_forms(const uint8_t *value, size_t len, pai_mask_form fn, void *ud);
#define PAI_MASK_FORMS_MAX 8 // a form is at most so many times as long as the value

typedef struct forms {
  const uint8_t *value;
  size_t len;
  uint8_t *out, *between; // locked, PAI_MASK_FORMS_MAX * len + 8 bytes
  pai_mask_form fn;
  void *ud;
} forms;

int pai_mask_text_forms(const forms *f); // shells, XML, lines, UTF-16
// Each run of line ends, and the blanks after it, as one space; returns the length.
size_t pai_mask_one_line(const uint8_t *value, size_t len, uint8_t *out);
// One code point from valid UTF-8, or the byte itself.
uint32_t pai_mask_next_char(const uint8_t *value, size_t len, size_t *i);

#endif
