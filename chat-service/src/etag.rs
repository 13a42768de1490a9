//! Etags: which state of a chat a caller has read, so that a write can say that it still holds.

use std::fmt;

use jiff::Timestamp;

/// The state of what `UpdateChat` changes of a chat: title, status, labels, archiving. All of them
/// move `updated_at`, always forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Etag(i64);

impl Etag {
    /// Of a chat that was updated last then.
    #[must_use]
    pub fn of(updated_at: Timestamp) -> Self {
        Self(updated_at.as_microsecond())
    }

    /// From a request. A text that is no etag of this service is that of no chat.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let microseconds = text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .and_then(|digits| i64::from_str_radix(digits, 16).ok())
            .filter(|microseconds| Self(*microseconds).to_string() == text);
        Self(microseconds.unwrap_or(i64::MIN))
    }

    /// `updated_at` in microseconds since 1970, as statements compare it.
    #[must_use]
    pub fn microseconds(self) -> i64 {
        self.0
    }
}

/// In quotes, as HTTP has it.
impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{:x}\"", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_reads_back_and_no_other_text_is_one() {
        let etag = Etag::of(Timestamp::from_microsecond(1_700_000_000_123_456).unwrap());
        let text = etag.to_string();
        assert_eq!(Etag::parse(&text), etag);
        let bare = text.trim_matches('"');
        let upper = text.to_uppercase();
        let padded = format!("\"0{bare}\"");
        let signed = format!("\"+{bare}\"");
        for other in ["", "*", "\"\"", "\"x\"", bare, &upper, &padded, &signed] {
            assert_ne!(Etag::parse(other), etag, "{other}");
        }
    }
}
