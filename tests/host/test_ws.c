/* The frames of a WebSocket: what each side takes, what it refuses, and all of it in every cut. */
#include "alloc.h"
#include "harness.h"
#include "ws_codec.h"

#include <string.h>

static const char *const NONE = "";

// Feeds the bytes in pieces of n; what came out as "T:text B:bytes " and so on.
static void collect(pai_ws_codec *c, const void *data, size_t len, size_t n, char *out) {
  const char *p = data;
  out[0] = '\0';
  for (size_t at = 0; at < len; at += n) {
    pai_ws_codec_feed(c, p + at, len - at < n ? len - at : n);
    const char *message;
    size_t message_len;
    for (int op; (op = pai_ws_codec_peek(c, &message, &message_len)) != 0;) {
      size_t have = strlen(out);
      snprintf(out + have, 256 - have, "%c:%.*s ", op == PAI_WS_TEXT ? 'T' : 'B',
               (int)(message_len < 20 ? message_len : 20), message);
      pai_ws_codec_pop(c);
    }
  }
}

static void takes(const char *data, size_t len, const char *expected) {
  for (size_t n = 1; n <= len; n++) {
    pai_ws_codec c;
    char out[256];
    pai_ws_codec_init(&c, 1000, 1000);
    collect(&c, data, len, n, out);
    CHECK(c.err.code == PAI_OK);
    CHECK(strcmp(out, expected) == 0);
    pai_ws_codec_free(&c);
  }
}

static void refuses(const char *data, size_t len, int code) {
  for (size_t n = 1; n <= len; n++) {
    pai_ws_codec c;
    char out[256];
    pai_ws_codec_init(&c, 1000, 1000);
    collect(&c, data, len, n, out);
    CHECK(c.err.code == (code == PAI_WS_TOO_BIG ? PAI_E_LIMIT : PAI_E_PROTO));
    CHECK(c.close_code == code);
    CHECK(c.close_sent);
    CHECK(pai_ws_codec_send(&c, PAI_WS_TEXT, "x", 1, NULL) == PAI_E_CLOSED);
    pai_ws_codec_free(&c);
  }
}

#define TAKES(bytes, expected) takes(bytes, sizeof bytes - 1, expected)
#define REFUSES(bytes, code) refuses(bytes, sizeof bytes - 1, code)

static void messages(void) {
  TAKES("\x81\x05hello", "T:hello ");
  TAKES("\x82\x03"
        "a\0b",
        "B:a ");
  TAKES("\x81\0", "T: ");
  TAKES("\x01\x02he\x80\x03llo", "T:hello ");
  TAKES("\x01\x02he\x89\x01p\x80\x03llo\x82\x01x", "T:hello B:x ");
  TAKES("\x01\0\0\0\x80\x01z", "T:z ");
  TAKES("\x01\x01\xc3\x80\x01\xa9", "T:\xc3\xa9 "); // a character in two frames
  TAKES("\x8a\x02hi\x81\x01x", "T:x ");             // a pong that nobody asked for
}

