/* Count the primes below a limit with a sieve. Silent, since a benchmark runs it many times. */

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    long limit = argc > 1 ? strtol(argv[1], NULL, 10) : 1000000;
    if (limit < 2) {
        fprintf(stderr, "usage: primes LIMIT, at least 2\n");
        return 2;
    }
    char *composite = calloc((size_t)limit, 1);
    if (composite == NULL) {
        perror("primes");
        return 1;
    }
    long count = 0;
    for (long candidate = 2; candidate < limit; candidate++) {
        if (composite[candidate]) {
            continue;
        }
        count++;
        for (long multiple = candidate * candidate; multiple < limit; multiple += candidate) {
            composite[multiple] = 1;
        }
    }
    free(composite);
    return count == 0;
}
