/* SHA-256 for what every run needs: the record of its files. pai.crypto has the rest. */
#ifndef PAI_DIGEST_H
#define PAI_DIGEST_H

#include <stddef.h>

#define PAI_SHA256_LEN 32

void pai_sha256(const void *data, size_t len, unsigned char out[PAI_SHA256_LEN]);

#endif
