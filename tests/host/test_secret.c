/* Secret memory: locked, left out of dumps, wiped; handles; and the .env parser. */
#include "alloc.h"
#include "harness.h"
#include "mask.h"
#include "secret.h"
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

static int add_line(void *ud, const char *name, size_t name_len, const char *value,
                    size_t value_len, pai_error *err) {
  (void)err;
  return pai_buf_addf(ud, "%.*s=%.*s;", (int)name_len, name, (int)value_len, value);
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

int main(void) {
  RUN(test_locked_memory);
  RUN(test_wiped);
  RUN(test_blocks_do_not_overlap);
  RUN(test_equal);
  RUN(test_handles);
  RUN(test_pieces);
  RUN(test_out_of_memory);
  RUN(test_dotenv);
  return finish();
}
