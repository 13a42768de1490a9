//! Text from elsewhere, made harmless for a terminal.

use crate::title::acts;

/// A text whose characters that control a terminal or the direction of text are escaped: titles of
/// pull requests, branches and errors come from git hosts, which check none of that.
pub(super) fn printable(text: &str) -> String {
    escaped(text, acts)
}

/// The same of a text of many lines, which may be indented by tabs.
pub(super) fn printable_lines(text: &str) -> String {
    escaped(text, |character| {
        !matches!(character, '\n' | '\t') && acts(character)
    })
}

fn escaped(text: &str, acts: impl Fn(char) -> bool) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if acts(character) {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_on_a_terminal_is_shown_as_what_it_is() {
        for (text, shown) in [
            ("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}"),
            ("two\r\nlines", "two\\r\\nlines"),
            ("csi \u{9b}2J", "csi \\u{9b}2J"),
            ("gnp\u{202e}.exe", "gnp\\u{202e}.exe"),
            ("Straße 👩\u{200d}💻 שלום", "Straße 👩\u{200d}💻 שלום"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }

    #[test]
    fn lines_and_tabs_stay_what_they_are_in_a_text_of_many_lines() {
        let lines = printable_lines("+\tone\n-\u{1b}[2Jtwo\r\n");
        assert_eq!(lines, "+\tone\n-\\u{1b}[2Jtwo\\r\n");
    }
}
