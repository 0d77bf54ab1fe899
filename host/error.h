/* What a failed call says: a stable code, the system's errno where there was one, and a message
 * that names what was done to what and why it failed. Fixed size, owns nothing, may be copied. */
#ifndef PAI_ERROR_H
#define PAI_ERROR_H

enum {
  PAI_OK = 0,
  PAI_E_NOMEM = -1,
  PAI_E_ARG = -2,       // the caller's mistake
  PAI_E_SYS = -3,       // see sys_errno
  PAI_E_LIMIT = -4,     // a size, depth or count over its ceiling
  PAI_E_PARSE = -5,     // text that is not what it should be
  PAI_E_TIMEOUT = -6,   // the deadline passed
  PAI_E_CANCELED = -7,  // the task was cancelled
  PAI_E_CLOSED = -8,    // the other side is gone
  PAI_E_DENIED = -9,    // refused by a rule of ours
  PAI_E_NOTFOUND = -10, // no such thing
  PAI_E_PROTO = -11,    // a peer that does not keep its protocol
  PAI_E_INTERNAL = -12, // a fault of pai
  PAI_E_NETWORK = -13   // resolve, connect, TLS, broken transfer
};

typedef struct pai_error {
  int code;          // PAI_E_…
  int sys_errno;     // errno of the failing call, 0 if none
  char message[240]; // always terminated
} pai_error;

// Fills *err (may be NULL) and returns code, so that a caller can `return pai_error_set(...)`.
int pai_error_set(pai_error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

// As above with code PAI_E_SYS; ": " and the text of errnum are appended.
int pai_error_sys(pai_error *err, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

// The code as Lua and JSON see it: "ENOENT", "ETIMEDOUT", "EPARSE"… Borrowed, constant.
const char *pai_error_name(const pai_error *err);

#endif
