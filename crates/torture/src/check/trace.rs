//! What an act leaves in the stream.

use catalogue::fields::{
    cgroup_mkdir, cgroup_rmdir, commit_creds, memfd_create, net_packet_dns_request, net_tcp_state,
    sched_process_exec, sched_process_exit, sched_process_fork, security_file_open, security_inode_create,
    security_inode_rename, security_inode_unlink, security_socket_connect, setresgid, socket_accept,
};

use crate::script::Kind;

/// What one act must leave in the stream, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Trace {
    Open,
    Create,
    Rename,
    Unlink,
    Memfd,
    Setresgid,
    CommitCreds,
    Fork,
    Exec,
    Exit,
    Connect,
    Accept,
    SynSent,
    Established,
    Closed,
    Incoming,
    DnsEgress,
    DnsIngress,
    CgroupMkdir,
    CgroupRmdir,
}

impl Trace {
    pub(crate) const ALL: [Trace; 20] = [
        Trace::Open,
        Trace::Create,
        Trace::Rename,
        Trace::Unlink,
        Trace::Memfd,
        Trace::Setresgid,
        Trace::CommitCreds,
        Trace::Fork,
        Trace::Exec,
        Trace::Exit,
        Trace::Connect,
        Trace::Accept,
        Trace::SynSent,
        Trace::Established,
        Trace::Closed,
        Trace::Incoming,
        Trace::DnsEgress,
        Trace::DnsIngress,
        Trace::CgroupMkdir,
        Trace::CgroupRmdir,
    ];

    /// The event that it is.
    pub(crate) const fn event(self) -> u16 {
        match self {
            Trace::Open => security_file_open::EVENT_ID,
            Trace::Create => security_inode_create::EVENT_ID,
            Trace::Rename => security_inode_rename::EVENT_ID,
            Trace::Unlink => security_inode_unlink::EVENT_ID,
            Trace::Memfd => memfd_create::EVENT_ID,
            Trace::Setresgid => setresgid::EVENT_ID,
            Trace::CommitCreds => commit_creds::EVENT_ID,
            Trace::Fork => sched_process_fork::EVENT_ID,
            Trace::Exec => sched_process_exec::EVENT_ID,
            Trace::Exit => sched_process_exit::EVENT_ID,
            Trace::Connect => security_socket_connect::EVENT_ID,
            Trace::Accept => socket_accept::EVENT_ID,
            Trace::SynSent | Trace::Established | Trace::Closed | Trace::Incoming => net_tcp_state::EVENT_ID,
            Trace::DnsEgress | Trace::DnsIngress => net_packet_dns_request::EVENT_ID,
            Trace::CgroupMkdir => cgroup_mkdir::EVENT_ID,
            Trace::CgroupRmdir => cgroup_rmdir::EVENT_ID,
        }
    }

    /// The traces of an act of that kind.
    pub(crate) const fn of(kind: Kind) -> &'static [Trace] {
        match kind {
            Kind::Files => &[Trace::Open, Trace::Create, Trace::Rename, Trace::Unlink],
            Kind::Memory => &[Trace::Memfd],
            Kind::Creds => &[Trace::Setresgid, Trace::CommitCreds],
            Kind::Exec => &[Trace::Fork, Trace::Exec, Trace::Exit],
            Kind::Forks => &[Trace::Fork, Trace::Exit],
            Kind::Connect => &[
                Trace::Connect,
                Trace::Accept,
                Trace::SynSent,
                Trace::Established,
                Trace::Closed,
                Trace::Incoming,
            ],
            Kind::Dns => &[Trace::DnsEgress, Trace::DnsIngress],
            Kind::Flood => &[Trace::DnsEgress],
            Kind::Cgroups => &[Trace::CgroupMkdir, Trace::CgroupRmdir],
        }
    }
}
