//! How words are carried by messages: the tables of both conversions, and the fields that they are
//! made of.

use std::time::Duration;

use jiff::Timestamp;
use prost_types::Duration as Span;
use secrecy::{ExposeSecret as _, SecretString};

/// A field of a message that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct FieldError {
    /// The path from the request, as in `outcomes[3].git_ref_id`.
    pub field: String,
    /// The problem, to follow the path in a sentence.
    pub problem: String,
}

impl FieldError {
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
        }
    }

    /// The error of the same field, seen from the message that has it within `outer`.
    pub(super) fn within(self, outer: &str) -> Self {
        let dot = if self.field.is_empty() || self.field.starts_with('[') {
            ""
        } else {
            "."
        };
        Self::new(format!("{outer}{dot}{}", self.field), self.problem)
    }
}

/// A word, as a field of type `M` carries it.
pub(super) trait Wire<M>: Sized {
    /// Reads the field. The error's path begins at what the field holds.
    fn read(message: M) -> Result<Self, FieldError>;
    /// The field.
    fn message(&self) -> M;
}

/// Reads the field of that name.
pub(super) fn read<M, T: Wire<M>>(field: &str, message: M) -> Result<T, FieldError> {
    T::read(message).map_err(|error| error.within(field))
}

/// A field that is read without its unreadable entries, which a later release may have written:
/// what is left means the same without them.
pub(super) trait Lenient<M>: Sized {
    /// The readable part of the field.
    fn readable(message: M) -> Self;
}

impl<M, T: Wire<M>> Lenient<Option<M>> for Option<T> {
    fn readable(message: Option<M>) -> Self {
        message.and_then(|message| T::read(message).ok())
    }
}

impl<M, T: Wire<M>> Lenient<Vec<M>> for Vec<T> {
    fn readable(message: Vec<M>) -> Self {
        let entries = message.into_iter();
        entries.filter_map(|entry| T::read(entry).ok()).collect()
    }
}

/// Reads what can be read of a field, as [`read`] does.
#[expect(clippy::unnecessary_wraps, reason = "it stands in the place of `read`")]
pub(super) fn readable<M, T: Lenient<M>>(_field: &str, message: M) -> Result<T, FieldError> {
    Ok(T::readable(message))
}

/// Refuses a list that has more than `most` entries, or two with one key, which is in `field` of
/// each.
pub(super) fn distinct<K: Ord>(
    list: &str,
    most: usize,
    field: &str,
    keys: impl ExactSizeIterator<Item = K>,
) -> Result<(), FieldError> {
    if keys.len() > most {
        let problem = format!("has more than {most} entries");
        return Err(FieldError::new(list, problem));
    }
    let mut seen = std::collections::BTreeSet::new();
    for (index, key) in keys.enumerate() {
        if !seen.insert(key) {
            let path = format!("{list}[{index}].{field}");
            return Err(FieldError::new(path, "is in the list already"));
        }
    }
    Ok(())
}

