//! Where answers go: a table for people, or JSON lines for scripts.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use proto::chat::v1::{Chat, WatchChatsResponse, WatchEventKind};

use super::{
    json::Contract,
    name::words,
    printable::{printable, printable_lines},
    row::{CHAT_COLUMNS, Clock, EVENT_COLUMNS, cells, only},
    table::{Cell, TableColumn, TextTable},
    time::timestamp,
};

/// Whether to print colours: to a terminal that has them, unless `NO_COLOR` is set and not empty.
#[must_use]
pub fn shows_colors(is_terminal: bool, environment: &BTreeMap<String, String>) -> bool {
    let unwanted = environment.get("NO_COLOR");
    let unwanted = unwanted.is_some_and(|value| !value.is_empty());
    let unable = environment.get("TERM").is_some_and(|term| term == "dumb");
    is_terminal && !unwanted && !unable
}

/// Standard output and standard error of a command.
pub struct Output<'a> {
    out: &'a mut dyn Write,
    notes: &'a mut dyn Write,
    form: Form,
}

/// How answers are printed.
enum Form {
    /// One message of the contract a line.
    Json(Contract),
    /// A table for people; in colours, or not.
    Table {
        colors: bool,
        table: Option<TextTable>,
    },
}

impl<'a> Output<'a> {
    /// Prints to `out` as JSON or as a table with or without colours, and remarks to `notes`.
    ///
    /// # Errors
    ///
    /// When this binary's own description of the contract cannot be read.
    pub fn new(
        out: &'a mut dyn Write,
        notes: &'a mut dyn Write,
        json: bool,
        colors: bool,
    ) -> anyhow::Result<Self> {
        let form = if json {
            Form::Json(Contract::new()?)
        } else {
            Form::Table {
                colors,
                table: None,
            }
        };
        Ok(Self { out, notes, form })
    }

    /// Prints chats.
    pub(super) fn chats(&mut self, chats: &[Chat]) -> anyhow::Result<()> {
        match &self.form {
            Form::Json(_) => self.messages("chat.v1.Chat", chats),
            Form::Table { .. } => {
                let clock = Clock::new();
                let rows: Vec<_> = chats.iter().map(|chat| cells(chat, &clock)).collect();
                self.rows(CHAT_COLUMNS, &rows)
            }
        }
    }

    /// Prints a message of a watch; heartbeats as JSON only.
    pub(super) fn event(&mut self, event: &WatchChatsResponse) -> anyhow::Result<()> {
        let events = std::slice::from_ref(event);
        match &self.form {
            Form::Json(_) => self.messages("chat.v1.WatchChatsResponse", events)?,
            Form::Table { .. } => {
                let rows: Vec<_> = event_cells(event, &Clock::new()).into_iter().collect();
                self.rows(EVENT_COLUMNS, &rows)?;
            }
        }
        Ok(self.out.flush()?)
    }

    /// Prints messages as JSON; nothing if a table is wanted.
    pub(super) fn messages<M: prost::Message>(
        &mut self,
        name: &str,
        messages: &[M],
    ) -> anyhow::Result<()> {
        if let Form::Json(contract) = &self.form {
            for message in messages {
                writeln!(self.out, "{}", contract.line(name, message)?)?;
            }
        }
        Ok(())
    }

    /// Prints a text of many lines, byte by byte as it is; at a terminal, what acts on that is
    /// escaped. Nothing if JSON is wanted.
    pub(super) fn text(&mut self, text: &[u8], at_a_terminal: bool) -> anyhow::Result<()> {
        if let Form::Table { .. } = &self.form {
            if at_a_terminal {
                let text = printable_lines(&String::from_utf8_lossy(text));
                self.out.write_all(text.as_bytes())?;
            } else {
                self.out.write_all(text)?;
            }
        }
        Ok(self.out.flush()?)
    }

    /// Prints rows below those before, or begins a table with them; nothing if JSON is wanted.
    pub(super) fn rows(
        &mut self,
        columns: &'static [TableColumn],
        rows: &[Vec<Cell>],
    ) -> anyhow::Result<()> {
        if let Form::Table { colors, table } = &mut self.form {
            table
                .get_or_insert_with(|| TextTable::new(columns, *colors))
                .write(self.out, rows)?;
        }
        Ok(())
    }

    /// Ends a table, with a remark if it had no row. The next rows begin another one.
    pub(super) fn end(&mut self) -> io::Result<()> {
        if let Form::Table { table, .. } = &mut self.form {
            let begun = table.take().is_some_and(|table| table.has_begun());
            if !begun {
                self.note("there is no such chat")?;
            }
        }
        self.out.flush()
    }

    /// Prints a remark, which is no part of the answer.
    pub(super) fn note(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.notes, "chat-service: {}", printable(text))
    }

    /// Prints a line between two tables; nothing if JSON is wanted.
    pub(super) fn heading(&mut self, text: &str) -> io::Result<()> {
        match &self.form {
            Form::Json(_) => Ok(()),
            Form::Table { .. } => writeln!(self.out, "{text}"),
        }
    }
}

/// The row of an event; a heartbeat has none.
fn event_cells(event: &WatchChatsResponse, clock: &Clock) -> Option<Vec<Cell>> {
    let kind = event.kind();
    let id = event.chat.as_ref().map_or("-", |chat| chat.id.as_str());
    let chat = match kind {
        // It is about no chat.
        WatchEventKind::Heartbeat => return None,
        WatchEventKind::Resync => only("-", "changes were missed: list the chats again"),
        WatchEventKind::AccessLost => only(id, "may not be read any more"),
        WatchEventKind::Deleted => only(id, "does not exist any more"),
        WatchEventKind::NotMatching => only(id, "changed, and does not match"),
        WatchEventKind::Unspecified
        | WatchEventKind::Created
        | WatchEventKind::Updated
        | WatchEventKind::StatusChanged
        | WatchEventKind::DiffStatusChanged
        | WatchEventKind::Attention
        | WatchEventKind::Archived => cells(event.chat.as_ref()?, clock),
    };
    let at = event.changed_at.as_ref().and_then(timestamp);
    let at = at.unwrap_or(clock.now).to_zoned(clock.zone.clone());
    let mut row = vec![
        Cell::new(at.strftime("%H:%M:%S").to_string()),
        Cell::new(words(kind.as_str_name(), "WATCH_EVENT_KIND_")),
    ];
    row.extend(chat);
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_whose_user_has_not_refused_them() {
        for (is_terminal, variables, colors) in [
            (true, vec![], true),
            (true, vec![("NO_COLOR", ""), ("TERM", "xterm")], true),
            (true, vec![("NO_COLOR", "0")], false),
            (true, vec![("TERM", "dumb")], false),
            (false, vec![], false),
        ] {
            let environment = variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(
                shows_colors(is_terminal, &environment),
                colors,
                "{variables:?}"
            );
        }
    }
}
