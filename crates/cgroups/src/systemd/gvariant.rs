//! Values as text: what the annotations `org.systemd.property.NAME` hold (GVariant Text Format Strings; runc's
//! systemd.md). Strings, numbers, booleans, arrays and tuples; each may have its type before it, as in `uint64 5` or `@as []`.

use super::wire::{Value, split_type};

/// The nesting of brackets that is read.
const DEEPEST: usize = 16;

/// The words for types, and how they are written in a signature.
const TYPES: [(&str, &str); 8] = [
    ("boolean", "b"),
    ("byte", "y"),
    ("int32", "i"),
    ("uint32", "u"),
    ("int64", "x"),
    ("uint64", "t"),
    ("string", "s"),
    ("objectpath", "o"),
];

/// Reads a value; the error says what is wrong with the text.
pub(crate) fn parse(text: &str) -> Result<Value, &'static str> {
    let mut parser = Parser { rest: text.trim_start(), depth: 0 };
    let value = parser.value(None)?;
    if parser.rest.is_empty() { Ok(value) } else { Err("has something after the value") }
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// A value, of the type of `wanted` if that is known.
    fn value(&mut self, wanted: Option<&str>) -> Result<Value, &'static str> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("is nested too deeply");
        }
        let value = match self.rest.chars().next() {
            Some('\'' | '"') => Self::typed_text(self.quoted()?, wanted),
            Some('[') => self.array(wanted),
            Some('(') => self.tuple(wanted),
            Some('@') => {
                let (signature, rest) = self.rest[1..].split_once([' ', '\t']).ok_or("has a type without a value")?;
                split_type(signature).filter(|(_, rest)| rest.is_empty()).ok_or("has a type that there is not")?;
                self.rest = rest.trim_start();
                self.value(Some(signature))
            }
            _ => self.word_value(wanted),
        }?;
        self.depth -= 1;
        Ok(value)
    }

    fn word_value(&mut self, wanted: Option<&str>) -> Result<Value, &'static str> {
        let word = self.word();
        if let Some((_, signature)) = TYPES.iter().find(|(name, _)| *name == word) {
            return self.value(Some(signature));
        }
        match (word, wanted) {
            ("", _) => Err("has no value where one is due"),
            ("true", None | Some("b")) => Ok(Value::Bool(true)),
            ("false", None | Some("b")) => Ok(Value::Bool(false)),
            (number, wanted) => typed_number(number, wanted.unwrap_or("i")),
        }
    }

    fn word(&mut self) -> &'a str {
        let end =
            self.rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-._".contains(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        word
    }

    fn typed_text(text: String, wanted: Option<&str>) -> Result<Value, &'static str> {
        match wanted {
            None | Some("s") => Ok(Value::String(text)),
            Some("o") => Ok(Value::Path(text)),
            Some("g") => Ok(Value::Signature(text)),
            Some(_) => Err("has a text where something else is due"),
        }
    }

    fn quoted(&mut self) -> Result<String, &'static str> {
        let quote = self.rest.chars().next();
        let mut text = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, character)) = characters.next() {
            match character {
                _ if Some(character) == quote => {
                    self.rest = self.rest[at + character.len_utf8()..].trim_start();
                    return Ok(text);
                }
                // A string of a message ends at a NUL.
                '\0' => return Err("has a NUL in a text"),
                '\\' => match characters.next().map(|(_, escaped)| escaped) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some(escaped @ ('\\' | '\'' | '"')) => text.push(escaped),
                    _ => return Err("has an escape that there is not"),
                },
                _ => text.push(character),
            }
        }
        Err("has a text without its end")
    }

    fn array(&mut self, wanted: Option<&str>) -> Result<Value, &'static str> {
        let element = match wanted {
            None => None,
            Some(wanted) => Some(wanted.strip_prefix('a').ok_or("has an array where something else is due")?),
        };
        let mut values: Vec<Value> = Vec::new();
        let mut signature = element.map(str::to_owned);
        self.items(']', |parser| {
            let value = parser.value(signature.as_deref())?;
            signature.get_or_insert_with(|| value.signature());
            values.push(value);
            Ok(())
        })?;
        let signature = signature.ok_or("has an empty array: put its type before it, as in @as []")?;
        Ok(Value::Array(signature, values))
    }

    fn tuple(&mut self, wanted: Option<&str>) -> Result<Value, &'static str> {
        const OTHER: &str = "has a tuple where something else is due";
        let mut fields = match wanted {
            None => None,
            Some(wanted) => Some(wanted.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or(OTHER)?),
        };
        let mut values = Vec::new();
        self.items(')', |parser| {
            let wanted = match fields {
                None => None,
                Some(rest) => {
                    let (one, others) = split_type(rest).ok_or(OTHER)?;
                    fields = Some(others);
                    Some(one)
                }
            };
            values.push(parser.value(wanted)?);
            Ok(())
        })?;
        if values.is_empty() || fields.is_some_and(|rest| !rest.is_empty()) {
            return Err("has a tuple with too few values");
        }
        Ok(Value::Struct(values))
    }

    /// What is between brackets, with commas between.
    fn items(
        &mut self,
        close: char,
        mut item: impl FnMut(&mut Self) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        self.rest = self.rest[1..].trim_start();
        loop {
            if let Some(rest) = self.rest.strip_prefix(close) {
                self.rest = rest.trim_start();
                return Ok(());
            }
            item(self)?;
            match self.rest.strip_prefix(',') {
                Some(rest) => self.rest = rest.trim_start(),
                None if self.rest.starts_with(close) => {}
                None => return Err("has a bracket without its end"),
            }
        }
    }
}

