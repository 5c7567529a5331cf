//! `--artifacts`: what is captured, and of which packets.

use anyhow::bail;
use catalogue::fields::net_packet_capture;
use policy::Selection;
use sensor::Kinds;

use crate::cli::Watch;
use crate::policies;

/// What `--artifacts` asks for.
pub(crate) fn options(options: &Watch, selection: &Selection) -> anyhow::Result<capture::Options> {
    let artifacts = capture::Options::parse(&options.artifacts)?;
    // Policies that are read later may have files captured.
    if !options.artifacts.is_empty() && !artifacts.network && policies::paths(options).is_empty() {
        bail!("--artifacts names nothing to capture (network), and no policy does (the action capture)");
    }
    if artifacts.network && artifacts.filtered && kinds(selection) == Kinds::NONE {
        bail!(
            "--artifacts network.pcap.options=filtered: no event of packets is selected (--events 'net_packet_*')"
        );
    }
    Ok(artifacts)
}

/// What the programs are told of it.
pub(crate) fn capture(options: &capture::Options, selection: &Selection) -> sensor::Capture {
    if !options.network {
        return sensor::Capture::default();
    }
    let kinds = if options.filtered { kinds(selection) } else { Kinds::ALL };
    sensor::Capture { kinds, payload: options.payload }
}

/// The packets that the selected events are about.
fn kinds(selection: &Selection) -> Kinds {
    let of = |name: &str| match name {
        "net_packet_raw" => Kinds::ALL,
        "net_packet_ipv4" => Kinds::IPV4,
        "net_packet_ipv6" => Kinds::IPV6,
        "net_packet_tcp" => Kinds::TCP,
        "net_packet_udp" => Kinds::UDP,
        "net_packet_icmp" => Kinds::ICMP,
        "net_packet_icmpv6" => Kinds::ICMPV6,
        _ if name.starts_with("net_packet_dns") => Kinds::DNS,
        _ if name.starts_with("net_packet_http") => Kinds::HTTP,
        // The programs have no kind for it: rather too much than too little.
        "net_packet_sctp" => Kinds::ALL,
        // Of other protocols the programs here know only what they go over.
        _ => Kinds::TCP | Kinds::UDP,
    };
    let packets = selection
        .iter()
        .filter(|e| e.name.starts_with("net_packet_") && e.id != net_packet_capture::EVENT_ID);
    packets.fold(Kinds::NONE, |kinds, e| kinds | of(e.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_selected_events() {
        let kinds = |events: &str| super::kinds(&Selection::parse(&[events]).expect("they are events"));
        assert_eq!(kinds("net_packet_tcp,net_packet_icmp"), Kinds::TCP | Kinds::ICMP);
        assert_eq!(kinds("dns"), Kinds::DNS);
        assert_eq!(kinds("net_packet_http_request"), Kinds::HTTP);
        assert_eq!(kinds("net_packet_sctp"), Kinds::ALL);
        assert_eq!(kinds("openat,net_packet_capture,net_flow_tcp_end"), Kinds::NONE);
    }
}
