/* Secret memory: locked, left out of dumps, wiped; handles; and the .env parser. */
#include "alloc.h"
#include "harness.h"
#include "mask.h"
#include "secret.h"
#include "secret_doc.h"
#include "secret_dotenv.h"
#include "secret_mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

// The kernel's flags of the mapping that holds p ("rd wr mr … lo dd"), "" if there is none.
static void flags_of(const void *p, char *out, size_t size) {
  FILE *f = fopen("/proc/self/smaps", "r");
  char line[512];
  unsigned long from, to, at = (unsigned long)(uintptr_t)p;
  int here = 0;
  out[0] = '\0';
  while (f != NULL && fgets(line, sizeof line, f) != NULL) {
    if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
      here = from <= at && at < to;
    else if (here && strncmp(line, "VmFlags:", 8) == 0)
      snprintf(out, size, "%s", line + 8);
  }
  if (f != NULL)
    fclose(f);
}

static void test_locked_memory(void) {
  char flags[512];
  static const size_t sizes[] = {1, 32, 33, 5000, 65536, 65537, 1000000};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    char *p = pai_locked_alloc(sizes[i]);
    CHECK(p != NULL && p[0] == 0 && p[sizes[i] - 1] == 0);
    memset(p, 'x', sizes[i]);
    flags_of(p, flags, sizeof flags);
    CHECK(strstr(flags, " dd") != NULL);
#ifndef __SANITIZE_ADDRESS__ // which makes mlock do nothing
    CHECK(!pai_locked_is_locked() || strstr(flags, " lo") != NULL);
#endif
    pai_locked_free(p, sizes[i]);
  }
  char *heap = malloc(100);
  flags_of(heap, flags, sizeof flags);
  CHECK(strstr(flags, " dd") == NULL); // so the test above can fail
  free(heap);
}

static void test_wiped(void) {
  char *p = pai_locked_alloc(40);
  memcpy(p, "not to be found after the free", 30);
  pai_locked_free(p, 40);
  CHECK(memmem(p, 40, "be found", 8) == NULL); // the region stays mapped
  char *again = pai_locked_alloc(40);
  static const char zeros[40];
  CHECK(again == p && memcmp(again, zeros, 40) == 0);
  char *larger = pai_locked_grow(again, 40, 4000);
  CHECK(larger != NULL && memcmp(again, zeros, 40) == 0);
  pai_locked_free(larger, 4000);
  pai_locked_free(NULL, 5);
}

static void test_blocks_do_not_overlap(void) {
  enum { COUNT = 400 };
  static char *blocks[COUNT];
  static size_t sizes[COUNT];
  int wrong = 0;
  for (int i = 0; i < COUNT; i++) {
    sizes[i] = (size_t)(i * 7919 % 9000) + 1;
    blocks[i] = pai_locked_alloc(sizes[i]);
    memset(blocks[i], i & 0xFF, sizes[i]);
    if (i % 3 == 2) {
      pai_locked_free(blocks[i - 1], sizes[i - 1]);
      blocks[i - 1] = NULL;
    }
  }
  for (int i = 0; i < COUNT; i++) {
    for (size_t k = 0; blocks[i] != NULL && k < sizes[i]; k++)
      wrong += (unsigned char)blocks[i][k] != (i & 0xFF);
    pai_locked_free(blocks[i], sizes[i]);
  }
  CHECK(wrong == 0);
}

static void test_equal(void) {
  CHECK(pai_equal("abc", 3, "abc", 3));
  CHECK(!pai_equal("abc", 3, "abd", 3));
  CHECK(!pai_equal("abc", 3, "abcd", 4));
  CHECK(!pai_equal("", 0, "a", 1));
  CHECK(pai_equal("", 0, "", 0));
}

