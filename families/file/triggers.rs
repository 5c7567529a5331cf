//! The acts on files, and what is told of each.

use std::fs::{self, File, OpenOptions};
use std::io::{IoSlice, IoSliceMut, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::{thread, time};

use serde_json::json;

use super::Trigger;

pub(super) const TRIGGERS: &[Trigger] = &[
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
