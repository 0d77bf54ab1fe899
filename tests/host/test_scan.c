/* The scanner's engine: what the filter lets through beside a plain search, values across the
 * borders of blocks, limits, and every allocation failing once. */
#include "nomem_run.h"
#include "scan.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

int luaopen_pai_scan(lua_State *L);

#define FOUND_MAX 4096

typedef struct result {
  pai_scan_finding found[FOUND_MAX];
  size_t count;
  pai_buf copy;
  pai_scan_sum sum;
} result;

static result got; // large

static pai_scan_answer on_found(void *ud, const pai_scan_finding *f) {
  result *r = ud;
  if (r->count < FOUND_MAX)
    r->found[r->count++] = *f;
  return PAI_SCAN_KEEP;
}

static int on_write(void *ud, const void *data, size_t len, pai_error *err) {
  int rc = pai_buf_add(&((result *)ud)->copy, data, len);
  return rc < 0 ? pai_error_set(err, rc, "no room for the copy") : 0;
}

// fd: where the text is read from instead, unless it is -1.
static int scan(pai_scan *s, const void *text, size_t len, int fd, pai_error *err) {
  pai_scan_job job = {.found = on_found, .write = on_write, .ud = &got, .write_ud = &got};
  got.count = 0;
  pai_buf_free(&got.copy);
  pai_buf_init(&got.copy, (size_t)1 << 26);
  return fd < 0 ? pai_scan_text(s, text, len, &job, &got.sum, err)
                : pai_scan_fd(s, fd, &job, &got.sum, err);
}

static int add(pai_scan *s, const char *id, const char *pattern, const char *keyword, bool exact) {
  pai_error err = {0};
  pai_scan_rule r = {.id = id,
                     .pattern = pattern,
                     .keywords = &keyword,
                     .keyword_count = keyword != NULL,
                     .exact = exact,
                     .runs = keyword == NULL};
  return pai_scan_add(s, &r, &err);
}

/* ---- the filter beside a plain search ---- */

#define WORDS 120

static uint32_t random_state = 1;

static uint32_t draw(uint32_t below) { // numbers for tests only
  random_state = random_state * 1664525 + 1013904223;
  return (random_state >> 8) % below;
}

static const char letters[] = "abAB01_-:. /$=~";

typedef struct word {
  char text[PAI_SCAN_KEYWORD_MAX + 1];
  uint32_t len;
  bool exact;
} word;

static bool is_at(const word *w, const char *text, size_t left) {
  if (w->len > left)
    return false;
  return w->exact ? strncmp(text, w->text, w->len) == 0 : strncasecmp(text, w->text, w->len) == 0;
}

static pai_scan *scanner_of(word *words) {
  pai_scan *s = pai_scan_new("", 0);
  CHECK(s != NULL);
  for (uint32_t i = 0; i < WORDS && s != NULL; i++) {
    char id[16], pattern[PAI_SCAN_KEYWORD_MAX + 32];
    word *w = &words[i];
    w->len = draw(3) == 0 ? 4 + draw(PAI_SCAN_KEYWORD_MAX - 3) : 4 + draw(3);
    w->exact = draw(2) == 0;
    for (uint32_t k = 0; k < w->len; k++)
      w->text[k] = letters[draw(sizeof letters - 1)];
    w->text[w->len] = '\0';
    snprintf(id, sizeof id, "r%u", i);
    snprintf(pattern, sizeof pattern, "(%s\\Q%.*s\\E)", w->exact ? "" : "(?i)", (int)w->len,
             w->text);
    CHECK(add(s, id, pattern, w->text, w->exact) == 0);
  }
  return s;
}

// Words and what looks like them, ends of words at both ends of the text.
static size_t make_text(const word *words, char *text, size_t room) {
  size_t n = 0;
  while (n + PAI_SCAN_KEYWORD_MAX < room) {
    const word *w = &words[draw(WORDS)];
    uint32_t from = draw(4) == 0 ? draw(w->len) : 0, end = draw(4) == 0 ? draw(w->len) : w->len;
    for (uint32_t k = from; k < end; k++)
      text[n++] = draw(30) == 0 && isalpha((uint8_t)w->text[k]) ? w->text[k] ^ 0x20 : w->text[k];
    for (uint32_t k = draw(6); k > 0 && n < room; k--)
      text[n++] = letters[draw(sizeof letters - 1)];
  }
  return n;
}

