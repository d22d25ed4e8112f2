use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Mutex, PoisonError};

/// Below the kernel's range for outgoing connections (32768 and up), so that no connection can sit on a port of ours.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// Ports handed out stay reserved until this process ends: a server may be stopped and started again on its port.
static RESERVED: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// A TCP port of 127.0.0.1 that nobody listens on and that no other test process will be given.
///
/// Binding port 0 and letting it go is a race as soon as tests run side by side. Here a name in the kernel's abstract
/// socket namespace stands for the port; it vanishes with the process, even after `kill -9`.
///
/// # Panics
/// When none of the 12,000 ports is free.
pub fn free_port() -> u16 {
    let ports = u64::from(RANGE.end - RANGE.start);
    let start = RandomState::new().hash_one(std::process::id()) % ports;
    let mut candidates = (0..ports).filter_map(|step| u16::try_from((start + step) % ports).ok());
    let found = candidates.find_map(|offset| {
        let port = RANGE.start + offset;
        let name = SocketAddr::from_abstract_name(format!("steward-testkit-port-{port}")).ok()?;
        let reservation = UnixListener::bind_addr(&name).ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        Some((port, reservation))
    });
    let Some((port, reservation)) = found else { panic!("no free port between {} and {}", RANGE.start, RANGE.end) };
    RESERVED.lock().unwrap_or_else(PoisonError::into_inner).push(reservation);
    port
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_port_is_handed_out_twice() {
        let ports: BTreeSet<u16> = (0..200).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 200);
        assert!(ports.iter().all(|port| RANGE.contains(port)));
    }
}
