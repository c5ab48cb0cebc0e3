//! `ociVersion`: which versions of the specification are read (config.md, Specification version).

/// What is wrong with a version, or `None` for any version 1.x.
///
/// Within a major version the specification only adds optional properties, and unknown ones are ignored.
pub(crate) fn problem(version: &str) -> Option<String> {
    match major(version) {
        Some(1) => None,
        Some(_) => Some(format!(
            "version {version} is not supported (lightship reads 1.0.0 to {} and other 1.x; \
             generate the configuration for one of these)",
            crate::OCI_VERSION
        )),
        None => Some(format!("`{version}` is not a semantic version (write it like {})", crate::OCI_VERSION)),
    }
}

/// The major version of a semantic version (SemVer 2.0.0), `None` if it is not one.
fn major(version: &str) -> Option<u64> {
    let (version, build) = version.split_once('+').map_or((version, None), |(v, build)| (v, Some(build)));
    let (core, pre_release) = version.split_once('-').map_or((version, None), |(v, pre)| (v, Some(pre)));
    let identifiers_hold =
        [build, pre_release].into_iter().flatten().flat_map(|list| list.split('.')).all(|identifier| {
            !identifier.is_empty() && identifier.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
    let numbers: Vec<u64> = core.split('.').map(number).collect::<Option<_>>()?;
    match numbers.as_slice() {
        [major, _, _] if identifiers_hold => Some(*major),
        _ => None,
    }
}

/// A decimal number without leading zeros or a sign.
fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_1_x_is_read() {
        for version in ["1.0.0", "1.0.0-rc", "1.0.0-rc5-dev", "1.0.2-dev", "1.2.1", "1.3.0+dev", "1.99.0-a.b+c.d"] {
            assert_eq!(problem(version), None, "{version}");
        }
    }

    #[test]
    fn other_majors_are_refused_with_a_remedy() {
        for version in ["0.9.0", "2.0.0", "18446744073709551615.0.0"] {
            let text = problem(version).unwrap();
            assert!(text.contains("is not supported") && text.contains("1.3.0"), "{text}");
        }
    }

    #[test]
    fn what_is_not_semver_is_refused() {
        for version in [
            "",
            "invalid",
            "1",
            "1.0",
            "1.0.0.0",
            "v1.0.0",
            "01.0.0",
            "1.0.+0",
            "1.0.0-",
            "1.0.0+",
            "1.0.0-a..b",
            "1.0.0 ",
            "-1.0.0",
            "1.-0.0",
            "99999999999999999999.0.0",
        ] {
            assert!(problem(version).is_some_and(|text| text.contains("not a semantic version")), "{version}");
        }
    }
}
