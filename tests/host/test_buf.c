/* Growing buffers: the ceiling, and every failing allocation. */
#include "alloc.h"
#include "buf.h"
#include "error.h"
#include "harness.h"

#include <string.h>

static void test_growth(void) {
  pai_buf b;
  pai_buf_init(&b, 1000);
  CHECK(b.data == NULL && b.len == 0);
  for (int i = 0; i < 100; i++)
    CHECK(pai_buf_add(&b, "0123456789", 10) == 0);
  CHECK(b.len == 1000 && b.cap == 1000);
  CHECK(pai_buf_add(&b, "x", 1) == PAI_E_LIMIT);
  CHECK(b.len == 1000 && memcmp(b.data + 990, "0123456789", 10) == 0);
  CHECK(pai_buf_reserve(&b, (size_t)-1) == PAI_E_LIMIT);
  CHECK(pai_buf_add(&b, "", 0) == 0);
  pai_buf_drop(&b, 995);
  CHECK(b.len == 5 && memcmp(b.data, "56789", 5) == 0);
  pai_buf_truncate(&b, 2);
  CHECK(pai_buf_addf(&b, "-%d-%s", 42, "x") == 0);
  CHECK(b.len == 7 && memcmp(b.data, "56-42-x", 7) == 0);
  pai_buf_clear(&b);
  CHECK(b.len == 0 && b.cap == 1000);
  pai_buf_free(&b);
  CHECK(b.data == NULL && b.max == 1000);
  CHECK(pai_buf_add(&b, "again", 5) == 0);
  pai_buf_free(&b);
}

static void test_format_limit(void) {
  pai_buf b;
  pai_buf_init(&b, 10);
  CHECK(pai_buf_addf(&b, "%s", "0123456789") == PAI_E_LIMIT); // the '\0' wants room as well
  CHECK(b.len == 0);
  CHECK(pai_buf_addf(&b, "%s", "012345678") == 0 && b.len == 9);
  pai_buf_free(&b);
}

static void test_out_of_memory(void) {
  for (size_t n = 1; n <= 8; n++) {
    pai_buf b;
    int failed = 0;
    size_t want = 0;
    pai_buf_init(&b, 10000);
    pai_alloc_fail_at(n);
    for (int i = 0; i < 200; i++) {
      int rc = pai_buf_add(&b, "0123456789", 10);
      CHECK(rc == 0 || rc == PAI_E_NOMEM);
      failed += rc < 0;
      want += rc == 0 ? 10 : 0;
      CHECK(b.len == want);
    }
    pai_alloc_fail_at(0);
    CHECK(failed == (n <= 6 ? 1 : 0)); // 64, 128, … 2,048: six allocations
    pai_buf_free(&b);
  }
}

int main(void) {
  RUN(test_growth);
  RUN(test_format_limit);
  RUN(test_out_of_memory);
  return finish();
}
