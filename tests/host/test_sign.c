/* Signatures beside plain HMACs, key files good and damaged, and the binding without memory. */
#include "nomem_run.h"
#include "sign.h"

#include <openssl/hmac.h>
#include <stdlib.h>
#include <unistd.h>

int luaopen_pai_sign(lua_State *L);

static const char key_text[] = "a key of no account";

static void step(const void *key, size_t len, const char *text, unsigned char out[32]) {
  unsigned n;
  CHECK(HMAC(EVP_sha256(), key, (int)len, (const void *)text, strlen(text), out, &n) != NULL);
}

static void v4(void) {
  pai_error err;
  pai_secret *key = pai_secret_new("test", key_text, sizeof key_text - 1, &err);
  unsigned char a[32], b[32];
  char first[64];
  snprintf(first, sizeof first, "AWS4%s", key_text);
  step(first, strlen(first), "20260102", a);
  step(a, 32, "eu-1", a);
  step(a, 32, "s3", a);
  step(a, 32, "aws4_request", a);
  step(a, 32, "text", a);
  CHECK(pai_sign_v4(key, "20260102", "eu-1", "s3", "text", 4, b, &err) == 0);
  CHECK(memcmp(a, b, 32) == 0);
  pai_secret_free(key);
}

static int shared_with(const char *base64, unsigned char out[32], pai_error *err) {
  pai_secret *key = pai_secret_new("test", base64, strlen(base64), err);
  int rc = pai_sign_shared(key, "text", 4, out, err);
  pai_secret_free(key);
  return rc;
}

static void shared(void) {
  static const unsigned char raw[] = {0, 1, 2, 250, 251, 255, 254, 77, 78, 79};
  static const char *const damaged[] = {"AAEC+vv//k1OT!==", "AAEC*", "A", "===="};
  unsigned char code[40], a[32], b[32];
  pai_error err;
  for (size_t len = 4; len <= sizeof raw; len++) {
    EVP_EncodeBlock(code, raw, (int)len);
    step(raw, len, "text", a);
    CHECK(shared_with((const char *)code, b, &err) == 0);
    CHECK(memcmp(a, b, 32) == 0);
  }
  for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
    CHECK(shared_with(damaged[i], b, &err) == PAI_E_PARSE);
    CHECK(strstr(err.message, damaged[i]) == NULL);
  }
}

// "(" name ... ")" and name=value, so that a list can be compared as text.
static const char *shown(int rc, pai_secret_buf *list) {
  static char out[400];
  size_t n = 0;
  pai_sign_record r;
  out[0] = '\0';
  for (size_t at = 0; rc == 0 && pai_sign_next(list, &at, &r) && n < sizeof out;)
    n += (size_t)snprintf(out + n, sizeof out - n, r.kind == PAI_SIGN_SHUT ? ")" : "%.*s%s%.*s ",
                          (int)r.name_len, r.name, r.kind == PAI_SIGN_OPEN ? "(" : "=",
                          (int)r.value_len, r.value);
  pai_secret_buf_free(list);
  return out;
}

typedef int (*reader)(const char *, size_t, pai_secret_buf *, pai_error *);

static void files(void) {
  static const struct {
    reader read;
    const char *text, *expected;
  } good[] = {
      {pai_sign_yaml, "auth:\n  data:\n    s3://b: {k: v, n: null}\n",
       "auth( data( s3://b( k=v )))"},
      {pai_sign_yaml, "", ""},
      {pai_sign_yaml, "~", ""},
      {pai_sign_yaml, "a: '1'\nb: 2\n", "a=1 b=2 "},
      {pai_sign_ini, "[one]\n a = b\nk = v=w\r\n# c\n[two]\nx=\n", "one( k=v=w )two( x= )"},
      {pai_sign_pairs, "A=b;K=x==;;B=", "A=b K=x== B= "},
  };
  static const struct {
    reader read;
    const char *text, *why;
  } bad[] = {
      {pai_sign_yaml, "a: [1]\n", "line 1: a list"},   {pai_sign_yaml, "a: &x 1\nb: *x", "alias"},
      {pai_sign_yaml, "text that is none", "mapping"}, {pai_sign_yaml, "a: {", "line"},
      {pai_sign_yaml, "? {a: b}\n: c\n", "key"},       {pai_sign_ini, "[one\n", "no end"},
      {pai_sign_ini, "[one]\nword\n", "line 2"},       {pai_sign_pairs, "A=b;word", "part 2"},
  };
  pai_error err;
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    pai_secret_buf list = {0};
    int rc = good[i].read(good[i].text, strlen(good[i].text), &list, &err);
    CHECK(rc == 0);
    CHECK(strcmp(shown(rc, &list), good[i].expected) == 0);
  }
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    pai_secret_buf list = {0};
    CHECK(bad[i].read(bad[i].text, strlen(bad[i].text), &list, &err) == PAI_E_PARSE);
    CHECK(strstr(err.message, bad[i].why) != NULL);
    pai_secret_buf_free(&list);
  }
}

static void no_memory(void) {
  char dir[] = "/tmp/pai-sign-XXXXXX", path[64];
  CHECK(mkdtemp(dir) != NULL);
  snprintf(path, sizeof path, "%s/keys", dir);
  FILE *f = fopen(path, "w");
  CHECK(f != NULL && fputs("auth:\n  one: {name: n, key: a value to hide}\n", f) >= 0);
  CHECK(fclose(f) == 0);
  static const char text[] =
      "local list = {} for i = 1, 40 do list[i] = ('name'):rep(i) end\n"
      "local t = m.keys(dir .. '/keys', 'yaml', { 'key' })\n"
      "m.keys(dir .. '/none', 'ini', {})\n"
      "local h = m.hasher('md5', 'sha256') h:file(dir .. '/keys', 0, 20)\n"
      "local a, b = h:hex()\n"
      "return t and t.auth.one.name == 'n' and #m.v4(t.auth.one.key, 'd', 'r', 's', 'x') == 64\n"
      "  and not m.shared(t.auth.one.key, 'x') and #a == 32 and #b == 64";
  nomem_each(&(nomem_test){"pai.sign", luaopen_pai_sign, dir, text}, 60, 96);
  unlink(path);
  rmdir(dir);
}

int main(void) {
  RUN(v4);
  RUN(shared);
  RUN(files);
  RUN(no_memory);
  return finish();
}
