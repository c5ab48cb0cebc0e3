//! D-Bus messages as bytes (D-Bus specification, "Type System" and "Message Protocol"): little-endian, and the types that
//! systemd's interface has.

/// The longest message (D-Bus specification, "Message Format").
const LONGEST: usize = 1 << 27;
/// How deep arrays, structures and variants may be nested; the specification allows 64.
const DEEPEST: usize = 32;

/// A value of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// `y`
    Byte(u8),
    /// `b`
    Bool(bool),
    /// `i`
    Int32(i32),
    /// `u`
    Uint32(u32),
    /// `x`
    Int64(i64),
    /// `t`
    Uint64(u64),
    /// `s`
    String(String),
    /// `o`: an object's path.
    Path(String),
    /// `g`
    Signature(String),
    /// `a`: the signature of the elements, and the elements.
    Array(String, Vec<Value>),
    /// `(…)`
    Struct(Vec<Value>),
    /// `v`
    Variant(Box<Value>),
}

impl Value {
    /// A list of strings, `as`.
    #[cfg(test)]
    pub(crate) fn strings(list: &[&str]) -> Value {
        Value::Array("s".to_owned(), list.iter().map(|text| Value::from(*text)).collect())
    }

    /// How the type is written in a signature.
    pub(crate) fn signature(&self) -> String {
        match self {
            Value::Byte(_) => "y".to_owned(),
            Value::Bool(_) => "b".to_owned(),
            Value::Int32(_) => "i".to_owned(),
            Value::Uint32(_) => "u".to_owned(),
            Value::Int64(_) => "x".to_owned(),
            Value::Uint64(_) => "t".to_owned(),
            Value::String(_) => "s".to_owned(),
            Value::Path(_) => "o".to_owned(),
            Value::Signature(_) => "g".to_owned(),
            Value::Array(element, _) => format!("a{element}"),
            Value::Struct(fields) => format!("({})", signature(fields)),
            Value::Variant(_) => "v".to_owned(),
        }
    }

    /// The text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Value::String(text) | Value::Path(text) | Value::Signature(text) => Some(text),
            Value::Variant(inner) => inner.as_text(),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.to_owned())
    }
}

/// The signature of values one after another.
pub(crate) fn signature(values: &[Value]) -> String {
    values.iter().map(Value::signature).collect()
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Call,
    Return,
    Error,
    Signal,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Call, Kind::Return, Kind::Error, Kind::Signal];
}

