/* What the masker finds on the flat view: values with colour codes, line ends and escapes in them.
 * The texts are built around their values, so what must come out is known without a second masker.
 * And the work that hostile texts cost, counted in places looked at closely, never in time.
 * PAI_MASK_ROUNDS: random rounds (25,000; a tenth of them with sanitizers). */
#include "alloc.h"
#include "harness.h"
#include "mask_set.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 65536

typedef struct text {
  char data[TEXT_MAX];
  size_t len;
} text;

static uint64_t seed = 88172645463325252U;

static uint32_t random_below(uint32_t n) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return (uint32_t)(seed >> 11) % n;
}

static void add_bytes(text *t, const char *bytes, size_t len) {
  memcpy(t->data + t->len, bytes, len);
  t->len += len;
}

static void add(text *t, const char *s) {
  add_bytes(t, s, strlen(s));
}

static pai_mask_set *set_of(const char *value) {
  pai_mask_set *set = pai_mask_set_new();
  CHECK(pai_mask_set_add(set, value, strlen(value), NULL) == 1);
  return set;
}

// The text in pieces of so many bytes, or of up to so many by chance.
static void feed(pai_mask_set *set, const text *in, size_t piece, bool by_chance, text *out) {
  pai_mask_stream *s = pai_mask_stream_new(set);
  pai_buf got;
  pai_buf_init(&got, 2 * TEXT_MAX);
  bool ok = true;
  for (size_t at = 0; at < in->len;) {
    size_t n = by_chance ? random_below((uint32_t)piece) : piece;
    n = n < in->len - at ? n : in->len - at;
    ok = ok && pai_mask_stream_feed(s, in->data + at, n, &got, NULL) == 0;
    at += n;
  }
  ok = ok && pai_mask_stream_finish(s, &got, NULL) == 0;
  CHECK(ok);
  out->len = 0;
  add_bytes(out, got.data != NULL ? got.data : "", got.len);
  pai_buf_free(&got);
  pai_mask_stream_free(s);
}

static bool same(const text *a, const text *b) {
  return a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

static text in, want, got;

// Whether `shown` comes out as `expected`, at every split, byte by byte and in one piece.
static bool masks(pai_mask_set *set, const char *shown, const char *expected) {
  in.len = want.len = 0;
  add(&in, shown);
  add(&want, expected);
  feed(set, &in, 1, false, &got);
  bool ok = same(&got, &want);
  for (size_t split = 1; split <= in.len && ok; split++) {
    pai_mask_stream *s = pai_mask_stream_new(set);
    pai_buf out;
    pai_buf_init(&out, TEXT_MAX);
    ok = pai_mask_stream_feed(s, in.data, split, &out, NULL) == 0 && out.len <= want.len + 3 &&
         pai_mask_stream_feed(s, in.data + split, in.len - split, &out, NULL) == 0 &&
         pai_mask_stream_finish(s, &out, NULL) == 0;
    ok = ok && out.len == want.len && memcmp(out.data, want.data, want.len) == 0;
    pai_buf_free(&out);
    pai_mask_stream_free(s);
  }
  if (!ok)
    printf("# not so: %s\n", expected);
  return ok;
}

/* ---- by hand ---- */

static void test_atoms(void) {
  static const char *const shown[] = {
      "correct\x1b[31m-horse\x1b[0m-battery",             // colours
      "corr\x1b]8;;http://x/\x1b\\ect-horse-battery",     // a link
      "corr\x1b]0;title\aect-horse-battery",              // a title
      "corr\x1b(Bect-horse\x1b=-battery",                 // short sequences
      "corr\x1b[38;2;255;100;0mect-horse-batter\x1b[1Ky", // long ones
      "correct-\nhorse-battery",                          // line ends
      "correct-\r\nhorse-\r\nbattery",
      "correct-\r\r\nhorse-battery",
      "correct-horse\n        -battery",
      "correct-horse\r-battery",
      "correct-horse\\\n-battery",      // a line that goes on
      "correct-horse\\n-batter\\r\\ny", // line ends as a string has them
      "correct%2Dhorse-battery",        // a percent here and there
      "c%6Frrect%2dhorse-%62attery",
      "correct\\u002dhorse-battery",
      "\\u0063orrect-horse-batter\\u0079",
      "\\x63orrect-horse-b\\141ttery",
      "&#99;orrect-horse&#x2D;battery",
      "correct&#x00002d;horse-batter&#121;",
      "correct\x1b[0m%2d\nhorse\\u002D\x1b[1mbattery", // all together
      "Y29ycmVj\ndC1ob3JzZS1iYXR0ZXJ5",                // base64
      "Y29ycmVj\\ndC1ob3JzZS1iYXR0\\r\\nZXJ5",
      "636f72726563742d68\n6f7273652d62617474657279", // hexadecimal
      "Y29ycmVjdC1ob3\x1b[7mJzZS1iYXR0ZXJ5",
  };
  pai_mask_set *set = set_of("correct-horse-battery");
  for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++) {
    char line[256];
    snprintf(line, sizeof line, "key: %s, end", shown[i]);
    CHECK(masks(set, line, "key: ***, end"));
  }
  pai_mask_set_free(set);
}

