/* The masker against a slow and simple one: every needle at every split, and random texts of few
 * letters over random needles, where beginnings, overlaps and repeats are common.
 * PAI_MASK_ROUNDS: random rounds (100,000; a fifth of them with sanitizers). */
#include "alloc.h"
#include "harness.h"
#include "mask_oracle.h"
#include "mask_set.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 88172645463325252U;

static uint32_t random_below(uint32_t n) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return (uint32_t)(seed >> 11) % n;
}

static pai_mask_set *set_of_needles(void) {
  pai_mask_set *set = pai_mask_set_new();
  for (size_t n = 0; n < needle_count; n++)
    if (pai_mask_set_add_literal(set, needles[n].data, needles[n].len, NULL) < 0)
      CHECK(!"a needle was refused");
  return set;
}

static void set_text(text *t, const char *s) {
  t->len = strlen(s);
  memcpy(t->data, s, t->len);
}

static size_t cut_one(void *ud) {
  (void)ud;
  return 1;
}

static size_t cut_first(void *ud) { // so many bytes, then the rest
  size_t n = *(size_t *)ud;
  *(size_t *)ud = TEXT_MAX;
  return n;
}

static size_t cut_random(void *ud) {
  uint32_t most = *(uint32_t *)ud;
  return random_below(most) + (random_below(8) != 0);
}

static void every_split(const text *in, pai_mask_set *set) {
  bool ok = true;
  for (size_t split = 0; split <= in->len; split++) {
    size_t n = split;
    ok = ok && agrees(set, in, cut_first, &n);
  }
  CHECK(ok);
  CHECK(agrees(set, in, cut_one, NULL));
}

/* ---- the tests ---- */

static int collect(void *ud, const uint8_t *bytes, size_t len) {
  (void)ud;
  if (len >= PAI_MASK_MIN) {
    memcpy(needles[needle_count].data, bytes, len);
    needles[needle_count++].len = len;
  }
  return 0;
}

// Secrets of six bytes up, some of them with what every encoding changes.
static void test_every_form_at_every_split(void) {
  static const char *const values[] = {"Zq3_x9",
                                       "a b+c/d=e?f&g",
                                       "quote\" slash\\ tab\t line\n end",
                                       "caf\xC3\xA9 \xF0\x9F\x98\x80 key",
                                       "x/y<z>&w:1@9#2",
                                       "k\x01\x02\x7F\xFF\xFEz~",
                                       "1234567890abcdef1234567890abcdef12345678"};
  for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
    needle_count = 0;
    CHECK(pai_mask_forms((const uint8_t *)values[v], strlen(values[v]), collect, NULL) == 0);
    size_t form_count = needle_count;
    pai_mask_set *set = pai_mask_set_new();
    CHECK(pai_mask_set_add(set, values[v], strlen(values[v]), NULL) == 1);
    for (size_t n = 0; n < form_count; n++) {
      static text in;
      in.len = 0;
      memcpy(in.data, "login: ", 7);
      memcpy(in.data + 7, needles[n].data, needles[n].len);
      memcpy(in.data + 7 + needles[n].len, " ok\n", 4);
      in.len = 11 + needles[n].len;
      every_split(&in, set);
    }
    pai_mask_set_free(set);
  }
}

static void test_overlaps_and_nests(void) {
  static const char *const sets[][6] = {
      {"abcdef", "abcdefghij"},                           // a beginning of the other
      {"cdefgh", "abcdefghij"},                           // inside the other
      {"abcdef", "efabcd", "cdabef"},                     // overlapping all ways
      {"aaaaaa", "aaaaaaaa", "aaaaab"},                   // repeats
      {"secret1", "secret12", "secret123", "ecret12345"}, // a tower
  };
  static const char *const texts[] = {"abcdefghij",
                                      "xabcdefghiy",
                                      "abcdefghijabcdef",
                                      "abcdabcdefabcdab",
                                      "aaaaaaaaaaaaaaaaab",
                                      "aaaaa",
                                      "secret12345",
                                      "secret1secret12x",
                                      "",
                                      "abcdefabcdefabcdefghijabcdefgh"};
  for (size_t s = 0; s < sizeof sets / sizeof sets[0]; s++) {
    needle_count = 0;
    for (size_t n = 0; n < 6 && sets[s][n] != NULL; n++)
      set_text(&needles[needle_count++], sets[s][n]);
    pai_mask_set *set = set_of_needles();
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
      static text in;
      set_text(&in, texts[t]);
      every_split(&in, set);
    }
    pai_mask_set_free(set);
  }
}

