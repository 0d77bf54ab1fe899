/* pai_ext.h for C and C++. */
#ifndef PAI_H
#define PAI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "pai_ext.h"

#ifdef __cplusplus
}
#endif

#endif
