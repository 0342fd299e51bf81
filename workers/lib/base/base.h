#ifndef ST_BASE_H
#define ST_BASE_H
/* All of lib/base; it uses libc only. */
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#endif
