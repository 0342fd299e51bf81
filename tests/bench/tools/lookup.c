/*
 * How long it takes to find an operation in contracts: lookup FILE... prints nanoseconds.
 *
 * Sixteen operations spread over the whole are looked up in turn: their part of the tree stays in the processor's cache
 * whatever its size, so that what grows, if anything does, is the way to them.
 */
#include "io/openapi.h"

enum { SPREAD = 16, ROUNDS = 20000 };

int main(int argc, char **argv)
{
    struct st_arena a = {0};
    struct st_api *api;
    const char *why = NULL;
    if (st_api_load(&a, (const char *const *)argv + 1, argc - 1, &api, &why) < 0) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    const struct st_api_operation *wanted[SPREAD];
    size_t lens[SPREAD];
    for (int i = 0; i < SPREAD; i++) {
        wanted[i] = &api->operations[(int64_t)i * api->n_operations / SPREAD];
        lens[i] = strlen(wanted[i]->path);
    }
    int64_t from = st_mono(), found = 0;
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < SPREAD; i++) {
            struct st_api_match match;
            st_api_find(api, wanted[i]->method, wanted[i]->path, lens[i], &match);
            found += match.operation == wanted[i];
        }
    if (found != (int64_t)ROUNDS * SPREAD) {
        fprintf(stderr, "%lld of %d found\n", (long long)found, ROUNDS * SPREAD);
        return 1;
    }
    printf("%.2f\n", 1000.0 * (double)(st_mono() - from) / (ROUNDS * SPREAD));
    st_arena_release(&a);
    return 0;
}
