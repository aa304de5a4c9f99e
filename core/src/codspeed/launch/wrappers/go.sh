#!/bin/sh
# `go` of a measured command: `go test` goes to codspeed-go-runner, everything else to the real one.
#
# Source: spec/executors.md 1.6 of the reference, which refuses every `go` outside of walltime.
set -fu
here=${0%/*}
# The one release whose checksum is known here; it is also the reference's.
pinned=1.2.1
checksum=5c90675148a23fd550681033b5589b39b8e66a8ea372d27befd580be0cc535f4

# PATH without wrappers: for the search, and for codspeed-go-runner, which runs `go` itself.
others() {
    IFS=:
    for folder in ${PATH:-}; do
        case $folder in
            */codspeed-wrappers-*) continue ;;
        esac
        [ "${folder:-.}" -ef "$here" ] || printf ':%s' "${folder:-.}"
    done
}

say() { printf 'go (codspeed): %s\n' "$*" >&2; }

measures() {
    for word; do
        case $word in
            -bench | -bench=* | --bench | --bench=* | -test.bench | -test.bench=*) return ;;
            -args | --args) return 1 ;;
        esac
    done
    return 1
}

# The folder is not on PATH in the shell that ran the installer.
installed() {
    PATH=$path:${CARGO_HOME:-${HOME:-}/.cargo}/bin:${HOME:-}/.local/bin command -v codspeed-go-runner
}

install() {
    version=${CODSPEED_GO_RUNNER_VERSION:-$pinned}
    if [ "$version" != "$pinned" ]; then
        say "the checksum of codspeed-go-runner $version is not known here, only that of $pinned"
        return 1
    fi
    if ! command -v curl >/dev/null || ! command -v sha256sum >/dev/null; then
        say "to fetch codspeed-go-runner, curl and sha256sum are needed"
        return 1
    fi
    address=https://github.com/CodSpeedHQ/codspeed-go/releases/download/v$version
    file=$here/go-runner-installer.$$
    say "fetching codspeed-go-runner $version"
    curl -fsSL --connect-timeout 5 --max-time 60 -o "$file" \
        "$address/codspeed-go-runner-installer.sh" || return
    printf '%s  %s\n' "$checksum" "$file" | sha256sum --check --status || {
        say "the installer of codspeed-go-runner $version is not the one that is expected"
        return 1
    }
    bash "$file" --quiet
}

path=$(others)
path=${path#:}
go=$(PATH=$path command -v go) || {
    say "not found in PATH"
    exit 127
}
case ${1:-}:${CODSPEED_RUNNER_MODE:-} in
    test:walltime) ;;
    test:instrumentation | test:simulation | test:memory)
        measures "$@" || exec "$go" "$@"
        mode=$CODSPEED_RUNNER_MODE
        [ "$mode" != instrumentation ] || mode=simulation
        say "Go benchmarks can't be measured in mode $mode, CodSpeed's integration for Go only knows" \
            "walltime: use --mode walltime, or measure a built program with codspeed exec"
        exit 1
        ;;
    run:walltime)
        shift
        # Names for the profile: keep symbols, and the program until the run is over.
        [ -n "${GOTMPDIR:-}" ] || export GOTMPDIR="$here"
        exec "$go" run -work "-ldflags=-s=false -w=false" "$@"
        ;;
    *) exec "$go" "$@" ;;
esac

runner=$(installed) || {
    measures "$@" || exec "$go" "$@"
    if install && runner=$(installed); then
        :
    else
        say "codspeed-go-runner is not on PATH and could not be installed; running without it:" \
            "what Go's own testing package measures is shown below and does not reach codspeed"
        exec "$go" "$@"
    fi
}
PATH=$path exec "$runner" "$@"
