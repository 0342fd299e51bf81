/* Password hashes by libargon2, a bounded number at a time. */
#include "io/password.h"

#include <argon2.h>
#include <pthread.h>
#include <unistd.h>

enum { MEMORY_KIB = 19456, PASSES = 2, LANES = 1, SALT_LEN = 16, HASH_LEN = 32, ENCODED_LEN = 128 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t freed = PTHREAD_COND_INITIALIZER;
static int running, waiting;

static int enter(void)
{
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN), r = 0;
    pthread_mutex_lock(&lock);
    if (waiting >= ST_PASSWORD_QUEUE) {
        r = ST_E_UNAVAILABLE;
    } else {
        waiting++;
        while (running >= (cores > 0 ? cores : 1))
            pthread_cond_wait(&freed, &lock);
        waiting--;
        running++;
    }
    pthread_mutex_unlock(&lock);
    return r;
}

static void leave(void)
{
    pthread_mutex_lock(&lock);
    running--;
    pthread_cond_signal(&freed);
    pthread_mutex_unlock(&lock);
}

int st_password_hash(struct st_arena *a, const char *password, const char **ret)
{
    unsigned char salt[SALT_LEN];
    char *encoded = st_alloc(a, ENCODED_LEN);
    st_random(salt, sizeof(salt));
    int r = enter();
    if (r < 0)
        return r;
    int bad = argon2id_hash_encoded(PASSES, MEMORY_KIB, LANES, password, strlen(password), salt, sizeof(salt), HASH_LEN,
                                    encoded, ENCODED_LEN);
    leave();
    if (bad)
        return ST_E_INTERNAL;
    *ret = encoded;
    return 0;
}

int st_password_check(const char *encoded, const char *password, bool *ret_ok)
{
    /* A hash with our parameters that no known password gives: unknown accounts take as long as known ones. */
    static const char nobody[] = "$argon2id$v=19$m=19456,t=2,p=1$c3Rvcnl0ZWxsaW5nLXNhbA$"
                                 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    int r = enter();
    if (r < 0)
        return r;
    int bad = argon2id_verify(encoded ? encoded : nobody, password, strlen(password));
    leave();
    *ret_ok = encoded && bad == ARGON2_OK;
    return 0;
}
