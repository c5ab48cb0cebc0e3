//! Lists of CPUs and of memory nodes, `0-3,7` (cpuset(7), "List format").

use std::fmt;

use serde::{Deserialize, Serialize};

/// More than the kernel can be built for: 8192 CPUs, 1024 nodes.
const NUMBERS_MAX: u32 = 8192;
const WORD: u32 = u64::BITS;

/// A set of CPU or node numbers; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct NumberList {
    text: String,
    mask: Vec<u64>,
}

impl NumberList {
    /// The set as the kernel takes it: bit n%64 of word n/64 for the number n.
    pub fn mask(&self) -> &[u64] {
        &self.mask
    }
}

impl TryFrom<String> for NumberList {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut mask = Vec::new();
        for part in text.split(',') {
            let (first, last) = range(part).ok_or_else(|| format!("`{text}` is not a list like 0-3,7"))?;
            if last >= NUMBERS_MAX {
                return Err(format!("`{text}`: {last} is above {}", NUMBERS_MAX - 1));
            }
            if first > last {
                return Err(format!("`{text}`: the range {first}-{last} runs backwards"));
            }
            let words = (last / WORD) as usize + 1;
            mask.resize(words.max(mask.len()), 0);
            for number in first..=last {
                if let Some(word) = mask.get_mut((number / WORD) as usize) {
                    *word |= 1 << (number % WORD);
                }
            }
        }
        Ok(Self { text, mask })
    }
}

fn range(part: &str) -> Option<(u32, u32)> {
    let number = |text: &str| {
        let text = text.trim_ascii();
        // `parse` would take a plus sign.
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
    };
    match part.split_once('-') {
        Some((first, last)) => Some((number(first)?, number(last)?)),
        None => number(part).map(|only| (only, only)),
    }
}

impl From<NumberList> for String {
    fn from(list: NumberList) -> String {
        list.text
    }
}

impl fmt::Display for NumberList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<u64>, String> {
        NumberList::try_from(text.to_owned()).map(|list| list.mask)
    }

    #[test]
    fn numbers_and_ranges_become_bits() {
        assert_eq!(parsed("0"), Ok(vec![1]));
        assert_eq!(parsed("0-1,3"), Ok(vec![0b1011]));
        assert_eq!(parsed("63-64"), Ok(vec![1 << 63, 1]));
        assert_eq!(parsed("70, 1 - 2"), Ok(vec![0b110, 1 << 6]), "in any order, with blanks");
        assert_eq!(parsed("8191").unwrap().len(), 128);
    }

    #[test]
    fn anything_else_is_told_apart() {
        for text in ["", ",", "1,", "a", "-1", "1-", "1-2-3", "+1", "0x1", "99999999999"] {
            assert_eq!(parsed(text), Err(format!("`{text}` is not a list like 0-3,7")));
        }
        assert_eq!(parsed("3-1").unwrap_err(), "`3-1`: the range 3-1 runs backwards");
        assert_eq!(parsed("0-4294967295").unwrap_err(), "`0-4294967295`: 4294967295 is above 8191");
    }
}