static void test_no_atoms(void) {
  static const char *const shown[] = {
      "100% done %zz %4 \\q \\u12 \\ud800x & &; &#; &#xg; &nbsp; AT&T \x1b",
      "\x1b[31mred\x1b[0m and \x1b]0;title\a and C:\\new\\table\n",
      "correct-horse batt\x1b[0mery",
      "correct-hors\n\n\ne-batterx",
      "line one\nline two\r\nline three\n",
  };
  pai_mask_set *set = set_of("correct-horse-battery");
  for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
    CHECK(masks(set, shown[i], shown[i]));
  pai_mask_set_free(set);
}

// A value whose own text looks like atoms is found as it stands, coloured, and escaped.
static void test_values_like_atoms(void) {
  static const char value[] = "50%41&amp;\\u0042'x\"";
  pai_mask_set *set = set_of(value);
  CHECK(masks(set, "<50%41&amp;\\u0042'x\">", "<***>"));
  CHECK(masks(set, "<50%41\x1b[1m&amp;\\u0042'x\">", "<***>"));
  CHECK(masks(set, "<50%2541%26amp;%5Cu0042'x%22>", "<***>"));
  CHECK(masks(set, "<50%41&amp;amp;\\u0042&apos;x&quot;>", "<***>"));
  CHECK(masks(set, "<50%41&amp;\\\\u0042'x\\\">", "<***>"));
  CHECK(masks(set, "<50%41&amp;\\\\\\\\u0042'x\\\\\\\">", "<***>"));
  pai_mask_set_free(set);
}

static void test_escaped_again(void) {
  pai_mask_set *set = set_of("pass\"word\\h/re 1");
  CHECK(masks(set, "<pass%2522word%255Ch%252Fre%25201>", "<***>"));
  CHECK(masks(set, "<pass\\\"word\\\\h/re 1>", "<***>"));
  CHECK(masks(set, "<pass\\\\\\\"word\\\\\\\\h/re 1>", "<***>"));
  CHECK(masks(set, "<pass\\\\\\\\\\\\\\\"word\\\\\\\\\\\\\\\\h/re 1>", "<***>"));
  CHECK(masks(set, "<pass\\\"wo\\u001b[31mrd\\\\h\\/re 1>", "<***>")); // a code in a string
  pai_mask_set_free(set);
}

static void test_lines(void) {
  pai_mask_set *set = set_of("first line here\nsecond line there\nthird");
  CHECK(masks(set, "[first line here\nsecond line there\nthird]", "[***]"));
  CHECK(masks(set, "[first line here\r\nsecond line there\r\nthird]", "[***]"));
  CHECK(masks(set, "[first line here\r\r\nsecond line there\r\r\nthird]", "[***]"));
  CHECK(masks(set, "[first line here second line there third]", "[***]"));
  CHECK(masks(set, "[first line here\\nsecond line there\\nthird]", "[***]"));
  CHECK(masks(set, "[first line here\\\\nsecond line there\\\\nthird]", "[***]"));
  CHECK(masks(set, "[first line here\n    second line there\n\n    third]", "[***]"));
  CHECK(masks(set, "[first line here%0D%0Asecond%20line there&#10;third]", "[***]"));
  CHECK(masks(set, "[first line heresecond line therethird]", "[***]"));
  CHECK(masks(set, "[first line here\nsecond]", "[first line here\nsecond]"));
  pai_mask_set_free(set);
}

