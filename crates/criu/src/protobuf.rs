//! The wire format of Protocol Buffers, as far as CRIU's messages use it: numbers as varints, and bytes with their length
//! (protobuf.dev, "Encoding"). The numbers of the fields are those of CRIU's `images/rpc.proto`.

const VARINT: u64 = 0;
const LENGTH: u64 = 2;

/// A message that is being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// Adds a number, which is also what a bool and an enum are.
    pub(crate) fn number(&mut self, field: u32, value: i64) -> &mut Message {
        self.varint(u64::from(field) << 3 | VARINT);
        // An int32 that is negative takes ten bytes as well.
        self.varint(value.cast_unsigned());
        self
    }

    /// Adds a string, or another message's bytes.
    pub(crate) fn bytes(&mut self, field: u32, value: &[u8]) -> &mut Message {
        self.varint(u64::from(field) << 3 | LENGTH);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// What a field of a received message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a received message, up to its end or to what is no field. Those of other kinds are left out: CRIU has none,
/// and what a later one adds is nothing that we asked for.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<(u64, Value<'a>)> {
        loop {
            let key = self.varint()?;
            let value = match key & 7 {
                VARINT => Value::Number(self.varint()?),
                LENGTH => {
                    let length = usize::try_from(self.varint()?).ok()?;
                    Value::Bytes(self.take(length)?)
                }
                kind => {
                    self.take(match kind {
                        1 => 8,
                        5 => 4,
                        _ => return None,
                    })?;
                    continue;
                }
            };
            return Some((key >> 3, value));
        }
    }
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_formats_own_examples() {
        assert_eq!(Message::default().number(1, 150).as_bytes(), [0x08, 0x96, 0x01]);
        assert_eq!(Message::default().bytes(2, b"testing").as_bytes(), b"\x12\x07testing");
    }

    #[test]
    fn what_is_written_is_read() {
        let mut message = Message::default();
        message.number(1, -1).bytes(300, b"").number(16, i64::MAX).bytes(2, &[7; 200]);
        let fields: Vec<_> = Fields(message.as_bytes()).collect();
        let expected = [
            (1, Value::Number(u64::MAX)),
            (300, Value::Bytes(b"")),
            (16, Value::Number(i64::MAX as u64)),
            (2, Value::Bytes(&[7; 200])),
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn any_bytes_come_to_an_end() {
        let mut message = Message::default();
        message.number(1, 5).bytes(2, b"abc");
        for end in 0..message.as_bytes().len() {
            assert!(Fields(&message.as_bytes()[..end]).count() <= 1);
        }
        assert_eq!(Fields(&[0xff; 40]).next(), None);
        assert_eq!(Fields(b"\x09\0\0\0\0\0\0\0\0\x08\x01").next(), Some((1, Value::Number(1))));
    }
}
