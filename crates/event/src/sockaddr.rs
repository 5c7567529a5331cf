//! Socket addresses, in the layouts of the C library.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::bytes;

/// `AF_UNIX`.
pub(crate) const AF_UNIX: u16 = 1;
/// `AF_INET`.
pub(crate) const AF_INET: u16 = 2;
/// `AF_INET6`.
pub(crate) const AF_INET6: u16 = 10;
/// `AF_VSOCK`.
const AF_VSOCK: u16 = 40;

/// A socket address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SockAddr<'a> {
    /// `struct sockaddr_in`.
    Inet {
        /// Address.
        addr: Ipv4Addr,
        /// Port.
        port: u16,
    },
    /// `struct sockaddr_in6`.
    Inet6 {
        /// Address.
        addr: Ipv6Addr,
        /// Port.
        port: u16,
        /// Traffic class and flow label, as the 32 bits of the header say it.
        flowinfo: u32,
        /// The interface, for an address of local scope.
        scope_id: u32,
    },
    /// `struct sockaddr_un`.
    Unix(UnixName<'a>),
    /// `struct sockaddr_vm`: of virtual machines and their host.
    Vsock {
        /// The machine: 2 is the host, 1 this one.
        cid: u32,
        /// Port.
        port: u32,
    },
    /// Of another family; or too short for its family, as a caller may well hand it to the kernel.
    Other {
        /// The family; `AF_UNSPEC` where not even that was given.
        family: u16,
        /// What follows the family.
        bytes: &'a [u8],
    },
}

/// The name of a UNIX socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnixName<'a> {
    /// A file.
    Path(&'a [u8]),
    /// A name in the abstract namespace, without the NUL that begins it.
    Abstract(&'a [u8]),
    /// None.
    Unnamed,
}

impl<'a> SockAddr<'a> {
    /// The address in these bytes. There is no wrong address: see [`SockAddr::Other`].
    pub fn decode(raw: &'a [u8]) -> SockAddr<'a> {
        let Some((family, rest)) = raw.split_first_chunk::<2>() else {
            return SockAddr::Other { family: 0, bytes: raw };
        };
        let family = u16::from_le_bytes(*family);
        match family {
            // Without sin_zero, which carries nothing.
            AF_INET if raw.len() >= 8 => {
                SockAddr::Inet { addr: Ipv4Addr::from(bytes::array::<4>(raw, 4)), port: bytes::be16(raw, 2) }
            }
            // 24: the kernel takes it without sin6_scope_id (SIN6_LEN_RFC2133).
            AF_INET6 if raw.len() >= 24 => SockAddr::Inet6 {
                addr: Ipv6Addr::from(bytes::array::<16>(raw, 8)),
                port: bytes::be16(raw, 2),
                flowinfo: bytes::be32(raw, 4),
                scope_id: bytes::u32(raw, 24),
            },
            AF_UNIX => SockAddr::Unix(match rest {
                [] => UnixName::Unnamed,
                [0, name @ ..] => UnixName::Abstract(name),
                path => UnixName::Path(path.split(|&b| b == 0).next().unwrap_or_default()),
            }),
            AF_VSOCK if raw.len() >= 12 => {
                SockAddr::Vsock { port: bytes::u32(raw, 4), cid: bytes::u32(raw, 8) }
            }
            family => SockAddr::Other { family, bytes: rest },
        }
    }

    /// The address family.
    pub const fn family(&self) -> u16 {
        match *self {
            SockAddr::Inet { .. } => AF_INET,
            SockAddr::Inet6 { .. } => AF_INET6,
            SockAddr::Unix(_) => AF_UNIX,
            SockAddr::Vsock { .. } => AF_VSOCK,
            SockAddr::Other { family, .. } => family,
        }
    }

    /// The bytes of the C layout, appended.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.family().to_le_bytes());
        match *self {
            SockAddr::Inet { addr, port } => {
                out.extend(port.to_be_bytes());
                out.extend(addr.octets());
                out.extend([0; 8]);
            }
            SockAddr::Inet6 { addr, port, flowinfo, scope_id } => {
                out.extend(port.to_be_bytes());
                out.extend(flowinfo.to_be_bytes());
                out.extend(addr.octets());
                out.extend(scope_id.to_le_bytes());
            }
            SockAddr::Unix(UnixName::Path(path)) => {
                out.extend(path);
                out.push(0);
            }
            SockAddr::Unix(UnixName::Abstract(name)) => {
                out.push(0);
                out.extend(name);
            }
            SockAddr::Unix(UnixName::Unnamed) => {}
            SockAddr::Vsock { cid, port } => {
                out.extend([0; 2]);
                out.extend(port.to_le_bytes());
                out.extend(cid.to_le_bytes());
                out.extend([0; 4]);
            }
            SockAddr::Other { bytes, .. } => out.extend(bytes),
        }
    }
}
