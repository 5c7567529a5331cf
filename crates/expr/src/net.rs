//! Networks of IP addresses.

use std::net::IpAddr;
use std::str::FromStr;

/// A network, or one address: `10.0.0.0/8`, `::1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net {
    addr: IpAddr,
    bits: u8,
}

impl Net {
    /// Its first address.
    pub const fn addr(&self) -> IpAddr {
        self.addr
    }

    /// How many of the address's bits are the network's.
    pub const fn bits(&self) -> u8 {
        self.bits
    }

    /// Whether an address is in it. An IPv4 address that is mapped into IPv6 is the IPv4 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        match (self.addr, ip.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(ip)) => {
                masked(net.to_bits().into(), self.bits, 32) == masked(ip.to_bits().into(), self.bits, 32)
            }
            (IpAddr::V6(net), IpAddr::V6(ip)) => {
                masked(net.to_bits(), self.bits, 128) == masked(ip.to_bits(), self.bits, 128)
            }
            _ => false,
        }
    }
}

fn masked(addr: u128, bits: u8, of: u8) -> u128 {
    if bits == 0 { 0 } else { addr >> (of - bits.min(of)) }
}

impl FromStr for Net {
    type Err = ();

    fn from_str(text: &str) -> Result<Net, ()> {
        let (addr, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let addr: IpAddr = addr.parse().map_err(drop)?;
        let most = if addr.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().ok().filter(|b| *b <= most).ok_or(())?,
        };
        // A mapped address would never be met: see `contains`.
        let mapped = addr.to_canonical();
        match (addr, mapped, bits) {
            (IpAddr::V6(_), IpAddr::V4(_), 96..) => Ok(Net { addr: mapped, bits: bits - 96 }),
            _ => Ok(Net { addr, bits }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members() {
        for (net, ip, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("fe80::/10", "fe80::1", true),
            ("fe80::/10", "fec0::1", false),
        ] {
            let net: Net = net.parse().expect("a network");
            assert_eq!(net.contains(ip.parse().expect("an address")), inside, "{net:?} {ip}");
        }
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "::1/129", "x", "10.0.0.0/-1", "10.0.0.0/"] {
            assert!(wrong.parse::<Net>().is_err(), "{wrong}");
        }
    }
}
