/* What object stores ask of a client that holds a key: the signatures of AWS (SigV4) and Azure
 * (SharedKey), checksums over parts of files, and the files that keys are kept in. A key goes from
 * its file into locked memory and from there into an HMAC; nothing derived from it but the
 * signature itself is given back. */
#ifndef PAI_SIGN_H
#define PAI_SIGN_H

#include "buf.h"
#include "error.h"
#include "secret.h"

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

enum { PAI_SIGN_BYTES = 32, PAI_SIGN_DIGESTS = 4 };

// HMAC-SHA256 of text with the key that SigV4 derives: secret, date (YYYYMMDD), region, service.
int pai_sign_v4(const pai_secret *key, const char *date, const char *region, const char *service,
                const void *text, size_t len, unsigned char out[PAI_SIGN_BYTES], pai_error *err);
// HMAC-SHA256 with a key that is written in base64; PAI_E_PARSE when it is not.
int pai_sign_shared(const pai_secret *key, const void *text, size_t len,
                    unsigned char out[PAI_SIGN_BYTES], pai_error *err);

// Several digests over the same bytes, read once. Zero it first.
typedef struct pai_sign_hasher {
  EVP_MD_CTX *ctx[PAI_SIGN_DIGESTS]; // owned
  size_t count;
  uint64_t bytes;
} pai_sign_hasher;
// PAI_E_ARG: no digest of that name.
int pai_sign_hasher_add(pai_sign_hasher *h, const char *algorithm, pai_error *err);
// Reads len bytes of a file from offset on; PAI_E_PROTO when the file ends before. Blocks as long
// as reading takes: a caller hands it pieces.
int pai_sign_hasher_file(pai_sign_hasher *h, const char *path, uint64_t offset, uint64_t len,
                         pai_error *err);
// The digest so far of the i-th algorithm; more may be added afterwards.
int pai_sign_hasher_value(const pai_sign_hasher *h, size_t i, unsigned char out[EVP_MAX_MD_SIZE],
                          size_t *out_len, pai_error *err);
void pai_sign_hasher_free(pai_sign_hasher *h);

/* Key files (sign_keys.c). What was read is a list of records in locked memory: a section begins
 * or ends, or an entry has a value. */
typedef enum { PAI_SIGN_OPEN = 1, PAI_SIGN_SHUT, PAI_SIGN_ENTRY } pai_sign_kind;
typedef struct pai_sign_record {
  pai_sign_kind kind;
  const char *name; // borrowed from the list; neither is terminated
  size_t name_len;
  const char *value;
  size_t value_len;
} pai_sign_record;
// The record at *at, which goes on to the next; false at the end.
bool pai_sign_next(const pai_secret_buf *list, size_t *at, pai_sign_record *out);

// Reads a whole file into locked memory.
int pai_sign_read(const char *path, pai_secret_buf *out, pai_error *err);
// YAML of mappings and scalars; other things are PAI_E_PARSE. Messages hold lines, no values.
int pai_sign_yaml(const char *text, size_t len, pai_secret_buf *list, pai_error *err);
// [section] and name = value, as in the files of the AWS command line.
int pai_sign_ini(const char *text, size_t len, pai_secret_buf *list, pai_error *err);
// name=value;name=value, as Azure's connection strings.
int pai_sign_pairs(const char *text, size_t len, pai_secret_buf *list, pai_error *err);
// The signature inside a SAS is masked, too, where it stands alone.
int pai_sign_mask_sas(const char *sas, size_t len, pai_error *err);

#endif
