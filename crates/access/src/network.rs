use std::net::{IpAddr, Ipv6Addr};

/// What one caller without a credential is recognised by: its IPv4 address, or the network of its IPv6 address, which is a
/// /64 (a caller that has one address of a /64 has all of them).
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}