// Three bytes before a line's end may be shown; what follows is masked all the same.
static void test_short_beginnings(void) {
  pai_mask_set *set = set_of("correct-horse-battery");
  pai_mask_stream *s = pai_mask_stream_new(set);
  pai_buf out;
  pai_buf_init(&out, TEXT_MAX);
  static const char *const lines[] = {"disc\n", "etc\r\n", "arco\n", "cor\n"};
  for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
    pai_buf_clear(&out);
    CHECK(pai_mask_stream_feed(s, lines[i], strlen(lines[i]), &out, NULL) == 0);
    CHECK(out.len == strlen(lines[i]) && memcmp(out.data, lines[i], out.len) == 0);
    CHECK(pai_mask_stream_held(s) == 0);
  }
  pai_buf_clear(&out);
  CHECK(pai_mask_stream_feed(s, "rect-horse-battery!", 19, &out, NULL) == 0);
  CHECK(out.len == 4 && memcmp(out.data, "***!", 4) == 0);
  pai_buf_clear(&out);
  CHECK(pai_mask_stream_feed(s, "corr\n", 5, &out, NULL) == 0);
  CHECK(out.len == 0 && pai_mask_stream_held(s) == 5);
  CHECK(pai_mask_stream_feed(s, "ect\n", 4, &out, NULL) == 0);
  CHECK(out.len == 0);
  CHECK(pai_mask_stream_feed(s, "ed\n", 3, &out, NULL) == 0);
  CHECK(out.len == 12 && memcmp(out.data, "corr\nect\ned\n", 12) == 0);
  pai_buf_free(&out);
  pai_mask_stream_free(s);
  pai_mask_set_free(set);
}

// Prompts appear whole; of what follows a beginning, no more than a place's gap is kept.
static void test_little_is_held(void) {
  static const char *const prompts[] = {"Password: ", "[y/N]\x1b[0m ",        "Go on? 100% ", "$ ",
                                        "...",        "\x1b[1mname\x1b[0m> ", "R&D? "};
  pai_mask_set *set = set_of("correct-horse-battery");
  pai_mask_stream *s = pai_mask_stream_new(set);
  pai_buf out;
  pai_buf_init(&out, 4 * TEXT_MAX);
  for (size_t i = 0; i < sizeof prompts / sizeof prompts[0]; i++) {
    pai_buf_clear(&out);
    CHECK(pai_mask_stream_feed(s, prompts[i], strlen(prompts[i]), &out, NULL) == 0);
    CHECK(out.len == strlen(prompts[i]) && pai_mask_stream_held(s) == 0);
  }
  CHECK(pai_mask_stream_feed(s, "correct", 7, &out, NULL) == 0);
  size_t most = 0;
  for (int i = 0; i < 2000; i++) {
    CHECK(pai_mask_stream_feed(s, i % 2 != 0 ? "\n" : "\x1b[0m", i % 2 != 0 ? 1 : 4, &out, NULL) ==
          0);
    most = pai_mask_stream_held(s) > most ? pai_mask_stream_held(s) : most;
  }
  CHECK(most > 400 && most < 600);
  CHECK(pai_mask_stream_feed(s, "\x1b]0;", 4, &out, NULL) == 0);
  for (int i = 0; i < 5000; i++) {
    CHECK(pai_mask_stream_feed(s, "x", 1, &out, NULL) == 0);
    most = pai_mask_stream_held(s) > most ? pai_mask_stream_held(s) : most;
  }
  CHECK(most <= PAI_ATOM_MAX + 512);
  pai_buf_free(&out);
  pai_mask_stream_free(s);
  pai_mask_set_free(set);
}

/* ---- by chance ---- */

static const char letters[] = "abcdefgh01_-.~/+='\" $<>()%\\&";

static void random_value(char *value, size_t len) {
  for (size_t i = 0; i < len; i++)
    value[i] = letters[random_below(sizeof letters - 1)];
  value[0] = value[len - 1] = 'v'; // no blanks at its ends
  value[1] = 'w';
  value[2] = 'x';
  value[len] = '\0';
}