/// Declares a struct and both conversions to its message.
///
/// A field whose name differs in the message has it after `as`; `lenient` marks one that is read
/// without its unreadable entries. The function after `with` completes what was read: it refuses
/// what the types alone cannot, and cuts what is too large.
macro_rules! message {
    ($(#[$attr:meta])* $name:ident = $message:path $(, with $fit:path)? { $($fields:tt)* }) => {
        message!(@ [$(#[$attr])* $name = $message $(, with $fit)?] [] $($fields)*);
    };
    (@ $head:tt [$($done:tt)*] $(#[$doc:meta])* $field:ident as $wire:ident: $type:ty, $($rest:tt)*) => {
        message!(@ $head [$($done)* {$(#[$doc])* $field $wire $type, read}] $($rest)*);
    };
    (@ $head:tt [$($done:tt)*] $(#[$doc:meta])* lenient $field:ident: $type:ty, $($rest:tt)*) => {
        message!(@ $head [$($done)* {$(#[$doc])* $field $field $type, readable}] $($rest)*);
    };
    (@ $head:tt [$($done:tt)*] $(#[$doc:meta])* $field:ident: $type:ty, $($rest:tt)*) => {
        message!(@ $head [$($done)* {$(#[$doc])* $field $field $type, read}] $($rest)*);
    };
    (
        @ [$(#[$attr:meta])* $name:ident = $message:path $(, with $fit:path)?]
        [$({$(#[$doc:meta])* $field:ident $wire:ident $type:ty, $read:ident})*]
    ) => {
        $(#[$attr])*
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl $name {
            /// Reads the message.
            ///
            /// # Errors
            ///
            /// A field that cannot be read, with its path.
            pub fn read(message: $message) -> Result<Self, FieldError> {
                let $message { $($wire),* } = message;
                let read = Self {
                    $($field: $crate::sync::field::$read(stringify!($wire), $wire)?,)*
                };
                $(let read = $fit(read)?;)?
                Ok(read)
            }

            /// The message.
            #[must_use]
            pub fn message(&self) -> $message {
                use $crate::sync::field::Wire;
                $message { $($wire: Wire::message(&self.$field),)* }
            }
        }

        $crate::sync::field::carried_by!($name, $message);
    };
}

/// A word with conversions of its own may be a field of other messages, where it is required.
macro_rules! carried_by {
    ($name:ident, $message:path) => {
        impl $crate::sync::field::Wire<$message> for $name {
            fn read(message: $message) -> Result<Self, FieldError> {
                Self::read(message)
            }

            fn message(&self) -> $message {
                self.message()
            }
        }

        impl $crate::sync::field::Wire<Option<$message>> for $name {
            fn read(message: Option<$message>) -> Result<Self, FieldError> {
                Self::read(message.ok_or_else(|| FieldError::new("", "is required"))?)
            }

            fn message(&self) -> Option<$message> {
                Some(self.message())
            }
        }
    };
}

/// Declares an enum with the names of its words, and both conversions to the message's enum.
///
/// A number that this version does not know, or 0, is refused unless `else` says what it is read
/// as.
macro_rules! words {
    ($(
        $(#[$attr:meta])*
        $name:ident = $message:ident $(, else $unknown:ident)? {
            $($(#[$doc:meta])* $word:ident = $text:literal,)*
        }
    )*) => {$(
        $(#[$attr])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])* $word = $crate::chat::v1::$message::$word as isize,)*
        }

        impl $name {
            /// All of them, as they are declared.
            pub const ALL: &[Self] = &[$(Self::$word),*];

            /// The name in the database and in metrics.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$word => $text,)*
                }
            }

            /// The word of a name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.name() == name)
            }

            /// The message's word.
            #[must_use]
            pub fn message(self) -> $crate::chat::v1::$message {
                match self {
                    $(Self::$word => $crate::chat::v1::$message::$word,)*
                }
            }

            /// The word of a message's number.
            pub(super) fn known(number: i32) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| i32::from(word.message()) == number)
            }
        }

        impl $crate::sync::field::Wire<i32> for $name {
            fn read(number: i32) -> Result<Self, FieldError> {
                let known = Self::known(number);
                $(let known = known.or(Some(Self::$unknown));)?
                known.ok_or_else(|| FieldError::new("", format!("cannot be {number}")))
            }

            fn message(&self) -> i32 {
                (*self).message().into()
            }
        }
    )*};
}

pub(super) use {carried_by, message, words};

macro_rules! as_they_are {
    ($($type:ty),*) => {$(
        impl Wire<$type> for $type {
            fn read(message: $type) -> Result<Self, FieldError> {
                Ok(message)
            }

            fn message(&self) -> $type {
                self.clone()
            }
        }
    )*};
}

as_they_are!(bool, f64, i32, i64, String);

impl<M, T: Wire<M>> Wire<Option<M>> for Option<T> {
    fn read(message: Option<M>) -> Result<Self, FieldError> {
        message.map(T::read).transpose()
    }

    fn message(&self) -> Option<M> {
        self.as_ref().map(T::message)
    }
}

impl<M, T: Wire<M>> Wire<Vec<M>> for Vec<T> {
    fn read(message: Vec<M>) -> Result<Self, FieldError> {
        let entries = message.into_iter().enumerate();
        entries
            .map(|(index, entry)| read(&format!("[{index}]"), entry))
            .collect()
    }

    fn message(&self) -> Vec<M> {
        self.iter().map(T::message).collect()
    }
}

macro_rules! counts {
    ($($type:ty),*) => {$(
        impl Wire<i32> for $type {
            fn read(message: i32) -> Result<Self, FieldError> {
                u32::try_from(message)
                    .map(Self::from)
                    .map_err(|_| FieldError::new("", "must not be negative"))
            }

            fn message(&self) -> i32 {
                i32::try_from(*self).unwrap_or(i32::MAX)
            }
        }
    )*};
}

counts!(u32, i64);

impl Wire<Span> for Duration {
    fn read(message: Span) -> Result<Self, FieldError> {
        Self::try_from(message).map_err(|_| FieldError::new("", "must be a duration of 0 or more"))
    }

    fn message(&self) -> Span {
        message_duration(*self)
    }
}

/// One that is absent is 0.
impl Wire<Option<Span>> for Duration {
    fn read(message: Option<Span>) -> Result<Self, FieldError> {
        message.map_or(Ok(Self::ZERO), Self::read)
    }

    fn message(&self) -> Option<Span> {
        Some(message_duration(*self))
    }
}

impl Wire<prost_types::Timestamp> for Timestamp {
    fn read(message: prost_types::Timestamp) -> Result<Self, FieldError> {
        Self::new(message.seconds, message.nanos)
            .map_err(|_| FieldError::new("", "must be a moment of the years 1 to 9999"))
    }

    fn message(&self) -> prost_types::Timestamp {
        prost_types::Timestamp {
            seconds: self.as_second(),
            nanos: self.subsec_nanosecond(),
        }
    }
}

impl Wire<String> for SecretString {
    fn read(message: String) -> Result<Self, FieldError> {
        Ok(Self::from(message))
    }

    fn message(&self) -> String {
        self.expose_secret().to_owned()
    }
}

/// A duration as a message.
#[must_use]
pub fn message_duration(duration: Duration) -> Span {
    Span {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}