fn typed_number(text: &str, wanted: &str) -> Result<Value, &'static str> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = match (digits.strip_prefix("0x"), digits.strip_prefix('0').filter(|rest| !rest.is_empty())) {
        (Some(hexadecimal), _) => (hexadecimal, 16),
        (None, Some(octal)) => (octal, 8),
        (None, None) => (digits, 10),
    };
    let number = i128::from(u64::from_str_radix(digits, radix).map_err(|_| "has a word that is no value")?);
    let number = if negative { -number } else { number };
    let value = match wanted {
        "y" => number.try_into().ok().map(Value::Byte),
        "i" => number.try_into().ok().map(Value::Int32),
        "u" => number.try_into().ok().map(Value::Uint32),
        "x" => number.try_into().ok().map(Value::Int64),
        "t" => number.try_into().ok().map(Value::Uint64),
        _ => return Err("has a number where something else is due"),
    };
    value.ok_or("has a number out of its type's range")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_values() {
        let strings = |list: &[&str]| Value::strings(list);
        let pair = |name: &str, number| Value::Struct(vec![name.into(), Value::Uint64(number)]);
        for (text, value) in [
            ("'inactive-or-failed'", "inactive-or-failed".into()),
            (r#""it's \"so\"\n""#, "it's \"so\"\n".into()),
            ("true", Value::Bool(true)),
            (" 5 ", Value::Int32(5)),
            ("-0x10", Value::Int32(-16)),
            ("uint64 18446744073709551615", Value::Uint64(u64::MAX)),
            ("byte 010", Value::Byte(8)),
            ("@t 7", Value::Uint64(7)),
            ("['a', 'b',]", strings(&["a", "b"])),
            ("@as []", strings(&[])),
            ("[uint64 1, 2]", Value::Array("t".to_owned(), vec![Value::Uint64(1), Value::Uint64(2)])),
            ("@a(st) [('/dev/sda', 5)]", Value::Array("(st)".to_owned(), vec![pair("/dev/sda", 5)])),
            ("('x', uint64 1)", pair("x", 1)),
        ] {
            assert_eq!(parse(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "x",
            "'a",
            "[]",
            "[1,",
            "(1",
            "()",
            "1 2",
            "[1, 'a']",
            "byte 256",
            "uint32 -1",
            "@",
            "@a",
            "@q 1",
            "@s 1",
            "@as ['a', 1]",
            "@(ss) ('a')",
            "@(s) ('a','b')",
            "'a\\q'",
            "1.5",
            "é",
            "'\0'",
            "@\u{e9} 1",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse(&"[".repeat(100)), Err("is nested too deeply"));
    }
}
