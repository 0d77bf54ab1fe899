/* Secret values. A pai_secret lives in memory that is locked, left out of core dumps and wiped when
 * freed; its value never becomes a Lua string. Making one registers the value with the process-wide
 * masker (which keeps its own locked copy until the process ends) and makes the process undumpable.
 * The functions with a lua_State are in l_secret.c. */
#ifndef PAI_SECRET_H
#define PAI_SECRET_H

#include "error.h"
#include "task.h"

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#define PAI_SECRET_MAX ((size_t)1 << 20) // bytes of one value

typedef struct pai_secret pai_secret;

// Copies len bytes of data; name is where it came from ("env HF_TOKEN"), never the value.
pai_secret *pai_secret_new(const char *name, const void *data, size_t len, pai_error *err);
void pai_secret_free(pai_secret *s); // wipes; NULL is fine

// The value: borrowed until the secret is freed, never to be copied into memory that is not wiped.
// A '\0' follows the last byte.
const char *pai_secret_data(const pai_secret *s, size_t *len);
const char *pai_secret_name(const pai_secret *s); // borrowed
bool pai_secret_masked(const pai_secret *s);      // false: too short or too common to be masked
bool pai_secret_equal(const pai_secret *a, const pai_secret *b); // in constant time

// Collects a secret that arrives in pieces (a child's output, a prompt) in locked memory.
typedef struct pai_secret_buf {
  char *data; // owned, locked; read-only outside secret.c
  size_t len;
  size_t cap;
} pai_secret_buf; // zero it first
int pai_secret_buf_add(pai_secret_buf *b, const void *data, size_t len, pai_error *err);
// Room for n more bytes at data + len (for read(2)); the caller then adds to len itself.
int pai_secret_buf_reserve(pai_secret_buf *b, size_t n, pai_error *err);
void pai_secret_buf_free(pai_secret_buf *b); // wipes
// Makes the secret, less one trailing newline if trim; the buffer is wiped and empty afterwards.
pai_secret *pai_secret_buf_take(pai_secret_buf *b, const char *name, bool trim, pai_error *err);

// The secret at idx or NULL when the value there is none. Borrowed while the Lua value lives.
const pai_secret *pai_secret_test(lua_State *L, int idx);
// Pushes a handle; s is transferred (freed also when this raises).
PAI_LJMP void pai_secret_push(lua_State *L, pai_secret *s);
// Makes a secret and pushes its handle; on failure nothing is pushed.
PAI_LJMP int pai_secret_push_new(lua_State *L, const char *name, const void *data, size_t len,
                                 pai_error *err);

#endif
