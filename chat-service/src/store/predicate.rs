//! Prints a [`Pred`] as SQL over a chat `c`, with bind parameters only. Point reads and writes mark
//! where a predicate goes; [`composed`] puts it there.

use std::fmt::Write as _;

use policy::{Atom, Level, Pattern, Pred, Subject};
use serde_json::json;
use uuid::Uuid;

use super::{
    Sql, StoreError,
    sql::{ComposedStatement, Params},
};
use crate::authz::Authorized;

/// Where the predicate goes that decides whether a chat exists for the caller.
pub(crate) const READABLE: &str = "/* readable */ TRUE";
/// Where the predicate goes that decides whether the caller may do what the statement does.
pub(crate) const ALLOWED: &str = "/* allowed */ TRUE";

/// Puts the predicates where the file marks them. The statement's own parameters come first.
pub(crate) fn composed(
    sql: Sql,
    mut params: Params,
    predicates: &[(&'static str, &Authorized)],
) -> Result<ComposedStatement, StoreError> {
    let mut text = sql.text.to_owned();
    for (marker, authorized) in predicates {
        // A statement that forgot its mark would run without authorization.
        if !text.contains(marker) {
            return Err(StoreError::bug(
                "compose a statement",
                format!("{}: no {marker}", sql.name),
            ));
        }
        let mut printed = String::new();
        print(authorized.pred(), &mut params, &mut printed);
        text = text.replace(marker, &printed);
    }
    Ok(ComposedStatement {
        name: sql.name,
        text,
        params,
    })
}

/// Prints `pred` in parentheses where needed.
pub(crate) fn print(pred: &Pred, params: &mut Params, out: &mut String) {
    match pred {
        Pred::True => out.push_str("TRUE"),
        Pred::False => out.push_str("FALSE"),
        Pred::Atom(atom) => print_atom(atom, params, out),
        Pred::All(preds) => print_list(preds, " AND ", "TRUE", params, out),
        Pred::Any(preds) => print_list(preds, " OR ", "FALSE", params, out),
        Pred::Not(pred) => {
            out.push_str("NOT (");
            print(pred, params, out);
            out.push(')');
        }
    }
}

fn print_list(preds: &[Pred], between: &str, empty: &str, params: &mut Params, out: &mut String) {
    if preds.is_empty() {
        out.push_str(empty);
        return;
    }
    out.push('(');
    for (index, pred) in preds.iter().enumerate() {
        if index > 0 {
            out.push_str(between);
        }
        print(pred, params, out);
    }
    out.push(')');
}

fn print_atom(atom: &Atom, params: &mut Params, out: &mut String) {
    // Writing to a String cannot fail.
    let _ = match atom {
        Atom::Owner(users) => {
            let users: Vec<Uuid> = users.iter().map(|id| id.0).collect();
            write!(out, "c.owner_id = ANY(${})", params.push(users))
        }
        // COALESCE, because a predicate is two-valued: under NOT, a NULL would drop the row.
        Atom::Organization(ids) => {
            let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
            let ids = params.push(ids);
            write!(out, "COALESCE(c.organization_id = ANY(${ids}), FALSE)")
        }
        Atom::InSomeOrganization => write!(out, "c.organization_id IS NOT NULL"),
        Atom::Workspace(ids) => {
            let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
            let ids = params.push(ids);
            write!(out, "COALESCE(c.workspace_id = ANY(${ids}), FALSE)")
        }
        Atom::InSomeWorkspace => write!(out, "c.workspace_id IS NOT NULL"),
        Atom::SharedWithUser(users, level) => {
            let users: Vec<Uuid> = users.iter().map(|id| id.0).collect();
            let subjects = params.push(users);
            print_share("user", subjects, *level, out)
        }
        Atom::SharedWithGroup(groups, level) => {
            let groups: Vec<Uuid> = groups.iter().map(|id| id.0).collect();
            let subjects = params.push(groups);
            print_share("group", subjects, *level, out)
        }
        Atom::Archived => write!(out, "c.archived"),
        Atom::Status(names) => write!(out, "c.status = ANY(${})", params.push(names.to_vec())),
        Atom::Title(title) => write!(out, "c.title = ${}", params.push(title.to_string())),
        Atom::TitleLike(pattern) => write!(out, "c.title LIKE ${}", params.push(like(pattern))),
        Atom::Label(key) => write!(out, "c.labels ? ${}", params.push(key.to_string())),
        // Containment, because that is what the index on labels answers.
        Atom::LabelIs(key, value) => {
            let pair = json!({ (key.as_ref()): value.as_ref() });
            write!(out, "c.labels @> ${}", params.push(pair))
        }
        Atom::LabelLike(key, pattern) => {
            let key = params.push(key.to_string());
            let pattern = params.push(like(pattern));
            write!(out, "COALESCE(c.labels ->> ${key} LIKE ${pattern}, FALSE)")
        }
    };
}

fn print_share(kind: &str, subjects: usize, level: Level, out: &mut String) -> std::fmt::Result {
    let least = match level {
        Level::Reader => "",
        Level::Writer => " AND a.level = 'writer'",
    };
    // A user is one way down the index by chat and subject. Groups may be hundreds: in this form
    // they are no condition for that index, which would go down once for each, but compared with
    // the chat's few shares.
    let holds = if kind == "user" { "" } else { " IS TRUE" };
    write!(
        out,
        "EXISTS (SELECT FROM chat_acl a WHERE a.chat_id = c.id AND a.subject_kind = '{kind}' \
         AND (a.subject_id = ANY(${subjects})){holds}{least})"
    )
}

/// A pattern as LIKE has it: its wildcards are escaped where they stand for themselves.
fn like(pattern: &Pattern) -> String {
    let literals = pattern.literals().iter();
    let escaped: Vec<String> = literals
        .map(|text| {
            text.replace('\\', "\\\\")
                .replace('%', "\\%")
                .replace('_', "\\_")
        })
        .collect();
    escaped.join("%")
}

/// A predicate's SQL and its parameters, for people.
pub(crate) fn printed(pred: &Pred) -> (String, Vec<String>) {
    let mut params = Params::default();
    let mut text = String::new();
    print(pred, &mut params, &mut text);
    let values = params.as_refs();
    (
        text,
        values.iter().map(|value| format!("{value:?}")).collect(),
    )
}

/// A subject as the database spells it: kind and id.
pub(crate) fn subject_columns(subject: Subject) -> (&'static str, Uuid) {
    match subject {
        Subject::User(id) => ("user", id.0),
        Subject::Group(id) => ("group", id.0),
    }
}
