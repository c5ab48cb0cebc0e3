//! The guard.

use hostnet::NetPlan;

use crate::contained::contained;

#[test]
fn network_settings_can_be_read_and_not_written() {
    let plan = NetPlan { guard: true, ..NetPlan::default() };
    contained("guard::network_settings_can_be_read_and_not_written", &plan, |door| {
        door.enter();
        for file in ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/core/somaxconn"] {
            let value = std::fs::read_to_string(file).unwrap();
            let refused = std::fs::write(file, &value).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied, "{file}");
        }
        let other = "/proc/sys/vm/swappiness";
        std::fs::write(other, std::fs::read_to_string(other).unwrap()).unwrap();
    });
}
