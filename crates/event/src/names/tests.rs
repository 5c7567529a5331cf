use super::*;

fn named(format: Format, value: i64) -> String {
    Named(format, value).to_string()
}

#[test]
fn open_flags_have_one_access_mode() {
    let open = |value| named(Format::OpenFlags, value);
    assert_eq!(open(0), "O_RDONLY");
    assert_eq!(open(577), "O_WRONLY|O_CREAT|O_TRUNC");
    assert_eq!(open(0o2), "O_RDWR");
    assert_eq!(open(0o3), "O_ACCMODE");
    assert_eq!(open(0o10000000), "O_RDONLY|O_PATH");
    assert_eq!(open(0x20), "O_RDONLY|__FMODE_EXEC");
}

#[test]
fn open_flags_of_several_bits() {
    let open = |value| named(Format::OpenFlags, value);
    assert_eq!(open(0o4010000), "O_RDONLY|O_SYNC");
    assert_eq!(open(0o10000), "O_RDONLY|O_DSYNC");
    // The upper half of O_SYNC alone means nothing.
    assert_eq!(open(0o4000000), "O_RDONLY|0x100000");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn open_flags_of_this_architecture() {
    let open = |value| named(Format::OpenFlags, value);
    assert_eq!(open(0o100000 | 0o2000000), "O_RDONLY|O_LARGEFILE|O_CLOEXEC");
    assert_eq!(open(0o200000), "O_RDONLY|O_DIRECTORY");
    assert_eq!(open(0o20200000 | 2), "O_RDWR|O_TMPFILE");
    assert_eq!(open(0o440000), "O_RDONLY|O_DIRECT|O_NOFOLLOW");
}

#[test]
fn a_negative_flag_word_is_one_of_32_bits() {
    assert_eq!(named(Format::OpenFlags, i32::MIN.into()), "O_RDONLY|0x80000000");
    assert_eq!(named(Format::CloneFlags, i32::MIN.into()), "CLONE_IO");
}

#[test]
fn file_modes() {
    let mode = |value| named(Format::FileMode, value);
    assert_eq!(mode(0o100644), "S_IFREG|0644");
    assert_eq!(mode(0o104755), "S_IFREG|04755");
    assert_eq!(mode(0o41777), "S_IFDIR|01777");
    assert_eq!(mode(0o755), "0755");
    assert_eq!(mode(0), "0000");
    assert_eq!(mode(0x1_0000), "0000|0x10000");
    assert_eq!(named(Format::FileType, 0o10600), "S_IFIFO");
    assert_eq!(named(Format::FileType, 0o140000), "S_IFSOCK");
    assert_eq!(named(Format::FileType, 0), "0");
}

#[test]
fn signals() {
    let signal = |value| named(Format::Signal, value);
    assert_eq!(signal(0), "0");
    assert_eq!(signal(9), "SIGKILL");
    assert_eq!(signal(31), "SIGSYS");
    assert_eq!(signal(34), "SIGRTMIN+2");
    assert_eq!(signal(65), "65");
    assert_eq!(signal(-1), "-1");
}

#[test]
fn mount_flags_with_and_without_magic() {
    let mount = |value| named(Format::MountFlags, value);
    assert_eq!(mount(0), "0");
    assert_eq!(mount(4096 | 16384), "MS_BIND|MS_REC");
    assert_eq!(mount(0xC0ED_0000 | 1), "MS_MGC_VAL|MS_RDONLY");
    assert_eq!(mount(1 << 18), "MS_PRIVATE");
    assert_eq!(mount(1 << 40 | 2), "MS_NOSUID|0x10000000000");
}

#[test]
fn socket_types_carry_flags() {
    let socket = |value| named(Format::SocketType, value);
    assert_eq!(socket(1), "SOCK_STREAM");
    assert_eq!(socket(2 | 0o4000 | 0o2000000), "SOCK_DGRAM|SOCK_NONBLOCK|SOCK_CLOEXEC");
    assert_eq!(socket(0), "0");
    assert_eq!(socket(9), "9");
}

#[test]
fn memfd_flags_with_huge_pages() {
    let memfd = |value| named(Format::MemfdFlags, value);
    assert_eq!(memfd(3), "MFD_CLOEXEC|MFD_ALLOW_SEALING");
    assert_eq!(memfd(4 | 21 << 26), "MFD_HUGETLB|MFD_HUGE_2MB");
    assert_eq!(memfd(4 | 30 << 26), "MFD_HUGETLB|MFD_HUGE_1GB");
    assert_eq!(memfd(4 | 16 << 26 | 8), "MFD_HUGETLB|MFD_NOEXEC_SEAL|MFD_HUGE_64KB");
}

#[test]
fn one_name_each() {
    assert_eq!(named(Format::TcpState, 1), "TCP_ESTABLISHED");
    assert_eq!(named(Format::TcpState, 10), "TCP_LISTEN");
    assert_eq!(named(Format::PrctlOption, 38), "PR_SET_NO_NEW_PRIVS");
    assert_eq!(named(Format::PrctlOption, 0x59616d61), "PR_SET_PTRACER");
    assert_eq!(named(Format::PtraceRequest, 16), "PTRACE_ATTACH");
    assert_eq!(named(Format::PtraceRequest, 0x4206), "PTRACE_SEIZE");
    assert_eq!(named(Format::BpfProgType, 5), "BPF_PROG_TYPE_TRACEPOINT");
    assert_eq!(named(Format::BpfProgType, 29), "BPF_PROG_TYPE_LSM");
    assert_eq!(named(Format::BpfProgType, 32), "BPF_PROG_TYPE_NETFILTER");
    assert_eq!(named(Format::RenameFlags, 3), "RENAME_NOREPLACE|RENAME_EXCHANGE");
    assert_eq!(named(Format::UmountFlags, 2 | 8), "MNT_DETACH|UMOUNT_NOFOLLOW");
    assert_eq!(named(Format::CloneFlags, 0x2000_0000 | 0x2_0000), "CLONE_NEWNS|CLONE_NEWPID");
    #[cfg(target_arch = "x86_64")]
    assert_eq!(named(Format::PtraceRequest, 12), "PTRACE_GETREGS");
}

#[test]
fn errors_capabilities_families() {
    assert_eq!(errno(-2), Some("ENOENT"));
    assert_eq!(errno(-512), Some("ERESTARTSYS"));
    assert_eq!(errno(-41), None);
    assert_eq!(errno(0), None);
    assert_eq!(errno(2), None);
    assert_eq!(errno(i64::MIN), None);
    assert_eq!(capability(21), Some("CAP_SYS_ADMIN"));
    assert_eq!(capability(40), Some("CAP_CHECKPOINT_RESTORE"));
    assert_eq!(capability(41), None);
    assert_eq!(socket_family(1), Some("AF_UNIX"));
    assert_eq!(socket_family(16), Some("AF_NETLINK"));
    assert_eq!(dns_type(65), Some("HTTPS"));
}

#[test]
fn syscalls_are_the_catalogues() {
    for s in catalogue::SYSCALLS {
        for (number, compat) in [(s.native, false), (s.compat, true)] {
            let Some(number) = number else { continue };
            assert_eq!(syscall(number, compat), catalogue::syscall_name(number, compat), "{number}");
        }
    }
    assert_eq!(syscall(u32::MAX, false), None);
}

#[test]
fn tables_are_sorted_so_that_they_can_be_searched() {
    use numbers::*;
    for table in [
        SIGNAL,
        SOCKET_TYPE,
        TCP_STATE,
        SOCKET_FAMILY,
        PRCTL_OPTION,
        PTRACE_REQUEST,
        PTRACE_ARCH,
        BPF_PROG_TYPE,
        CAPABILITY,
        DNS_TYPE,
        super::errno::ERRNO,
    ] {
        assert!(table.windows(2).all(|w| w[0].0 < w[1].0), "{:?}", table.first());
    }
}
