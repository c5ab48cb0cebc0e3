//! Documents that cannot be read: the error names the place, and nothing panics.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use spec::{MAX_SIZE, Process, ReadError, Resources, Spec};

fn error(bytes: &[u8]) -> ReadError {
    Spec::from_bytes(bytes).unwrap_err()
}

#[test]
fn the_whole_text() {
    for (document, expected) in [
        ("", "config.json: the document is empty (a JSON object is expected)"),
        (" \n\t", "config.json: the document is empty (a JSON object is expected)"),
        (
            "{\n \"ociVersion\": \"1.0.2\",\n \"process\": {\"rlimits\": [{\"type\": \"RLIMIT_AS\", \"soft\": \"many\"}]}}",
            "config.json: /process/rlimits/0/soft: invalid type: string \"many\", expected u64 (line 3, column 61)",
        ),
        ("[1]", "config.json: invalid type: sequence, expected an object (line 1, column 1)"),
        ("nonsense", "config.json: not valid JSON: expected ident (line 1, column 2)"),
        ("{}", "config.json: required property `ociVersion` is missing (line 1, column 2)"),
        (
            "{\"ociVersion\": \"2.0.0\"}",
            "config.json: /ociVersion: version 2.0.0 is not supported (lightship reads 1.0.0 to 1.3.0 and other 1.x; \
             generate the configuration for one of these)",
        ),
        (
            "{\"ociVersion\": \"invalid\"}",
            "config.json: /ociVersion: `invalid` is not a semantic version (write it like 1.3.0)",
        ),
    ] {
        assert_eq!(error(document.as_bytes()).to_string(), expected, "{document}");
    }
}

