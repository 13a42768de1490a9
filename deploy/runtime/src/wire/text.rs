//! UTF-8 that arrives in parts.

/// The validation state of a text.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// The begun character at the end: three bytes at most.
    begun: Vec<u8>,
}

impl Text {
    /// Whether the text is still one with these bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        let joined;
        let bytes = if self.begun.is_empty() {
            bytes
        } else {
            joined = [&self.begun, bytes].concat();
            &joined
        };
        let begun = match std::str::from_utf8(bytes) {
            Ok(_) => Vec::new(),
            Err(error) if error.error_len().is_none() => bytes[error.valid_up_to()..].to_vec(),
            Err(_) => return false,
        };
        self.begun = begun;
        true
    }

    /// Whether it may end here.
    pub(super) fn is_whole(&self) -> bool {
        self.begun.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_wherever_it_is_cut() {
        let text = "aé€😀".as_bytes();
        for at in 0..=text.len() {
            let (first, second) = text.split_at(at);
            let mut known = Text::default();
            assert!(known.push(first) && known.push(second) && known.is_whole());
        }
        assert!(!Text::default().push(&[0xff]));
        let mut cut = Text::default();
        assert!(cut.push(&[0xf0, 0x9f]) && !cut.is_whole());
        assert!(!cut.push(b"a"));
    }
}
