/* pai for other programs: bare declarations that LuaJIT's ffi.cdef reads as they stand. C and C++
 * include pai.h. Strings are pointer and length. One thread at a time. Nothing here blocks.
 *
 * Words about pointers. Borrowed: valid during the call. Borrowed until X: so long. Owned: the
 * caller frees it. A result of int32_t is 0 or positive for success, else one of PAI_EXT_E_…; the
 * last parameter then says why, and may be NULL. */

enum {
  PAI_EXT_ABI = 1000 /* what this header describes: major * 1000 + minor */
};

enum { PAI_EXT_E_NOMEM = -1, PAI_EXT_E_ARG = -2, PAI_EXT_E_LIMIT = -4 };

typedef struct pai_ext_error {
  uint32_t size;     /* sizeof of this struct, set by the caller: a later one may be longer */
  int32_t code;      /* PAI_EXT_E_… */
  char message[240]; /* ends with '\0' */
} pai_ext_error;

/* The version of the library. A caller wants the same major and at least its own minor. */
int32_t pai_abi_version(void);

/* Masking of secrets in a text that comes in pieces. Each byte of each occurrence of a value, or of
 * its base64, hex, percent or JSON encoding, is replaced, however the pieces are cut; what overlaps
 * or touches by one "***". */
typedef struct pai_masker pai_masker;

/* Owned: pai_masker_free. NULL: no memory. */
pai_masker *pai_masker_new(void);

/* Wipes the values. m: owned, or NULL. */
void pai_masker_free(pai_masker *m);

/* Adds a value at any time. value: borrowed, of len bytes; a copy is kept in locked memory. 1: it
 * will be masked; 0: it will not, being shorter than 6 bytes or too common a word.
 * PAI_EXT_E_NOMEM, PAI_EXT_E_LIMIT. */
int32_t pai_masker_add(pai_masker *m, const void *value, size_t len, pai_ext_error *err);

/* Takes the next piece of the text and gives what may be shown. data: borrowed. *out: borrowed
 * until the next call with m; *out_len: its bytes. PAI_EXT_E_NOMEM, PAI_EXT_E_LIMIT: the piece was
 * not taken. */
int32_t pai_masker_feed(pai_masker *m, const void *data, size_t len, const char **out,
                        size_t *out_len, pai_ext_error *err);

/* Gives what was held back; the masker is then ready for another text. As pai_masker_feed. */
int32_t pai_masker_finish(pai_masker *m, const char **out, size_t *out_len, pai_ext_error *err);

/* How many bytes are held back because they may be the beginning of a value. */
size_t pai_masker_held(const pai_masker *m);

/* Whether the bytes are equal, in a time that depends on the lengths only. a, b: borrowed. */
bool pai_equal(const void *a, size_t a_len, const void *b, size_t b_len);

/* Overwrites the bytes in a way that the compiler does not leave out. p: borrowed. */
void pai_wipe(void *p, size_t size);
