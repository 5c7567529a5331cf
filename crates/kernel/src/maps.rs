//! Which map types can be created.

use std::{collections::BTreeMap, io, os::fd::AsRawFd, os::fd::OwnedFd};

use libbpf_sys as bpf;

use crate::{
    MapKind, Support,
    support::Step,
    sys::{create_map, load_btf_of_int},
};

/// Creates one small map of each kind.
pub(crate) fn probe() -> BTreeMap<MapKind, Support> {
    MapKind::ALL.iter().map(|&kind| (kind, Support::from_result(Step::CreateMap, create(kind)))).collect()
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
