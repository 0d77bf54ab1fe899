/* What both sides of the opening handshake need (RFC 6455, 4). */
#ifndef PAI_WS_UPGRADE_H
#define PAI_WS_UPGRADE_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>

// The value of Sec-WebSocket-Accept for a key of 24 characters.
int pai_ws_accept(const char *key, char out[32], pai_error *err);
// Whether a list such as "keep-alive, Upgrade" has the word; any_case, or as it is.
bool pai_ws_has_word(const char *list, size_t len, const char *word, size_t word_len,
                     bool any_case);

#endif
