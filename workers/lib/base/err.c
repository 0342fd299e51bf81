/* The error table as lookups. */
#include "base/err.h"

static const struct {
    int status;
    const char *code, *title;
} table[] = {
#define X(name, status, code, title) [ST_E_##name - ST_E_FIRST_ - 1] = {status, code, title},
    ST_ERRORS(X)
#undef X
};

static int row(int err)
{
    if (err <= ST_E_FIRST_ || err >= ST_E_END_)
        err = ST_E_INTERNAL;
    return err - ST_E_FIRST_ - 1;
}

int st_err_status(int err)
{
    return table[row(err)].status;
}

const char *st_err_code(int err)
{
    return table[row(err)].code;
}

const char *st_err_title(int err)
{
    return table[row(err)].title;
}

int st_err_from_status(int status)
{
    for (int e = ST_E_FIRST_ + 1; e < ST_E_END_; e++)
        if (table[row(e)].status == status)
            return e;
    return status >= 500 ? ST_E_BAD_GATEWAY : ST_E_INVALID;
}
