//! Reads a body byte by byte, as gRPC and protobuf write it, and keeps nothing but where it is.

use std::sync::Arc;

use super::{Kind, Shapes, text::Text};

/// Messages within one another at most, as prost has it.
const MAX_DEPTH: usize = 100;
/// Bytes of a varint at most.
const MAX_VARINT_BYTES: u32 = 10;

/// The fault of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A message has more bytes than this.
    TooLarge(usize),
    /// A list has more elements than this.
    TooMany {
        /// Path of the list, as in `budget.windows`.
        field: String,
        /// How many it may have.
        most: usize,
    },
    /// The bytes are no message of the method's request type.
    Malformed {
        /// Path of the field, where it is known.
        field: Option<String>,
        /// The problem.
        problem: &'static str,
    },
}

/// Scans one body.
#[derive(Debug)]
pub struct Scanner {
    shapes: Arc<Shapes>,
    /// Shape of each of the body's messages.
    message: usize,
    /// Bytes of each of them at most.
    most: usize,
    /// Bytes of the present message so far.
    at: usize,
    /// The present message, and the ones within it that are open, outermost first.
    open: Vec<Open>,
    state: State,
}

/// A message that has begun.
#[derive(Debug)]
struct Open {
    message: usize,
    /// Number of its field in the message around it.
    field: u32,
    /// Where it ends.
    end: usize,
    /// Elements so far, by field.
    counts: Vec<(u32, usize)>,
}

#[derive(Debug)]
enum State {
    /// gRPC's five bytes before a message.
    Head(Vec<u8>),
    /// Number and form of a field.
    Key(Varint),
    /// A number.
    Number(Varint),
    /// How long the field's value is.
    Length(Varint, u32),
    /// The value of a field: the bytes left of it, how it is checked, and the field's number.
    Value(usize, Value, u32),
}

#[derive(Debug)]
enum Value {
    Any,
    Text(Text),
    /// Varints in a row.
    Packed,
}

#[derive(Debug, Default)]
struct Varint {
    value: u64,
    bytes: u32,
}

impl Varint {
    /// The number, when this was its last byte.
    fn push(&mut self, byte: u8) -> Result<Option<u64>, Fault> {
        if self.bytes == MAX_VARINT_BYTES {
            return Err(malformed("a number is too long"));
        }
        self.value |= u64::from(byte & 0x7f) << (7 * self.bytes).min(63);
        self.bytes += 1;
        Ok((byte & 0x80 == 0).then_some(self.value))
    }
}

fn malformed(problem: &'static str) -> Fault {
    Fault::Malformed {
        field: None,
        problem,
    }
}

impl Scanner {
    /// Of a body with messages of this name, as in `.chat.v1.GetChatRequest`, each of `most` bytes
    /// at most. `None` if there is no such message.
    #[must_use]
    pub fn of(shapes: &Arc<Shapes>, message: &str, most: usize) -> Option<Self> {
        let found = shapes.find(message)?;
        Some(Self::new(Arc::clone(shapes), found, most))
    }

    /// Of a body with messages of this shape, each of `most` bytes at most.
    pub(crate) fn new(shapes: Arc<Shapes>, message: usize, most: usize) -> Self {
        Self {
            shapes,
            message,
            most,
            at: 0,
            open: Vec::new(),
            state: State::Head(Vec::new()),
        }
    }