static void random_needles(uint32_t letters) {
  needle_count = 1 + random_below(8);
  for (size_t n = 0; n < needle_count; n++) {
    needles[n].len = PAI_MASK_MIN + random_below(random_below(4) == 0 ? 60 : 6);
    for (size_t i = 0; i < needles[n].len; i++)
      needles[n].data[i] = (char)('a' + random_below(letters));
    if (n > 0 && random_below(3) == 0) // shares its beginning with another
      memcpy(needles[n].data, needles[n - 1].data, PAI_MASK_MIN - 1);
  }
}

static void random_text(text *in, uint32_t letters) {
  uint32_t want = random_below(400);
  in->len = 0;
  while (in->len < want) {
    const text *n = &needles[random_below((uint32_t)needle_count)];
    if (random_below(3) == 0) { // all or the first part of a needle
      size_t len = random_below(2) == 0 ? n->len : random_below((uint32_t)n->len);
      memcpy(in->data + in->len, n->data, len);
      in->len += len;
    } else {
      in->data[in->len++] = (char)('a' + random_below(letters));
    }
  }
}

static void test_random(void) {
  const char *rounds = getenv("PAI_MASK_ROUNDS");
#ifdef __SANITIZE_ADDRESS__
  long count = 20000;
#else
  long count = 100000;
#endif
  count = rounds != NULL ? strtol(rounds, NULL, 10) : count;
  long wrong = 0;
  for (long i = 0; i < count; i++) {
    static text in;
    uint32_t letters = 2 + random_below(4), most = 1 + random_below(40);
    random_needles(letters);
    random_text(&in, letters);
    pai_mask_set *set = set_of_needles();
    wrong += !agrees(set, &in, cut_random, &most);
    pai_mask_set_free(set);
  }
  CHECK(wrong == 0);
  printf("# %ld random rounds\n", count);
}

// The test's own test: an oracle that holds back one byte too little must be noticed.
static void test_oracle_bites(void) {
  static text in;
  needle_count = 1;
  set_text(&needles[0], "abcdefgh");
  pai_mask_set *set = set_of_needles();
  needle_count = 2;
  set_text(&needles[1], "xyzxyz");
  set_text(&in, "..xyzxyz..");
  CHECK(!agrees(set, &in, cut_one, NULL));
  pai_mask_set_free(set);
}

static void test_added_while_held(void) {
  static text got;
  pai_mask_set *set = pai_mask_set_new();
  pai_mask_stream *s = pai_mask_stream_new(set);
  pai_buf out;
  pai_buf_init(&out, TEXT_MAX);
  CHECK(pai_mask_set_add_literal(set, "first-half-one", 14, NULL) == 0);
  CHECK(pai_mask_stream_feed(s, "see first-half", 14, &out, NULL) == 0);
  CHECK(pai_mask_stream_held(s) == 10);
  CHECK(pai_mask_set_add_literal(set, "half-two", 8, NULL) == 0);
  CHECK(pai_mask_set_add_literal(set, "half-two", 8, NULL) == 0); // twice is once
  CHECK(pai_mask_set_count(set) == 2);
  CHECK(pai_mask_stream_feed(s, "-two.", 5, &out, NULL) == 0);
  CHECK(pai_mask_stream_finish(s, &out, NULL) == 0);
  set_text(&got, "see first-***.");
  CHECK(same(&out, &got));
  pai_buf_free(&out);
  pai_mask_stream_free(s);
  pai_mask_set_free(set);
}

// A thousand values that come while text flows, each just before it is printed.
static void test_added_while_flowing(void) {
  pai_mask_set *set = pai_mask_set_new();
  pai_mask_stream *s = pai_mask_stream_new(set);
  pai_buf out;
  pai_buf_init(&out, 1 << 20);
  for (unsigned i = 0; i < 1000; i++) {
    char value[64], line[128];
    size_t n = (size_t)snprintf(value, sizeof value, "flow-%u-%x", i, i * 2654435761U);
    CHECK(pai_mask_set_add(set, value, n, NULL) == 1);
    size_t len = (size_t)snprintf(line, sizeof line, "line %u: %s and flow-\n", i, value);
    size_t cut = random_below((uint32_t)len);
    CHECK(pai_mask_stream_feed(s, line, cut, &out, NULL) == 0);
    CHECK(pai_mask_stream_feed(s, line + cut, len - cut, &out, NULL) == 0);
  }
  CHECK(pai_mask_stream_finish(s, &out, NULL) == 0);
  int masks = 0, leaks = 0;
  for (size_t i = 0; i + 6 < out.len; i++) {
    masks += memcmp(out.data + i, "***", 3) == 0;
    leaks += memcmp(out.data + i, "flow-", 5) == 0 && out.data[i + 5] != '\n';
  }
  CHECK(masks == 1000 && leaks == 0);
  pai_buf_free(&out);
  pai_mask_stream_free(s);
  pai_mask_set_free(set);
}

