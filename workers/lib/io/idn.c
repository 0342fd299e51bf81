/* Domain labels by libidn2, by the rules of registration, which are the strict ones. */
#include "io/idn.h"

#include <idn2.h>
#include <strings.h>

enum { LONGEST = 63 };

bool st_is_alabel(const char *label, size_t len)
{
    char text[LONGEST + 1], *unicode = NULL;
    uint8_t *ascii = NULL;
    if (len > LONGEST)
        return false;
    snprintf(text, sizeof(text), "%.*s", (int)len, label);
    bool ok = idn2_to_unicode_8z8z(text, &unicode, 0) == IDN2_OK &&
              idn2_register_u8((const uint8_t *)unicode, NULL, &ascii, 0) == IDN2_OK &&
              strcasecmp((const char *)ascii, text) == 0;
    idn2_free(unicode);
    idn2_free(ascii);
    return ok;
}
