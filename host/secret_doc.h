/* One text out of a document that holds secrets: Docker's config.json, OSMO's login.yaml, the
 * answer of a credential helper. Read in locked memory; nothing of the rest is kept. Also: what is
 * wrong with a value that was meant to be a secret. */
#ifndef PAI_SECRET_DOC_H
#define PAI_SECRET_DOC_H

#include "secret.h"

#include <stdbool.h>

// The scalar at keys[0].keys[1]…: 1 and its bytes in out (zeroed by the caller), 0 when it is not
// there, null or empty. Lists are passed over. Errors name the line, never what stands in it. The
// byte after the text must be '\0'.
int pai_doc_json(const char *text, size_t len, const char *const *keys, size_t count,
                 pai_secret_buf *out, pai_error *err);
// YAML as programs write it: block mappings, and values on one line. What is written in another
// form on the way to the value is PAI_E_PARSE; elsewhere it is passed over.
int pai_doc_yaml(const char *text, size_t len, const char *const *keys, size_t count,
                 pai_secret_buf *out, pai_error *err);

// Base64 of "user:password" becomes the password, in place. PAI_E_PARSE: it is none.
int pai_doc_basic(pai_secret_buf *b, pai_error *err);

// Reads a descriptor to its end; what names it in messages.
int pai_secret_read_fd(int fd, const char *what, pai_secret_buf *b, pai_error *err);
int pai_secret_read_file(const char *path, pai_secret_buf *b, pai_error *err);

// Why a value is hardly the real one ("a placeholder", …); NULL: it may be.
const char *pai_secret_doubt(const pai_secret *s);

#endif