/// A message; members that it does not have are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) serial: u32,
    /// The call that is answered.
    pub(crate) reply_to: u32,
    pub(crate) destination: String,
    pub(crate) path: String,
    pub(crate) interface: String,
    pub(crate) member: String,
    /// The name of the error.
    pub(crate) error: String,
    pub(crate) signature: String,
    /// The values, encoded: most signals are not for us, and may have types that are not known here.
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// A call of a method.
    pub(crate) fn call(destination: &str, path: &str, interface: &str, member: &str, arguments: &[Value]) -> Message {
        let mut body = Vec::new();
        arguments.iter().for_each(|value| encode(value, &mut body));
        Message {
            kind: Kind::Call,
            serial: 0,
            reply_to: 0,
            destination: destination.to_owned(),
            path: path.to_owned(),
            interface: interface.to_owned(),
            member: member.to_owned(),
            error: String::new(),
            signature: signature(arguments),
            body,
        }
    }

    /// The bytes of the message.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let text = |code, text: &str, value: fn(String) -> Value| {
            let field = || Value::Struct(vec![Value::Byte(code), Value::Variant(Box::new(value(text.to_owned())))]);
            (!text.is_empty()).then(field)
        };
        let reply_to = Value::Struct(vec![Value::Byte(5), Value::Variant(Box::new(Value::Uint32(self.reply_to)))]);
        let fields = [
            text(1, &self.path, Value::Path),
            text(2, &self.interface, Value::String),
            text(3, &self.member, Value::String),
            text(4, &self.error, Value::String),
            (self.reply_to != 0).then_some(reply_to),
            text(6, &self.destination, Value::String),
            text(8, &self.signature, Value::Signature),
        ];
        let kind = Kind::ALL.iter().position(|kind| *kind == self.kind).map_or(0, |index| index as u8 + 1);
        let mut bytes = vec![b'l', kind, 0, 1];
        encode(&Value::Uint32(self.body.len() as u32), &mut bytes);
        encode(&Value::Uint32(self.serial), &mut bytes);
        encode(&Value::Array("(yv)".to_owned(), fields.into_iter().flatten().collect()), &mut bytes);
        pad(&mut bytes, 8);
        bytes.extend(&self.body);
        bytes
    }

    /// Takes the first message off `bytes`; nothing if it has not arrived as a whole.
    ///
    /// # Errors
    /// What came is no message.
    pub(crate) fn take(bytes: &mut Vec<u8>) -> Result<Option<Message>, &'static str> {
        const FIXED: usize = 16;
        let Some(fixed) = bytes.get(..FIXED) else { return Ok(None) };
        if fixed[0] != b'l' {
            return Err("the answer is in big-endian order");
        }
        let word = |at: usize| fixed[at..at + 4].iter().rev().fold(0usize, |word, byte| word << 8 | usize::from(*byte));
        let (body_len, serial, fields_len) = (word(4), word(8), word(12));
        let header = (FIXED + fields_len).next_multiple_of(8);
        if header + body_len > LONGEST {
            return Err("the answer is too long");
        }
        if bytes.len() < header + body_len {
            return Ok(None);
        }
        let rest = bytes.split_off(header + body_len);
        let whole = std::mem::replace(bytes, rest);
        // Of a kind that is not known yet: to be ignored (D-Bus specification, "Message Format").
        let kind = Kind::ALL.get(usize::from(whole[1]).wrapping_sub(1)).copied().unwrap_or(Kind::Signal);
        let mut message = Message { kind, serial: serial as u32, ..Message::call("", "", "", "", &[]) };
        let fields = decode("a(yv)", &whole[..header], 12).ok_or("the header of the answer is malformed")?;
        message.set_fields(fields);
        message.body = whole[header..].to_vec();
        Ok(Some(message))
    }

    fn set_fields(&mut self, fields: Vec<Value>) {
        let Some(Value::Array(_, fields)) = fields.into_iter().next() else { return };
        for field in fields {
            let Value::Struct(pair) = field else { continue };
            let [Value::Byte(code), Value::Variant(value)] = pair.as_slice() else { continue };
            let text = || value.as_text().unwrap_or_default().to_owned();
            match (code, value.as_ref()) {
                (1, _) => self.path = text(),
                (2, _) => self.interface = text(),
                (3, _) => self.member = text(),
                (4, _) => self.error = text(),
                (5, Value::Uint32(serial)) => self.reply_to = *serial,
                (6, _) => self.destination = text(),
                (8, _) => self.signature = text(),
                _ => {}
            }
        }
    }

    /// The values; none if they are not what the signature says, or of types that are not known here.
    pub(crate) fn values(&self) -> Vec<Value> {
        decode(&self.signature, &self.body, 0).unwrap_or_default()
    }
}

fn pad(bytes: &mut Vec<u8>, alignment: usize) {
    bytes.resize(bytes.len().next_multiple_of(alignment), 0);
}

/// What a type's values are aligned to.
fn alignment(type_code: u8) -> usize {
    match type_code {
        b'y' | b'g' | b'v' => 1,
        b'x' | b't' | b'd' | b'(' | b'{' => 8,
        _ => 4,
    }
}

