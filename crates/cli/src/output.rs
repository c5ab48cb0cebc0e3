//! Standard output, written so that a full disk or a closed pipe is an error and not a silent success.

use std::io::{self, Write};

use rustix::io::Errno;

use crate::Error;

/// Writes all of `bytes`, unbuffered.
pub fn print(bytes: &[u8]) -> Result<(), Error> {
    Stdout.write_all(bytes).map_err(|error| Error::Output(error.into()))
}

/// Writes `value` as indented JSON with a final newline.
pub fn print_json(value: &impl serde::Serialize) -> Result<(), Error> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    print(&text)
}

/// Writes `value` as one line of JSON.
pub fn print_json_line(value: &impl serde::Serialize) -> Result<(), Error> {
    let mut text = serde_json::to_vec(value)?;
    text.push(b'\n');
    print(&text)
}

/// A table: columns as wide as their widest cell, three spaces apart and at least twelve wide.
pub fn table<const N: usize>(heading: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut rows: Vec<[String; N]> = rows.into_iter().collect();
    rows.insert(0, heading.map(str::to_owned));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count() + 3).max().unwrap_or(0).max(12);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(widths) {
            text.push_str(&format!("{cell:width$}"));
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// The descriptor itself: `std::io::Stdout` takes EBADF for success and splits the text at newlines.
struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if sys::stdio::output_was_closed() {
            return Err(Errno::BADF.into());
        }
        loop {
            match rustix::io::write(rustix::stdio::stdout(), bytes) {
                Err(Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