// Rules that come first own their bytes; of one rule, what comes first.
static size_t plain_search(const word *words, const char *text, size_t len, int32_t *owner) {
  size_t count = 0;
  for (size_t i = 0; i < len; i++)
    owner[i] = 0; // of a first byte: rule + 1; of another one: -1
  for (uint32_t r = 0; r < WORDS; r++)
    for (size_t at = 0; at < len; at++) {
      bool is_free = is_at(&words[r], text + at, len - at);
      for (uint32_t k = 0; is_free && k < words[r].len; k++)
        is_free = owner[at + k] == 0;
      for (uint32_t k = 0; is_free && k < words[r].len; k++)
        owner[at + k] = k == 0 ? (int32_t)r + 1 : -1;
      count += is_free;
    }
  return count;
}

static void filter(void) {
  static char text[3000];
  static int32_t owner[sizeof text];
  static word words[WORDS];
  pai_error err;
  for (int round = 0; round < 20; round++) {
    pai_scan *s = scanner_of(words);
    size_t len = make_text(words, text, 200 + draw(sizeof text - 200));
    size_t expected = plain_search(words, text, len, owner);
    CHECK(expected > 5);
    CHECK(scan(s, text, len, -1, &err) == 0);
    CHECK(got.count == expected && got.sum.findings == expected && got.sum.bytes == len);
    for (size_t i = 0; i < got.count; i++) {
      const pai_scan_finding *f = &got.found[i];
      CHECK(f->offset < len && owner[f->offset] == (int32_t)f->rule + 1);
      CHECK(f->end - f->offset == words[f->rule].len);
    }
    pai_scan_free(s);
  }
}

static void keywords_later(void) {
  static const char text[] = "see one_a1 and two_b2.";
  pai_error err;
  pai_scan *s = pai_scan_new("", 0);
  CHECK(scan(s, text, sizeof text - 1, -1, &err) == 0 && got.count == 0);
  CHECK(add(s, "one", "(one_[a-z][0-9])", "one_", true) == 0);
  CHECK(scan(s, text, sizeof text - 1, -1, &err) == 0 && got.count == 1);
  CHECK(add(s, "two", "(two_[a-z][0-9])", "two_", true) == 0);
  CHECK(scan(s, text, sizeof text - 1, -1, &err) == 0 && got.count == 2);
  CHECK(got.found[1].rule == 1 && got.found[1].offset == 15 && got.found[1].from.column == 16);
  pai_scan_free(s);
}

/* ---- runs ---- */

static void runs(void) {
  char text[700];
  pai_error err;
  pai_scan *s = pai_scan_new("", 0);
  CHECK(add(s, "run", "([A-Za-z0-9:-]{63,300})", NULL, false) == 0);
  for (size_t len = 55; len < 270; len += len < 70 || len > 250 ? 1 : 23)
    for (size_t at = 0; at < 50; at++) {
      memset(text, '+', sizeof text);
      for (size_t i = 0; i < len; i++)
        text[at + i] = "aZ09:-m"[i % 7];
      bool is_run = len >= 63 && len <= 256;
      // with something behind it, and as the text's end
      CHECK(scan(s, text, sizeof text, -1, &err) == 0 && got.count == is_run);
      CHECK(!is_run || (got.found[0].offset == at && got.found[0].end == at + len));
      CHECK(scan(s, text, at + len, -1, &err) == 0 && got.count == is_run);
    }
  pai_scan_free(s);
}

/* ---- blocks ---- */

#define BIG (((size_t)2 << 20) + 300000)
#define LINE 50

