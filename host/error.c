/* Error values. See error.h. */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int pai_error_set(pai_error *err, int code, const char *fmt, ...) {
  if (err == NULL)
    return code;
  err->code = code;
  err->sys_errno = 0;
  va_list ap;
  va_start(ap, fmt);
  vsnprintf(err->message, sizeof err->message, fmt, ap);
  va_end(ap);
  return code;
}

int pai_error_sys(pai_error *err, int errnum, const char *fmt, ...) {
  if (err == NULL)
    return PAI_E_SYS;
  err->code = errnum == ENOMEM ? PAI_E_NOMEM : PAI_E_SYS;
  err->sys_errno = errnum;
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf(err->message, sizeof err->message, fmt, ap);
  va_end(ap);
  if (n >= 0 && (size_t)n < sizeof err->message)
    snprintf(err->message + n, sizeof err->message - (size_t)n, ": %s", strerrordesc_np(errnum));
  return err->code;
}

const char *pai_error_name(const pai_error *err) {
  if (err->sys_errno != 0) {
    const char *name = strerrorname_np(err->sys_errno);
    if (name != NULL)
      return name;
  }
  switch (err->code) {
  case PAI_OK:
    return "OK";
  case PAI_E_NOMEM:
    return "ENOMEM";
  case PAI_E_ARG:
    return "EINVAL";
  case PAI_E_SYS:
    return "EIO";
  case PAI_E_LIMIT:
    return "ELIMIT";
  case PAI_E_PARSE:
    return "EPARSE";
  case PAI_E_TIMEOUT:
    return "ETIMEDOUT";
  case PAI_E_CANCELED:
    return "ECANCELED";
  case PAI_E_CLOSED:
    return "EPIPE";
  case PAI_E_DENIED:
    return "EACCES";
  case PAI_E_NOTFOUND:
    return "ENOENT";
  case PAI_E_PROTO:
    return "EPROTO";
  case PAI_E_NETWORK:
    return "ENETWORK";
  default:
    return "EINTERNAL";
  }
}
