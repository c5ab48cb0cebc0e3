//! A container's process that counts in the file `/count`: whether it goes on, and from where, is seen there.
//!
//! It adds lines, as a file that is written anew is empty at times, and at the time of a dump it would stay so.

/// A shell line that counts.
pub const COUNT: &str = "i=0; while :; do i=$((i+1)); echo $i >>/count; sleep 0.05; done";

/// A shell line that counts over a connection to itself at 127.0.0.1. Its server accepts once and sends back what the client
/// counts, so a connection that is lost is lost for ever.
pub fn over_connection(port: u16) -> String {
    format!(
        "nc -l -p {port} -e cat & \
         i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done | \
         {{ sleep 0.5; nc 127.0.0.1 {port} | while read -r n; do echo $n >>/count; done; }}"
    )
}

/// What the container has counted to, by the content of its file.
pub fn latest(content: &str) -> Option<u64> {
    content.lines().last()?.parse().ok()
}