static void breaches(void) {
  REFUSES("\xc1\x01x", PAI_WS_PROTOCOL);
  REFUSES("\x83\x01x", PAI_WS_PROTOCOL);
  REFUSES("\x8b\x01x", PAI_WS_PROTOCOL);
  REFUSES("\x81\x81"
          "abcdx",
          PAI_WS_PROTOCOL);
  REFUSES("\x09\x01x", PAI_WS_PROTOCOL);
  REFUSES("\x89\x7e\0\x7e", PAI_WS_PROTOCOL);
  REFUSES("\x80\x01x", PAI_WS_PROTOCOL);
  REFUSES("\x01\x01x\x81\x01y", PAI_WS_PROTOCOL);
  REFUSES("\x82\x7e\0\x05hello", PAI_WS_PROTOCOL);
  REFUSES("\x82\x7f\0\0\0\0\0\0\xff\xff", PAI_WS_PROTOCOL);
  REFUSES("\x82\x7f\x80\0\0\0\0\x01\0\0", PAI_WS_PROTOCOL);
  REFUSES("\x82\x7f\x7f\0\0\0\0\x01\0\0", PAI_WS_TOO_BIG);
  REFUSES("\x82\x7e\x03\xe9", PAI_WS_TOO_BIG);
  REFUSES("\x02\x01x\x80\x7e\x03\xe8", PAI_WS_TOO_BIG);
  REFUSES("\x81\x01\xff", PAI_WS_BAD_DATA);
  REFUSES("\x81\x01\xc3", PAI_WS_BAD_DATA);
  REFUSES("\x81\x02\xc0\x80", PAI_WS_BAD_DATA);
  REFUSES("\x81\x03\xed\xa0\x80", PAI_WS_BAD_DATA);
  REFUSES("\x81\x04\xf4\x90\x80\x80", PAI_WS_BAD_DATA);
  REFUSES("\x88\x01\x03", PAI_WS_PROTOCOL);
  REFUSES("\x88\x02\x03\xe7", PAI_WS_PROTOCOL);
  REFUSES("\x88\x02\x03\xed", PAI_WS_PROTOCOL);
  REFUSES("\x88\x02\x13\x88", PAI_WS_PROTOCOL);
  REFUSES("\x88\x03\x03\xe8\xff", PAI_WS_BAD_DATA);
}

static void closing(void) {
  pai_ws_codec c;
  pai_ws_codec_init(&c, 1000, 1000);
  CHECK(pai_ws_codec_feed(&c,
                          "\x88\x05\x0f\xa0"
                          "bye\x81\x01x",
                          10) == 0);
  CHECK(c.close_seen && c.close_sent && c.close_code == 4000);
  CHECK(c.reason_len == 3 && memcmp(c.reason, "bye", 3) == 0);
  CHECK(c.messages == 0); // what follows a Close is nothing
  CHECK(c.out.len == 8);  // the same code back, masked
  CHECK(((unsigned char)c.out.data[6] ^ (unsigned char)c.out.data[2]) == 0x0f);
  pai_ws_codec_free(&c);
  pai_ws_codec_init(&c, 1000, 1000);
  CHECK(pai_ws_codec_feed(&c, "\x88\0", 2) == 0 && c.close_code == PAI_WS_NO_CODE);
  pai_ws_codec_free(&c);
  pai_ws_codec_init(&c, 1000, 1000);
  char reason[200];
  memset(reason, 'x', sizeof reason);
  memcpy(reason + 122, "\xc3\xa9", 2); // does not fit as a whole
  CHECK(pai_ws_codec_close(&c, PAI_WS_NORMAL, reason, sizeof reason, NULL) == 0);
  CHECK((c.out.data[1] & 127) == 124);
  CHECK(pai_ws_codec_close(&c, PAI_WS_NORMAL, NONE, 0, NULL) == 0 && c.out.len == 6 + 124);
  pai_ws_codec_free(&c);
}

// What is sent, unmasked again by the rules of the RFC.
static void sending(void) {
  static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536, 100000};
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    size_t len = sizes[i], at = len < 126 ? 2 : len < 65536 ? 4 : 10;
    char *data = pai_calloc(1, len + 1);
    CHECK(data != NULL);
    for (size_t k = 0; k < len; k++)
      data[k] = (char)(k * 7);
    pai_ws_codec c;
    pai_ws_codec_init(&c, 1000, 1 << 20);
    CHECK(pai_ws_codec_send(&c, PAI_WS_BINARY, data, len, NULL) == 0);
    CHECK(c.out.len == at + 4 + len);
    const char *key = c.out.data + at;
    bool same = true;
    for (size_t k = 0; k < len; k++)
      same = same && (c.out.data[at + 4 + k] ^ key[k & 3]) == data[k];
    CHECK(same);
    pai_ws_codec_free(&c);
    pai_free(data);
  }
}

