# Kernels for the virtual machines: found in the Debian archive, fetched, made ready to boot. Sourced.
# shellcheck shell=bash
#
# Debian's kernels because they span a decade of versions, come with BTF, BPF LSM, kprobes and a real-time
# flavour, and because apt already knows how to fetch and verify them here.
#
# Everything is in .cache/vm: apt/ (a private apt state, so that the system's own sources and packages are never
# touched), kernels/NAME/ (vmlinuz, config, initrd, lib/modules/RELEASE, the names of the package it came from and of
# the newest one there was).
: "${root:?}"
# Followed if it is a link: a guest could not follow one out of the host's files that it sees.
vm_cache=$(readlink -m "$root/.cache")/vm

# Suites in which kernels are looked for. Ones that the archive no longer has are passed over.
vm_suites=(bullseye bookworm bookworm-backports trixie trixie-backports)
vm_security_suites=(bullseye-security bookworm-security trixie-security)

# The matrix: every kernel and preemption model that Tarsius is tested on, KERNEL/MODEL. A kernel that knows one model
# only has no /MODEL.
# shellcheck disable=SC2034  # used by the scripts that source this file
vm_matrix=(
    5.10
    6.1/none 6.1/voluntary 6.1/full 6.1-rt
    6.12/voluntary 6.12/full 6.12-rt
    6.18/lazy 6.18/full 6.18-rt
    7/lazy 7/full 7-rt
)

# apt as usual, proxies and all, except for where its state is.
private_apt() {
    local state=$vm_cache/apt command=$1
    shift
    LC_ALL=C "$command" -q \
        -o Dir::State="$state" -o Dir::State::lists="$state/lists" -o Dir::State::status="$state/status" \
        -o Dir::Cache="$state/cache" -o Dir::Cache::pkgcache=pkgcache.bin -o Dir::Cache::srcpkgcache= \
        -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
        -o APT::Architecture=amd64 -o APT::Architectures=amd64 -o APT::Sandbox::User="$(id -un)" \
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
        "$@"
}

# The Debian archives among the system's sources, one a line: "main URI" or "security URI".
# On another system derived from Debian, TARSIUS_DEBIAN_MIRROR names one.
debian_archives() {
    if [[ -n ${TARSIUS_DEBIAN_MIRROR:-} ]]; then
        echo "main $TARSIUS_DEBIAN_MIRROR"
        return
    fi
    # shellcheck disable=SC2016  # apt's own $(...), not ours
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' |
        awk '$3 == "main" && $4 == "Debian" {
            kind = $2 ~ /security/ ? "security" : "main"
            if (!(kind in seen)) { seen[kind] = 1; print kind, $1 }
        }'
}

# In turn, where several guests start at once: one prepares, the others wait and find it done.
in_turn() {
    mkdir -p "$vm_cache"
    (
        flock 9
        "$@"
    ) 9>"$vm_cache/lock"
}

kernels_refresh() {
    in_turn apt_update
    # The cached kernels are checked again at their next use.
    rm -f "$vm_cache"/kernels/*/checked
}

apt_update() {
    local state=$vm_cache/apt archives kind uri suite keyring options='' suites
    command -v apt-get >/dev/null || die "vm: kernels are fetched with apt-get, which is not here"
    archives=$(debian_archives)
    [[ -n $archives ]] || die "vm: apt has no list of a Debian archive (run apt-get update); \
on a system that is not Debian, set TARSIUS_DEBIAN_MIRROR to the address of one"
    mkdir -p "$state/lists/partial" "$state/cache/archives/partial"
    : >"$state/status"
    for keyring in /usr/share/keyrings/debian-archive-keyring.{gpg,pgp}; do
        [[ -e $keyring ]] && options="[signed-by=$keyring] "
    done
    while read -r kind uri; do
        suites=("${vm_suites[@]}")
        [[ $kind == main ]] || suites=("${vm_security_suites[@]}")
        for suite in "${suites[@]}"; do
            echo "deb $options$uri $suite main"
        done
    done <<<"$archives" >"$state/sources.list"

    echo "x: vm: reading the archive's list of kernels" >&2
    # Fails if one suite is gone; what matters is what there is after it.
    private_apt apt-get update >"$state/log" 2>&1 || true
    private_apt apt-cache search --names-only '^linux-(image|binary|modules|base)-[0-9].*amd64' 2>>"$state/log" |
        awk '{ print $1 }' | grep -vE 'cloud|dbg' | sort -V >"$state/packages" || true
    # The archive keeps old image packages longer than the parts that newer ones consist of: only whole kernels count.
    awk '{ there[$1] = 1 }
         END {
             for (name in there) {
                 if (name !~ /^linux-image-/) continue
                 version = substr(name, length("linux-image-") + 1)
                 sub(/-unsigned$/, "", version)
                 if (("linux-binary-" version in there) && !("linux-modules-" version in there)) continue
                 print name
             }
         }' "$state/packages" | sort -V >"$state/images.new"
    if [[ ! -s $state/images.new ]]; then
        cat "$state/log" >&2
        die "vm: no kernels found in the archive"
    fi
    mv "$state/images.new" "$state/images"
}

need_index() {
    [[ -s $vm_cache/apt/images ]] || in_turn apt_update
}

# image_packages NAME: the kernel image packages for 6.12, 7-rt, 7.2.12, best first; nothing if there is none.
image_packages() {
    local version=${1%-rt} flavour=amd64
    [[ $1 == *-rt ]] && flavour=rt-amd64
    # Of one version, the signed package before the unsigned one: they hold the same kernel.
    sed -nE "s/^linux-image-(${version//./\\.}[.+-][0-9a-z.+~-]*[0-9])-$flavour(-unsigned)?$/\1 \2 &/p" \
        "$vm_cache/apt/images" | awk '{ print $1, NF == 2 ? 1 : 2, $NF }' | sort -k1,1rV -k2,2n | cut -d' ' -f3
}

kernels_list() {
    local line name package cached
    need_index
    {
        sed -nE 's/^linux-image-([0-9]+\.[0-9]+)[.+-].*/\1/p' "$vm_cache/apt/images" | sort -uV
        echo 7
    } | while read -r line; do
        for name in "$line" "$line-rt"; do
            read -r package < <(image_packages "$name") || continue
            cached=$(cat "$vm_cache/kernels/$name/package" 2>/dev/null) || true
            printf '%-10s %-42s %s\n' "$name" "$package" "${cached:+cached: ${cached#linux-image-}}"
        done
    done
}

