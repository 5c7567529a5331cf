//! Which map types can be created.

use std::{collections::BTreeMap, io, os::fd::AsRawFd, os::fd::OwnedFd};

use libbpf_sys as bpf;

use crate::{
    MapKind, Model, Support,
    support::Step,
    sys::{Btf, create_map, load_btf_of_int},
};

/// Creates one small map of each kind.
pub(crate) fn probe() -> BTreeMap<MapKind, Support> {
    MapKind::ALL.iter().map(|&kind| (kind, Support::from_result(Step::CreateMap, create(kind)))).collect()
}

/// Whether the lock of a ring can be taken under a spinning lock. In real-time kernels most locks sleep: the ring's did, before Linux 6.12 and what
/// was taken back from it.
pub(crate) fn rings_under_locks(model: Model, btf: Option<&Btf>) -> Support {
    if !matches!(model, Model::Rt | Model::Unknown) {
        return Support::Yes;
    }
    match btf.and_then(|btf| btf.member_type("bpf_ringbuf", "spinlock")).as_deref() {
        Some("raw_spinlock_t" | "rqspinlock_t") => Support::Yes,
        Some(_) => Support::no("the lock of a ring sleeps in this real-time kernel"),
        None => Support::no("it is not known whether the lock of a ring sleeps"),
    }
}

fn create(kind: MapKind) -> io::Result<OwnedFd> {
    let page = rustix::param::page_size() as u32;
    match kind {
        MapKind::RingBuffer => create_map(bpf::BPF_MAP_TYPE_RINGBUF, 0, 0, page, |_| {}),
        MapKind::UserRingBuffer => create_map(bpf::BPF_MAP_TYPE_USER_RINGBUF, 0, 0, page, |_| {}),
        MapKind::ArrayOfRingBuffers => {
            let ring = create_map(bpf::BPF_MAP_TYPE_RINGBUF, 0, 0, page, |_| {})?;
            create_map(bpf::BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 1, |options| {
                options.inner_map_fd = ring.as_raw_fd().cast_unsigned();
            })
        }
        MapKind::TaskStorage => storage(bpf::BPF_MAP_TYPE_TASK_STORAGE),
        MapKind::SkStorage => storage(bpf::BPF_MAP_TYPE_SK_STORAGE),
        MapKind::InodeStorage => storage(bpf::BPF_MAP_TYPE_INODE_STORAGE),
        MapKind::CgroupStorage => storage(bpf::BPF_MAP_TYPE_CGRP_STORAGE),
        MapKind::LpmTrie => create_map(bpf::BPF_MAP_TYPE_LPM_TRIE, 8, 4, 1, |options| {
            options.map_flags = bpf::BPF_F_NO_PREALLOC;
        }),
        MapKind::BloomFilter => create_map(bpf::BPF_MAP_TYPE_BLOOM_FILTER, 0, 4, 1, |_| {}),
        MapKind::MmapableArray => create_map(bpf::BPF_MAP_TYPE_ARRAY, 4, 8, 1, |options| {
            options.map_flags = bpf::BPF_F_MMAPABLE;
        }),
        MapKind::ReadOnlyArray => create_map(bpf::BPF_MAP_TYPE_ARRAY, 4, 8, 1, |options| {
            options.map_flags = bpf::BPF_F_RDONLY_PROG;
        }),
        MapKind::Arena => create_map(bpf::BPF_MAP_TYPE_ARENA, 0, 0, 1, |options| {
            options.map_flags = bpf::BPF_F_MMAPABLE;
        }),
    }
}

fn storage(kind: bpf::bpf_map_type) -> io::Result<OwnedFd> {
    let btf = load_btf_of_int()?;
    create_map(kind, 4, 4, 0, |options| {
        options.map_flags = bpf::BPF_F_NO_PREALLOC;
        options.btf_fd = btf.as_raw_fd().cast_unsigned();
        options.btf_key_type_id = 1;
        options.btf_value_type_id = 1;
    })
}
