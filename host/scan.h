/* Looks for credentials in bytes: rules with keywords, a filter that looks for all keywords in one
 * pass, and a regular expression that is tried only where one stands. Knows no Lua and no rule.
 *
 * A rule's expression is anchored: it is tried `before` bytes in front of each of its keywords, so
 * that a text costs one attempt a keyword. Group 1 is the secret. Texts that hold escapes (JSON,
 * JSON in JSON, shells), terminal codes or terminal recordings are also looked at with those taken
 * away; what is found there is mapped back to the bytes that it was made from. */
#ifndef PAI_SCAN_H
#define PAI_SCAN_H

#include "buf.h"
#include "error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAI_SCAN_KEYWORD_MIN 4
#define PAI_SCAN_KEYWORD_MAX 40
#define PAI_SCAN_RULES_MAX 1000
#define PAI_SCAN_SPAN_MAX 16384 // bytes of a match: what goes on is found up to here
#define PAI_SCAN_SHOWN_MAX 4    // bytes of a value that may be shown

// What is no secret although it fits the expression.
enum {
  PAI_SCAN_PLACEHOLDERS = 1, // <TOKEN>, xxxx, ${VAR}, ***, your-key-here
  PAI_SCAN_SAMPLES = 2,      // changeme, dummy, 0123456789, deadbeef
  PAI_SCAN_NAMES = 4         // words, object names, paths, URLs, GUIDs, digests
};

// What the value must be besides.
typedef enum pai_scan_check {
  PAI_SCAN_CHECK_NONE,
  PAI_SCAN_CHECK_JWT,    // a header that decodes to an object with "alg"; past "exp": low
  PAI_SCAN_CHECK_NGC,    // base64 of 26 characters, a colon and a group like a GUID
  PAI_SCAN_CHECK_BASIC,  // base64 of text with a colon
  PAI_SCAN_CHECK_PEM,    // a body of key material, or a header at the end of a line
  PAI_SCAN_CHECK_CRC32,  // the last 6 characters are a checksum in base 62; else low
  PAI_SCAN_CHECK_NESTED, // base64 of text in which these rules find something
  PAI_SCAN_CHECK_MIXED   // more than a number
} pai_scan_check;

typedef struct pai_scan_rule {
  const char *id;
  const char *pattern; // PCRE2, anchored
  const char *const *keywords;
  size_t keyword_count;
  const char *const *near; // one of these within 64 bytes before, or in, the keyword
  size_t near_count;
  bool exact;           // the keywords' case counts
  bool runs;            // is tried also where 63 to 256 of A-Z a-z 0-9 : - begin
  bool label;           // ":" or "=" follows the keyword's word, else the expression is not tried
  uint32_t before;      // bytes
  double entropy;       // bits a character, at least
  double entropy_short; // the same for a value of less than 20 bytes; 0: as entropy
  unsigned allow;       // PAI_SCAN_PLACEHOLDERS...
  pai_scan_check check;
  uint32_t shown; // bytes of the value that a report may show
} pai_scan_rule;

typedef struct pai_scan pai_scan;

// salt: goes into fingerprints; "" is fine. Owned: pai_scan_free; NULL: no memory.
pai_scan *pai_scan_new(const char *salt, size_t salt_len);
void pai_scan_free(pai_scan *s); // NULL is fine
// Rules that are added first win where matches overlap. All is copied. PAI_E_ARG names the rule and
// what is wrong with it; PAI_E_LIMIT, PAI_E_NOMEM.
int pai_scan_add(pai_scan *s, const pai_scan_rule *rule, pai_error *err);

typedef struct pai_scan_place {
  uint64_t line, column; // from 1; columns count characters
} pai_scan_place;

typedef struct pai_scan_finding {
  uint32_t rule;           // by order of adding, from 0
  bool low;                // fits, but a check says that it works no longer, or is not genuine
  uint64_t offset, end;    // bytes of the input; what lies between may not be all of it
  pai_scan_place from, to; // to: behind the last character
  size_t length;           // bytes of the value, decoded
  uint64_t fingerprint;    // of rule, salt and value
  char shown[PAI_SCAN_SHOWN_MAX + 1];
} pai_scan_finding;

typedef enum pai_scan_answer { PAI_SCAN_KEEP, PAI_SCAN_ALLOW } pai_scan_answer;

typedef struct pai_scan_job {
  // Each finding, in the order of the input; what it allows is not redacted. May be NULL.
  pai_scan_answer (*found)(void *ud, const pai_scan_finding *f);
  // Gets the input with each finding replaced; NULL: nobody wants it. 0 or a negative code.
  int (*write)(void *ud, const void *data, size_t len, pai_error *err);
  void *ud, *write_ud; // of found and of write
  bool binary;         // also what looks like no text
  bool comments;       // `pai-scan:allow` and `gitleaks:allow` on a line allow what is found there
} pai_scan_job;

typedef struct pai_scan_sum {
  uint64_t bytes, findings, allowed;
  uint64_t limited; // places where an expression was given up because it cost too much
  bool is_binary;   // the first bytes hold a NUL; nothing was looked at, unless job.binary
} pai_scan_sum;

// Reads fd to its end, whatever its size; blocks as reading does. 0, PAI_E_NOMEM, PAI_E_SYS,
// PAI_E_PARSE (UTF-16, which is refused), or what write gave.
int pai_scan_fd(pai_scan *s, int fd, const pai_scan_job *job, pai_scan_sum *sum, pai_error *err);
// The same for a file; "-" is standard input. output (may be NULL) gets what job.write would, whole
// or not at all, with the file's mode; "-" is standard output, behind the masker. job.write is
// not called then. Nothing is written for what pai_scan_sum.is_binary says
// was not looked at.
int pai_scan_file(pai_scan *s, const char *path, const char *output, const pai_scan_job *job,
                  pai_scan_sum *sum, pai_error *err);
int pai_scan_text(pai_scan *s, const void *data, size_t len, const pai_scan_job *job,
                  pai_scan_sum *sum, pai_error *err);

#endif
