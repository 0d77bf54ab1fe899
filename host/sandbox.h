/* The watchdog: ends the process when Lua has held it for too long without the loop turning, which
 * is what a pattern that backtracks for ever looks like. It counts only while Lua runs, not while
 * the loop waits for events. */
#ifndef PAI_SANDBOX_H
#define PAI_SANDBOX_H

#include "error.h"

#include <stdbool.h>
#include <stdint.h>

// After limit_ms without a turn: writes a message that names label (borrowed during the call) to
// standard error and ends the process with 1. Called again: replaces the one before; 0 = none.
int pai_watchdog_start(const char *label, int64_t limit_ms, pai_error *err);
bool pai_watchdog_late(void); // half of the limit has gone without a turn

#endif
