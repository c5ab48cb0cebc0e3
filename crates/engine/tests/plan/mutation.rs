//! Changes to a configuration: other values, other types, numbers at their ends, odd strings, things left out or doubled.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// One change, at a place that is counted through the document.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    /// Puts another value there.
    Replace(usize, Value),
    /// Puts there what is at another place of the document.
    Copy(usize, usize),
    /// Takes it out of its object or list.
    Remove(usize),
    /// A list has it twice.
    Double(usize),
}

/// Any change; `words` are strings that mean something somewhere.
pub(crate) fn mutation(words: Vec<String>) -> impl Strategy<Value = Mutation> {
    prop_oneof![
        5 => (any::<usize>(), value(words)).prop_map(|(place, value)| Mutation::Replace(place, value)),
        2 => any::<(usize, usize)>().prop_map(|(place, from)| Mutation::Copy(place, from)),
        1 => any::<usize>().prop_map(Mutation::Remove),
        1 => any::<usize>().prop_map(Mutation::Double),
    ]
}

fn value(words: Vec<String>) -> impl Strategy<Value = Value> {
    let odd = [
        "",
        "/",
        "..",
        "../x",
        "/a/../b",
        "/proc/self/x",
        "a\0b",
        "\n",
        "-1",
        "%d",
        "0-4294967295",
        "0,0-3:1/2",
        "é\u{202e}",
    ];
    let string = prop_oneof![
        prop::sample::select(words).prop_map(Value::from),
        prop::sample::select(odd.to_vec()).prop_map(Value::from),
        ".*".prop_map(Value::from),
        (0_usize..5000).prop_map(|len| Value::from("/x".repeat(len))),
    ];
    let edges = [i64::MIN, -1001, -2, -1, 0, 1, 2, 255, 4095, 4096, 65_536, 1 << 20, 1 << 32, (1 << 32) - 1, i64::MAX];
    let number = prop_oneof![
        prop::sample::select(edges.to_vec()).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
    ];
    let other = prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(false),
        json!([]),
        json!({}),
        json!([{}]),
        json!({"": ""}),
    ]);
    prop_oneof![string, number, other]
}

/// The configuration with the changes made, one after the other.
pub(crate) fn mutated(config: &Value, mutations: &[Mutation]) -> Value {
    let mut config = config.clone();
    for mutation in mutations {
        let places = places(&config);
        let at = |place: &usize| &places[place % places.len()];
        match mutation {
            Mutation::Replace(place, value) => replace(&mut config, at(place), value.clone()),
            Mutation::Copy(place, from) => {
                let value = config.pointer(at(from)).cloned().unwrap_or_default();
                replace(&mut config, at(place), value);
            }
            Mutation::Remove(place) => remove(&mut config, at(place)),
            Mutation::Double(place) => double(&mut config, at(place)),
        }
    }
    config
}

/// Every place in a document, as JSON pointers.
fn places(value: &Value) -> Vec<String> {
    let below = |key: String, child: &Value| places(child).into_iter().map(move |rest| format!("/{key}{rest}"));
    let mut all = vec![String::new()];
    match value {
        Value::Array(items) => all.extend(items.iter().enumerate().flat_map(|(i, item)| below(i.to_string(), item))),
        Value::Object(members) => all.extend(members.iter().flat_map(|(key, member)| below(spec::token(key), member))),
        _ => {}
    }
    all
}

/// Strings that the documents have, and their keys.
pub(crate) fn words(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(words).collect(),
        Value::Object(members) => {
            members.iter().flat_map(|(key, value)| [vec![key.clone()], words(value)].concat()).collect()
        }
        _ => vec![],
    }
}

fn replace(config: &mut Value, place: &str, value: Value) {
    if let Some(old) = config.pointer_mut(place) {
        *old = value;
    }
}

fn remove(config: &mut Value, place: &str) {
    let Some((parent, key)) = place.rsplit_once('/') else { return };
    match config.pointer_mut(parent) {
        Some(Value::Object(members)) => drop(members.remove(&unescaped(key))),
        Some(Value::Array(items)) => {
            drop(key.parse().ok().filter(|i| *i < items.len()).map(|i: usize| items.remove(i)))
        }
        _ => {}
    }
}

fn double(config: &mut Value, place: &str) {
    let Some((parent, key)) = place.rsplit_once('/') else { return };
    let value = config.pointer(place).cloned().unwrap_or_default();
    match config.pointer_mut(parent) {
        Some(Value::Object(members)) => also(members, &unescaped(key), value),
        Some(Value::Array(items)) => items.push(value),
        _ => {}
    }
}

/// An object has no two members of one name here; the nearest is one of another spelling.
fn also(members: &mut Map<String, Value>, key: &str, value: Value) {
    members.insert(key.replace('.', "/").to_uppercase(), value);
}

fn unescaped(key: &str) -> String {
    key.replace("~1", "/").replace("~0", "~")
}