static void add_left_out(text *t, bool line_end) {
  static const char *const codes[] = {"\x1b[0m",        "\x1b[38;5;196m", "\x1b[K", "\x1b]0;t x\a",
                                      "\x1b]8;;\x1b\\", "\x1b(B",         "\x1b="};
  static const char *const ends[] = {"\n", "\r\n", "\r\r\n", "\n  ", "\r", "\\\n", "\\n", "%0A"};
  if (line_end)
    add(t, ends[random_below(sizeof ends / sizeof ends[0])]);
  else
    add(t, codes[random_below(sizeof codes / sizeof codes[0])]);
}

static void write_escape(char *buf, size_t size, unsigned c) {
  switch (random_below(7)) {
  case 0:
    snprintf(buf, size, "%%%02x", c);
    break;
  case 1:
    snprintf(buf, size, "%%%02X", c);
    break;
  case 2:
    snprintf(buf, size, "\\x%02x", c);
    break;
  case 3:
    snprintf(buf, size, "\\u%04X", c);
    break;
  case 4:
    snprintf(buf, size, "&#%u;", c);
    break;
  case 5:
    snprintf(buf, size, "&#x%X;", c);
    break;
  default:
    snprintf(buf, size, "\\%03o", c);
  }
}

static void add_char(text *t, char c, bool plain) {
  char buf[16];
  if (strchr("%\\&", c) == NULL && (plain || random_below(2) == 0)) {
    add_bytes(t, &c, 1);
  } else {
    write_escape(buf, sizeof buf, (unsigned char)c);
    add(t, buf);
  }
}

// The value with every character written somehow, and things left out between them.
static void add_disguised(text *t, const char *value, size_t len) {
  bool plain = random_below(3) == 0;
  for (size_t i = 0; i < len; i++) {
    if (i > 0 && random_below(6) == 0)
      add_left_out(t, false);
    // A blank after a line's end would go with it.
    if (i > 3 && value[i] != ' ' && random_below(8) == 0)
      add_left_out(t, true);
    add_char(t, value[i], plain);
  }
}

static void test_random(void) {
#ifdef __SANITIZE_ADDRESS__
  long count = 2500;
#else
  long count = 25000;
#endif
  const char *rounds = getenv("PAI_MASK_ROUNDS");
  count = rounds != NULL ? strtol(rounds, NULL, 10) : count;
  long wrong = 0;
  for (long i = 0; i < count; i++) {
    static const char *const between[] = {" ",        "Q",    "QQ.\n",   "Q%20Q",
                                          "\x1b[1mQ", "\\n;", ", Q&amp;"};
    char values[3][64];
    pai_mask_set *set = pai_mask_set_new();
    for (int v = 0; v < 3; v++) {
      random_value(values[v], 6 + random_below(random_below(3) == 0 ? 50 : 10));
      CHECK(pai_mask_set_add(set, values[v], strlen(values[v]), NULL) == 1);
    }
    in.len = want.len = 0;
    for (uint32_t k = 1 + random_below(5); k > 0; k--) {
      const char *other = between[random_below(sizeof between / sizeof between[0])];
      const char *value = values[random_below(3)];
      add(&in, other);
      add(&want, other);
      add_disguised(&in, value, strlen(value));
      add(&want, "***");
    }
    add(&in, " Q");
    add(&want, " Q");
    feed(set, &in, 2 + random_below(60), true, &got);
    wrong += !same(&got, &want);
    if (!same(&got, &want) && wrong < 4)
      printf("# round %ld\n# %.*s\n# %.*s\n", i, (int)in.len, in.data, (int)got.len, got.data);
    pai_mask_set_free(set);
  }
  CHECK(wrong == 0);
  printf("# %ld random rounds\n", count);
}

/* ---- work ---- */

enum { FLOOD = 60000 };

// Places looked at closely for each byte of the text, in hundredths.
static uint64_t work_of(pai_mask_set *set, const text *t) {
  uint64_t before = set->work;
  pai_buf out;
  pai_buf_init(&out, 2 * TEXT_MAX);
  CHECK(pai_mask_text(set, t->data, t->len, &out, NULL) == 0);
  pai_buf_free(&out);
  return (set->work - before) * 100 / t->len;
}

