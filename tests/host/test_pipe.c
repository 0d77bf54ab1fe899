/* Lines of a descriptor: cut anywhere, too long, without an end; room in a pipe. */
#include "harness.h"
#include "pipe.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static pai_error err;
static int ends[2];

static void put(const char *text) {
  CHECK(write(ends[1], text, strlen(text)) == (ssize_t)strlen(text));
}

static void want(pai_lines *r, const char *expected) {
  const char *line;
  size_t len;
  CHECK(pai_lines_next(r, &line, &len, &err) == 1);
  CHECK(len == strlen(expected) && memcmp(line, expected, len) == 0);
}

static void want_code(pai_lines *r, int code) {
  const char *line;
  size_t len;
  CHECK(pai_lines_next(r, &line, &len, &err) == code);
}

static void open_pipe(pai_lines *r, size_t max) {
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  pai_lines_init(r, ends[0], max);
}

static void shut(pai_lines *r) {
  pai_lines_free(r);
  close(ends[0]);
}

static void lines_come_whole(void) {
  pai_lines r;
  open_pipe(&r, 100);
  want_code(&r, 0);
  put("one\ntw");
  CHECK(pai_lines_read(&r, &err) == 0);
  want(&r, "one");
  want_code(&r, 0);
  put("o\r\n\nlast");
  CHECK(pai_lines_read(&r, &err) == 0);
  want(&r, "two");
  want(&r, "");
  want_code(&r, 0);
  close(ends[1]);
  CHECK(pai_lines_read(&r, &err) == 0);
  want(&r, "last");
  want_code(&r, PAI_E_CLOSED);
  want_code(&r, PAI_E_CLOSED);
  shut(&r);
}

static void a_line_that_is_too_long_is_passed_over(void) {
  pai_lines r;
  open_pipe(&r, 8);
  put("12345678\n123456789\nok\n");
  CHECK(pai_lines_read(&r, &err) == 0);
  want(&r, "12345678");
  want_code(&r, PAI_E_LIMIT);
  want(&r, "ok");
  for (int i = 0; i < 100; i++) {
    put("0123456789abcdef");
    CHECK(pai_lines_read(&r, &err) == 0);
    want_code(&r, 0);
    CHECK(r.text.len <= 32);
  }
  put("\nok\n");
  CHECK(pai_lines_read(&r, &err) == 0);
  want_code(&r, PAI_E_LIMIT);
  want(&r, "ok");
  put("0123456789");
  CHECK(pai_lines_read(&r, &err) == 0);
  want_code(&r, 0);
  close(ends[1]);
  CHECK(pai_lines_read(&r, &err) == 0);
  want_code(&r, PAI_E_LIMIT);
  want_code(&r, PAI_E_CLOSED);
  shut(&r);
}

static void many_lines_of_one_read(void) {
  pai_lines r;
  open_pipe(&r, 100);
  for (int i = 0; i < 4000; i++)
    put("0123456\n");
  CHECK(pai_lines_read(&r, &err) == 0);
  for (int i = 0; i < 4000; i++)
    want(&r, "0123456");
  want_code(&r, 0);
  close(ends[1]);
  shut(&r);
}

static void a_pipe_has_room_until_it_is_full(void) {
  CHECK(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  char block[PAI_PIPE_ROOM] = {0};
  CHECK(pai_pipe_has_room(ends[1]));
  while (write(ends[1], block, sizeof block) > 0)
    continue;
  CHECK(!pai_pipe_has_room(ends[1]));
  close(ends[0]);
  CHECK(pai_pipe_has_room(ends[1])); // the write that follows fails at once
  close(ends[1]);
}

int main(void) {
  RUN(lines_come_whole);
  RUN(a_line_that_is_too_long_is_passed_over);
  RUN(many_lines_of_one_read);
  RUN(a_pipe_has_room_until_it_is_full);
  return finish();
}
