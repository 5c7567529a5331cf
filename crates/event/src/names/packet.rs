//! Names of what packets carry, as gopacket, and so Tracee, writes them.

use std::fmt::{self, Display};

/// A protocol over IP by its number (IANA).
pub fn ip_protocol(number: u8) -> impl Display {
    fmt::from_fn(move |f| match number {
        1 => f.write_str("ICMPv4"),
        58 => f.write_str("ICMPv6"),
        _ => match etherparse::IpNumber(number).keyword_str() {
            Some(name) => f.write_str(name),
            None => number.fmt(f),
        },
    })
}

/// Type and code of an ICMP message (RFC 792, RFC 1122): `EchoRequest`, `DestinationUnreachable(Port)`.
pub fn icmp(ty: u8, code: u8) -> impl Display {
    let (name, codes): (&str, &'static [&'static str]) = match ty {
        0 => ("EchoReply", &[]),
        3 => (
            "DestinationUnreachable",
            &[
                "Net",
                "Host",
                "Protocol",
                "Port",
                "FragmentationNeeded",
                "SourceRoutingFailed",
                "NetUnknown",
                "HostUnknown",
                "SourceIsolated",
                "NetAdminProhibited",
                "HostAdminProhibited",
                "NetTOS",
                "HostTOS",
                "CommAdminProhibited",
                "HostPrecedence",
                "PrecedenceCutoff",
            ],
        ),
        4 => ("SourceQuench", &[]),
        5 => ("Redirect", &["Net", "Host", "TOS+Net", "TOS+Host"]),
        8 => ("EchoRequest", &[]),
        9 => ("RouterAdvertisement", &[]),
        10 => ("RouterSolicitation", &[]),
        11 => ("TimeExceeded", &["TTLExceeded", "FragmentReassemblyTimeExceeded"]),
        12 => ("ParameterProblem", &["PointerIndicatesError", "MissingOption", "BadLength"]),
        13 => ("TimestampRequest", &[]),
        14 => ("TimestampReply", &[]),
        _ => ("", &[]),
    };
    named(name, codes, ty, code)
}

/// Type and code of an ICMPv6 message (RFC 4443, RFC 4861).
pub fn icmpv6(ty: u8, code: u8) -> impl Display {
    let (name, codes): (&str, &'static [&'static str]) = match ty {
        1 => (
            "DestinationUnreachable",
            &[
                "NoRouteToDst",
                "AdminProhibited",
                "BeyondScopeOfSrc",
                "Address",
                "Port",
                "SrcAddressFailedPolicy",
                "RejectRouteToDst",
            ],
        ),
        2 => ("PacketTooBig", &[]),
        3 => ("TimeExceeded", &["HopLimitExceeded", "FragmentReassemblyTimeExceeded"]),
        4 => ("ParameterProblem", &["ErroneousHeader", "UnrecognizedNextHeader", "UnrecognizedIPv6Option"]),
        128 => ("EchoRequest", &[]),
        129 => ("EchoReply", &[]),
        133 => ("RouterSolicitation", &[]),
        134 => ("RouterAdvertisement", &[]),
        135 => ("NeighborSolicitation", &[]),
        136 => ("NeighborAdvertisement", &[]),
        137 => ("Redirect", &[]),
        143 => ("MLDv2MulticastListenerReport", &[]),
        _ => ("", &[]),
    };
    named(name, codes, ty, code)
}

/// `NAME(CODE)`, each by name where it has one.
fn named(name: &'static str, codes: &'static [&'static str], ty: u8, code: u8) -> impl Display {
    fmt::from_fn(move |f| {
        match name {
            "" => ty.fmt(f)?,
            name => f.write_str(name)?,
        }
        match codes.get(usize::from(code)) {
            Some(code) => write!(f, "({code})"),
            None if code == 0 && !name.is_empty() => Ok(()),
            None => write!(f, "({code})"),
        }
    })
}

/// Operation of a DNS message (RFC 1035, 2136).
pub fn dns_operation(number: u8) -> impl Display {
    fmt::from_fn(move |f| match number {
        0 => f.write_str("Query"),
        1 => f.write_str("Inverse Query"),
        2 => f.write_str("Status"),
        4 => f.write_str("Notify"),
        5 => f.write_str("Update"),
        _ => number.fmt(f),
    })
}

/// Response code of a DNS message (RFC 1035, 2136).
pub fn dns_response(number: u8) -> impl Display {
    fmt::from_fn(move |f| match number {
        0 => f.write_str("No Error"),
        1 => f.write_str("Format Error"),
        2 => f.write_str("Server Failure"),
        3 => f.write_str("Non-Existent Domain"),
        4 => f.write_str("Not Implemented"),
        5 => f.write_str("Query Refused"),
        6 => f.write_str("Name Exists when it should not"),
        7 => f.write_str("RR Set Exists when it should not"),
        8 => f.write_str("RR Set that should exist does not"),
        9 => f.write_str("Server Not Authoritative for zone"),
        10 => f.write_str("Name not contained in zone"),
        _ => number.fmt(f),
    })
}
