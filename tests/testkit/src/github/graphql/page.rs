//! Cuts a page out of a list, by `first`, `last`, `after` and `before`.

use std::rc::Rc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::argument::Arguments;
use super::entity::{Connection, Entity, Of, Resolved};

const CURSOR: &str = "cursor:v2:";

/// The page of `all` that the arguments ask for.
pub(super) fn cut<'w>(of: Of, all: Vec<Entity<'w>>, arguments: Arguments<'_>) -> Entity<'w> {
    Entity::Connection(cut_page(of, all, arguments))
}

/// The same, by itself.
pub(super) fn cut_page<'w>(
    of: Of,
    mut all: Vec<Entity<'w>>,
    arguments: Arguments<'_>,
) -> Rc<Connection<'w>> {
    let total = all.len();
    let place = |name: &str| arguments.text(name).and_then(|cursor| place(&cursor));
    let mut start = place("after").map_or(0, |after| after + 1).min(total);
    let mut end = place("before").unwrap_or(total).clamp(start, total);
    let size = |name: &str| {
        arguments
            .number(name)
            .and_then(|size| usize::try_from(size).ok())
    };
    if let Some(first) = size("first") {
        end = end.min(start.saturating_add(first));
    }
    if let Some(last) = size("last") {
        start = start.max(end.saturating_sub(last));
    }
    all.truncate(end);
    Rc::new(Connection {
        of,
        items: all.split_off(start),
        before: start,
        total,
    })
}

/// The cursor of the item at this place of the whole list.
pub(super) fn cursor(place: usize) -> String {
    STANDARD.encode(format!("{CURSOR}{place}"))
}

fn place(cursor: &str) -> Option<usize> {
    let decoded = String::from_utf8(STANDARD.decode(cursor).ok()?).ok()?;
    decoded.strip_prefix(CURSOR)?.parse().ok()
}

/// A field of a connection, of one of its edges, or of its page.
pub(super) fn connection<'w>(connection: &Rc<Connection<'w>>, name: &str) -> Resolved<'w> {
    match name {
        "nodes" => Resolved::List(connection.items.iter().cloned().map(Some).map(Ok).collect()),
        "edges" => Resolved::List(
            (0..connection.items.len())
                .map(|index| Ok(Some(Entity::Edge(Rc::clone(connection), index))))
                .collect(),
        ),
        "pageInfo" => Resolved::Object(Entity::PageInfo(Rc::clone(connection))),
        "totalCount" => Resolved::count(connection.total),
        _ => Resolved::Null,
    }
}

pub(super) fn edge<'w>(connection: &Connection<'w>, index: usize, name: &str) -> Resolved<'w> {
    match name {
        "node" => Resolved::object(connection.items.get(index).cloned()),
        "cursor" => Resolved::owned(cursor(connection.before + index)),
        _ => Resolved::Null,
    }
}

pub(super) fn page_info<'w>(connection: &Connection<'_>, name: &str) -> Resolved<'w> {
    let end = connection.before + connection.items.len();
    match name {
        "hasNextPage" => Resolved::Flag(end < connection.total),
        "hasPreviousPage" => Resolved::Flag(connection.before > 0),
        "startCursor" | "endCursor" if connection.items.is_empty() => Resolved::Null,
        "startCursor" => Resolved::owned(cursor(connection.before)),
        "endCursor" => Resolved::owned(cursor(end - 1)),
        _ => Resolved::Null,
    }
}
