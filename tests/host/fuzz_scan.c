/* Any bytes, as a text and as its two halves' borders: findings lie in the text and are in order,
 * each is a line and column that exist, and a redacted text is the text but for the findings. */
#include "alloc.h"
#include "scan.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static pai_scan *scanner;

static void add(const char *id, const char *pattern, const char *keyword, pai_scan_check check) {
  const char *keywords[] = {keyword};
  pai_scan_rule r = {.id = id,
                     .pattern = pattern,
                     .keywords = keywords,
                     .keyword_count = 1,
                     .label = check == PAI_SCAN_CHECK_MIXED,
                     .runs = check == PAI_SCAN_CHECK_NGC,
                     .allow = check == PAI_SCAN_CHECK_MIXED ? 7 : 1,
                     .check = check,
                     .shown = 4};
  if (pai_scan_add(scanner, &r, NULL) < 0)
    abort();
}

static void make(void) {
  scanner = pai_scan_new("", 0);
  add("pem", "(-----BEGIN [A-Z ]{0,9}KEY-----(?:[\\w+/=\\s]{0,999}?-----END|))", "-----BEGIN",
      PAI_SCAN_CHECK_PEM);
  add("jwt", "(?<![\\w-])(ey[\\w-]{2,99}\\.ey[\\w-]{0,99}\\.[\\w-]{0,99})", "eyJh",
      PAI_SCAN_CHECK_JWT);
  add("basic", "auth\"[ ]{0,2}:[ ]{0,2}\"([A-Za-z0-9+/=]{1,200})\"", "auth\"",
      PAI_SCAN_CHECK_BASIC);
  add("nested", "(Zm9v[A-Za-z0-9+/=]{4,400})", "Zm9v", PAI_SCAN_CHECK_NESTED);
  add("crc", "(ghx_[A-Za-z0-9]{8,40})", "ghx_", PAI_SCAN_CHECK_CRC32);
  add("run", "(?:[\\w:-]{0,64}[:-])?([A-Za-z0-9]{84})", "ngc_", PAI_SCAN_CHECK_NGC);
  add("url", "s://[^/\\s:@]{0,64}:([^/\\s@\"]{1,128})@", "s://", PAI_SCAN_CHECK_NONE);
  add("any", "(?i:pass)[\\w.-]{0,20}[\"' ]{0,3}[:=][\"' ]{0,3}([\\w+/=.-]{4,99})", "pass",
      PAI_SCAN_CHECK_MIXED);
}

typedef struct seen {
  const uint8_t *data;
  size_t size;
  uint64_t last, findings;
  pai_buf copy;
} seen;

static pai_scan_answer on_found(void *ud, const pai_scan_finding *f) {
  seen *s = ud;
  if (f->offset < s->last || f->end > s->size || f->offset > f->end || f->length == 0)
    abort();
  uint64_t line = 1;
  for (uint64_t i = 0; i < f->offset; i++)
    line += s->data[i] == '\n';
  if (line != f->from.line || f->from.column == 0 || f->to.line < f->from.line)
    abort();
  s->last = f->offset;
  s->findings++;
  return PAI_SCAN_KEEP;
}

static int on_write(void *ud, const void *data, size_t len, pai_error *err) {
  (void)err;
  return pai_buf_add(&((seen *)ud)->copy, data, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (scanner == NULL)
    make();
  seen s = {.data = data, .size = size};
  pai_scan_sum sum, plain;
  pai_scan_job job = {
      .found = on_found, .write = on_write, .ud = &s, .write_ud = &s, .binary = true};
  pai_buf_init(&s.copy, (size_t)1 << 30);
  if (pai_scan_text(scanner, data, size, &job, &sum, NULL) < 0)
    abort();
  if (sum.bytes != size || sum.findings != s.findings)
    abort();
  if (s.findings == 0 && (s.copy.len != size || (size > 0 && memcmp(s.copy.data, data, size) != 0)))
    abort();
  job.write = NULL;
  s.last = s.findings = 0;
  if (pai_scan_text(scanner, data, size, &job, &plain, NULL) < 0 || plain.findings != sum.findings)
    abort();
  pai_buf_free(&s.copy);
  return 0;
}
