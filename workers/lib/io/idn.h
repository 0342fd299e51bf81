#ifndef ST_IO_IDN_H
#define ST_IO_IDN_H
/* Internationalised domain names by libidn2: IDNA2008 (RFC 5891, 5892). */
#include "base/base.h"

/* Is the label (without dots) a proper A-label, "xn--...", in either case? */
bool st_is_alabel(const char *label, size_t len);

#endif
