#ifndef ST_BASE_COMPILER_H
#define ST_BASE_COMPILER_H
/* Compiler attributes, scope cleanup, and functions that may not be used. */

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#define ST_MUSTCHECK    __attribute__((warn_unused_result))
#define ST_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define ST_UNUSED       __attribute__((unused))
#define ST_NORETURN     __attribute__((noreturn))

/* _cleanup_(fn) T *v = NULL;  fn(&v) runs when v leaves its scope. */
#define _cleanup_(fn) __attribute__((cleanup(fn)))

/* Hands a pointer over: yields its value and leaves NULL behind. */
#define ST_TAKE(p)                                                                                                     \
    __extension__({                                                                                                    \
        __typeof__(p) *st_take_ = &(p);                                                                                \
        __typeof__(p) st_taken_ = *st_take_;                                                                           \
        *st_take_ = NULL;                                                                                              \
        st_taken_;                                                                                                     \
    })

#define ST_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/*
 * Functions with no safe use here do not compile. The mends: st_strdup / st_printf / snprintf for copying and
 * formatting, st_parse_i64 for numbers, the _r forms for time, st_spawn for processes, st_alloc for memory.
 */
#ifndef ST_NO_BANNED
#undef strcpy
#undef strcat
#undef strtok
#undef alloca
#define strcpy(...)    st_banned_strcpy_()
#define strcat(...)    st_banned_strcat_()
#define strtok(...)    st_banned_strtok_()
#define sprintf(...)   st_banned_sprintf_()
#define vsprintf(...)  st_banned_vsprintf_()
#define gmtime(...)    st_banned_gmtime_()
#define localtime(...) st_banned_localtime_()
#define ctime(...)     st_banned_ctime_()
#define asctime(...)   st_banned_asctime_()
#define atoi(...)      st_banned_atoi_()
#define atol(...)      st_banned_atol_()
#define atof(...)      st_banned_atof_()
#define system(...)    st_banned_system_()
#define alloca(...)    st_banned_alloca_()
#endif

/* Of everything that is built from this checkout. */
#define ST_VERSION "0.1.0"

#endif
