# What detectors find of what is done. Sourced, after lib.sh, with $tarsius set to the program and $work to a directory.
# shellcheck shell=bash
: "${tarsius:?}" "${work:?}"

# For those who clean up.
watch='' tree=''

# watch_start FOUND [SCOPE...]: what is found from now on is left in the file, as JSON lines.
watch_start() {
    local found=$1
    shift
    : >"$work/watch"
    "$tarsius" watch --events detectors "$@" --output "json:$found" --control none 2>"$work/watch" &
    watch=$!
    # By the shell itself: grep for it would be somebody who looks whether the host is guarded.
    until [[ $(<"$work/watch") == *"tarsius: watching"* ]]; do
        kill -0 "$watch" 2>/dev/null || die "reports: the watch ended: $(tail -n1 "$work/watch")"
        sleep 0.2
    done
}

watch_stop() {
    kill -INT "$watch"
    wait "$watch" || die "reports: the watch failed: $(tail -n1 "$work/watch")"
    watch=''
}

# watched FOUND COMMAND...: runs it, and leaves what is found in what it does in the file; what it says of errors is $work/said.
watched() {
    local found=$1
    shift
    mkfifo "$work/go"
    # It waits until it is watched.
    bash -c 'read -r _ <"$0"; exec "$@"' "$work/go" "$@" 2>"$work/said" &
    tree=$!
    watch_start "$found" --scope "tree=$tree"
    echo >"$work/go"
    wait "$tree" || true
    tree=''
    watch_stop
    rm "$work/go"
}