static void check_at(pai_scan *s, char *text, int fd, size_t at) {
  static const char token[] = "tok_0123456789abcdef";
  const size_t n = sizeof token - 1;
  char old[sizeof token];
  pai_error err;
  memcpy(old, text + at, n);
  memcpy(text + at, token, n);
  CHECK(pwrite(fd, token, n, (off_t)at) == (ssize_t)n);
  CHECK(lseek(fd, 0, SEEK_SET) == 0);
  for (int way = 0; way < 2; way++) {
    CHECK(scan(s, text, BIG, way == 0 ? -1 : fd, &err) == 0);
    CHECK(got.count == 1 && got.found[0].offset == at && got.found[0].end == at + n);
    CHECK(got.found[0].from.line == at / LINE + 1 && got.found[0].from.column == at % LINE + 1);
    size_t mark = got.copy.len - (BIG - n);
    CHECK(got.copy.len > BIG - n && memcmp(got.copy.data, text, at) == 0);
    CHECK(memcmp(got.copy.data + at + mark, text + at + n, BIG - at - n) == 0);
    CHECK(memmem(got.copy.data + at, mark, "0123456789", 10) == NULL);
  }
  memcpy(text + at, old, n);
  CHECK(pwrite(fd, old, n, (off_t)at) == (ssize_t)n);
}

static void blocks(void) {
  static const size_t middle[] = {(size_t)1 << 20, ((size_t)1 << 20) + (32 << 10),
                                  ((size_t)1 << 20) + (64 << 10), ((size_t)1 << 20) + (96 << 10),
                                  ((size_t)2 << 20) + (32 << 10)};
  char *text = malloc(BIG);
  int fd = memfd_create("text", MFD_CLOEXEC);
  pai_scan *s = pai_scan_new("", 0);
  CHECK(add(s, "token", "(tok_[0-9a-f]{16})", "tok_", true) == 0);
  for (size_t i = 0; i < BIG; i++)
    text[i] = i % LINE == LINE - 1 ? '\n' : (char)('a' + i % 23);
  CHECK(pwrite(fd, text, BIG, 0) == (ssize_t)BIG);
  for (size_t i = 0; i < sizeof middle / sizeof middle[0]; i++)
    for (size_t d = 0; d <= 24; d += 3) // a line's end within the token would change the lines
      if ((middle[i] - d) % LINE + 20 < LINE)
        check_at(s, text, fd, middle[i] - d);
  check_at(s, text, fd, 0);
  check_at(s, text, fd, BIG - 20);
  close(fd);
  free(text);
  pai_scan_free(s);
}

/* ---- limits and refusals ---- */

static void refused(void) {
  static const struct {
    const char *id, *pattern, *keyword;
    int rc;
  } cases[] = {{"", "(a)", "word", PAI_E_ARG},      {"A", "(a)", "word", PAI_E_ARG},
               {"short", "(a)", "wor", PAI_E_ARG},  {"groups", "(a)(b)", "word", PAI_E_ARG},
               {"none", "a", "word", PAI_E_ARG},    {"wrong", "(a", "word", PAI_E_ARG},
               {"known", "(a)", "word", PAI_E_ARG}, {"fine", "(a)", "word", 0}};
  char id[16];
  pai_scan *s = pai_scan_new("", 0);
  CHECK(add(s, "known", "(a)", "word", true) == 0);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
    CHECK(add(s, cases[i].id, cases[i].pattern, cases[i].keyword, true) == cases[i].rc);
  for (int i = 2; i < PAI_SCAN_RULES_MAX; i++) {
    snprintf(id, sizeof id, "r%d", i);
    CHECK(add(s, id, "(a)", "word", true) == 0);
  }
  CHECK(add(s, "one-more", "(a)", "word", true) == PAI_E_LIMIT);
  pai_scan_free(s);
}

static void costly(void) {
  char text[200];
  pai_error err;
  pai_scan *s = pai_scan_new("", 0);
  CHECK(add(s, "costly", "((?:a|a){1,90})!", "keyaaaa", true) == 0);
  CHECK(add(s, "slow", "((?:k|k)(?:e|e)y(?:a|a|a){1,90})!", "key", true) == PAI_E_ARG);
  CHECK(add(s, "slow", "(key(?:a|a|a){1,90})!", "keya", true) == 0);
  CHECK(add(s, "quick", "(tok_[0-9]{4})", "tok_", true) == 0);
  memset(text, 'a', sizeof text);
  memcpy(text, "key", 3);
  memcpy(text + 150, " tok_1234 ", 10);
  CHECK(scan(s, text, sizeof text, -1, &err) == 0);
  CHECK(got.sum.limited == 1 && got.count == 1 && got.found[0].rule == 2);
  pai_scan_free(s);
}

static int no_write(void *ud, const void *data, size_t len, pai_error *err) {
  (void)ud, (void)data, (void)len;
  return pai_error_set(err, PAI_E_LIMIT, "no more");
}

