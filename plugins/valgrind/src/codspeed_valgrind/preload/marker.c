/* Marks what of a program is measured: everything from this library's constructor to its destructor.
 *
 * Loaded with LD_PRELOAD into every process of an exec target. It replaces no function. Without
 * Valgrind, or without a benchmark's name in the environment, it does nothing.
 *
 * A process that is executed from a measured one starts unmeasured (stock Valgrind), but loads this
 * library too and names its counters the same. A forked one is measured from the start, with what
 * its parent had counted so far; that is dropped, so that nothing counts twice.
 */

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "request.h"

/* What we are for whoever reads the counters (spec/executors.md 6.6). */
#define IDENTITY "Metadata: exec-harness " CODSPEED_HARNESS_VERSION
#define URI_VARIABLE "CODSPEED_BENCH_URI"

/* A copy: the program may change its environment. NULL: nothing is measured. */
static char *uri;
static pid_t owner;

static char *
copied(const char *text)
{
    size_t size = 0;
    while (text[size++] != '\0') {
    }
    char *copy = malloc(size);
    if (copy != NULL) {
        for (size_t i = 0; i < size; i++) {
            copy[i] = text[i];
        }
    }
    return copy;
}

static void
begin_in_child(void)
{
    owner = getpid();
    client_request(REQUEST_ZERO_STATS, 0);
    client_request(REQUEST_DUMP_STATS_AT, (uintptr_t)IDENTITY);
}

__attribute__((constructor)) static void
begin(void)
{
    if (client_request(REQUEST_RUNNING_ON_VALGRIND, 0) == 0) {
        return;
    }
    const char *name = getenv(URI_VARIABLE);
    if (name == NULL || name[0] == '\0' || (uri = copied(name)) == NULL) {
        return;
    }
    owner = getpid();
    pthread_atfork(NULL, NULL, begin_in_child);
    client_request(REQUEST_DUMP_STATS_AT, (uintptr_t)IDENTITY);
    client_request(REQUEST_ZERO_STATS, 0);
    client_request(REQUEST_START_INSTRUMENTATION, 0);
}

__attribute__((destructor)) static void
end(void)
{
    /* Not in a process made by vfork or clone: it shares or copies what is its parent's. */
    if (uri == NULL || owner != getpid()) {
        return;
    }
    client_request(REQUEST_STOP_INSTRUMENTATION, 0);
    client_request(REQUEST_DUMP_STATS_AT, (uintptr_t)uri);
}
