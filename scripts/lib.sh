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

# What a guest says that died and is run again.
again="=== this guest died, and is run again"

# count_tests LOG: prints "PASSED FAILED", then a line for each test skipped, "name: reason".
#
# What a guest counted before it died does not count: it is run again then.
#
# A test is skipped if its harness says so ("test NAME ... ignored"), or if it says so itself ("SKIP NAME: reason"):
# in libtest, a test that finds at run time that it can not run has no other way, and is counted as passed there.
count_tests() {
    awk -v again="$again" '{
        where = ""
        if (match($0, /^\[[^]]*\] /)) { # a guest, whose lines come among those of another
            where = substr($0, 2, RLENGTH - 3) "/"
            $0 = substr($0, RLENGTH + 1)
        }
        # At the beginning of a line, or after "test NAME ... " where the harness does not capture output.
        if (match($0, /(^|\.\.\. )SKIP [^ ]+: /)) {
            name = substr($0, RSTART, RLENGTH - 2)
            sub(/.*SKIP /, where, name)
            said[name] = 1
            reason[name] = substr($0, RSTART + RLENGTH)
        } else if (match($0, /^test .* \.\.\. ignored/)) {
            name = where substr($0, 6, RLENGTH - 17)
            sub(/ +$/, "", name)
            if (!(name in ignored)) unnamed--
            ignored[name] = 1
            if (!(name in reason)) reason[name] = substr($0, RLENGTH + 3)
        } else if ($0 == again) {
            passed -= of[where]
            unnamed -= left_out[where]
            of[where] = left_out[where] = 0
        } else if (/^test result: /) {
            for (i = 2; i <= NF; i++) {
                if ($i == "passed;") {
                    passed += $(i - 1)
                    of[where] += $(i - 1)
                }
                if ($i == "failed;") failed += $(i - 1)
                if ($i ~ /^ignored/) {
                    unnamed += $(i - 1)
                    left_out[where] += $(i - 1)
                }
            }
        }
    }
    END {
        # The name and "ignored" are not on one line if the test wrote something between.
        for (name in said) if (!(name in ignored) && unnamed-- <= 0) passed--
        print passed + 0, failed + 0
        for (name in reason) print name ": " (reason[name] == "" ? "ignored" : reason[name]) | "sort"
    }' "$1"
}

# failed_tests LOG: a line for each test that failed, in a guest or not: "WHERE/NAME", and below it the beginning of what it said.
#
# A harness says what a failed test printed between two lines "failures:", and names them all after the second; torture, and who ran a guest
# that died, say it below the test's line.
failed_tests() {
    awk '{
        where = ""
        if (match($0, /^\[[^]]*\] /)) { # a guest, whose lines come among those of another
            where = substr($0, 2, RLENGTH - 3) "/"
            $0 = substr($0, RLENGTH + 1)
        }
    }
    /^test / { left[where] = 0 }
    /^test (torture.*|guest) \.\.\. FAILED$/ {
        sub(/^test /, "")
        sub(/ \.\.\. FAILED$/, "")
        said[where] = said[where] where $0 "\n"
        left[where] = /^guest/ ? 40 : 6
        next
    }
    /^failures:$/ { within[where] = 1 }
    /^test result: / {
        # Neither of a harness nor of torture: in brackets is what it was.
        if (/FAILED/ && match($0, /\(.*\)$/) && !/\((torture|guest)\)$/) {
            said[where] = said[where] where substr($0, RSTART + 1, RLENGTH - 2) "\n"
        }
        within[where] = left[where] = 0
    }
    within[where] && /^---- .* ----$/ {
        said[where] = said[where] where $2 "\n"
        left[where] = 12
        next
    }
    within[where] && /^failures:$/ { left[where] = 0 }
    /^stack backtrace:$/ { left[where] = 0 }
    left[where] > 0 && NF && !/^thread .* panicked at/ && !/^proptest: / {
        said[where] = said[where] "    " $0 "\n"
        left[where]--
    }
    !within[where] && !/^    / { left[where] = 0 }
    END { for (where in said) printf "%s", said[where] }' "$1"
}