static void not_text(void) {
  static const char wide[] = "\xff\xfe\x74\0o\0", binary[] = "tok_1234\0";
  pai_error err;
  pai_scan_sum sum;
  pai_scan_job job = {.write = no_write};
  pai_scan *s = pai_scan_new("", 0);
  CHECK(add(s, "token", "(tok_[0-9]{4})", "tok_", true) == 0);
  CHECK(scan(s, wide, sizeof wide - 1, -1, &err) == PAI_E_PARSE);
  CHECK(scan(s, binary, sizeof binary, -1, &err) == 0);
  CHECK(got.sum.is_binary && got.count == 0 && got.copy.len == 0);
  CHECK(scan(s, "", 0, -1, &err) == 0 && got.count == 0 && got.sum.bytes == 0);
  CHECK(pai_scan_text(s, "tok_1234", 8, &job, &sum, &err) == PAI_E_LIMIT);
  int dir = open("/", O_RDONLY | O_CLOEXEC | O_DIRECTORY); // cannot be read
  CHECK(pai_scan_fd(s, dir, &job, &sum, &err) == PAI_E_SYS);
  close(dir);
  CHECK(scan(s, binary, 8, -1, &err) == 0 && got.count == 1);
  pai_scan_free(s);
}

/* ---- without memory ---- */

// Escapes, a finding in each view, and a recording's event.
static const char mixed[] =
    "{\"version\": 2, \"width\": 80}\n[0.1, \"o\", \"tok_12\"]\n[0.2, \"o\", \"34 \\u001b[0m\"]\n"
    "tok_1111 \"text\\ntok_2222\" \"\\\"tok\\\\u005f3333\\\"\" tok_\x1b[0m4444\n";

static pai_scan *new_scanner(pai_error *err) {
  static const char *const keywords[] = {"tok_", "token-long"};
  pai_scan_rule r = {.id = "token",
                     .pattern = "(tok_[0-9]{4})",
                     .keywords = keywords,
                     .keyword_count = 2,
                     .near = keywords,
                     .near_count = 1};
  pai_scan *s = pai_scan_new("salt", 4);
  if (s == NULL)
    return NULL;
  if (pai_scan_add(s, &r, err) == 0)
    return s;
  CHECK(err->code == PAI_E_NOMEM);
  pai_scan_free(s);
  return NULL;
}

static void no_memory(void) {
  int failed = 0, scans = 0;
  pai_error err = {0};
  pai_scan *s = new_scanner(&err);
  CHECK(scan(s, mixed, sizeof mixed - 1, -1, &err) == 0);
  size_t expected = got.count;
  CHECK(expected == 5);
  pai_scan_free(s);
  for (size_t n = 1; n < 100; n++) {
    pai_alloc_fail_at(n);
    s = new_scanner(&err);
    failed += s == NULL;
    if (s == NULL)
      continue;
    int rc = scan(s, mixed, sizeof mixed - 1, -1, &err);
    pai_alloc_fail_at(0);
    CHECK(rc < 0 || got.count == expected);
    scans += rc < 0;
    // it has lost nothing
    CHECK(scan(s, mixed, sizeof mixed - 1, -1, &err) == 0 && got.count == expected);
    pai_scan_free(s);
  }
  pai_alloc_fail_at(0);
  CHECK(failed > 5 && scans > 10);
}

static void binding(void) {
  const nomem_test t = {
      .name = "pai.scan",
      .open = luaopen_pai_scan,
      .dir = "",
      .text = "local s = assert(m.compile({{ id = 'token', pattern = '(tok_[0-9]{4})',\n"
              "  keywords = { 'tok_' }, near = { 'see' }, shown = 1 }}, { salt = 'x' }))\n"
              "local r = assert(s:text('see tok_1234 and \"\\\\u0074ok_5678\"', "
              "{ redact = true, allow = {} }))\n"
              "return r.count == 2 and not r.redacted:find('1234')"};
  nomem_each(&t, 60, 64);
}

int main(void) {
  RUN(filter);
  RUN(keywords_later);
  RUN(runs);
  RUN(blocks);
  RUN(refused);
  RUN(costly);
  RUN(not_text);
  RUN(no_memory);
  RUN(binding);
  pai_buf_free(&got.copy);
  return finish();
}