static void test_handles(void) {
  size_t len;
  CHECK(prctl(PR_GET_DUMPABLE) == 1);
  pai_secret *a = pai_secret_new("env A", "value-of-a-secret", 17, NULL);
  pai_secret *b = pai_secret_new("env B", "value-of-a-secret", 17, NULL);
  pai_secret *c = pai_secret_new("env C", "12345", 5, NULL);
  CHECK(prctl(PR_GET_DUMPABLE) == 0);
  CHECK(a != NULL && b != NULL && c != NULL);
  CHECK(strcmp(pai_secret_data(a, &len), "value-of-a-secret") == 0 && len == 17);
  CHECK(strcmp(pai_secret_name(a), "env A") == 0);
  CHECK(pai_secret_equal(a, b) && !pai_secret_equal(a, c));
  CHECK(pai_secret_masked(a) && !pai_secret_masked(c));
  CHECK(pai_mask_find("x value-of-a-secret", 19) && !pai_mask_find("12345", 5));
  char flags[512];
  flags_of(pai_secret_data(a, NULL), flags, sizeof flags);
  CHECK(strstr(flags, " dd") != NULL);
  pai_secret_free(a);
  CHECK(pai_mask_find("value-of-a-secret", 17)); // the masker still knows it
  pai_secret_free(b);
  pai_secret_free(c);
  pai_secret_free(NULL);
  pai_error err;
  char *big = calloc(1, PAI_SECRET_MAX + 1);
  CHECK(pai_secret_new("big", big, PAI_SECRET_MAX + 1, &err) == NULL && err.code == PAI_E_LIMIT);
  free(big);
}

static void test_pieces(void) {
  size_t len;
  pai_secret_buf b = {0};
  for (int i = 0; i < 1000; i++)
    CHECK(pai_secret_buf_add(&b, "0123456789", 10, NULL) == 0);
  CHECK(pai_secret_buf_add(&b, "\r\n", 2, NULL) == 0);
  pai_secret *s = pai_secret_buf_take(&b, "pieces", true, NULL);
  CHECK(b.data == NULL && b.len == 0);
  pai_secret_data(s, &len);
  CHECK(len == 10000);
  pai_secret_free(s);
  CHECK(pai_secret_buf_reserve(&b, PAI_SECRET_MAX + 1, NULL) == PAI_E_LIMIT);
  pai_secret_buf_free(&b);
}

static void test_out_of_memory(void) {
  for (size_t n = 1; n < 60; n++) {
    pai_error err = {0};
    pai_alloc_fail_at(n);
    pai_secret *s = pai_secret_new("env X", "another-value-here", 18, &err);
    pai_alloc_fail_at(0);
    CHECK(s != NULL || err.code == PAI_E_NOMEM);
    CHECK(s == NULL || pai_mask_find("another-value-here", 18));
    pai_secret_free(s);
    pai_mask_set_free(pai_mask_global());
  }
}

/* ---- .env ---- */

static int add_line(void *ud, const pai_dotenv_entry *e, pai_error *err) {
  (void)err;
  return pai_buf_addf(ud, "%.*s=%.*s;", (int)e->name_len, e->name, (int)e->value_len, e->value);
}

// Whether text parses to want; want NULL: whether it is refused at this line.
static int parses(const char *text, const char *want, int line) {
  pai_buf got;
  pai_error err = {0};
  char copy[512], place[16];
  pai_buf_init(&got, 4096);
  size_t len = strlen(text);
  memcpy(copy, text, len);
  int rc = pai_dotenv_parse(copy, len, add_line, &got, &err);
  int ok = rc == 0 && want != NULL && got.len == strlen(want) &&
           (got.len == 0 || memcmp(got.data, want, got.len) == 0);
  if (want == NULL) {
    snprintf(place, sizeof place, "line %d:", line);
    ok = rc == PAI_E_PARSE && strncmp(err.message, place, strlen(place)) == 0;
  }
  pai_buf_free(&got);
  return ok;
}

static void test_dotenv(void) {
  CHECK(parses("", "", 0));
  CHECK(parses("A=1\nB=2", "A=1;B=2;", 0));
  CHECK(parses("\r\n# x\r\nA=1\r\n", "A=1;", 0));
  CHECK(parses("export A=1\nexport=2\nexported=3", "A=1;export=2;exported=3;", 0));
  CHECK(parses("A = b c  # d\nB=b#c\nC=#d", "A=b c;B=b#c;C=;", 0));
  CHECK(parses("A='x\ny'\nB=\"x\\ny\"\nC='a\\n'#z", "A=x\ny;B=x\ny;C=a\\n;", 0));
  CHECK(parses("A=\"$X `y` \\$Z\"", "A=$X `y` $Z;", 0));
  CHECK(parses("A=x\r", "A=x;", 0));
  CHECK(parses("A", NULL, 1));
  CHECK(parses("\nA B=1", NULL, 2));
  CHECK(parses("A='x\n\n\nB=1", NULL, 1));
  CHECK(parses("A='x\ny'\nB='z' w", NULL, 3));
}

