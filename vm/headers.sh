# What a module for one of the kernels in vm/kernels.sh is built with: Debian's packages of its headers, in the cache. Sourced after it.
# shellcheck shell=bash
#
# They are unpacked, not installed: .cache/vm/headers/NAME holds them as their own root. Their tools are built for their own suite, whose
# C library is unpacked beside them and is called by its own loader.
: "${root:?}" "${vm_cache:?}"

# headers_ready NAME: sets `headers` to the directory to build modules in, for the kernel NAME of the cache.
headers_ready() {
    local name=$1 dir=$vm_cache/headers/$1
    kernel_ready "$name"
    if [[ $(cat "$dir/package" 2>/dev/null) != "$(<"$vm_cache/kernels/$name/package")" ]]; then
        in_turn headers_fetch "$name"
    fi
    # shellcheck disable=SC2034  # the result
    headers=$(echo "$dir"/usr/src/linux-headers-*-amd64)
}

headers_fetch() {
    local name=$1 dir=$vm_cache/headers/$1 image package
    local new=$dir.new parts file
    image=$(<"$vm_cache/kernels/$name/package")
    package=${image/image/headers}
    package=${package%-unsigned}
    echo "x: vm: fetching $package" >&2
    rm -rf "$new"
    mkdir -p "$new/deb"
    mapfile -t parts < <(private_apt apt-cache show --no-all-versions "$package" |
        sed -n 's/^Depends: //p' | tr ',' '\n' | grep -oE 'linux-(headers-[^ ]*-common(-rt)?|kbuild-[^ ]*)')
    (cd "$new/deb" && private_apt apt-get download "$package" "${parts[@]}" "$(headers_libc)") >"$vm_cache/apt/log" 2>&1 || {
        cat "$vm_cache/apt/log" >&2
        die "vm: the archive does not give $package"
    }
    for file in "$new"/deb/*.deb; do
        dpkg-deb -x "$file" "$new"
    done
    rm -rf "$new/deb"
    # Absolute paths, to where it is unpacked.
    for file in "$new"/usr/src/linux-headers-*/{Makefile,.kernelvariables}; do
        [[ ! -f $file ]] || sed -i -E "s,([ =])/usr/,\1$dir/usr/,g" "$file"
    done
    headers_tools "$new" "$dir"
    echo "$image" >"$new/package"
    rm -rf "$dir"
    mv "$new" "$dir"
}

# The newest C library there is runs the tools of every suite.
headers_libc() {
    private_apt apt-cache madison libc6 | awk 'NR == 1 { print "libc6=" $3 }'
}

# Puts a script in the place of each program among the tools: it calls it by the loader unpacked beside it.
headers_tools() {
    local new=$1 dir=$2 file loader
    loader=$(cd "$new" && find . -name ld-linux-x86-64.so.2 -type f | head -n1)
    [[ -n $loader ]] || die "vm: no loader in the package of the C library"
    while read -r file; do
        [[ $(head -c4 "$file" | tr -d "\0" | tail -c3) == ELF ]] || continue
        mv "$file" "$file.elf"
        cat >"$file" <<EOF
#!/bin/sh
libraries=$dir/lib/x86_64-linux-gnu:$dir/usr/lib/x86_64-linux-gnu:/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu
exec "$dir/${loader#./}" --argv0 "\$0" --library-path "\$libraries" "$dir/${file#"$new"/}.elf" "\$@"
EOF
        chmod +x "$file"
    done < <(find "$new"/usr/lib/linux-kbuild-* -type f -perm -u+x)
}
