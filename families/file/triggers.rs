//! The acts on files, and what is told of each.

use std::fs::{self, File, OpenOptions};
use std::io::{IoSlice, IoSliceMut, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::{thread, time};

use serde_json::json;

use super::{Told, Trigger};
use crate::acts;

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
            for (pos, count) in [(0, 5), (5, 3), (40, 1)] {
                told.one("count", count).assert(&[
                    ("pathname", told.path("file")),
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
];

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
