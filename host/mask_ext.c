/* The masker as other programs see it: a set and a stream in one. See include/pai_ext.h. */
#include "alloc.h"
#include "mask.h"
#include "pai.h"

#include <string.h>

_Static_assert((int)PAI_EXT_E_NOMEM == (int)PAI_E_NOMEM && (int)PAI_EXT_E_ARG == (int)PAI_E_ARG &&
                   (int)PAI_EXT_E_LIMIT == (int)PAI_E_LIMIT,
               "the codes of pai_ext.h are those of error.h");

#define OUT_MAX ((size_t)1 << 31)

struct pai_masker {
  pai_mask_set *set;
  pai_mask_stream *stream;
  pai_buf out;
};

int32_t pai_abi_version(void) {
  return PAI_EXT_ABI;
}

pai_masker *pai_masker_new(void) {
  pai_masker *m = pai_calloc(1, sizeof *m);
  if (m == NULL)
    return NULL;
  pai_buf_init(&m->out, OUT_MAX);
  m->set = pai_mask_set_new();
  m->stream = m->set != NULL ? pai_mask_stream_new(m->set) : NULL;
  if (m->stream != NULL)
    return m;
  pai_masker_free(m);
  return NULL;
}

void pai_masker_free(pai_masker *m) {
  if (m == NULL)
    return;
  pai_mask_stream_free(m->stream);
  pai_mask_set_free(m->set);
  pai_buf_free(&m->out);
  pai_free(m);
}

static int32_t give_error(int rc, const pai_error *from, pai_ext_error *to) {
  if (rc >= 0 || to == NULL || to->size < sizeof *to)
    return rc;
  to->code = rc;
  memcpy(to->message, from->message, sizeof to->message);
  return rc;
}

int32_t pai_masker_add(pai_masker *m, const void *value, size_t len, pai_ext_error *err) {
  pai_error why;
  return give_error(pai_mask_set_add(m->set, value, len, &why), &why, err);
}

static int32_t give(pai_masker *m, int rc, const pai_error *why, const char **out, size_t *out_len,
                    pai_ext_error *err) {
  *out = m->out.data != NULL ? m->out.data : "";
  *out_len = rc == 0 ? m->out.len : 0;
  return give_error(rc, why, err);
}

int32_t pai_masker_feed(pai_masker *m, const void *data, size_t len, const char **out,
                        size_t *out_len, pai_ext_error *err) {
  pai_error why;
  pai_buf_clear(&m->out);
  int rc = pai_mask_stream_feed(m->stream, data, len, &m->out, &why);
  return give(m, rc, &why, out, out_len, err);
}

int32_t pai_masker_finish(pai_masker *m, const char **out, size_t *out_len, pai_ext_error *err) {
  pai_error why;
  pai_buf_clear(&m->out);
  int rc = pai_mask_stream_finish(m->stream, &m->out, &why);
  return give(m, rc, &why, out, out_len, err);
}

size_t pai_masker_held(const pai_masker *m) {
  return pai_mask_stream_held(m->stream);
}
