/* Benchmarks in C over the real instrument-hooks library (protocol 2), in the manner of several
 * integrations:
 *
 *     bench ordinary   Start, markers, Stop, name: Google Benchmark's fork, criterion
 *     bench late       Start, Stop, name, markers: tinybench, Go
 *     bench forked     the parent's window, in which a child shakes hands and sends the markers;
 *                      the results file is the parent's: JMH's fork
 *     bench foreign    the results file has another pid and other names than the FIFO: vitest
 *     bench silent     introduces itself and measures nothing: built for another mode
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core.h"

enum { ROUNDS = 3 };

static const int SIZES[] = {5, 10};
static const char *kind;
static InstrumentHooks *hooks;

static int is(const char *other) { return strcmp(kind, other) == 0; }

/* For the modes that count allocations: the library's own are none of the benchmark's. */
static __attribute__((noinline)) void allocate(int n) {
    char *volatile block = malloc((size_t)n * 10000);
    if (block == NULL) {
        exit(1);
    }
    block[0] = 1;
    free(block);
}

static __attribute__((noinline)) int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

static void mark(uint64_t start, uint64_t end) {
    instrument_hooks_add_marker(hooks, getpid(), MARKER_TYPE_BENCHMARK_START, start);
    instrument_hooks_add_marker(hooks, getpid(), MARKER_TYPE_BENCHMARK_END, end);
}

/* Runs the rounds of one benchmark; leaves their times in starts and ends. */
static void rounds(int n, uint64_t *starts, uint64_t *ends) {
    volatile int result = 0;
    for (int round = 0; round < ROUNDS; round++) {
        starts[round] = instrument_hooks_current_timestamp();
        result += fib(n);
        allocate(n);
        ends[round] = instrument_hooks_current_timestamp();
        if (!is("late")) {
            mark(starts[round], ends[round]);
        }
    }
}

static int in_child(int n, uint64_t *starts, uint64_t *ends) {
    pid_t child = fork();
    if (child < 0) {
        perror("fork");
        exit(1);
    }
    if (child == 0) {
        hooks = instrument_hooks_init(); /* a handshake inside the parent's window */
        rounds(n, starts, ends);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (status != 0) {
        exit(1);
    }
    return child;
}

static void run(int n, FILE *results, int is_first) {
    uint64_t starts[ROUNDS] = {0}, ends[ROUNDS] = {1, 1, 1};
    char uri[64];
    int pid = getpid();
    instrument_hooks_start_benchmark_inline(hooks);
    if (is("forked")) {
        pid = in_child(n, starts, ends);
    } else {
        rounds(n, starts, ends);
    }
    instrument_hooks_stop_benchmark_inline(hooks);
    snprintf(uri, sizeof uri, is("foreign") ? "::fib[%d]" : "bench.c::fib[%d]", n);
    instrument_hooks_set_executed_benchmark(hooks, pid, uri);
    for (int round = 0; is("late") && round < ROUNDS; round++) {
        mark(starts[round], ends[round]);
    }
    if (results != NULL) {
        double ns = (double)(ends[0] - starts[0]);
        fprintf(results,
                "%s{\"name\":\"fib\",\"uri\":\"bench.c::fib[%d]\",\"config\":{},\"stats\":{"
                "\"min_ns\":%f,\"max_ns\":%f,\"mean_ns\":%f,\"stdev_ns\":0,\"q1_ns\":%f,"
                "\"median_ns\":%f,\"q3_ns\":%f,\"rounds\":%d,\"total_time\":%g,"
                "\"iqr_outlier_rounds\":0,\"stdev_outlier_rounds\":0,\"iter_per_round\":1,"
                "\"warmup_iters\":0}}",
                is_first ? "" : ",", n, ns, ns, ns, ns, ns, ns, ROUNDS, ns * ROUNDS / 1e9);
    }
}

static FILE *results_file(void) {
    const char *folder = getenv("CODSPEED_PROFILE_FOLDER");
    const char *mode = getenv("CODSPEED_RUNNER_MODE");
    char path[4096];
    if (folder == NULL || mode == NULL || strcmp(mode, "walltime") != 0) {
        return NULL;
    }
    snprintf(path, sizeof path, "%s/results", folder);
    (void)mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/results/%d.json", folder, is("foreign") ? 1 : getpid());
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
    fprintf(file, "{\"creator\":{\"name\":\"codspeed-cpp\",\"version\":\"2.3.0\",\"pid\":1},"
                  "\"instrument\":{\"type\":\"walltime\"},\"benchmarks\":[");
    return file;
}

int main(int argc, char **argv) {
    kind = argc > 1 ? argv[1] : "ordinary";
    hooks = instrument_hooks_init();
    instrument_hooks_set_integration(hooks, "codspeed-cpp", "2.3.0");
    if (is("silent")) {
        return 0;
    }
    FILE *results = results_file();
    for (size_t index = 0; index < sizeof SIZES / sizeof *SIZES; index++) {
        run(SIZES[index], results, index == 0);
    }
    if (results != NULL) {
        fprintf(results, "]}");
        fclose(results);
    }
    instrument_hooks_deinit(hooks);
    return 0;
}
