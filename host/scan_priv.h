/* What scan*.c share; nobody else includes this. */
#ifndef PAI_SCAN_PRIV_H
#define PAI_SCAN_PRIV_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include "scan.h"

#include <pcre2.h>

typedef struct pai_scan_range {
  uint32_t from, end;
} pai_scan_range;
typedef struct pai_scan_ranges {
  pai_scan_range *items;
  size_t count, cap;
} pai_scan_ranges;

/* ---- the filter: scan_filter.c ----
 * A keyword of at least four bytes is filed under two grams of three bytes that follow one another,
 * so one of them begins at an even place of a text. Most places are ruled out by two look-ups, case
 * folded: of the two bytes there, which tell the bucket of the grams that begin so, and of the next
 * two, which tell the buckets of the grams that go on so. The buckets are filled so that few texts
 * pass that hold no gram. */

typedef struct pai_scan_keyword {
  char bytes[PAI_SCAN_KEYWORD_MAX];  // as given
  char folded[PAI_SCAN_KEYWORD_MAX]; // | 0x20
  uint32_t len;
  uint32_t rule;
  uint32_t filed; // where the first of its two grams begins
  bool exact;
} pai_scan_keyword;

typedef struct pai_scan_entry {
  uint32_t gram;
  uint32_t keyword;
  uint32_t next; // index + 1 of the next entry with this hash, 0 = none
  uint16_t rule;
  uint8_t offset, len; // of the gram in the keyword, and of the keyword
  bool gram_only;      // nothing but the gram is compared
  uint32_t tail, mask; // the keyword's folded bytes behind the gram, as far as there are four
} pai_scan_entry;

#define PAI_SCAN_HEAD_BITS 12
#define PAI_SCAN_PAIRS 4096 // of six bits a byte
#define PAI_SCAN_BUCKETS 64

typedef uint64_t pai_scan_bucket; // a bit each

// Of two bytes.
typedef struct pai_scan_pair {
  pai_scan_bucket first;  // that of the grams which begin with them; 0: none does
  pai_scan_bucket second; // those of the grams whose third byte and the next one they are
} pai_scan_pair;

typedef struct pai_scan_filter {
  pai_scan_keyword *keywords;
  pai_scan_entry *entries;
  uint32_t *heads; // by hash: index + 1 of the first entry
  pai_scan_pair *pairs;
  uint32_t ready_count; // keywords that the pairs are made of
  uint32_t count, cap;  // keywords
  uint32_t entry_count, entry_cap;
} pai_scan_filter;

typedef int (*pai_scan_hit)(void *ud, uint32_t rule, size_t at);

int pai_scan_filter_add(pai_scan_filter *f, const char *keyword, size_t len, bool exact,
                        uint32_t rule);
void pai_scan_filter_free(pai_scan_filter *f);
// Before pai_scan_filter_run, when keywords were added. 0 or PAI_E_NOMEM.
int pai_scan_filter_ready(pai_scan_filter *f);
// Calls hit for each keyword that begins in the part (some around it too), and no further once it
// gives a negative code.
int pai_scan_filter_run(const pai_scan_filter *f, const uint8_t *text, size_t len,
                        pai_scan_range part, pai_scan_hit hit, void *ud);
// Calls hit (rule: 0) where a run of A-Z a-z 0-9 : - begins that is 63 to 256 bytes long.
int pai_scan_runs(const uint8_t *text, size_t len, pai_scan_range part, pai_scan_hit hit, void *ud);

/* ---- views: scan_view.c ----
 * A view is text made from other text, its source, with a list of pieces that say where each part
 * came from. */

typedef struct pai_scan_piece {
  uint32_t at;             // in the view; it goes on to the next piece's
  uint32_t from, from_len; // in the source; a plain copy if from_len is as long as the piece
} pai_scan_piece;

typedef struct pai_scan_view {
  uint8_t *text;
  size_t len, cap;
  pai_scan_piece *pieces;
  size_t piece_count, piece_cap;
  pai_scan_ranges changed; // where in the view what was changed is near
  pai_scan_ranges source;  // the same in the source
} pai_scan_view;

void pai_scan_view_free(pai_scan_view *v);
// Escapes, terminal codes and continued lines undone, one level. 1: the view differs from the
// text; 0: it would not, and is not made; PAI_E_NOMEM.
int pai_scan_view_unescape(pai_scan_view *v, const uint8_t *text, size_t len);
// The output (or, for 'i', the input) of a terminal recording's events. starts: the text begins
// where a line begins. 1, 0 when there is no event, PAI_E_NOMEM.
int pai_scan_view_events(pai_scan_view *v, const uint8_t *text, size_t len, bool starts,
                         uint8_t kind);

int pai_scan_ranges_add(pai_scan_ranges *r, uint32_t from, uint32_t end); // joins what touches
// Adds where in the source a part of the view came from.
int pai_scan_view_map(const pai_scan_view *v, pai_scan_range part, pai_scan_ranges *out);

/* ---- judging a value: scan_check.c ---- */

typedef enum pai_scan_verdict { PAI_SCAN_NO, PAI_SCAN_LOW, PAI_SCAN_YES } pai_scan_verdict;

typedef struct pai_scan_value {
  const uint8_t *text; // the text it stands in
  size_t len;
  size_t from, end;
} pai_scan_value;

// All but PAI_SCAN_CHECK_NESTED.
pai_scan_verdict pai_scan_judge(const pai_scan_rule *rule, const pai_scan_value *value);
// Standard or URL alphabet, padding or not; bytes written (at most len), or -1.
int64_t pai_scan_base64(const uint8_t *text, size_t len, uint8_t *out);
bool pai_scan_holds(const uint8_t *text, size_t len, const char *word); // word in lower case

/* ---- matching: scan.c ---- */

typedef struct pai_scan_compiled {
  pai_scan_rule rule; // its pointers are owned
  pcre2_code *code;
  bool jit;
} pai_scan_compiled;

typedef struct pai_scan_match {
  uint32_t rule;
  bool low, commented;
  uint32_t first, count; // its ranges
  uint32_t length;
  uint64_t fingerprint;
  char shown[PAI_SCAN_SHOWN_MAX + 1];
} pai_scan_match;

#define PAI_SCAN_VIEWS 5 // three levels of escapes, a recording's output and its input

struct pai_scan {
  pai_scan_compiled *rules;
  uint32_t count, cap;
  pai_scan_filter filter;
  uint32_t *run_rules;
  uint32_t run_count;
  pcre2_match_data *data;
  pcre2_match_context *context;
  pcre2_jit_stack *stack;
  char *salt;
  size_t salt_len;
  pai_scan_view views[PAI_SCAN_VIEWS];
  // of the block that is being looked at
  pai_scan_match *matches;
  uint32_t match_count, match_cap;
  pai_scan_ranges ranges; // of the matches
  pai_scan_ranges scratch[2];
  uint8_t *hashed;  // room for salt, rule and value
  uint8_t *decoded; // room for a nested value
  bool in_nested, nested_found;
  uint64_t limited;
  // scan_stream.c
  uint8_t *block, *cover; // cover: 1 = part of a match; all 0 between uses
};

// Fills s->matches with all that is in the block, unsorted; starts: see pai_scan_view_events.
int pai_scan_block(pai_scan *s, const uint8_t *text, size_t len, bool starts, bool events);

#endif