// What one side sends the other takes, in every cut.
static void both_sides(void) {
  static const size_t cuts[] = {1, 2, 3, 7, 1000};
  char big[300];
  memset(big, 'x', sizeof big);
  for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
    for (int server = 0; server < 2; server++) {
      pai_ws_codec from, to;
      char out[256], all[256] = "";
      pai_ws_codec_init(&from, 1000, 1000);
      pai_ws_codec_init(&to, 1000, 1000);
      pai_ws_codec_set_server(server ? &to : &from);
      CHECK(pai_ws_codec_send(&from, PAI_WS_TEXT, "h\xc3\xa9llo", 6, NULL) == 0);
      CHECK(pai_ws_codec_send(&from, PAI_WS_PING, "?", 1, NULL) == 0);
      CHECK(pai_ws_codec_send(&from, PAI_WS_BINARY, big, sizeof big, NULL) == 0);
      CHECK(pai_ws_codec_close(&from, 4001, "bye", 3, NULL) == 0);
      collect(&to, from.out.data, from.out.len, cuts[i], out);
      snprintf(all, sizeof all, "T:h\xc3\xa9llo B:%.20s ", big);
      CHECK(strcmp(out, all) == 0);
      CHECK(to.close_seen && to.close_code == 4001 && to.reason_len == 3);
      CHECK(memcmp(to.reason, "bye", 3) == 0);
      CHECK(to.out.len == (server ? 3 + 4 : 3 + 4 + 8)); // a pong and a Close
      pai_ws_codec_free(&from);
      pai_ws_codec_free(&to);
    }
  }
  pai_ws_codec c;
  pai_ws_codec_init(&c, 1000, 1000);
  pai_ws_codec_set_server(&c);
  CHECK(pai_ws_codec_feed(&c, "\x81\x02hi", 4) == PAI_E_PROTO); // not masked
  CHECK(c.close_code == PAI_WS_PROTOCOL && c.close_sent && (c.out.data[1] & 0x80) == 0);
  pai_ws_codec_free(&c);
}

static void limits(void) {
  pai_ws_codec c;
  pai_error err;
  char big[2000] = {0};
  pai_ws_codec_init(&c, 1000, 0);
  CHECK(pai_ws_codec_send(&c, PAI_WS_TEXT, "\xff", 1, &err) == PAI_E_ARG);
  CHECK(pai_ws_codec_send(&c, PAI_WS_PING, big, 126, &err) == PAI_E_ARG);
  int sent = 0;
  while (pai_ws_codec_send(&c, PAI_WS_BINARY, big, sizeof big, &err) == 0)
    sent++;
  CHECK(sent > 0 && err.code == PAI_E_LIMIT);
  pai_ws_codec_free(&c);
  pai_ws_codec_init(&c, 1000, 0); // pings that nobody takes the answers of
  for (int i = 0; i < 100000; i++)
    CHECK(pai_ws_codec_feed(&c, "\x89\x02hi", 4) == 0);
  CHECK(c.out.len < 70000);
  pai_ws_codec_free(&c);
}

static void no_memory(void) {
  bool whole = false;
  for (size_t n = 1; !whole; n++) {
    pai_ws_codec c;
    pai_ws_codec_init(&c, 1000, 1000);
    pai_alloc_fail_at(n);
    int rc = pai_ws_codec_feed(&c, "\x01\x02he\x89\x01p\x80\x03llo\x88\0", 15);
    whole = pai_alloc_fail_at(0) > 0;
    CHECK(whole ? rc == 0 && c.messages == 1 : rc < 0);
    pai_ws_codec_free(&c);
  }
}

int main(void) {
  RUN(messages);
  RUN(breaches);
  RUN(closing);
  RUN(sending);
  RUN(both_sides);
  RUN(limits);
  RUN(no_memory);
  return finish();
}