    /// Goes on with these bytes.
    ///
    /// # Errors
    ///
    /// [`Fault`]; then the rest of the body is of no interest.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while let [byte, rest @ ..] = bytes {
            if let State::Value(left, ..) = self.state {
                let (value, rest) = bytes.split_at(left.min(bytes.len()));
                self.value(value)?;
                bytes = rest;
            } else {
                self.byte(*byte)?;
                bytes = rest;
            }
            self.close()?;
        }
        Ok(())
    }

    /// The body has ended.
    ///
    /// # Errors
    ///
    /// When a message has begun and not ended.
    pub fn finish(&self) -> Result<(), Fault> {
        if matches!(&self.state, State::Head(head) if head.is_empty()) {
            Ok(())
        } else {
            Err(malformed("the request ends too early"))
        }
    }

    fn byte(&mut self, byte: u8) -> Result<(), Fault> {
        match &mut self.state {
            State::Head(head) => {
                head.push(byte);
                let [compressed, length @ ..] = head.as_slice() else {
                    return Ok(());
                };
                let compressed = *compressed;
                let Ok(length) = <[u8; 4]>::try_from(length) else {
                    return Ok(());
                };
                return self.begin(compressed, u32::from_be_bytes(length));
            }
            State::Key(key) => {
                let key = key.push(byte)?;
                self.at += 1;
                if let Some(key) = key {
                    self.state = self.keyed(key)?;
                }
            }
            State::Number(number) => {
                let number = number.push(byte)?;
                self.at += 1;
                if number.is_some() {
                    self.state = State::Key(Varint::default());
                }
            }
            State::Length(length, field) => {
                let field = *field;
                let length = length.push(byte)?;
                self.at += 1;
                if let Some(length) = length {
                    self.measured(field, length)?;
                }
            }
            State::Value(..) => {}
        }
        Ok(())
    }

    /// A message of the body begins.
    fn begin(&mut self, compressed: u8, length: u32) -> Result<(), Fault> {
        if compressed != 0 {
            return Err(malformed(
                "the message is compressed, and its encoding is not said",
            ));
        }
        let end = usize::try_from(length).unwrap_or(usize::MAX);
        if end > self.most {
            return Err(Fault::TooLarge(self.most));
        }
        self.at = 0;
        self.enter(self.message, 0, end)
    }

    fn enter(&mut self, message: usize, field: u32, end: usize) -> Result<(), Fault> {
        if self.open.len() == MAX_DEPTH {
            return Err(malformed("messages are nested too deeply"));
        }
        self.open.push(Open {
            message,
            field,
            end,
            counts: Vec::new(),
        });
        self.state = State::Key(Varint::default());
        Ok(())
    }

    /// Enters the field of this key.
    fn keyed(&mut self, key: u64) -> Result<State, Fault> {
        let number =
            u32::try_from(key >> 3).map_err(|_| malformed("a field's number is too large"))?;
        if number == 0 {
            return Err(malformed("a field has the number 0"));
        }
        let known = self.open.last().and_then(|open| {
            let field = self.shapes.field(open.message, number)?;
            Some((field.kind, field.most.is_some()))
        });
        let form = key & 7;
        if let Some((kind, listed)) = known {
            let fits = match kind {
                Kind::Varint => form == 0,
                Kind::Eight => form == 1,
                Kind::Four => form == 5,
                Kind::Text | Kind::Bytes | Kind::Message(_) => form == 2,
            };
            let packed = form == 2 && listed;
            if !fits && !packed {
                return Err(self.malformed(number, "the value has another type"));
            }
            if listed && fits {
                self.count(number, 1)?;
            }
        }
        match form {
            0 => Ok(State::Number(Varint::default())),
            1 => Ok(State::Value(8, Value::Any, number)),
            2 => Ok(State::Length(Varint::default(), number)),
            5 => Ok(State::Value(4, Value::Any, number)),
            _ => Err(malformed("a field is written in a form that is not known")),
        }
    }

    /// The value of this field has this length.
    fn measured(&mut self, number: u32, length: u64) -> Result<(), Fault> {
        let Some(open) = self.open.last() else {
            return Ok(());
        };
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| self.at.checked_add(length))
            .filter(|end| *end <= open.end)
            .ok_or_else(|| self.malformed(number, "the value is longer than what it is part of"))?;
        let left = end - self.at;
        let (value, elements) = match self
            .shapes
            .field(open.message, number)
            .map(|field| field.kind)
        {
            Some(Kind::Message(message)) => return self.enter(message, number, end),
            Some(Kind::Text) => (Value::Text(Text::default()), 0),
            Some(Kind::Varint) => (Value::Packed, 0),
            Some(Kind::Four) => (Value::Any, left / 4),
            Some(Kind::Eight) => (Value::Any, left / 8),
            Some(Kind::Bytes) | None => (Value::Any, 0),
        };
        self.state = State::Value(left, value, number);
        self.count(number, elements)
    }

    /// A part of the present value.
    fn value(&mut self, part: &[u8]) -> Result<(), Fault> {
        let State::Value(left, value, number) = &mut self.state else {
            return Ok(());
        };
        let number = *number;
        self.at += part.len();
        *left -= part.len();
        let whole = *left == 0;
        let mut elements = 0;
        let fits = match value {
            Value::Any => true,
            Value::Text(text) => text.push(part) && (!whole || text.is_whole()),
            Value::Packed => {
                elements = part.iter().filter(|byte| **byte & 0x80 == 0).count();
                true
            }
        };
        if !fits {
            return Err(self.malformed(number, "is not UTF-8"));
        }
        self.count(number, elements)
    }

    /// Counts `more` elements of this field, and holds their number against its bound.
    fn count(&mut self, number: u32, more: usize) -> Result<(), Fault> {
        let Some(open) = self.open.last_mut() else {
            return Ok(());
        };
        let most = self.shapes.field(open.message, number);
        let Some(most) = most.and_then(|field| field.most) else {
            return Ok(());
        };
        let count = match open.counts.iter_mut().find(|(field, _)| *field == number) {
            Some((_, count)) => {
                *count += more;
                *count
            }
            None => {
                open.counts.push((number, more));
                more
            }
        };
        if count > most {
            let field = self.path(number);
            return Err(Fault::TooMany { field, most });
        }
        Ok(())
    }

    /// Closes what ends here.
    fn close(&mut self) -> Result<(), Fault> {
        if let State::Value(0, ..) = self.state {
            self.state = State::Key(Varint::default());
        }
        while let Some(open) = self.open.last() {
            if self.at < open.end {
                return Ok(());
            }
            let between = matches!(self.state, State::Key(Varint { bytes: 0, .. }));
            if self.at > open.end || !between {
                return Err(malformed("a message ends within a field"));
            }
            self.open.pop();
            if self.open.is_empty() {
                self.state = State::Head(Vec::new());
            }
        }
        Ok(())
    }

    fn malformed(&self, number: u32, problem: &'static str) -> Fault {
        Fault::Malformed {
            field: Some(self.path(number)),
            problem,
        }
    }

    /// The path of a field of the innermost message.
    fn path(&self, number: u32) -> String {
        let numbers = self.open.iter().skip(1).map(|open| open.field);
        let names = self.open.iter().zip(numbers.chain([number]));
        let names = names.filter_map(|(open, number)| {
            let field = self.shapes.field(open.message, number)?;
            Some(field.name.as_str())
        });
        names.collect::<Vec<_>>().join(".")
    }
}

#[cfg(test)]
mod tests;