fn encode(value: &Value, bytes: &mut Vec<u8>) {
    pad(bytes, alignment(value.signature().as_bytes()[0]));
    match value {
        Value::Byte(number) => bytes.push(*number),
        Value::Bool(flag) => bytes.extend(u32::from(*flag).to_le_bytes()),
        Value::Int32(number) => bytes.extend(number.to_le_bytes()),
        Value::Uint32(number) => bytes.extend(number.to_le_bytes()),
        Value::Int64(number) => bytes.extend(number.to_le_bytes()),
        Value::Uint64(number) => bytes.extend(number.to_le_bytes()),
        Value::String(text) | Value::Path(text) => {
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text.as_bytes());
            bytes.push(0);
        }
        Value::Signature(text) => encode_signature(text, bytes),
        Value::Array(element, values) => {
            let length_at = bytes.len();
            bytes.extend([0; 4]);
            // The padding up to the first element does not count as part of the array.
            pad(bytes, element.bytes().next().map_or(1, alignment));
            let start = bytes.len();
            values.iter().for_each(|value| encode(value, bytes));
            let length = (bytes.len() - start) as u32;
            bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
        }
        Value::Struct(fields) => fields.iter().for_each(|field| encode(field, bytes)),
        Value::Variant(inner) => {
            encode_signature(&inner.signature(), bytes);
            encode(inner, bytes);
        }
    }
}

