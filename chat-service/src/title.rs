//! Titles of chats.

use std::ops::RangeInclusive;

use crate::chat::MAX_TITLE_CHARS;

/// Characters that show nothing, beside white space and controls: Unicode's
/// `Default_Ignorable_Code_Point` and the blanks that are no white space.
const INVISIBLE: [RangeInclusive<char>; 18] = [
    '\u{ad}'..='\u{ad}',
    '\u{34f}'..='\u{34f}',
    '\u{61c}'..='\u{61c}',
    '\u{115f}'..='\u{1160}',
    '\u{17b4}'..='\u{17b5}',
    '\u{180b}'..='\u{180f}',
    '\u{200b}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{2800}'..='\u{2800}',
    '\u{3164}'..='\u{3164}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{ffa0}'..='\u{ffa0}',
    '\u{fff0}'..='\u{fffb}',
    '\u{1bca0}'..='\u{1bca3}',
    '\u{1d173}'..='\u{1d17a}',
    '\u{e0000}'..='\u{e0fff}',
];
/// Characters that change the direction of what follows them, beyond the title: embeddings,
/// overrides and isolates.
const REORDERING: [RangeInclusive<char>; 2] = ['\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}'];

fn in_some(ranges: &[RangeInclusive<char>], character: char) -> bool {
    ranges.iter().any(|range| range.contains(&character))
}

/// Whether a character does something to the terminal, or to the direction of the text around it.
pub(crate) fn acts(character: char) -> bool {
    character.is_control() || in_some(&REORDERING, character)
}

/// A title, without white space at its ends.
///
/// # Errors
///
/// The problem: the title is blank, is too long, or holds characters that affect the terminal or
/// the surrounding text.
pub fn parse_title(text: &str) -> Result<String, String> {
    let text = text.trim();
    let shows = |character: char| {
        !character.is_whitespace() && !character.is_control() && !in_some(&INVISIBLE, character)
    };
    if !text.chars().any(shows) {
        return Err("must not be empty, nor only of characters that show nothing".to_owned());
    }
    if text.chars().count() > MAX_TITLE_CHARS {
        return Err(format!("has more than {MAX_TITLE_CHARS} characters"));
    }
    if let Some(character) = text.chars().find(|character| acts(*character)) {
        let code = u32::from(character);
        return Err(format!(
            "must not contain the control character U+{code:04X}"
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_shows_something_and_does_nothing_to_the_text_around_it() {
        for (text, title) in [
            (" Fix the build ", "Fix the build"),
            ("\u{202f}a\u{a0}", "a"),
            ("שלום \u{200f}עולם", "שלום \u{200f}עולם"),
            ("👩\u{200d}💻", "👩\u{200d}💻"),
            ("zero\u{200b}width", "zero\u{200b}width"),
        ] {
            assert_eq!(parse_title(text).as_deref(), Ok(title));
        }
        let empty = "must not be empty, nor only of characters that show nothing";
        for text in [
            "",
            " \t\n",
            "\u{200b}",
            "\u{200b} \u{feff}\u{2060}",
            "\u{3164}",
            "\u{ad}",
            "\u{1b}\u{7}",
        ] {
            assert_eq!(parse_title(text), Err(empty.to_owned()), "{text:?}");
        }
        for (text, code) in [
            ("a\u{1b}[31mred", "U+001B"),
            ("two\nlines", "U+000A"),
            ("nul\0", "U+0000"),
            ("c1\u{9b}", "U+009B"),
            ("over\u{202e}ride", "U+202E"),
            ("iso\u{2066}late", "U+2066"),
        ] {
            let problem = format!("must not contain the control character {code}");
            assert_eq!(parse_title(text), Err(problem));
        }
        let long = "x".repeat(MAX_TITLE_CHARS + 1);
        assert_eq!(
            parse_title(&long),
            Err("has more than 200 characters".to_owned())
        );
    }
}
