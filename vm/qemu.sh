# The emulator that guests run in. Sourced, after kernels.sh.
# shellcheck shell=bash
: "${vm_cache:?}"

# Before this version, where several processors run in threads, a processor now and then runs code that another one has
# already changed ("accel/tcg: Always lock pages before translation"). A kernel changes its code at each tracepoint
# that is switched on or off, and guests died of it within seconds: "Oops: int3".
qemu_minimum=8.1
# What has a newer one for Debian 12, the one system of those we support whose own is older.
qemu_suite=bookworm-backports
qemu_packages=(qemu-system-x86 qemu-system-common qemu-system-data seabios)

# qemu_ready: sets $qemu, the command with what it needs to find its files.
# shellcheck disable=SC2034  # used by the script that sources this file
qemu_ready() {
    local have dir=$vm_cache/qemu
    qemu=(qemu-system-x86_64)
    have=$(qemu-system-x86_64 --version | sed -nE 's/.*version ([0-9.]+).*/\1/p')
    version_at_least "$have" "$qemu_minimum" && return
    need_index
    [[ -e $dir/checked ]] || in_turn qemu_prepare "$dir"
    [[ -x $dir/usr/bin/qemu-system-x86_64 ]] || return 0
    qemu=(env QEMU_MODULE_DIR="$dir/usr/lib/x86_64-linux-gnu/qemu" "$dir/usr/bin/qemu-system-x86_64"
        -L "$dir/usr/share/qemu" -L "$dir/usr/share/seabios")
}

# The libraries are the system's: those that its own QEMU was installed with.
qemu_prepare() {
    local dir=$1 new=$1.new deb
    [[ ! -e $dir/checked ]] || return 0
    rm -rf "$new" "$dir"
    mkdir -p "$new" "$dir"
    echo "x: vm: fetching a newer QEMU: with this one guests die now and then" >&2
    if (cd "$new" && private_apt apt-get download "${qemu_packages[@]/%//$qemu_suite}") >"$vm_cache/apt/log" 2>&1 &&
        for deb in "$new"/*.deb; do dpkg-deb -x "$deb" "$new"; done &&
        "$new/usr/bin/qemu-system-x86_64" --version >/dev/null 2>>"$vm_cache/apt/log"; then
        rm -f "$new"/*.deb
        rm -rf "$dir"
        mv "$new" "$dir"
    else
        rm -rf "$new"
        echo "x: vm: there is none that runs here: QEMU $qemu_minimum or newer is better" >&2
    fi
    touch "$dir/checked"
}
