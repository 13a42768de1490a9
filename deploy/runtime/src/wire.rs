//! The shapes of requests, as far as their bytes show them: which fields a message has, how each is
//! written, and how many elements a list may have.
//!
//! prost decodes first and asks later: two bytes of an empty element become hundreds in memory. A
//! [`Scanner`] sees each byte before prost does, and stops at the first that goes too far.

mod scanner;
mod text;

use std::collections::BTreeMap;

use prost_types::{
    DescriptorProto, FileDescriptorProto,
    field_descriptor_proto::{Label, Type},
};
use proto::bounds::{MAX_LIST, MAX_LISTS};

pub use self::scanner::{Fault, Scanner};

/// All messages that requests consist of.
#[derive(Debug, Default)]
pub struct Shapes {
    messages: Vec<Shape>,
    by_name: BTreeMap<String, usize>,
}

#[derive(Debug, Default)]
struct Shape {
    fields: BTreeMap<u32, Field>,
}

#[derive(Debug)]
struct Field {
    name: String,
    kind: Kind,
    /// Elements at most, of a list or a map.
    most: Option<usize>,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Varint,
    Four,
    Eight,
    Text,
    Bytes,
    /// The index of the message.
    Message(usize),
}

impl Shapes {
    /// Of all messages in `files`.
    #[must_use]
    pub fn of(files: &[FileDescriptorProto]) -> Self {
        let mut described = Vec::new();
        for file in files {
            for message in &file.message_type {
                collect(&format!(".{}", file.package()), message, &mut described);
            }
        }
        let by_name: BTreeMap<String, usize> = described
            .iter()
            .enumerate()
            .map(|(at, (name, _))| (name.clone(), at))
            .collect();
        let messages = described.iter().map(|(message, descriptor)| {
            let fields = descriptor.field.iter().filter_map(|field| {
                let number = u32::try_from(field.number()).ok()?;
                let listed = field.label() == Label::Repeated;
                let most = listed.then(|| most(message, field.name()));
                let kind = kind(field.r#type(), by_name.get(field.type_name()).copied())?;
                let name = field.name().to_owned();
                Some((number, Field { name, kind, most }))
            });
            Shape {
                fields: fields.collect(),
            }
        });
        Self {
            messages: messages.collect(),
            by_name,
        }
    }

    /// The message with this name, as in `.chat.v1.GetChatRequest`.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Whether a field with this name is a list or a map of this message.
    #[cfg(test)]
    pub(crate) fn is_list(&self, message: &str, field: &str) -> bool {
        let shape = self.find(message).and_then(|at| self.messages.get(at));
        let mut fields = shape.into_iter().flat_map(|shape| shape.fields.values());
        fields.any(|known| known.name == field && known.most.is_some())
    }

    fn field(&self, message: usize, number: u32) -> Option<&Field> {
        self.messages.get(message)?.fields.get(&number)
    }
}

fn collect<'a>(
    prefix: &str,
    message: &'a DescriptorProto,
    described: &mut Vec<(String, &'a DescriptorProto)>,
) {
    let name = format!("{prefix}.{}", message.name());
    for nested in &message.nested_type {
        collect(&name, nested, described);
    }
    described.push((name, message));
}

fn most(message: &str, field: &str) -> usize {
    let name = format!("{}.{field}", message.trim_start_matches('.'));
    let named = MAX_LISTS.iter().find(|(list, _)| *list == name);
    named.map_or(MAX_LIST, |(_, most)| *most)
}

/// None for a group, which proto3 does not have: it is scanned as an unknown field.
fn kind(of: Type, message: Option<usize>) -> Option<Kind> {
    match of {
        Type::Double | Type::Fixed64 | Type::Sfixed64 => Some(Kind::Eight),
        Type::Float | Type::Fixed32 | Type::Sfixed32 => Some(Kind::Four),
        Type::Int64
        | Type::Uint64
        | Type::Int32
        | Type::Bool
        | Type::Uint32
        | Type::Enum
        | Type::Sint32
        | Type::Sint64 => Some(Kind::Varint),
        Type::String => Some(Kind::Text),
        Type::Bytes => Some(Kind::Bytes),
        Type::Message => message.map(Kind::Message),
        Type::Group => None,
    }
}
