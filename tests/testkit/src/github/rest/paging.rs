//! Pages of lists and the `Link` header.

use axum::http::StatusCode;
use url::form_urlencoded;

use crate::github::answer::{Answer, Incoming};

const DEFAULT_PER_PAGE: usize = 30;
const MAX_PER_PAGE: usize = 100;

/// The page that a request asks for.
pub(super) struct Page {
    number: usize,
    per_page: usize,
    /// The other query parameters, to be repeated in links.
    query: Vec<(String, String)>,
}

impl Page {
    /// Reads `page` and `per_page`; like GitHub, nonsense means the default.
    pub(super) fn of(incoming: &Incoming) -> Self {
        let request = &incoming.recorded;
        let number = |name: &str, default: usize| {
            let asked = request
                .query_value(name)
                .and_then(|value| value.parse().ok());
            asked.filter(|asked| *asked > 0).unwrap_or(default)
        };
        let query = request
            .query
            .iter()
            .filter(|(name, _)| name != "page")
            .cloned()
            .collect();
        Self {
            number: number("page", 1),
            per_page: number("per_page", DEFAULT_PER_PAGE).min(MAX_PER_PAGE),
            query,
        }
    }

    /// The items on this page.
    pub(super) fn cut<'a, T>(&self, items: &'a [T]) -> &'a [T] {
        let start = (self.number - 1)
            .saturating_mul(self.per_page)
            .min(items.len());
        let end = start.saturating_add(self.per_page).min(items.len());
        items.get(start..end).unwrap_or_default()
    }

    /// The answer with its links; `url` is the list's address without a query, and the items are
    /// JSON.
    pub(super) fn answer(&self, url: &str, items: &[String], total: usize) -> Answer {
        let body = format!("[{}]", items.join(","));
        let answer = Answer::json_bytes(StatusCode::OK, body.into_bytes());
        match self.links(url, total) {
            Some(links) => answer.with("link", &links),
            None => answer,
        }
    }

    /// The same for a list that is a member of an object, beside others and its total.
    pub(super) fn answer_object(
        &self,
        url: &str,
        members: &[(&str, String)],
        (name, items): (&str, &[String]),
        total: usize,
    ) -> Answer {
        let mut body = format!("{{\"total_count\":{total},\"{name}\":[{}]", items.join(","));
        for (name, json) in members {
            body.push_str(&format!(",\"{name}\":{json}"));
        }
        body.push('}');
        let answer = Answer::json_bytes(StatusCode::OK, body.into_bytes());
        match self.links(url, total) {
            Some(links) => answer.with("link", &links),
            None => answer,
        }
    }

    fn links(&self, url: &str, total: usize) -> Option<String> {
        let last = total.div_ceil(self.per_page).max(1);
        let mut relations = Vec::new();
        if self.number > 1 {
            relations.push(("prev", (self.number - 1).min(last)));
        }
        if self.number < last {
            relations.push(("next", self.number + 1));
            relations.push(("last", last));
        }
        if self.number > 1 {
            relations.push(("first", 1));
        }
        if relations.is_empty() {
            return None;
        }
        let links: Vec<String> = relations
            .into_iter()
            .map(|(relation, page)| format!("<{}>; rel=\"{relation}\"", self.address(url, page)))
            .collect();
        Some(links.join(", "))
    }

    fn address(&self, url: &str, page: usize) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.query)
            .append_pair("page", &page.to_string())
            .finish();
        format!("{url}?{query}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: usize, per_page: usize) -> Page {
        Page {
            number,
            per_page,
            query: Vec::new(),
        }
    }

    #[test]
    fn pages_cover_the_list_once() {
        let items: Vec<usize> = (0..7).collect();
        let pages: Vec<&[usize]> = (1..=4).map(|number| page(number, 3).cut(&items)).collect();
        assert_eq!(pages, [&[0, 1, 2][..], &[3, 4, 5], &[6], &[]]);
        assert!(page(usize::MAX, 100).cut(&items).is_empty());
    }

    #[test]
    fn links_name_the_neighbours_that_exist() {
        let relations = |number: usize, total: usize| {
            let links = page(number, 3).links("u", total).unwrap_or_default();
            links.replace("<u?page=", "").replace(">; rel=", "")
        };
        assert_eq!(relations(1, 3), "");
        assert_eq!(relations(1, 7), "2\"next\", 3\"last\"");
        assert_eq!(
            relations(2, 7),
            "1\"prev\", 3\"next\", 3\"last\", 1\"first\""
        );
        assert_eq!(relations(3, 7), "2\"prev\", 1\"first\"");
    }
}
