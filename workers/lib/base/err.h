#ifndef ST_BASE_ERR_H
#define ST_BASE_ERR_H
/*
 * The one table of errors. A function that can fail returns int: 0 or more on success, one of these on failure.
 * Only the top of a call (the HTTP reply, the consumer, the job pool, main) logs; everything below returns.
 *
 *        name               HTTP  code (stable, for programs)   title (for people; RFC 9457 "title")
 */
#define ST_ERRORS(X)                                                                                                   \
    X(INVALID, 400, "invalid_request", "The request is not valid")                                                     \
    X(UNAUTHENTICATED, 401, "unauthenticated", "Authentication is required")                                           \
    X(CREDENTIALS, 401, "invalid_credentials", "The credentials are not accepted")                                     \
    X(PAYMENT, 402, "payment_required", "A payment is required")                                                       \
    X(FORBIDDEN, 403, "forbidden", "The permission is missing")                                                        \
    X(CSRF, 403, "csrf", "The request does not come from a page of this site")                                         \
    X(NOT_FOUND, 404, "not_found", "There is no such thing here")                                                      \
    X(METHOD, 405, "method_not_allowed", "The method is not allowed here")                                             \
    X(CONFLICT, 409, "conflict", "The state of the thing does not allow this")                                         \
    X(IN_PROGRESS, 409, "in_progress", "The first request with this key is still running")                             \
    X(GONE, 410, "gone", "This is no longer available")                                                                \
    X(PRECONDITION, 412, "precondition_failed", "The thing has changed since you read it")                             \
    X(TOO_LARGE, 413, "too_large", "The request is too large")                                                         \
    X(MEDIA_TYPE, 415, "unsupported_media_type", "The content type is not supported")                                  \
    X(RANGE, 416, "range_not_satisfiable", "The range lies outside the content")                                       \
    X(UNPROCESSABLE, 422, "unprocessable", "The content cannot be accepted")                                           \
    X(IDEMPOTENCY_REUSE, 422, "idempotency_key_reused", "The idempotency key was used for another request")            \
    X(PRECONDITION_REQUIRED, 428, "precondition_required", "An If-Match header is required")                           \
    X(LIMITED, 429, "rate_limited", "Too many requests")                                                               \
    X(INTERNAL, 500, "internal_error", "Something went wrong on our side")                                             \
    X(BAD_GATEWAY, 502, "bad_gateway", "A service behind us gave no usable answer")                                    \
    X(UNAVAILABLE, 503, "unavailable", "The service is not available now")                                             \
    X(TIMEOUT, 504, "timeout", "A service behind us took too long")                                                    \
    /* Never sent to a client as they are: the library reacts to them. */                                              \
    X(RETRY, 503, "retry", "The transaction collided with another; try again")                                         \
    X(UNIQUE, 409, "already_exists", "It already exists")                                                              \
    X(FENCED, 409, "lease_lost", "The lease was taken over by another worker")                                         \
    X(CANCELLED, 409, "cancelled", "The work was cancelled")

enum st_error {
    ST_OK = 0,
    ST_E_FIRST_ = -1000,
#define X(name, status, code, title) ST_E_##name,
    ST_ERRORS(X)
#undef X
        ST_E_END_,
};

/* All four accept any int; an unknown one reads as INTERNAL. The strings are static. */
int st_err_status(int err);
const char *st_err_code(int err);
const char *st_err_title(int err);

/* The error that an HTTP status stands for (the nearest one of its class). */
int st_err_from_status(int status);

#endif