// Whether text becomes want when A is set to value (NULL: taken out); want NULL: it is refused and
// the text is as before.
static int edits(const char *text, const char *value, const char *want) {
  pai_secret_buf b = {0};
  pai_error err = {0};
  CHECK(pai_secret_buf_add(&b, text, strlen(text), NULL) == 0);
  int rc = pai_dotenv_edit(&b, "A", value, value != NULL ? strlen(value) : 0, &err);
  const char *expected = want != NULL ? want : text;
  int ok = (rc >= 0) == (want != NULL) && b.len == strlen(expected) &&
           (b.len == 0 || memcmp(b.data, expected, b.len) == 0);
  pai_secret_buf_free(&b);
  return ok;
}

static void test_dotenv_edit(void) {
  CHECK(edits("", "x", "A=x\n"));
  CHECK(edits("B=1", "x", "B=1\nA=x\n"));
  CHECK(edits("B=1\r\n", "x", "B=1\r\nA=x\r\n"));
  CHECK(edits("\r\n\r", "x", "\r\n\r\nA=x\r\n"));
  CHECK(edits("# c\nexport A = old # why\nB=2\n", "new", "# c\nexport A = new # why\nB=2\n"));
  CHECK(edits("A='o\nld'\nB=2", "new", "A=new\nB=2"));
  CHECK(edits("A= # why\n", "new", "A= new # why\n"));
  CHECK(edits("A=1\nB=2\nA=3\n", "x", "B=2\nA=x\n"));
  CHECK(edits("A=1\nB=2\nA=3\n#e", NULL, "B=2\n#e"));
  CHECK(edits("B=2\n", NULL, "B=2\n"));
  CHECK(edits("AB=2\n", "", "AB=2\nA=''\n"));
  CHECK(edits("A=1\n", "a b$c#", "A='a b$c#'\n"));
  CHECK(edits("A=1\n", "it's \\ $x\n", "A=\"it's \\\\ \\$x\\n\"\n"));
  CHECK(edits("A=1\nno entry\n", "x", NULL));
  pai_secret_buf b = {0};
  CHECK(pai_dotenv_edit(&b, "A B", "x", 1, NULL) == PAI_E_ARG);
  CHECK(pai_dotenv_edit(&b, "", "x", 1, NULL) == PAI_E_ARG);
  CHECK(pai_dotenv_edit(&b, "A", "x\0y", 3, NULL) == PAI_E_ARG);
  pai_secret_buf_free(&b);
}

/* ---- documents ---- */

typedef int (*find_fn)(const char *text, size_t len, const char *const *keys, size_t count,
                       pai_secret_buf *out, pai_error *err);

// Whether "a.b" of text is want; want NULL: nothing; "!N" : refused at line N.
static int finds(find_fn find, const char *text, const char *want) {
  static const char *const keys[] = {"a", "b"};
  pai_secret_buf out = {0};
  pai_error err = {0};
  char place[32];
  int rc = find(text, strlen(text), keys, 2, &out, &err), ok;
  if (want == NULL) {
    ok = rc == 0 && out.len == 0;
  } else if (want[0] == '!') {
    snprintf(place, sizeof place, "line %s", want + 1);
    ok = rc == PAI_E_PARSE && strncmp(err.message, place, strlen(place)) == 0;
  } else {
    ok = rc == 1 && out.len == strlen(want) && memcmp(out.data, want, out.len) == 0;
  }
  pai_secret_buf_free(&out);
  return ok;
}

static void test_document_json(void) {
  CHECK(finds(pai_doc_json, "{\"a\": {\"b\": \"x\"}}", "x"));
  CHECK(finds(pai_doc_json, " {\"z\":[{}],\"a\":{\"c\":{\"b\":1},\"b\":\"x\\/\\u0041\"}}", "x/A"));
  CHECK(finds(pai_doc_json, "{\"a\": {\"b\": true}}", "true"));
  CHECK(finds(pai_doc_json, "{\"a\": {\"b\": null}}", NULL));
  CHECK(finds(pai_doc_json, "{\"a\": {\"b\": \"\"}}", NULL));
  CHECK(finds(pai_doc_json, "{\"a\": {}, \"b\": 1}", NULL));
  CHECK(finds(pai_doc_json, "{\"a\": \"b\"}", NULL));
  CHECK(finds(pai_doc_json, "[1]", NULL));
  CHECK(finds(pai_doc_json, "{\"a\": {\"b\": [1]}}", "!1"));
  CHECK(finds(pai_doc_json, "{\"a\":\n {\"b\" 1}}", "!2"));
  CHECK(finds(pai_doc_json, "{\"a\": {\"b\": \"x", "!1"));
  CHECK(finds(pai_doc_json, "{\"a\": {", "!1"));
  CHECK(finds(pai_doc_json, "{", "!1"));
}