fn encode_signature(text: &str, bytes: &mut Vec<u8>) {
    bytes.push(text.len() as u8);
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

/// The values of a signature, from `at` on; none if the bytes do not hold them or a type is not known.
fn decode(signature: &str, bytes: &[u8], at: usize) -> Option<Vec<Value>> {
    let mut decoder = Decoder { bytes, at, depth: 0 };
    let mut rest = signature;
    let mut values = Vec::new();
    while !rest.is_empty() {
        let (one, others) = split_type(rest)?;
        values.push(decoder.value(one)?);
        rest = others;
    }
    Some(values)
}

/// Splits the first complete type off a signature.
pub(crate) fn split_type(signature: &str) -> Option<(&str, &str)> {
    let arrays = signature.bytes().take_while(|byte| *byte == b'a').count();
    let mut depth = 0usize;
    for (index, byte) in signature.bytes().enumerate().skip(arrays) {
        match byte {
            b'(' | b'{' => depth += 1,
            b')' | b'}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return signature.split_at_checked(index + 1);
        }
    }
    None
}

struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl Decoder<'_> {
    fn value(&mut self, signature: &str) -> Option<Value> {
        self.depth += 1;
        let code = *signature.as_bytes().first().filter(|_| self.depth <= DEEPEST)?;
        self.at = self.at.next_multiple_of(alignment(code));
        let value = match code {
            b'y' => Value::Byte(self.take(1)?[0]),
            b'b' => Value::Bool(self.word()? != 0),
            b'i' => Value::Int32(self.word()? as i32),
            b'u' => Value::Uint32(self.word()?),
            b'x' => Value::Int64(self.long()? as i64),
            b't' => Value::Uint64(self.long()?),
            b's' => Value::String(self.text()?),
            b'o' => Value::Path(self.text()?),
            b'g' => Value::Signature(self.signature()?),
            b'v' => {
                let inner = self.signature()?;
                Value::Variant(Box::new(self.value(&inner)?))
            }
            b'(' => self.structure(signature)?,
            b'a' => self.array(&signature[1..])?,
            _ => return None,
        };
        self.depth -= 1;
        Some(value)
    }

    fn structure(&mut self, signature: &str) -> Option<Value> {
        let mut rest = signature.strip_prefix('(')?.strip_suffix(')')?;
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let (one, others) = split_type(rest)?;
            fields.push(self.value(one)?);
            rest = others;
        }
        Some(Value::Struct(fields))
    }

    fn array(&mut self, element: &str) -> Option<Value> {
        let length = self.word()? as usize;
        self.at = self.at.next_multiple_of(alignment(*element.as_bytes().first()?));
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let mut values = Vec::new();
        while self.at < end {
            let before = self.at;
            values.push(self.value(element)?);
            // An empty structure takes no room, and would be read for ever.
            (self.at > before).then_some(())?;
        }
        Some(Value::Array(element.to_owned(), values))
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn word(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn long(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<String> {
        let length = self.word()? as usize;
        self.terminated(length)
    }

    fn signature(&mut self) -> Option<String> {
        let length = self.take(1)?[0];
        self.terminated(length.into())
    }

    fn terminated(&mut self, length: usize) -> Option<String> {
        let text = String::from_utf8(self.take(length)?.to_vec()).ok()?;
        self.take(1)?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call of `NameHasOwner` with one string, laid out by hand after the specification.
    const CALL: &[u8] = b"l\x01\x00\x01\x0a\x00\x00\x00\x02\x00\x00\x00\x7f\x00\x00\x00\
        \x01\x01o\x00\x15\x00\x00\x00/org/freedesktop/DBus\x00\x00\x00\
        \x02\x01s\x00\x14\x00\x00\x00org.freedesktop.DBus\x00\x00\x00\x00\
        \x03\x01s\x00\x0c\x00\x00\x00NameHasOwner\x00\x00\x00\x00\
        \x06\x01s\x00\x14\x00\x00\x00org.freedesktop.DBus\x00\x00\x00\x00\
        \x08\x01g\x00\x01s\x00\x00\
        \x05\x00\x00\x00a.b.c\x00";

    fn call() -> Message {
        let bus = "org.freedesktop.DBus";
        Message { serial: 2, ..Message::call(bus, "/org/freedesktop/DBus", bus, "NameHasOwner", &["a.b.c".into()]) }
    }

    #[test]
    fn a_call_is_these_bytes_and_is_read_back() {
        assert_eq!(call().to_bytes().escape_ascii().to_string(), CALL.escape_ascii().to_string());
        let mut bytes = [CALL, CALL, b"l"].concat();
        assert_eq!(Message::take(&mut bytes), Ok(Some(call())));
        assert_eq!(Message::take(&mut bytes), Ok(Some(call())));
        assert_eq!((Message::take(&mut bytes), bytes), (Ok(None), b"l".to_vec()));
    }

    #[test]
    fn a_message_that_is_cut_or_damaged_never_panics() {
        for length in 0..CALL.len() {
            assert_eq!(Message::take(&mut CALL[..length].to_vec()), Ok(None), "{length}");
        }
        for at in 0..CALL.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut bytes = CALL.to_vec();
                bytes[at] = byte;
                drop(Message::take(&mut bytes).map(|message| message.map(|message| message.values())));
            }
        }
    }

    #[test]
    fn every_type_is_aligned_and_read_back() {
        let values = vec![
            Value::Byte(7),
            Value::Bool(true),
            Value::Byte(8),
            Value::Int32(-2),
            Value::Uint64(u64::MAX),
            Value::Int64(-3),
            Value::Path("/a".to_owned()),
            Value::strings(&["x", ""]),
            Value::Array("(st)".to_owned(), vec![Value::Struct(vec!["/dev".into(), Value::Uint64(9)])]),
            Value::Array("t".to_owned(), Vec::new()),
            Value::Variant(Box::new(Value::Array("y".to_owned(), vec![Value::Byte(1), Value::Byte(2)]))),
            Value::Uint32(5),
        ];
        let message = Message::call("", "/", "", "m", &values);
        assert_eq!(message.signature, "ybyitxoasa(st)atvu");
        assert_eq!(message.values(), values);
        let mut nested = Vec::new();
        encode(&Value::Array("(st)".to_owned(), vec![Value::Struct(vec!["ab".into(), Value::Uint64(1)])]), &mut nested);
        let expected = b"\x10\0\0\0\0\0\0\0\x02\0\0\0ab\0\0\x01\0\0\0\0\0\0\0".to_vec();
        // The string takes 7 bytes, the number begins at the next multiple of 8.
        assert_eq!(nested[8..], expected[8..]);
    }

    #[test]
    fn signatures_are_split_into_complete_types() {
        assert_eq!(split_type("a(sv)s"), Some(("a(sv)", "s")));
        assert_eq!(split_type("aast"), Some(("aas", "t")));
        assert_eq!(split_type("((s)u)"), Some(("((s)u)", "")));
        for odd in ["", "a", "(s", ")", "é"] {
            assert!(split_type(odd).is_none() || decode(odd, &[0; 64], 0).is_none(), "{odd}");
        }
    }
}
