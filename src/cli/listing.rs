//! What an operator asked to see: a table that fits the terminal, or JSON lines.

use std::io::{self, BufWriter, Write};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde::Serialize;

use super::{Exit, Stop};

/// The width where there is no terminal to ask.
const WIDTH: u16 = 80;
/// Spaces after a column.
const PADDING: u16 = 2;

/// How a column is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    /// Wrapped where it is too wide.
    Text(&'static str),
    /// Never wrapped: what is copied, such as a hash.
    Whole(&'static str),
    /// Wrapped to so many characters.
    Fixed(&'static str, usize),
    /// Never wrapped, and to the right.
    Number(&'static str),
}

impl Column {
    fn name(self) -> &'static str {
        match self {
            Self::Text(name) | Self::Whole(name) | Self::Fixed(name, _) | Self::Number(name) => {
                name
            }
        }
    }
}

/// Rows under a header, as wide as the terminal at most; without one where the columns have no names.
pub(super) fn table(columns: &[Column], rows: Vec<Vec<String>>, width: u16) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width);
    if columns.iter().any(|column| !column.name().is_empty()) {
        table.set_header(columns.iter().map(|column| column.name()));
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell)));
    }
    for (index, column) in columns.iter().enumerate() {
        let Some(shown) = table.column_mut(index) else {
            continue;
        };
        shown.set_padding((0, PADDING));
        match column {
            Column::Text(_) => {}
            Column::Fixed(_, width) => {
                let width = u16::try_from(*width)
                    .unwrap_or(u16::MAX)
                    .saturating_add(PADDING);
                shown.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
            }
            Column::Whole(_) => {
                shown.set_constraint(ColumnConstraint::ContentWidth);
            }
            Column::Number(_) => {
                shown.set_constraint(ColumnConstraint::ContentWidth);
                shown.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table.trim_fmt()
}

/// The width of the terminal: `COLUMNS` where it is set, or what the terminal says.
pub(super) fn width() -> u16 {
    let set = std::env::var("COLUMNS").ok();
    set.and_then(|columns| columns.parse().ok())
        .filter(|columns| *columns > 0)
        .or_else(|| {
            let (width, _) = terminal_size::terminal_size_of(io::stdout())?;
            Some(width.0)
        })
        .unwrap_or(WIDTH)
}

/// Prints a table; nothing but its header where there are no rows.
pub(super) fn print_table(columns: &[Column], rows: Vec<Vec<String>>) -> Result<(), Stop> {
    let text = table(columns, rows, width());
    print(|out| writeln!(out, "{text}"))
}

/// Prints each value as a JSON line.
pub(super) fn print_json(values: impl IntoIterator<Item = impl Serialize>) -> Result<(), Stop> {
    print(|out| {
        for value in values {
            serde_json::to_writer(&mut *out, &value)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })
}

/// Writes to stdout. That its reader has gone needs no words.
pub(super) fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Stop> {
    let mut out = BufWriter::new(io::stdout().lock());
    let written = write(&mut out).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Stop::silent(Exit::Failed),
        _ => Stop::new(Exit::Failed, format!("stdout can't be written to: {error}")),
    })
}

/// A text from outside, without what could steer a terminal. Our own line ends stay.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| *c == '\n' || !c.is_control())
        .collect()
}

/// A part of a whole, in percent.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let share = part as f64 * 100.0 / whole as f64;
    format!("{share:.1}%")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        let detail = "a long detail of many words ".repeat(5);
        vec![
            vec!["a".repeat(40), "7".into(), detail],
            vec!["b".repeat(40), "1234".into(), "\x1b[31mred\x07".into()],
        ]
    }

    const COLUMNS: [Column; 3] = [
        Column::Whole("INFOHASH"),
        Column::Number("TRIES"),
        Column::Text("DETAIL"),
    ];

    #[test]
    fn a_table_keeps_to_the_width_and_hashes_stay_whole() {
        for width in [70, 80, 120, 300] {
            let table = table(&COLUMNS, rows(), width);
            for line in table.lines() {
                assert!(line.chars().count() <= width.into(), "{width}: {line:?}");
            }
            assert!(table.contains(&"a".repeat(40)), "{table}");
            assert!(table.contains("   7  "), "numbers to the right: {table}");
        }
    }

    #[test]
    fn what_could_steer_the_terminal_is_left_out() {
        let table = table(&COLUMNS, rows(), 200);
        assert!(table.contains("[31mred"), "{table}");
        assert!(!table.contains('\x1b') && !table.contains('\x07'));
    }

    #[test]
    fn a_share_of_nothing_is_none() {
        assert_eq!(percent(1, 3), "33.3%");
        assert_eq!(percent(0, 0), "-");
    }
}