static void test_nothing_is_held_without_need(void) {
  pai_mask_set *set = pai_mask_set_new();
  pai_mask_stream *s = pai_mask_stream_new(set);
  pai_buf out;
  pai_buf_init(&out, TEXT_MAX);
  CHECK(pai_mask_set_add(set, "correct-horse-battery", 21, NULL) == 1);
  static const char prompt[] = "Continue? [y/N] ";
  CHECK(pai_mask_stream_feed(s, prompt, sizeof prompt - 1, &out, NULL) == 0);
  CHECK(out.len == sizeof prompt - 1 && pai_mask_stream_held(s) == 0);
  pai_buf_free(&out);
  pai_mask_stream_free(s);
  pai_mask_set_free(set);
}

// A text of many blocks with needles across their borders, given in one piece.
static void test_large_text(void) {
  enum { SIZE = 300000 };
  static char big[SIZE];
  static const char word[] = "the-needle-in-the-text";
  size_t n = sizeof word - 1, count = 0;
  pai_mask_set *set = pai_mask_set_new();
  pai_buf out;
  pai_buf_init(&out, 2 * SIZE);
  CHECK(pai_mask_set_add(set, word, n, NULL) == 1);
  memset(big, '.', SIZE);
  for (size_t at = 5; at + n < SIZE; at += 32768 - 7, count++)
    memcpy(big + at, word, n);
  CHECK(pai_mask_text(set, big, SIZE, &out, NULL) == 0);
  CHECK(out.len == SIZE - count * (n - 3));
  CHECK(memmem(out.data, out.len, "needle", 6) == NULL);
  pai_buf_free(&out);
  pai_mask_set_free(set);
}

static void test_unfit(void) {
  static const char *const unfit[] = {
      "",         "a",      "{",        "test",  "true",   "\n",          "password",
      "Password", "docker", "docker\n", "12345", "******", "abc\r\n\r\n", "-------------"};
  pai_mask_set *set = pai_mask_set_new();
  for (size_t i = 0; i < sizeof unfit / sizeof unfit[0]; i++) {
    CHECK(pai_mask_set_add(set, unfit[i], strlen(unfit[i]), NULL) == 0);
    CHECK(pai_mask_unfit(unfit[i], strlen(unfit[i])) != NULL);
  }
  CHECK(pai_mask_set_count(set) == 0);
  CHECK(pai_mask_set_add(set, "Zq3_x9", 6, NULL) == 1);
  CHECK(pai_mask_set_add_literal(set, "abcde", 5, NULL) < 0);
  pai_mask_set_free(set);
}

// A file's last line end is no part of the secret: without it the value is found as well.
static void test_trailing_newline(void) {
  static text got;
  pai_mask_set *set = pai_mask_set_new();
  pai_buf out;
  pai_buf_init(&out, TEXT_MAX);
  CHECK(pai_mask_set_add(set, "from-a-file-42\r\n", 16, NULL) == 1);
  CHECK(pai_mask_text(set, "[from-a-file-42] from-a-file-42\r\n", 33, &out, NULL) == 0);
  set_text(&got, "[***] ***\r\n");
  CHECK(same(&out, &got));
  pai_buf_free(&out);
  pai_mask_set_free(set);
}

static void test_find(void) {
  pai_mask_set *set = pai_mask_global();
  CHECK(!pai_mask_find("nothing is registered", 21));
  CHECK(pai_mask_set_add(set, "argv-canary-77", 14, NULL) == 1);
  CHECK(pai_mask_find("--token=argv-canary-77", 22));
  CHECK(pai_mask_find("YXJndi1jYW5hcnktNzc=", 20)); // its base64
  CHECK(!pai_mask_find("--token=argv-canary-7", 21));
  static char big[100000];
  memset(big, 'x', sizeof big);
  for (size_t at = 32768 - 20; at <= 32768 + 4; at++) { // across the border of a block
    memcpy(big + at, "argv-canary-77", 14);
    CHECK(pai_mask_find(big, sizeof big));
    memset(big + at, 'x', 14);
  }
  CHECK(!pai_mask_find(big, sizeof big));
  pai_mask_set_free(set);
}

