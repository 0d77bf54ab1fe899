/* Whether a value that fits an expression is a secret. See scan_priv.h. All of it is linear in the
 * value's length, which is at most PAI_SCAN_SPAN_MAX. */
#include "alloc.h"
#include "scan_priv.h"

#include <ctype.h>
#include <math.h>
#include <string.h>
#include <time.h>

#define WORDS_MAX 256 // bytes; in a longer value a word may stand by chance

static bool is_alnum(uint8_t c) {
  return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static bool is_hex(uint8_t c) {
  return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static uint8_t lower(uint8_t c) {
  return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool pai_scan_holds(const uint8_t *text, size_t len, const char *word) {
  size_t n = strlen(word);
  for (size_t i = 0; i + n <= len; i++) {
    size_t k = 0;
    while (k < n && lower(text[i + k]) == (uint8_t)word[k])
      k++;
    if (k == n)
      return true;
  }
  return false;
}

static bool holds_any(const uint8_t *v, size_t len, const char *const *words) {
  for (; *words != NULL; words++)
    if (pai_scan_holds(v, len, *words))
      return true;
  return false;
}

static double entropy(const uint8_t *v, size_t len, unsigned *different) {
  uint32_t counts[256] = {0};
  double bits = 0;
  *different = 0;
  for (size_t i = 0; i < len; i++)
    counts[v[i]]++;
  for (int c = 0; c < 256; c++) {
    if (counts[c] == 0)
      continue;
    double p = (double)counts[c] / (double)len;
    bits -= p * log2(p);
    (*different)++;
  }
  return bits;
}

// "$NAME", "%NAME%", "%s", "@Microsoft.KeyVault(...)"
static bool is_reference(const uint8_t *v, size_t len) {
  size_t i = 1;
  if (len < 2 || (v[0] != '$' && v[0] != '%' && v[0] != '@'))
    return false;
  while (i < len && (is_alnum(v[i]) || v[i] == '_' || v[i] == '.' || v[i] == ':'))
    i++;
  return i == len || (i == len - 1 && v[0] == '%' && v[i] == '%') || (v[0] == '@' && v[i] == '(');
}

static bool is_placeholder(const uint8_t *v, size_t len) {
  static const char *const marks[] = {"<",    ">",    "${",   "$(", "{{",
                                      "xxxx", "****", "....", "%s", NULL};
  static const char *const words[] = {"your", "placeholder", "redacted", "example", NULL};
  size_t looked = len < WORDS_MAX ? len : WORDS_MAX;
  return holds_any(v, looked, marks) || (len <= WORDS_MAX && holds_any(v, len, words)) ||
         is_reference(v, len);
}

static bool is_sample(const uint8_t *v, size_t len) {
  static const char *const words[] = {
      "sample",   "dummy",     "changeme",  "change-me",  "change_me",  "insert",     "todo",
      "fake",     "test-only", "not-a-key", "abcdefghij", "0123456789", "1234567890", "aaaaaaaa",
      "00000000", "deadbeef",  "hunter2",   "replace-me", "replace_me", NULL};
  return len <= WORDS_MAX && holds_any(v, len, words);
}

static bool all_of(const uint8_t *v, size_t len, const char *marks) {
  for (size_t i = 0; i < len; i++)
    if (!isalpha(v[i]) && (v[i] == '\0' || strchr(marks, v[i]) == NULL))
      return false;
  return true;
}

// "gpu-operator-v25", "osmo.minimal.svc": lower-case parts of at most 12 characters.
static bool is_object_name(const uint8_t *v, size_t len) {
  size_t part = 0, parts = 1;
  for (size_t i = 0; i < len; i++) {
    if (v[i] == '-' || v[i] == '.' || v[i] == '_') {
      if (part == 0)
        return false;
      part = 0;
      parts++;
    } else if (!is_alnum(v[i]) || isupper(v[i]) || ++part > 12) {
      return false;
    }
  }
  return parts > 1 && part > 0;
}

// A path, a URL, or names joined by dots and brackets as in code.
static bool is_path(const uint8_t *v, size_t len) {
  if (v[0] == '/' || v[0] == '~' || (len > 2 && v[0] == '.' && (v[1] == '/' || v[1] == '.')))
    return memchr(v, '/', len) != NULL && memchr(v, '+', len) == NULL && v[len - 1] != '=';
  size_t words = 0, run = 0, slashes = 0, longest = 0;
  for (size_t i = 0; i < len; i++) {
    if (is_alnum(v[i]) || v[i] == '_' || v[i] == '-') {
      run++;
    } else if (v[i] == '/' || v[i] == '.' || v[i] == ':') {
      slashes += v[i] != ':';
      words += run > 0;
      run = 0;
    } else {
      return false;
    }
    longest = run > longest ? run : longest;
  }
  return slashes > 0 && words + (run > 0) > 1 && longest <= 24;
}

static bool is_guid(const uint8_t *v, size_t len) {
  if (len != 36)
    return false;
  for (size_t i = 0; i < len; i++)
    if (i == 8 || i == 13 || i == 18 || i == 23 ? v[i] != '-' : !is_hex(v[i]))
      return false;
  return true;
}

static bool is_digest(const uint8_t *v, size_t len) {
  if (len != 40 && len != 64)
    return false;
  for (size_t i = 0; i < len; i++)
    if (!is_hex(v[i]))
      return false;
  return true;
}

static bool is_name(const uint8_t *v, size_t len) {
  return all_of(v, len, ".-_") || is_object_name(v, len) || is_path(v, len) || is_guid(v, len) ||
         is_digest(v, len) || pai_scan_holds(v, len, "://");
}

/* ---- what a format demands ---- */

static int digit64(uint8_t c) {
  if (c >= 'A' && c <= 'Z')
    return c - 'A';
  if (c >= 'a' && c <= 'z')
    return c - 'a' + 26;
  if (c >= '0' && c <= '9')
    return c - '0' + 52;
  return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

int64_t pai_scan_base64(const uint8_t *text, size_t len, uint8_t *out) {
  size_t n = 0;
  uint32_t bits = 0, held = 0;
  while (len > 0 && text[len - 1] == '=')
    len--;
  for (size_t i = 0; i < len; i++) {
    int d = digit64(text[i]);
    if (d < 0)
      return -1;
    held = held << 6 | (uint32_t)d;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out[n++] = (uint8_t)(held >> bits);
    }
  }
  return (int64_t)n;
}

static const uint8_t *find(const uint8_t *text, size_t len, const char *what) {
  return memmem(text, len, what, strlen(what));
}

// The number after "exp": in a JWT's payload; 0 when there is none.
static int64_t expires(const uint8_t *text, size_t len) {
  const uint8_t *end = text + len, *p = find(text, len, "\"exp\"");
  int64_t v = 0;
  if (p == NULL)
    return 0;
  for (p += 5; p < end && (*p == ':' || *p == ' '); p++) {
  }
  for (; p < end && *p >= '0' && *p <= '9' && v < INT64_C(1) << 50; p++)
    v = v * 10 + (*p - '0');
  return v;
}

static pai_scan_verdict check_jwt(const uint8_t *v, size_t len) {
  uint8_t out[4096];
  const uint8_t *dot = memchr(v, '.', len);
  size_t head = dot != NULL ? (size_t)(dot - v) : len;
  int64_t n = head <= sizeof out ? pai_scan_base64(v, head, out) : -1;
  if (n < 2 || out[0] != '{' || find(out, (size_t)n, "\"alg\"") == NULL)
    return PAI_SCAN_NO;
  const uint8_t *payload = dot + 1;
  const uint8_t *second = memchr(payload, '.', len - head - 1);
  size_t size = second != NULL ? (size_t)(second - payload) : len - head - 1;
  n = size <= sizeof out ? pai_scan_base64(payload, size, out) : -1;
  int64_t until = n > 0 ? expires(out, (size_t)n) : 0;
  return until != 0 && until < (int64_t)time(NULL) ? PAI_SCAN_LOW : PAI_SCAN_YES;
}

static pai_scan_verdict check_ngc(const uint8_t *v, size_t len) {
  uint8_t out[96];
  int64_t n = len <= sizeof out ? pai_scan_base64(v, len, out) : -1;
  if (n != 63)
    return PAI_SCAN_NO;
  for (int i = 0; i < 63; i++) {
    bool dash = i == 35 || i == 40 || i == 45 || i == 50;
    if (i == 26 ? out[i] != ':' : dash ? out[i] != '-' : !is_alnum(out[i]))
      return PAI_SCAN_NO;
  }
  return PAI_SCAN_YES;
}

static pai_scan_verdict check_basic(const uint8_t *v, size_t len) {
  uint8_t out[4096];
  int64_t n = len <= sizeof out ? pai_scan_base64(v, len, out) : -1;
  const uint8_t *colon = n > 3 ? memchr(out, ':', (size_t)n) : NULL;
  if (colon == NULL || out + n - colon < 4)
    return PAI_SCAN_NO;
  for (int64_t i = 0; i < n; i++)
    if (out[i] < 0x20 || out[i] == 0x7f)
      return PAI_SCAN_NO;
  return is_placeholder(colon + 1, (size_t)(out + n - colon - 1)) ? PAI_SCAN_NO : PAI_SCAN_YES;
}

static pai_scan_verdict check_pem(const pai_scan_value *value) {
  const uint8_t *v = value->text + value->from;
  size_t len = value->end - value->from, body = 0;
  const uint8_t *head = len > 10 ? find(v + 10, len - 10, "-----") : NULL;
  if (head == NULL)
    return PAI_SCAN_NO;
  head += 5;
  const uint8_t *stop = find(head, (size_t)(v + len - head), "-----END");
  bool closed = stop != NULL;
  if (!closed)
    stop = v + len;
  if (is_placeholder(head, (size_t)(stop - head) < 200 ? (size_t)(stop - head) : 0))
    return PAI_SCAN_NO;
  for (const uint8_t *p = head; p < stop; p++)
    body += digit64(*p) >= 0;
  if (closed || body > 0)
    return body >= 40 ? PAI_SCAN_YES : PAI_SCAN_NO;
  // a header alone: the text was cut there, or it stands on a line of its own
  if (value->from > 0 && value->text[value->from - 1] != '\n')
    return PAI_SCAN_NO;
  uint8_t next = head < value->text + value->len ? *head : '\n';
  return next == '\n' || next == '\r' ? PAI_SCAN_YES : PAI_SCAN_NO;
}

static uint32_t crc32_of(const uint8_t *p, size_t len) {
  uint32_t crc = UINT32_MAX;
  for (size_t i = 0; i < len; i++) {
    crc ^= p[i];
    for (int bit = 0; bit < 8; bit++)
      crc = crc >> 1 ^ (UINT32_C(0xedb88320) & (0U - (crc & 1)));
  }
  return ~crc;
}

static pai_scan_verdict check_crc32(const uint8_t *v, size_t len) {
  static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  const uint8_t *mark = memrchr(v, '_', len);
  const uint8_t *body = mark != NULL ? mark + 1 : v;
  size_t n = (size_t)(v + len - body);
  if (n != 36)
    return PAI_SCAN_YES; // of another form than the one that is known to have it
  uint32_t crc = crc32_of(body, n - 6);
  for (size_t i = 0; i < 6; i++, crc /= 62)
    if (body[n - 1 - i] != (uint8_t)digits[crc % 62])
      return PAI_SCAN_LOW;
  return PAI_SCAN_YES;
}

// Something that is no number: to put words in a number's place would break a JSON document.
static pai_scan_verdict check_mixed(const uint8_t *v, size_t len) {
  for (size_t i = 0; i < len; i++)
    if (v[i] == '\0' || strchr("0123456789+-.eE:", v[i]) == NULL)
      return PAI_SCAN_YES;
  return PAI_SCAN_NO;
}

pai_scan_verdict pai_scan_judge(const pai_scan_rule *rule, const pai_scan_value *value) {
  const uint8_t *v = value->text + value->from;
  size_t len = value->end - value->from;
  unsigned different;
  double bits = entropy(v, len, &different);
  double least = len < 20 && rule->entropy_short > 0 ? rule->entropy_short : rule->entropy;
  if (len == 0 || bits < least)
    return PAI_SCAN_NO;
  if ((rule->allow & PAI_SCAN_PLACEHOLDERS) && (different <= 4 || is_placeholder(v, len)))
    return PAI_SCAN_NO;
  if ((rule->allow & PAI_SCAN_SAMPLES) && is_sample(v, len))
    return PAI_SCAN_NO;
  if ((rule->allow & PAI_SCAN_NAMES) && is_name(v, len))
    return PAI_SCAN_NO;
  switch (rule->check) {
  case PAI_SCAN_CHECK_JWT:
    return check_jwt(v, len);
  case PAI_SCAN_CHECK_NGC:
    return check_ngc(v, len);
  case PAI_SCAN_CHECK_BASIC:
    return check_basic(v, len);
  case PAI_SCAN_CHECK_PEM:
    return check_pem(value);
  case PAI_SCAN_CHECK_CRC32:
    return check_crc32(v, len);
  case PAI_SCAN_CHECK_MIXED:
    return check_mixed(v, len);
  default:
    return PAI_SCAN_YES;
  }
}
