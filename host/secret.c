/* Secret values. See secret.h. The struct itself is in locked memory with the value behind it. */
#include "secret.h"

#include "mask.h"
#include "secret_mem.h"

#include <string.h>
#include <sys/prctl.h>

struct pai_secret {
  size_t len;
  size_t name_len;
  bool masked;
  char bytes[]; // the value, a '\0', the name, a '\0'
};

static size_t size_of(size_t len, size_t name_len) {
  return sizeof(pai_secret) + len + name_len + 2;
}

pai_secret *pai_secret_new(const char *name, const void *data, size_t len, pai_error *err) {
  if (len > PAI_SECRET_MAX) {
    pai_error_set(err, PAI_E_LIMIT, "the secret %.100s is over %zu bytes", name, PAI_SECRET_MAX);
    return NULL;
  }
  // Other processes of this user, and core dumps, are to see nothing of this one from now on. The
  // masker keeps its copies, so this is not undone. execve gives a child its own setting.
  prctl(PR_SET_DUMPABLE, 0);
  pai_mask_set *set = pai_mask_global();
  size_t name_len = strlen(name);
  pai_secret *s = pai_locked_alloc(size_of(len, name_len));
  if (s == NULL || set == NULL) {
    pai_locked_free(s, size_of(len, name_len));
    pai_error_set(err, PAI_E_NOMEM, "out of memory for the secret %.100s", name);
    return NULL;
  }
  s->len = len;
  s->name_len = name_len;
  if (len > 0)
    memcpy(s->bytes, data, len);
  s->bytes[len] = '\0';
  memcpy(s->bytes + len + 1, name, name_len + 1);
  int rc = pai_mask_set_add(set, s->bytes, len, err);
  if (rc < 0) {
    pai_secret_free(s);
    return NULL;
  }
  s->masked = rc > 0;
  return s;
}

void pai_secret_free(pai_secret *s) {
  if (s != NULL)
    pai_locked_free(s, size_of(s->len, s->name_len));
}

const char *pai_secret_data(const pai_secret *s, size_t *len) {
  if (len != NULL)
    *len = s->len;
  return s->bytes;
}

const char *pai_secret_name(const pai_secret *s) {
  return s->bytes + s->len + 1;
}

bool pai_secret_masked(const pai_secret *s) {
  return s->masked;
}

bool pai_secret_equal(const pai_secret *a, const pai_secret *b) {
  return pai_equal(a->bytes, a->len, b->bytes, b->len);
}

int pai_secret_buf_reserve(pai_secret_buf *b, size_t n, pai_error *err) {
  if (n > PAI_SECRET_MAX || b->len + n > PAI_SECRET_MAX + 4096)
    return pai_error_set(err, PAI_E_LIMIT, "a secret is over %zu bytes", PAI_SECRET_MAX);
  if (b->len + n <= b->cap)
    return 0;
  size_t cap = b->cap == 0 ? 256 : b->cap;
  while (cap < b->len + n)
    cap *= 2;
  char *data = pai_locked_grow(b->data, b->cap, cap);
  if (data == NULL)
    return pai_error_set(err, PAI_E_NOMEM, "out of memory for a secret");
  b->data = data;
  b->cap = cap;
  return 0;
}

int pai_secret_buf_add(pai_secret_buf *b, const void *data, size_t len, pai_error *err) {
  int rc = pai_secret_buf_reserve(b, len, err);
  if (rc == 0 && len > 0) {
    memcpy(b->data + b->len, data, len);
    b->len += len;
  }
  return rc;
}

void pai_secret_buf_free(pai_secret_buf *b) {
  pai_locked_free(b->data, b->cap);
  *b = (pai_secret_buf){0};
}

pai_secret *pai_secret_buf_take(pai_secret_buf *b, const char *name, bool trim, pai_error *err) {
  size_t len = b->len;
  if (trim && len > 0 && b->data[len - 1] == '\n')
    len--;
  if (trim && len > 0 && len < b->len && b->data[len - 1] == '\r')
    len--;
  pai_secret *s = pai_secret_new(name, b->data, len, err);
  pai_secret_buf_free(b);
  return s;
}