# kernel_ready NAME: the kernel is in the cache, ready to boot.
kernel_ready() {
    local name=$1
    [[ $(uname -m) == x86_64 ]] || die "vm: only x86-64 guests, on x86-64"
    "$root/scripts/install-deps" test
    # The initrd is made from these files: made again if they change.
    if [[ $vm_cache/kernels/$name/initrd -nt $root/vm/init && $vm_cache/kernels/$name/initrd -nt $root/vm/init2 &&
        -e $vm_cache/kernels/$name/checked ]]; then
        return
    fi
    need_index
    in_turn kernel_prepare "$name"
}

kernel_prepare() {
    local name=$1 dir=$vm_cache/kernels/$1 packages
    mapfile -t packages < <(image_packages "$name")
    ((${#packages[@]})) || die "vm: no kernel '$name' in the archive (./x vm --list)"
    if [[ $(cat "$dir/newest" 2>/dev/null) != "${packages[0]}" ]]; then
        kernel_fetch_first "$dir" "${packages[@]}"
        echo "${packages[0]}" >"$dir/newest"
    fi
    kernel_initrd "$dir"
    touch "$dir/checked"
}

# kernel_fetch_first DIR PACKAGE...: the first that the archive still holds. It lists some whose files are gone.
kernel_fetch_first() {
    local dir=$1 package
    shift
    for package in "$@"; do
        if kernel_download "$package" "$dir.new"; then
            kernel_unpack "$package" "$dir.new" "$dir"
            return
        fi
    done
    cat "$vm_cache/apt/log" >&2
    rm -rf "$dir.new"
    die "vm: the archive lists $1 but does not give it (our list may be old: ./x vm --refresh)"
}

# kernel_download PACKAGE NEW: the package, and the parts it consists of, into NEW/deb.
kernel_download() {
    local package=$1 new=$2 parts
    echo "x: vm: fetching $package" >&2
    rm -rf "$new"
    mkdir -p "$new/deb"
    # Newer image packages are empty and depend on the parts; between, they hold all and name parts that are gone.
    mapfile -t parts < <(private_apt apt-cache show --no-all-versions "$package" |
        sed -n 's/^Depends: //p' | tr ',' '\n' | grep -oE 'linux-(base|binary|modules)-[0-9][^ ]*' |
        grep -xFf "$vm_cache/apt/packages")
    (cd "$new/deb" && private_apt apt-get download "$package" "${parts[@]}") >"$vm_cache/apt/log" 2>&1
}

# kernel_unpack PACKAGE NEW DIR: what is in NEW/deb, in the shape that the rest expects, as DIR.
kernel_unpack() {
    local package=$1 new=$2 dir=$3 release deb
    mkdir "$new/tree"
    for deb in "$new"/deb/*.deb; do
        dpkg-deb -x "$deb" "$new/tree"
    done

    # Modules are in /lib or /usr/lib; kernel and config are with them or in /boot.
    release=$(find "$new/tree" -path '*lib/modules/*' -prune -printf '%f\n' | head -n1)
    [[ -n $release ]] || die "vm: no modules in $package"
    mkdir -p "$new/lib/modules"
    mv "$(find "$new/tree" -path "*lib/modules/$release" -prune)" "$new/lib/modules/"
    take() {
        local from
        for from in "$new/lib/modules/$release/$1" "$new/tree/boot/$1-$release"; do
            if [[ -e $from ]]; then
                cp "$from" "$new/$1"
                return
            fi
        done
        die "vm: no $1 in $package"
    }
    take vmlinuz
    take config
    depmod -b "$new" "$release"
    echo "$release" >"$new/release"
    echo "$package" >"$new/package"
    rm -rf "$new/deb" "$new/tree" "$dir"
    mv "$new" "$dir"
}

# The initrd does the least: modules to reach the host's files, then init.
kernel_initrd() {
    local dir=$1 tree=$1/initrd.tree release module file n=0
    release=$(<"$dir/release")
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,modules,proc,sys,dev,host,over,new}
    cp "$(command -v busybox)" "$tree/bin/busybox"
    cp "$root/vm/init" "$tree/init"
    cp "$root/vm/init2" "$tree/init2"
    # In the order of their dependencies, decompressed: not every kernel does that itself.
    for module in virtio_pci virtio_console 9pnet_virtio 9p overlay; do
        modprobe -d "$dir" -S "$release" --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$tree/modules.list"
    while read -r file; do
        n=$((n + 1))
        module=$(printf '%s/modules/%02d.ko' "$tree" "$n")
        case $file in
        *.xz) xz -dc "$file" ;;
        *.zst) zstd -qdc "$file" ;;
        *) cat "$file" ;;
        esac >"$module"
    done <"$tree/modules.list"
    (cd "$tree" && find . | cpio --quiet -o -H newc -R 0:0) >"$dir/initrd.new"
    mv "$dir/initrd.new" "$dir/initrd"
    rm -rf "$tree"
}
