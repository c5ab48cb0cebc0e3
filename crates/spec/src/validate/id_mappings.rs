//! Id mappings, by the rules that the kernel has for `/proc/<pid>/uid_map` (user_namespaces(7)).

use super::Checked;
use crate::{IdMapping, Refusal};

/// The most lines that an id map holds (Linux 4.15).
const MAX_MAPPINGS: usize = 340;
/// A map is written at once, and with less than a page (map_write in kernel/user_namespace.c): here the largest page that the
/// processor has.
const MAX_BYTES: usize = if cfg!(target_arch = "x86_64") { 4 << 10 } else { 64 << 10 };

/// Whether a container id is mapped.
pub(super) fn cover(mappings: &[IdMapping], id: u32) -> bool {
    mappings.iter().any(|mapping| id.checked_sub(mapping.container_id).is_some_and(|offset| offset < mapping.size))
}

/// Refuses what the kernel would refuse with EINVAL and no more.
pub(super) fn check(mappings: &[IdMapping], pointer: &str) -> Checked {
    if mappings.len() > MAX_MAPPINGS {
        let problem = format!("{} ranges are more than the kernel takes", mappings.len());
        return Err(Refusal::new(pointer, problem, format!("use at most {MAX_MAPPINGS}")));
    }
    let line = |map: &IdMapping| format!("{} {} {}\n", map.container_id, map.host_id, map.size).len();
    let bytes: usize = mappings.iter().map(line).sum();
    if bytes >= MAX_BYTES {
        let problem = format!("the map has {bytes} bytes as text, and the kernel takes less than {MAX_BYTES}");
        return Err(Refusal::new(pointer, problem, "use fewer ranges"));
    }
    for (i, mapping) in mappings.iter().enumerate() {
        let refuse = |problem: String, remedy: &str| Err(Refusal::new(format!("{pointer}/{i}"), problem, remedy));
        if mapping.size == 0 {
            return refuse("maps no id".to_owned(), "set size to how many ids the range has");
        }
        for (side, first) in [("containerID", mapping.container_id), ("hostID", mapping.host_id)] {
            if first.checked_add(mapping.size).is_none() {
                let problem =
                    format!("{side} {first} and size {} go beyond the largest id, {}", mapping.size, u32::MAX - 1);
                return refuse(problem, "make the range smaller");
            }
        }
        for (j, other) in mappings.iter().enumerate().take(i) {
            let same = |a: u32, b: u32| overlap((a, mapping.size), (b, other.size));
            if same(mapping.container_id, other.container_id) {
                return refuse(format!("shares container ids with range {j}"), "make the ranges disjoint");
            }
            if same(mapping.host_id, other.host_id) {
                return refuse(format!("shares host ids with range {j}"), "make the ranges disjoint");
            }
        }
    }
    Ok(())
}

/// Whether two ranges, each (first, size), have an id in common.
fn overlap((a, a_size): (u32, u32), (b, b_size): (u32, u32)) -> bool {
    let end = |first: u32, size: u32| u64::from(first) + u64::from(size);
    u64::from(a) < end(b, b_size) && u64::from(b) < end(a, a_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(container_id: u32, host_id: u32, size: u32) -> IdMapping {
        IdMapping { container_id, host_id, size }
    }

    #[test]
    fn good_maps_pass() {
        for mappings in [
            vec![],
            vec![map(0, 100_000, 65_536)],
            vec![map(0, 1000, 1), map(1, 100_000, 65_536)],
            vec![map(0, 0, u32::MAX)],
            vec![map(10, 10, 10), map(0, 0, 10), map(20, 20, 10)],
        ] {
            assert_eq!(check(&mappings, ""), Ok(()), "{mappings:?}");
        }
    }

    #[test]
    fn bad_maps_are_refused() {
        for (mappings, pointer, problem) in [
            (vec![map(0, 0, 0)], "/u/0", "maps no id"),
            (vec![map(1, 0, u32::MAX)], "/u/0", "containerID 1"),
            (vec![map(0, 2, u32::MAX - 1)], "/u/0", "hostID 2"),
            (vec![map(0, 0, 10), map(9, 100, 1)], "/u/1", "shares container ids with range 0"),
            (vec![map(5, 0, 1), map(0, 100, 10)], "/u/1", "shares container ids with range 0"),
            (vec![map(0, 0, 10), map(10, 9, 1)], "/u/1", "shares host ids with range 0"),
            (vec![map(0, 0, 1); 341], "/u", "341 ranges"),
            #[cfg(target_arch = "x86_64")]
            (vec![map(1_000_000, 100_000, 1); 256], "/u", "4352 bytes as text"),
        ] {
            let refusal = check(&mappings, "/u").unwrap_err();
            assert_eq!(refusal.pointer, pointer);
            assert!(refusal.problem.contains(problem), "{refusal}");
        }
    }

    #[test]
    fn ranges_cover_their_ends_and_no_more() {
        let mappings = [map(10, 0, 5), map(u32::MAX - 1, 5, 1)];
        for (id, covered) in [(9, false), (10, true), (14, true), (15, false), (u32::MAX - 1, true), (u32::MAX, false)]
        {
            assert_eq!(cover(&mappings, id), covered, "{id}");
        }
    }
}
