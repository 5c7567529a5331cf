//! The acts on files, and what is told of each.

use std::fs::{self, File, OpenOptions};
use std::io::{IoSlice, IoSliceMut, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::{ptr, thread, time};

use serde_json::{Value, json};

use super::{Told, Trigger};
use crate::acts::{self, check};
use crate::Line;

pub(super) const TRIGGERS: &[Trigger] = &[
    Trigger { event: "security_file_open", act: |dir| acts::files(dir, &[]), check: opened, ..Trigger::NONE },
    Trigger { event: "security_inode_create", act: |dir| acts::files(dir, &[]), check: |told| {
        let made = told.one("pathname", told.path("new"));
        assert!(made.parsed("mode").as_str().unwrap().starts_with("S_IFREG"), "{made:?}");
    }, ..Trigger::NONE },
    Trigger { event: "security_inode_link", act: |dir| acts::files(dir, &[]), check: |told| { told.one("old_path", told.path("new")).assert(&[("new_path", told.path("hard"))]); }, ..Trigger::NONE },
    Trigger { event: "security_inode_symlink", act: |dir| acts::files(dir, &[]), check: |told| { told.one("linkpath", told.path("soft")).assert(&[("target", json!("new"))]); }, ..Trigger::NONE },
    Trigger { event: "security_inode_mkdir", act: |dir| acts::files(dir, &[]), check: |told| assert_eq!(told.one("pathname", told.path("folder")).parsed("mode"), "0777"), ..Trigger::NONE },
    Trigger { event: "security_inode_rename", act: |dir| acts::files(dir, &[]), check: |told| { told.one("old_path", told.path("hard")).assert(&[("new_path", told.path("folder/moved"))]); }, ..Trigger::NONE },
    Trigger { event: "security_inode_mknod", act: |dir| acts::files(dir, &[]), check: |told| assert_eq!(told.one("file_name", told.path("pipe")).parsed("mode"), "S_IFIFO|0640"), ..Trigger::NONE },
    Trigger { event: "security_inode_unlink", act: |dir| acts::files(dir, &[]), check: unlinked, ..Trigger::NONE },
    Trigger { event: "security_inode_rmdir", act: |dir| acts::files(dir, &[]), check: |told| { told.one("pathname", told.path("folder")); }, ..Trigger::NONE },
    Trigger { event: "chmod_common", act: |dir| acts::attributes(dir, &[]), check: |told| assert_eq!(attributes(told, "mode"), [json!(0o4711), json!(0o600)]), ..Trigger::NONE },
    Trigger { event: "chown_common", act: |dir| acts::attributes(dir, &[]), check: |told| assert_eq!(attributes(told, "uid"), [json!(1), json!(3)]), ..Trigger::NONE },
    Trigger { event: "do_truncate", act: |dir| acts::attributes(dir, &[]), check: |told| assert_eq!(attributes(told, "length"), [json!(5), json!(3), json!(0)]), ..Trigger::NONE },
    Trigger { event: "security_sb_mount", act: |dir| acts::mounts(dir, &[]), check: |told| {
        let mount = told.one("dev_name", "scratch");
        mount.assert(&[("path", told.path("mnt")), ("type", json!("tmpfs"))]);
        assert_eq!(mount.parsed("flags"), "MS_NOSUID|MS_NODEV");
    }, ..Trigger::NONE },
    Trigger { event: "security_sb_umount", act: |dir| acts::mounts(dir, &[]), check: |told| assert_eq!(told.one("mountpoint", told.path("mnt")).parsed("flags"), "MNT_DETACH"), ..Trigger::NONE },

    Trigger {
        event: "vfs_write",
        act: |_| {
            let mut file = File::create("file").unwrap();
            file.write_all(b"12345").unwrap();
            file.write_all(b"678").unwrap();
            file.write_all_at(b"x", 40).unwrap();
        },
        check: |told| {
            let lines = told.with("pathname", told.path("file"));
            assert_eq!(lines.len(), 3);
            for (line, (pos, count)) in lines.iter().zip([(0, 5), (5, 3), (40, 1)]) {
                line.assert(&[
                    ("count", json!(count)),
                    ("pos", json!(pos)),
                    ("returnValue", json!(count)),
                ]);
            }
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "vfs_writev",
        act: |_| {
            let mut file = File::create("file").unwrap();
            assert_eq!(file.write_vectored(&[IoSlice::new(b"12"), IoSlice::new(b"345")]).unwrap(), 5);
        },
        check: |told| {
            told.one("pathname", told.path("file")).assert(&[
                ("vlen", json!(2)),
                ("pos", json!(0)),
                ("returnValue", json!(5)),
            ]);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "vfs_read",
        act: |_| {
            fs::write("file", "12345").unwrap();
            File::open("file").unwrap().read_exact_at(&mut [0; 3], 2).unwrap();
        },
        check: |told| {
            told.one("pathname", told.path("file")).assert(&[
                ("count", json!(3)),
                ("pos", json!(2)),
                ("returnValue", json!(3)),
            ]);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "vfs_readv",
        act: |_| {
            fs::write("file", "12345").unwrap();
            let (mut a, mut b) = ([0; 2], [0; 9]);
            let mut file = File::open("file").unwrap();
            assert_eq!(
                file.read_vectored(&mut [IoSliceMut::new(&mut a), IoSliceMut::new(&mut b)]).unwrap(),
                5
            );
        },
        check: |told| {
            told.one("pathname", told.path("file")).assert(&[
                ("vlen", json!(2)),
                ("pos", json!(0)),
                ("returnValue", json!(5)),
            ]);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "magic_write",
        act: |_| {
            let mut file = File::create("program").unwrap();
            file.write_all(b"\x7fELF and more").unwrap();
            file.write_all(b"the rest").unwrap();
            OpenOptions::new().append(true).open("program").unwrap().write_all(b"appended").unwrap();
        },
        check: |told| {
            told.one("pathname", told.path("program"))
                .assert(&[("returnValue", json!(13)), ("bytes", json!("f0VMRiBhbmQgbW9yZQ=="))]);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "file_modification",
        act: |_| {
            fs::write("file", "1").unwrap();
            // Longer than a tick of the clock that files are stamped with.
            thread::sleep(time::Duration::from_millis(50));
            OpenOptions::new().append(true).open("file").unwrap().write_all(b"2").unwrap();
        },
        check: |told| {
            let path = told.path("file");
            assert!(!told.with("file_path", path).is_empty());
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "vfs_utimes",
        act: |_| {
            let file = File::create("file").unwrap();
            let time = |tv_sec, tv_nsec| libc::timespec { tv_sec, tv_nsec };
            let cwd = libc::AT_FDCWD;
            // SAFETY: names that end with a NUL, and two times each, or none.
            unsafe {
                check(libc::utimensat(cwd, c"file".as_ptr(), [time(1, 2), time(3, 4)].as_ptr(), 0).into());
                let later = [time(0, libc::UTIME_OMIT), time(5, 6)];
                check(libc::futimens(file.as_raw_fd(), later.as_ptr()).into());
                check(libc::utimensat(cwd, c"file".as_ptr(), ptr::null(), 0).into());
                #[cfg(target_arch = "x86_64")]
                check(libc::syscall(libc::SYS_utimes, c"file".as_ptr(), [7i64, 8, 9, 10].as_ptr()));
                #[cfg(target_arch = "x86_64")]
                check(libc::syscall(libc::SYS_utime, c"file".as_ptr(), [11i64, 12].as_ptr()));
            }
        },
        check: |told| {
            let both = |line: &&Line| (line.get("atime"), line.get("mtime"));
            let mut expected = vec![
                (json!(1_000_000_002), json!(3_000_000_004_u64)),
                (json!(null), json!(5_000_000_006_u64)),
                (json!(null), json!(null)),
            ];
            if cfg!(target_arch = "x86_64") {
                expected.push((json!(7_000_008_000_u64), json!(9_000_010_000_u64)));
                expected.push((json!(11_000_000_000_u64), json!(12_000_000_000_u64)));
            }
            let lines = told.with("pathname", told.path("file"));
            assert_eq!(lines.iter().map(both).collect::<Vec<_>>(), expected, "{:?}", told.lines);
            lines[1].assert(&[("inode", inode(told, "file"))]);
            lines[0].assert_where_told(&[("inode", inode(told, "file"))]);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "inotify_watch",
        act: |_| watch(),
        check: |told| {
            told.one("pathname", told.path("link"))
                .assert(&[("inode", inode(told, "folder")), ("returnValue", json!(2))]);
            told.one("pathname", told.path("file"))
                .assert(&[("inode", inode(told, "file")), ("returnValue", json!(1))]);
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "security_path_notify",
        act: |_| {
            watch();
            let folder = File::open("folder").unwrap();
            let (create, attrib) = (4, 32); // DN_CREATE, DN_ATTRIB
            // SAFETY: plain system calls; a name that ends with a NUL.
            unsafe {
                check(libc::fcntl(folder.as_raw_fd(), libc::F_NOTIFY, create | attrib).into());
                let group = libc::fanotify_init(libc::FAN_CLASS_NOTIF, 0);
                check(group.into());
                let name = c"file".as_ptr();
                check(libc::fanotify_mark(group, libc::FAN_MARK_ADD, libc::FAN_OPEN, libc::AT_FDCWD, name).into());
            }
        },
        check: |told| {
            let masks = [
                ("FS_MODIFY", "file"),
                ("FS_CREATE|FS_DELETE", if told.tier == "tracepoint" { "link" } else { "folder" }),
                ("FS_ATTRIB|FS_MOVED_TO|FS_CREATE|FS_EVENT_ON_CHILD", "folder"),
                ("FS_OPEN", "file"),
            ];
            assert_eq!(told.lines.0.len(), masks.len(), "{:?}", told.lines);
            for (line, (mask, name)) in told.lines.0.iter().zip(masks) {
                assert_eq!(line.parsed("mask"), mask, "{line:?}");
                assert_eq!(line.parsed("obj_type"), "FSNOTIFY_OBJ_TYPE_INODE");
                let inode = inode(told, if name == "link" { "folder" } else { name });
                line.assert(&[("pathname", told.path(name))]).assert_where_told(&[("inode", inode)]);
            }
        },
        ..Trigger::NONE
    },
    Trigger { event: "dirty_pipe_splice", act: |_| splice(), check: spliced, ..Trigger::NONE },
    Trigger {
        event: "security_kernel_read_file",
        act: |_| no_module(),
        check: |told| {
            let line = told.one("pathname", told.path("no-module"));
            assert_eq!(line.parsed("type"), "kernel-module");
            line.assert(&[("inode", inode(told, "no-module"))]);
        },
        needs: module_loading,
        ..Trigger::NONE
    },
    Trigger {
        event: "security_kernel_post_read_file",
        act: |_| no_module(),
        check: |told| {
            let line = told.one("pathname", told.path("no-module"));
            assert_eq!(line.parsed("type"), "kernel-module");
            line.assert(&[("size", json!(100))]);
        },
        needs: module_loading,
        ..Trigger::NONE
    },
    Trigger {
        event: "__kernel_write",
        act: |_| dump_core(),
        check: |told| {
            let core = told.path("core");
            let of_core = |l: &&Line| l.get("pathname").as_str().unwrap().starts_with(core.as_str().unwrap());
            let first = told.lines.0.iter().find(of_core).unwrap();
            first.assert(&[("pos", json!(0))]);
            assert!(first.get("count").as_u64().unwrap() > 0, "{first:?}");
        },
        needs: || {
            let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
            if pattern.trim() == "core" { Ok(()) } else { Err("core dumps go elsewhere".into()) }
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "zeroed_inodes",
        act: list_zeroed,
        check: |told| assert_eq!(told.any().get("dirent_name"), "zeroed", "{:?}", told.lines),
        needs: || {
            if !crate::has_hook("kprobe") {
                return Err("this kernel runs no kprobe programs".into());
            }
            let _ = Command::new("modprobe").arg("fuse").status();
            if Path::new("/dev/fuse").exists() { Ok(()) } else { Err("there is no /dev/fuse".into()) }
        },
        ..Trigger::NONE
    },
    Trigger {
        event: "load_elf_phdrs",
        act: |_| assert!(Command::new("/bin/true").status().unwrap().success()),
        check: |told| {
            let program = fs::canonicalize("/bin/true").unwrap();
            told.one("pathname", program.to_str().unwrap())
                .assert(&[("inode", json!(crate::inode_of(&program).0))]);
        },
        ..Trigger::NONE
    },
];

fn inode(told: &Told<'_>, name: &str) -> Value {
    json!(crate::inode_of(&told.dir.join(name)).0)
}

/// Two inotify watches, the second by a symbolic link.
fn watch() {
    fs::create_dir("folder").unwrap();
    fs::write("file", "").unwrap();
    std::os::unix::fs::symlink("folder", "link").unwrap();
    // SAFETY: plain system calls; names that end with a NUL.
    unsafe {
        let group = libc::inotify_init();
        check(group.into());
        check(libc::inotify_add_watch(group, c"file".as_ptr(), libc::IN_MODIFY).into());
        check(libc::inotify_add_watch(group, c"link".as_ptr(), libc::IN_CREATE | libc::IN_DELETE).into());
    }
}

/// The steps of CVE-2022-0847 on a file of our own: whether this kernel is open to it shows in the file.
fn splice() {
    fs::write("file", [b'a'; 4096]).unwrap();
    let file = File::open("file").unwrap();
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    // SAFETY: plain system calls.
    unsafe {
        let bytes = libc::fcntl(writer.as_raw_fd(), libc::F_GETPIPE_SZ);
        let mut all = vec![0; usize::try_from(bytes).unwrap()];
        writer.write_all(&all).unwrap();
        reader.read_exact(&mut all).unwrap();
        let none = ptr::null_mut();
        check(libc::splice(file.as_raw_fd(), none, writer.as_raw_fd(), none, 1, 0) as i64);
    }
    writer.write_all(b"b").unwrap();
}

fn spliced(told: &Told<'_>) {
    if fs::read(told.dir.join("file")).unwrap()[1] == b'a' {
        assert!(told.lines.0.is_empty(), "this kernel does not let go of the file: {:?}", told.lines);
        return;
    }
    let line = told.one("in_file_path", told.path("file"));
    line.assert(&[
        ("inode_in", inode(told, "file")),
        ("exposed_data_start_offset", json!(1)),
        ("exposed_data_len", json!(4095)),
    ]);
    assert_eq!(line.parsed("in_file_type"), "S_IFREG");
    assert_eq!(line.parsed("out_pipe_last_buffer_flags"), "PIPE_BUF_FLAG_CAN_MERGE");
}

fn module_loading() -> Result<(), String> {
    // SAFETY: a plain system call, which fails.
    unsafe { libc::syscall(libc::SYS_finit_module, -1, c"".as_ptr(), 0) };
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::EBADF) => Ok(()),
        _ => Err("this kernel loads no modules".into()),
    }
}

/// Has the kernel read a file as if it were a module.
fn no_module() {
    fs::write("no-module", [b'x'; 100]).unwrap();
    let file = File::open("no-module").unwrap();
    // SAFETY: a plain system call, which fails.
    unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) };
    assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::ENOEXEC));
}

/// A child that ends with a core dump, in the working directory.
fn dump_core() {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: this process has one thread; the child calls nothing that is not safe there.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::prctl(libc::PR_SET_DUMPABLE, 1);
            libc::setrlimit(libc::RLIMIT_CORE, &raw const limit);
            libc::abort();
        }
        check(libc::waitpid(child, ptr::null_mut(), 0).into());
    }
}

/// Lists a directory of a file system of our own, which has an entry without an inode.
fn list_zeroed(dir: &Path) {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").unwrap();
    fs::create_dir("mnt").unwrap();
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0\0", device.as_raw_fd());
    // SAFETY: strings that end with a NUL; the options live through the call.
    check(
        unsafe {
            libc::mount(c"e2e".as_ptr(), c"mnt".as_ptr(), c"fuse".as_ptr(), 0, options.as_ptr().cast())
        }
        .into(),
    );
    let server = thread::spawn(move || serve(device));
    let listed = fs::read_dir(dir.join("mnt")).unwrap().count();
    // SAFETY: a string that ends with a NUL.
    check(unsafe { libc::umount2(c"mnt".as_ptr(), libc::MNT_DETACH) }.into());
    server.join().unwrap();
    assert!(listed <= 1);
}

/// Answers what the kernel asks of a FUSE file system (include/uapi/linux/fuse.h), until it is unmounted.
fn serve(mut device: File) {
    let mut request = [0; 64 * 1024];
    let words = |words: &[u64]| words.iter().flat_map(|w| w.to_ne_bytes()).collect::<Vec<u8>>();
    while let Ok(length) = device.read(&mut request) {
        let word = |at: usize| u64::from_ne_bytes(request[at..at + 8].try_into().unwrap());
        let (opcode, unique) = ((word(0) >> 32) as u32, word(8));
        let body = match opcode {
            // GETATTR: a directory of mode 755.
            3 => words(&[0, 0, 1, 0, 0, 0, 0, 0, 0, 0o40755 << 32, 1, 0, 4096]),
            // INIT: version 7.31, reads ahead nothing, writes 4096 bytes at most.
            26 => words(&[7 | 31 << 32, 0, 4096 << 32, 0, 0, 0, 0, 0]),
            27 => words(&[0, 0]), // OPENDIR
            // READDIR: the entry, and behind it none.
            28 if length >= 56 && word(48) == 0 => {
                [words(&[0, 1, 6 | 8 << 32]), b"zeroed\0\0".to_vec()].concat()
            }
            28 | 29 => vec![],
            _ => {
                let refusal = words(&[16 | u64::from(-libc::ENOSYS as u32) << 32, unique]);
                let _ = device.write_all(&refusal);
                continue;
            }
        };
        let head = words(&[16 + body.len() as u64, unique]);
        let _ = device.write_all(&[head, body].concat());
    }
}

/// The last open of the file that is there still.
fn opened(told: &Told<'_>) {
    let opens = told.with("pathname", told.path("new"));
    let last = opens.last().unwrap();
    assert!(last.parsed("flags").as_str().unwrap().starts_with("O_RDONLY"), "{last:?}");
    assert_eq!(last.quality("pathname"), "ok");
    assert_eq!(last.get("inode"), json!(crate::inode_of(&told.dir.join("new")).0));
    assert!(told.with("pathname", told.path("missing")).is_empty());
}

/// Two names; above the tracepoint tier the inode is there still, and it is the one of the first name.
fn unlinked(told: &Told<'_>) {
    let moved = told.one("pathname", told.path("folder/moved"));
    let soft = told.one("pathname", told.path("soft"));
    if told.tier == "tracepoint" {
        assert_eq!((moved.get("returnValue"), soft.quality("pathname").as_str()), (json!(0), "unresolved"));
    } else {
        assert_eq!(moved.get("inode"), json!(crate::inode_of(&told.dir.join("new")).0));
        assert_eq!(soft.quality("pathname"), "ok");
    }
}

fn attributes(told: &Told<'_>, field: &str) -> Vec<serde_json::Value> {
    told.with("pathname", told.path("file")).iter().map(|l| l.get(field)).collect()
}