#[test]
fn the_place_and_the_problem() {
    for (document, pointer, problem) in [
        (r#"{"ociVersion": "1.0.2", "root": {"path": "r""#, "/root", "the document is cut off"),
        (r#"{"ociVersion": "1.0.2"} {}"#, "", "something follows the JSON object"),
        (r#"{"ociVersion": "1.0.2", "hostname": 5}"#, "/hostname", "invalid type: integer `5`, expected a string"),
        (r#"{"ociVersion": "1.0.2", "hostname": "a", "hostname": "b"}"#, "", "duplicate key `hostname`"),
        (r#"{"ociVersion": "1.0.2", "annotations": {"a": "1", "a": "2"}}"#, "/annotations", "duplicate key `a`"),
        (r#"{"ociVersion": "1.0.2", "annotations": {"a/b": 1}}"#, "/annotations/a~1b", "expected a string"),
        (r#"{"ociVersion": "1.0.2", "linux": []}"#, "/linux", "expected an object"),
        (r#"{"ociVersion": "1.0.2", "linux": {"resources": [1]}}"#, "/linux/resources", "expected an object"),
        (r#"{"ociVersion": "1.0.2", "mounts": [["/proc", "proc"]]}"#, "/mounts/0", "expected an object"),
        (r#"{"ociVersion": "1.0.2", "process": {"user": [0, 0]}}"#, "/process/user", "expected an object"),
        (
            r#"{"ociVersion": "1.0.2", "linux": {"timeOffsets": {"boottime": []}}}"#,
            "/linux/timeOffsets/boottime",
            "expected an object",
        ),
        (
            r#"{"ociVersion": "1.0.2", "process": {"user": {"gid": 0}}}"#,
            "/process/user",
            "required property `uid` is missing",
        ),
        (
            r#"{"ociVersion": "1.0.2", "process": {"user": {"uid": -1}}}"#,
            "/process/user/uid",
            "integer `-1`, expected u32",
        ),
        (r#"{"ociVersion": "1.0.2", "process": {"user": {"uid": 4294967296}}}"#, "/process/user/uid", "4294967296"),
        (
            r#"{"ociVersion": "1.0.2", "linux": {"namespaces": [{"type": "pid"}, {"type": "net"}]}}"#,
            "/linux/namespaces/1/type",
            "unknown value `net`, expected one of `pid`, `network`",
        ),
        (
            r#"{"ociVersion": "1.0.2", "linux": {"namespaces": [{}]}}"#,
            "/linux/namespaces/0",
            "required property `type` is missing",
        ),
        (
            r#"{"ociVersion": "1.0.2", "linux": {"rootfsPropagation": "some"}}"#,
            "/linux/rootfsPropagation",
            "unknown value `some`",
        ),
        (
            r#"{"ociVersion": "1.0.2", "process": {"rlimits": [{"type": "RLIMIT_X"}]}}"#,
            "/process/rlimits/0/type",
            "unknown value `RLIMIT_X`, expected one of `RLIMIT_AS`",
        ),
        (
            r#"{"ociVersion": "1.0.2", "linux": {"resources": {"memory": {"limit": 1.5}}}}"#,
            "/linux/resources/memory/limit",
            "1.5",
        ),
        (
            r#"{"ociVersion": "1.0.2", "linux": {"resources": {"memory": {"limit": 9223372036854775808}}}}"#,
            "/linux/resources/memory/limit",
            "9223372036854775808",
        ),
        (
            r#"{"ociVersion": "1.0.2", "linux": {"devices": [{"type": "x"}]}}"#,
            "/linux/devices/0/type",
            "unknown value `x`",
        ),
        (r#"{"ociVersion": "1.0.2", "process": {"args": "sh"}}"#, "/process/args", "expected a sequence"),
        (r#"{"ociVersion": "1.0.2", "process": {"args": ["a\u0000b"], "cwd": "/"}}"#, "/process/args/0", "NUL"),
        (r#"{"ociVersion": "1.0.2", "linux": {"sysctl": {"net.\u0000": ""}}}"#, "/linux/sysctl/net.\\u0000", "NUL"),
        (r#"{"ociVersion": 1}"#, "/ociVersion", "invalid type"),
        (r#"{'ociVersion': 1}"#, "", "not valid JSON"),
    ] {
        let error = error(document.as_bytes());
        assert_eq!(error.pointer, pointer, "{document}: {error}");
        assert!(error.problem.contains(problem), "{document}: {error}");
        assert!(!error.to_string().contains("struct "), "{error}");
    }
}

#[test]
fn nul_is_free_text_in_annotations() {
    let document = r#"{"ociVersion": "1.0.2", "annotations": {"a": "\u0000"}, "hostname": "\\u0000"}"#;
    assert_eq!(Spec::from_bytes(document.as_bytes()).unwrap().hostname.unwrap(), "\\u0000");
}

#[test]
fn not_utf8() {
    let error = error(b"{\n  \"hostname\": \"\xff\"}");
    assert_eq!(error.to_string(), "config.json: not UTF-8 (JSON has to be; convert the file) (line 2, column 16)");
    assert!(Spec::from_bytes("\u{feff}{}".as_bytes()).unwrap_err().problem.contains("byte order mark"));
}

#[test]
fn too_large() {
    let error = error(&vec![b' '; 50_000_000]);
    assert_eq!(error.to_string(), "config.json: the document has 50000000 bytes, more than the 16777216 that are read");
    let mut largest = br#"{"ociVersion": "1.0.2"}"#.to_vec();
    largest.resize(MAX_SIZE, b' ');
    assert!(Spec::from_bytes(&largest).is_ok());
}

#[test]
fn too_deep() {
    let arrays = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let objects = format!("{}1{}", r#"{"process":"#.repeat(100_000), "}".repeat(100_000));
    for deep in [&arrays, &objects] {
        for document in [
            deep.clone(),
            format!(r#"{{"ociVersion": "1.0.2", "process": {{"args": {deep}}}}}"#),
            format!(r#"{{"ociVersion": "1.0.2", "annotations": {{"a": {deep}}}}}"#),
            format!(r#"{{"ociVersion": "1.0.2", "linux": {{"seccomp": {deep}, "rootfsPropagation": "x"}}}}"#),
        ] {
            assert!(error(document.as_bytes()).to_string().len() < 1000);
        }
    }
}

#[test]
fn the_other_documents_say_their_name() {
    assert!(Process::from_bytes(b"{").unwrap_err().to_string().starts_with("process.json: the document is cut off"));
    let text = Resources::from_bytes(br#"{"memory": {"limit": "1g"}}"#).unwrap_err().to_string();
    assert!(text.starts_with("resources: /memory/limit: invalid type"), "{text}");
}

#[test]
fn a_bad_profile_is_found_when_it_is_needed() {
    for (profile, pointer, problem) in [
        ("{}", "/linux/seccomp", "required property `defaultAction` is missing"),
        (r#"{"defaultAction": "SCMP_ACT_X"}"#, "/linux/seccomp/defaultAction", "unknown value `SCMP_ACT_X`"),
        (
            r#"{"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"names": ["a"], "action": "no"}]}"#,
            "/linux/seccomp/syscalls/0/action",
            "unknown value `no`",
        ),
        (r#"{"defaultAction": "SCMP_ACT_LOG", "flags": ["X"]}"#, "/linux/seccomp/flags/0", "unknown value `X`"),
        ("[]", "/linux/seccomp", "expected an object"),
    ] {
        let document = format!(r#"{{"ociVersion": "1.0.2", "linux": {{"seccomp": {profile}}}}}"#);
        let spec = Spec::from_bytes(document.as_bytes()).unwrap();
        let error = spec.linux.unwrap().seccomp_profile().unwrap_err();
        assert_eq!(error.pointer, pointer, "{error}");
        assert!(error.problem.contains(problem), "{error}");
    }
}

/// A good document cut at every byte, and with every byte replaced: an error or a configuration, never a panic, and
/// whatever is read can be checked.
#[test]
fn damage_anywhere_is_survived() {
    let full = include_bytes!("data/full.json");
    let compact = serde_json::from_slice::<serde_json::Value>(full).unwrap().to_string().into_bytes();
    for at in 0..compact.len() {
        assert!(Spec::from_bytes(&compact[..at]).is_err());
        let mut damaged = compact.clone();
        for byte in [b'\0', b'"', b'{', b'}', b'9', b'-', 0xff] {
            damaged[at] = byte;
            if let Ok(spec) = Spec::from_bytes(&damaged) {
                let _ = spec.validate();
                let _ = spec.linux.map(|linux| linux.seccomp_profile().map(|profile| profile.map(|p| p.validate())));
            }
        }
    }
}
