//! Messages of the contract as JSON: its own names of fields and values, by the rules of
//! protobuf's JSON. A field without a value is left out.

use std::{collections::BTreeMap, io};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use prost_reflect::{
    DescriptorPool, DynamicMessage, Kind, MapKey, ReflectMessage as _, Value as Field,
};
use serde::Serialize as _;
use serde_json::{Map, Value, ser::Formatter};

use crate::title::acts;

/// The contract's own description of its messages.
pub(super) struct Contract(DescriptorPool);

impl Contract {
    /// As it was compiled into this binary.
    pub(super) fn new() -> anyhow::Result<Self> {
        let pool = DescriptorPool::decode(proto::FILE_DESCRIPTOR_SET);
        Ok(Self(pool.context("the contract cannot be read")?))
    }

    /// A message as one line, whose type is `name`, as in `chat.v1.Chat`.
    pub(super) fn line(&self, name: &str, message: &impl prost::Message) -> anyhow::Result<String> {
        let descriptor = self.0.get_message_by_name(name);
        let descriptor = descriptor.with_context(|| format!("the contract has no {name}"))?;
        let bytes = message.encode_to_vec();
        let message = DynamicMessage::decode(descriptor, bytes.as_slice())?;
        let mut line = Vec::new();
        let mut serializer = serde_json::Serializer::with_formatter(&mut line, EscapingFormatter);
        of_message(&message).serialize(&mut serializer)?;
        Ok(String::from_utf8(line)?)
    }
}

fn of_message(message: &DynamicMessage) -> Value {
    let descriptor = message.descriptor();
    let number = |number| match message.get_field_by_number(number).as_deref() {
        Some(Field::I64(number)) => *number,
        Some(Field::I32(number)) => i64::from(*number),
        Some(_) | None => 0,
    };
    match descriptor.full_name() {
        "google.protobuf.Timestamp" => timestamp(number(1), number(2)),
        "google.protobuf.Duration" => duration(number(1), number(2)),
        _ => message
            .fields()
            .map(|(field, value)| (field.json_name().to_owned(), of_field(value, &field.kind())))
            .collect::<Map<_, _>>()
            .into(),
    }
}

fn of_field(value: &Field, kind: &Kind) -> Value {
    match value {
        Field::Bool(value) => (*value).into(),
        Field::I32(value) => (*value).into(),
        Field::U32(value) => (*value).into(),
        // As text: JavaScript's numbers do not hold all of them.
        Field::I64(value) => value.to_string().into(),
        Field::U64(value) => value.to_string().into(),
        Field::F32(value) => (*value).into(),
        Field::F64(value) => (*value).into(),
        Field::String(value) => value.as_str().into(),
        Field::Bytes(value) => STANDARD.encode(value).into(),
        Field::EnumNumber(number) => kind
            .as_enum()
            .and_then(|names| names.get_value(*number))
            .map_or_else(|| (*number).into(), |value| value.name().into()),
        Field::Message(message) => of_message(message),
        Field::List(values) => values.iter().map(|value| of_field(value, kind)).collect(),
        Field::Map(values) => {
            let entry = kind.as_message().map(|entry| entry.map_entry_value_field());
            let kind = entry.map_or_else(|| kind.clone(), |field| field.kind());
            values
                .iter()
                .map(|(key, value)| (of_key(key), of_field(value, &kind)))
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .collect::<Map<_, _>>()
                .into()
        }
    }
}

fn of_key(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

fn timestamp(seconds: i64, nanoseconds: i64) -> Value {
    let nanoseconds = i32::try_from(nanoseconds).unwrap_or_default();
    // One that is out of range is no time.
    Timestamp::new(seconds, nanoseconds).map_or(Value::Null, |at| at.to_string().into())
}

fn duration(seconds: i64, nanoseconds: i64) -> Value {
    let sign = if seconds < 0 || nanoseconds < 0 {
        "-"
    } else {
        ""
    };
    let (seconds, nanoseconds) = (seconds.unsigned_abs(), nanoseconds.unsigned_abs());
    let mut text = format!("{sign}{seconds}");
    if nanoseconds > 0 {
        let fraction = format!(".{nanoseconds:09}");
        text.push_str(fraction.trim_end_matches('0'));
    }
    text.push('s');
    text.into()
}

/// JSON on one line. Characters that act on a terminal are escaped, which does not change the
/// value.
struct EscapingFormatter;

impl Formatter for EscapingFormatter {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((at, character)) = rest.char_indices().find(|(_, c)| acts(*c)) {
            writer.write_all(&rest.as_bytes()[..at])?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[at + character.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proto::chat::v1::{Chat, ChatDiffStatus, ChatStatus, LaneState, PullRequestState};
    use serde_json::json;

    use super::*;

    fn line(name: &str, message: &impl prost::Message) -> String {
        Contract::new().unwrap().line(name, message).unwrap()
    }

    #[test]
    fn a_chat_has_the_contracts_names_and_nothing_that_acts() {
        let chat = Chat {
            id: "c".to_owned(),
            title: "\u{1b}[2J \u{9b} \u{202e} \"quoted\"".to_owned(),
            status: ChatStatus::Waiting.into(),
            labels: [("team".to_owned(), "web".to_owned())].into(),
            updated_at: Some(prost_types::Timestamp {
                seconds: 1_700_000_000,
                nanos: 120_000_000,
            }),
            diff_status: Some(ChatDiffStatus {
                pull_request_state: Some(PullRequestState::Draft.into()),
                pr_number: Some(0),
                additions: 7,
                ..ChatDiffStatus::default()
            }),
            ..Chat::default()
        };
        let line = line("chat.v1.Chat", &chat);
        let read: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            read,
            json!({
                "id": "c",
                "title": chat.title,
                "status": "CHAT_STATUS_WAITING",
                "labels": { "team": "web" },
                "updatedAt": "2023-11-14T22:13:20.12Z",
                "diffStatus": {
                    "pullRequestState": "PULL_REQUEST_STATE_DRAFT",
                    "additions": 7,
                    "prNumber": 0,
                },
            })
        );
        let title = r#""\u001b[2J \u009b \u202e \"quoted\"""#;
        assert!(line.contains(title), "{line}");
    }

    #[test]
    fn large_numbers_are_text_durations_have_a_unit_and_a_later_value_is_a_number() {
        let lane = LaneState {
            lane: 99,
            due: 3,
            overdue: 0,
            oldest: Some(prost_types::Duration {
                seconds: 1,
                nanos: 500_000_000,
            }),
        };
        let read: Value = serde_json::from_str(&line("chat.v1.LaneState", &lane)).unwrap();
        assert_eq!(read, json!({ "lane": 99, "due": "3", "oldest": "1.5s" }));
    }
}