static void flood(text *t, const char *with) {
  t->len = 0;
  while (t->len + strlen(with) <= FLOOD)
    add(t, with);
}

static pai_mask_set *many_secrets(bool one_beginning) {
  pai_mask_set *set = pai_mask_set_new();
  for (int i = 0; i < 1000; i++) {
    char value[64];
    int n = one_beginning ? snprintf(value, sizeof value, "team-registry-password-%04d", i)
                          : snprintf(value, sizeof value, "%08x%08x%08x", random_below(1U << 31),
                                     random_below(1U << 31), random_below(1U << 31));
    CHECK(pai_mask_set_add(set, value, (size_t)n, NULL) == 1);
  }
  return set;
}

static void test_work_is_bounded(void) {
  for (int shared = 0; shared < 2; shared++) {
    pai_mask_set *set = many_secrets(shared != 0);
    const needle *n = &set->plain.needles[0];
    char part[256], coloured[512];
    flood(&in, "03:04:05 worker-3 step 77: read 81234 bytes of clip-77.mp4 ok\n");
    CHECK(work_of(set, &in) < 100);
    snprintf(part, sizeof part, "%.*s", (int)n->len - 1, (const char *)n->bytes);
    flood(&in, part); // near misses
    CHECK(work_of(set, &in) < 2500);
    snprintf(part, sizeof part, "%.*s", (int)n->len, (const char *)n->bytes);
    flood(&in, part); // hits
    CHECK(work_of(set, &in) < 2500);
    snprintf(coloured, sizeof coloured, "%.*s\x1b[0m%.*s", (int)n->len / 2, (const char *)n->bytes,
             (int)(n->len - n->len / 2 - 1), (const char *)n->bytes + n->len / 2);
    flood(&in, coloured); // near misses in the flat view
    CHECK(work_of(set, &in) < 2500);
    for (in.len = 0; in.len < FLOOD; in.len++)
      in.data[in.len] =
          "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[random_below(64)];
    CHECK(work_of(set, &in) < 300);
    flood(&in, "\x1b[0m");
    CHECK(work_of(set, &in) < 100);
    flood(&in, "%41");
    CHECK(work_of(set, &in) < 300);
    flood(&in, "a");
    CHECK(work_of(set, &in) < 300);
    pai_mask_set_free(set);
  }
}

// The counter's own test: a text that makes work is told from one that does not.
static void test_work_is_counted(void) {
  pai_mask_set *set = set_of("correct-horse-battery");
  flood(&in, "correct-horse-batter");
  CHECK(work_of(set, &in) >= 2);
  flood(&in, ".");
  CHECK(work_of(set, &in) == 0);
  pai_mask_set_free(set);
}

static void test_out_of_memory(void) {
  for (size_t n = 1; n < 600; n++) {
    pai_alloc_fail_at(n);
    pai_mask_set *set = pai_mask_set_new();
    int added = set != NULL ? pai_mask_set_add(set, "out-of-memory\ncanary", 20, NULL) : -1;
    pai_alloc_fail_at(0);
    CHECK(added == 1 || added == -1 || added == PAI_E_NOMEM);
    if (added == 1)
      CHECK(masks(set, "<out-of-memory%0Acan\x1b[0mary>", "<***>"));
    else if (set != NULL) // what is there masks, and another try completes it
      CHECK(pai_mask_set_add(set, "out-of-memory\ncanary", 20, NULL) == 1 &&
            masks(set, "<out-of-memory%0Acan\x1b[0mary>", "<***>"));
    pai_mask_set_free(set);
  }
}

int main(void) {
  RUN(test_atoms);
  RUN(test_no_atoms);
  RUN(test_values_like_atoms);
  RUN(test_escaped_again);
  RUN(test_lines);
  RUN(test_short_beginnings);
  RUN(test_little_is_held);
  RUN(test_work_is_counted);
  RUN(test_work_is_bounded);
  RUN(test_out_of_memory);
  RUN(test_random);
  return finish();
}
