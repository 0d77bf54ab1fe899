/* What the files of pai.http share: http.c (attempts, redirects and the end of a request),
 * http_hop.c (one exchange with one server), http_body.c (what arrives) and http_file.c (bodies
 * that are parts of files). */
#ifndef PAI_HTTP_PRIV_H
#define PAI_HTTP_PRIV_H

#include "http.h"

/* http.c */

// The first failure counts: what libcurl says after a callback of ours refused is no news.
void pai_http_set_error(pai_http *h, int code, const char *why);
// An exchange has ended by itself and is off the multi handle.
void pai_http_hop_done(pai_http *h, CURLcode code);

/* http_hop.c */

int pai_http_hop_start(pai_http *h, pai_error *err); // to h->url
void pai_http_hop_stop(pai_http *h);                 // safe when none runs

/* http_body.c */

void pai_http_body_reset(pai_http *h); // nothing has arrived yet
size_t pai_http_on_header(char *line, size_t size, size_t count, void *h);
size_t pai_http_on_body(char *data, size_t size, size_t count, void *h);
bool pai_http_is_redirect(const pai_http *h);
void pai_http_keep_output(pai_http *h); // the answer is whole; sets h->err on failure
void pai_http_drop_output(pai_http *h);

/* http_file.c */

// Opens body_file for this hop and tells libcurl to read from it.
int pai_http_send_file(pai_http *h);
// Opens the file of `into`; sets h->fd or h->err.
int pai_http_open_into(pai_http *h);
int pai_http_write_into(pai_http *h, const char *data, size_t len); // sets h->err
void pai_http_close_files(pai_http *h);

#endif
