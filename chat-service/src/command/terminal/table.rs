//! Columns of text.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr as _;

use super::printable::printable;

/// The gap between two columns.
const GAP: &str = "  ";
/// Marks a text that was cut.
const CUT: char = '…';

/// A colour of the terminal's own palette.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Color {
    Red,
    Green,
    Yellow,
    Purple,
    Cyan,
    Gray,
}

impl Color {
    /// Its parameter of the escape sequence "select graphic rendition".
    fn code(self) -> u8 {
        match self {
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Purple => 35,
            Self::Cyan => 36,
            Self::Gray => 90,
        }
    }
}

/// One cell. Its text has no character that acts on a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    text: String,
    color: Option<Color>,
}

impl Cell {
    pub(super) fn new(text: impl AsRef<str>) -> Self {
        Self {
            text: printable(text.as_ref()),
            color: None,
        }
    }

    pub(super) fn colored(text: impl AsRef<str>, color: Option<Color>) -> Self {
        Self {
            color,
            ..Self::new(text)
        }
    }

    #[cfg(test)]
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// A column: its head, and between which widths it grows. The last one of a table is as wide as
/// need be.
pub(super) struct TableColumn {
    pub(super) head: &'static str,
    pub(super) least: usize,
    pub(super) most: usize,
}

/// A table that is printed as its rows come. Its columns grow with them and never shrink.
pub(super) struct TextTable {
    columns: &'static [TableColumn],
    widths: Vec<usize>,
    colors: bool,
    begun: bool,
}

impl TextTable {
    pub(super) fn new(columns: &'static [TableColumn], colors: bool) -> Self {
        let widths = columns
            .iter()
            .map(|column| column.least.max(column.head.width()))
            .collect();
        Self {
            columns,
            widths,
            colors,
            begun: false,
        }
    }

    /// Whether it has a row.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Prints rows, and the heads before the first one.
    pub(super) fn write(&mut self, out: &mut dyn Write, rows: &[Vec<Cell>]) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        for row in rows {
            for ((cell, column), width) in row.iter().zip(self.columns).zip(&mut self.widths) {
                *width = cell.text.width().min(column.most).max(*width);
            }
        }
        if !self.begun {
            self.begun = true;
            let heads = self.columns.iter().map(|column| Cell::new(column.head));
            let heads: Vec<_> = heads.collect();
            self.line(out, &heads)?;
        }
        for row in rows {
            self.line(out, row)?;
        }
        Ok(())
    }

    fn line(&self, out: &mut dyn Write, row: &[Cell]) -> io::Result<()> {
        let mut line = String::new();
        // Written once something follows it: no line ends in blanks.
        let mut blanks = String::new();
        let last = self.columns.len().saturating_sub(1);
        for (index, (cell, width)) in row.iter().zip(&self.widths).enumerate() {
            let text = if index == last {
                cell.text.clone()
            } else {
                cut(&cell.text, *width)
            };
            let missing = width.saturating_sub(text.width());
            if !text.is_empty() {
                line.push_str(&blanks);
                blanks.clear();
            }
            match cell.color.filter(|_| self.colors && !text.is_empty()) {
                Some(color) => line.push_str(&format!("\u{1b}[{}m{text}\u{1b}[0m", color.code())),
                None => line.push_str(&text),
            }
            blanks.push_str(&" ".repeat(missing));
            blanks.push_str(GAP);
        }
        writeln!(out, "{line}")
    }
}

/// A text of at most `width` columns of the terminal.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = text.to_owned();
    while cut.width() >= width {
        cut.pop();
    }
    cut.push(CUT);
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[TableColumn] = &[
        TableColumn {
            head: "WORD",
            least: 0,
            most: 8,
        },
        TableColumn {
            head: "REST",
            least: 0,
            most: 4,
        },
        TableColumn {
            head: "LAST",
            least: 0,
            most: 4,
        },
    ];

    fn printed(colors: bool, pages: &[Vec<Vec<Cell>>]) -> String {
        let mut table = TextTable::new(COLUMNS, colors);
        let mut out = Vec::new();
        for page in pages {
            table.write(&mut out, page).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_line_up_by_what_a_terminal_shows_and_what_is_too_wide_is_cut() {
        let page = vec![
            vec![
                Cell::new("漢字"),
                Cell::new("x"),
                Cell::new("as long as it is"),
            ],
            vec![Cell::new("far too long"), Cell::new(""), Cell::new("")],
            vec![
                Cell::new("👩\u{200d}💻"),
                Cell::new("\u{1b}"),
                Cell::new("y"),
            ],
        ];
        assert_eq!(
            printed(false, &[page]),
            "WORD      REST  LAST\n\
             漢字      x     as long as it is\n\
             far too…\n\
             👩\u{200d}💻        \\u{…  y\n"
        );
    }

    #[test]
    fn columns_grow_with_later_pages_and_colours_are_no_part_of_the_width() {
        let page = |text: &str| {
            let word = Cell::colored(text, Some(Color::Green));
            vec![vec![word, Cell::new("r"), Cell::new("l")]]
        };
        assert_eq!(
            printed(true, &[page("a"), page("longer"), Vec::new(), page("b")]),
            "WORD  REST  LAST\n\
             \u{1b}[32ma\u{1b}[0m     r     l\n\
             \u{1b}[32mlonger\u{1b}[0m  r     l\n\
             \u{1b}[32mb\u{1b}[0m       r     l\n"
        );
        assert_eq!(printed(true, &[]), "");
    }
}