static void test_document_yaml(void) {
  CHECK(finds(pai_doc_yaml, "a:\n  b: x\n", "x"));
  CHECK(finds(pai_doc_yaml, "\xEF\xBB\xBF---\r\n# c\r\na: # c\r\n  b: x y # c\r\n", "x y"));
  CHECK(finds(pai_doc_yaml, "c:\n  b: no\nd:\n- b: no\n- e\n'a':\n    \"b\": 'it''s'", "it's"));
  CHECK(finds(pai_doc_yaml, "a:\n  c: {b: no}\n  d: |\n    b: no\n  b: \"x\\\"\\u00e9\\x41\"",
              "x\"\xC3\xA9"
              "A"));
  CHECK(finds(pai_doc_yaml, "a:\n  b: http://x:1#y\n", "http://x:1#y"));
  CHECK(finds(pai_doc_yaml, "a: null\nb: x\n", NULL));
  CHECK(finds(pai_doc_yaml, "a:\nb: x\n", NULL));
  CHECK(finds(pai_doc_yaml, "a:\n  b: null\n", NULL));
  CHECK(finds(pai_doc_yaml, "a:\n  c: 1\nb: x\n", NULL));
  CHECK(finds(pai_doc_yaml, "", NULL));
  CHECK(finds(pai_doc_yaml, "a: {b: x}\n", "!1"));
  CHECK(finds(pai_doc_yaml, "a:\n  b: |\n    x\n", "!2"));
  CHECK(finds(pai_doc_yaml, "a:\n  b: x\n    y\n", "!2"));
  CHECK(finds(pai_doc_yaml, "a:\n  b: \"x\n    y\"\n", "!2"));
  CHECK(finds(pai_doc_yaml, "a:\n  b: *x\n", "!2"));
  CHECK(finds(pai_doc_yaml, "a:\n\tb: x\n", "!2"));
  CHECK(finds(pai_doc_yaml, "not a mapping\n", "!1"));
  CHECK(finds(pai_doc_yaml, "{a: {b: x}}\n", "!1"));
}

static int doubted(const char *value) {
  pai_secret *s = pai_secret_new("x", value, strlen(value), NULL);
  int doubt = pai_secret_doubt(s) != NULL;
  pai_secret_free(s);
  return doubt;
}

static void test_doubt(void) {
  static const char *const bad[] = {"<token>",  "ChangeMe1", "your-api-key", "${TOKEN}",
                                    "aaaaaaaa", " lead",     "trail ",       "my_EXAMPLE_k"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    CHECK(doubted(bad[i]));
  CHECK(!doubted("q8Zr-Lm2v.Wy5"));
  CHECK(doubted("first line\nsecond line\n"));
  CHECK(!doubted("{\n \"a\": 1\n}\n"));
  CHECK(!doubted("q8Zr-Lm2v.Wy5\n"));
  pai_secret_buf b = {0};
  CHECK(pai_secret_buf_add(&b, "dTpwYXNzOndvcmQ=", 16, NULL) == 0 && pai_doc_basic(&b, NULL) == 0);
  CHECK(b.len == 9 && memcmp(b.data, "pass:word", 9) == 0);
  pai_secret_buf_free(&b);
  CHECK(pai_secret_buf_add(&b, "dTpw!", 5, NULL) == 0 && pai_doc_basic(&b, NULL) == PAI_E_PARSE);
  pai_secret_buf_free(&b);
  CHECK(pai_secret_buf_add(&b, "YWJj", 4, NULL) == 0 && pai_doc_basic(&b, NULL) == PAI_E_PARSE);
  pai_secret_buf_free(&b);
}

int main(void) {
  RUN(test_locked_memory);
  RUN(test_wiped);
  RUN(test_blocks_do_not_overlap);
  RUN(test_equal);
  RUN(test_handles);
  RUN(test_pieces);
  RUN(test_out_of_memory);
  RUN(test_dotenv);
  RUN(test_dotenv_edit);
  RUN(test_document_json);
  RUN(test_document_yaml);
  RUN(test_doubt);
  return finish();
}
