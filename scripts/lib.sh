# What the scripts share. Sourced, with $root set to the checkout.
# shellcheck shell=bash
: "${root:?}"

# rustup's default place, which a non-login shell may not have in PATH; and where an ordinary user does not look.
for dir in "${CARGO_HOME:-$HOME/.cargo}/bin" /usr/sbin /sbin; do
    [[ :$PATH: == *":$dir:"* || ! -d $dir ]] || PATH=$PATH:$dir
done

# shellcheck disable=SC2034  # used by the scripts that source this file
target=${CARGO_TARGET_DIR:-$root/target}

die() {
    printf 'x: %s\n' "$*" >&2
    exit 1
}

# as_root COMMAND...: in the foreground, with this terminal.
as_root() {
    if [[ $EUID == 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -- "$@"
    else
        die "this needs root, and there is no sudo. As root: $*"
    fi
}

# version_at_least HAVE WANT
version_at_least() {
    [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n1) == "$2" ]]
}

need_rust() {
    local want have
    want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n1)
    have=$(rustc --version 2>/dev/null | cut -d' ' -f2 || true)
    if [[ -z $have ]]; then
        die "Rust $want or newer is needed and there is no rustc. Install rustup, then: rustup toolchain install stable"
    elif ! version_at_least "$have" "$want"; then
        die "Rust $want or newer is needed, this is $have. With rustup: rustup update stable"
    fi
    command -v cargo >/dev/null || die "there is a rustc but no cargo. With rustup: rustup toolchain install stable"
}
