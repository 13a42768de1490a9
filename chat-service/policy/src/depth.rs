//! How deep a policy's condition nests, counted in its text: Cedar's parser, its conversions and
//! its evaluator all recurse, so that this is known before any of them sees it.

/// Levels of one policy at most: enough for a thousand terms joined by `||`. A longer chain can be
/// written as a set.
pub(crate) const MAX_DEPTH: usize = 1000;

/// The identity and depth of a policy in a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PolicyDepth {
    /// Its `@id`, or nothing.
    pub(crate) id: String,
    /// The line that it begins in.
    pub(crate) line: usize,
    /// Levels of its syntax tree at most.
    pub(crate) depth: usize,
}

/// The text between two brackets.
#[derive(Default)]
struct Frame {
    /// `if`, `&&` and `||` since the last comma: each is a level above its operands.
    chain: usize,
    /// Prefixes, accesses and arithmetic of the operand that is read.
    local: usize,
    /// Levels of the deepest brackets in it.
    brackets: usize,
    /// Levels of the deepest operand before it.
    operand: usize,
}

impl Frame {
    fn depth(&self) -> usize {
        1 + self.chain + self.operand.max(self.local + self.brackets)
    }

    /// Takes the operand that was read among those before the next one.
    fn end_operand(&mut self) {
        self.operand = self.operand.max(self.local + self.brackets);
        self.local = 0;
        self.brackets = 0;
    }
}

/// The policies of a text, in their order. It need not be well-formed: Cedar will say what is
/// wrong.
pub(crate) fn nestings(text: &str) -> Vec<PolicyDepth> {
    let mut policies = Vec::new();
    let mut policy = PolicyDepth::default();
    let mut frames = vec![Frame::default()];
    let mut line = 1;
    let mut rest = text;
    // Whether the next literal is the policy's `@id`.
    let mut id_follows = false;
    while let Some(first) = rest.chars().next() {
        let word = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let length = match first {
            '"' => literal(rest),
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '&' | '|' if rest.starts_with("&&") || rest.starts_with("||") => 2,
            _ if word > 0 => word,
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        line += token.matches('\n').count();
        if policy.line == 0 && !(first.is_whitespace() || token.starts_with("//")) {
            policy.line = line;
        }
        let outside = frames.len() == 1;
        let Some(frame) = frames.last_mut() else {
            break;
        };
        match token {
            "(" | "[" | "{" => frames.push(Frame::default()),
            ")" | "]" | "}" if !outside => {
                let closed = frames.pop().map_or(0, |frame| frame.depth());
                if let Some(frame) = frames.last_mut() {
                    frame.brackets = frame.brackets.max(closed);
                }
            }
            "," => {
                let depth = frame.depth() - 1;
                *frame = Frame {
                    operand: depth,
                    ..Frame::default()
                };
            }
            "&&" | "||" | "if" | "then" | "else" | "when" | "unless" => {
                frame.end_operand();
                frame.chain += usize::from(!matches!(token, "then" | "else"));
            }
            "=" | "<" | ">" | "in" | "like" | "has" | "is" => frame.end_operand(),
            "." | "!" | "-" | "+" | "*" => frame.local += 1,
            "id" if policy.id.is_empty() && outside => id_follows = true,
            ";" => {
                let depth = frames.drain(..).rev().fold(0, |below, mut frame| {
                    frame.brackets = frame.brackets.max(below);
                    frame.depth()
                });
                policies.push(PolicyDepth {
                    depth,
                    ..std::mem::take(&mut policy)
                });
                frames.push(Frame::default());
            }
            _ if first == '"' && id_follows => {
                token.trim_matches('"').clone_into(&mut policy.id);
                id_follows = false;
            }
            _ => {}
        }
    }
    policies
}

/// The length of the literal that a text begins with.
fn literal(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, character)| {
        let ends = *character == '"' && !escaped;
        escaped = *character == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}