// Many needles with one beginning, among them the longest and the shortest allowed.
static void test_many(void) {
  char value[64];
  pai_mask_set *set = pai_mask_set_new();
  for (int i = 0; i < 1000; i++) {
    int n = snprintf(value, sizeof value, "tok_%07d_%x", i * 9973 % 10000019, i);
    CHECK(pai_mask_set_add(set, value, (size_t)n, NULL) == 1);
  }
  int leaks = 0;
  pai_buf out;
  pai_buf_init(&out, TEXT_MAX);
  for (int i = 0; i < 1000; i++) {
    int n = snprintf(value, sizeof value, "tok_%07d_%x", i * 9973 % 10000019, i);
    pai_buf_clear(&out);
    leaks += pai_mask_text(set, value, (size_t)n, &out, NULL) != 0 || out.len != 3;
  }
  CHECK(leaks == 0);
  pai_buf_free(&out);
  pai_mask_set_free(set);
}

// One line of 1 MB with each of a thousand values in it, in pieces of any length: nothing waits for
// its end, and nothing of a value is left.
static void test_long_line(void) {
  enum { LINE = 1 << 20, VALUES = 1000, VALUE = 24 };
  static char line[LINE];
  pai_mask_set *set = pai_mask_set_new();
  pai_mask_stream *s = pai_mask_stream_new(set);
  pai_buf out;
  pai_buf_init(&out, 2 * LINE);
  memset(line, 'x', sizeof line);
  for (uint32_t i = 0; i < VALUES; i++) {
    char value[VALUE + 1];
    size_t n = (size_t)snprintf(value, sizeof value, "key-%08x-%03u", i * 2654435761U, i);
    CHECK(pai_mask_set_add(set, value, n, NULL) == 1);
    memcpy(line + (size_t)i * (LINE / VALUES) + random_below(LINE / VALUES - VALUE), value, n);
  }
  size_t held = 0;
  for (size_t at = 0; at < sizeof line;) {
    size_t n = 1 + random_below(3000);
    n = n < sizeof line - at ? n : sizeof line - at;
    CHECK(pai_mask_stream_feed(s, line + at, n, &out, NULL) == 0);
    at += n;
    held = pai_mask_stream_held(s) > held ? pai_mask_stream_held(s) : held;
  }
  CHECK(pai_mask_stream_finish(s, &out, NULL) == 0);
  int masks = 0, leaks = 0;
  for (size_t i = 0; i + 4 <= out.len; i++) {
    masks += memcmp(out.data + i, "***", 3) == 0;
    leaks += memcmp(out.data + i, "key-", 4) == 0;
  }
  CHECK(masks == VALUES && leaks == 0);
  CHECK(held < 200);
  pai_buf_free(&out);
  pai_mask_stream_free(s);
  pai_mask_set_free(set);
}

// Every allocation fails once: an error, never a crash, and nothing half shown.
static void test_out_of_memory(void) {
  for (size_t n = 1; n < 400; n++) {
    pai_alloc_fail_at(n);
    pai_mask_set *set = pai_mask_set_new();
    pai_mask_stream *s = set != NULL ? pai_mask_stream_new(set) : NULL;
    pai_buf out;
    pai_buf_init(&out, TEXT_MAX);
    int added = s != NULL ? pai_mask_set_add(set, "out-of-memory-canary", 20, NULL) : -1;
    if (added == 1) {
      int rc = pai_mask_stream_feed(s, "an out-of-memory-", 17, &out, NULL);
      rc = rc == 0 ? pai_mask_stream_feed(s, "canary", 6, &out, NULL) : rc;
      CHECK(rc == 0 || rc == PAI_E_NOMEM);
      CHECK(out.data == NULL || memmem(out.data, out.len, "memory", 6) == NULL);
    } else {
      CHECK(added == -1 || added == PAI_E_NOMEM);
    }
    pai_alloc_fail_at(0);
    pai_buf_free(&out);
    pai_mask_stream_free(s);
    pai_mask_set_free(set);
  }
}

int main(void) {
  RUN(test_oracle_bites);
  RUN(test_every_form_at_every_split);
  RUN(test_overlaps_and_nests);
  RUN(test_added_while_held);
  RUN(test_added_while_flowing);
  RUN(test_nothing_is_held_without_need);
  RUN(test_large_text);
  RUN(test_unfit);
  RUN(test_trailing_newline);
  RUN(test_find);
  RUN(test_many);
  RUN(test_long_line);
  RUN(test_out_of_memory);
  RUN(test_random);
  return finish();
}
