//! The base of a GitHub's API, and what may be dialled below it.

use proto::sync::ProblemClass;
use reqwest::header::{HeaderMap, LINK, LOCATION};
use url::Url;

use super::{super::NoAnswer, exchange::text};

/// The base address. Nothing beyond its origin is ever dialled.
#[derive(Clone, Debug)]
pub(in super::super) struct ApiBase(Url);

impl ApiBase {
    /// `None` for what is no web address.
    pub(super) fn parse(base: &str) -> Option<Self> {
        let base = Url::parse(base).ok()?;
        let is_web = matches!(base.scheme(), "http" | "https") && base.has_host();
        is_web.then_some(Self(base))
    }

    /// Which host it is, for the log.
    pub(super) fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// GraphQL is beside REST: below the origin, or on an Enterprise host below `/api`.
    pub(super) fn graphql(&self) -> Url {
        let path = self.0.path().trim_end_matches('/');
        let above = path.strip_suffix("/v3").unwrap_or(path);
        let mut url = self.0.clone();
        url.set_path(&format!("{above}/graphql"));
        url
    }

    /// Builds an address below the base; each segment and value is escaped by itself.
    pub(in super::super) fn url(
        &self,
        segments: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Url, NoAnswer> {
        let mut url = self.0.clone();
        {
            let mut path = url
                .path_segments_mut()
                .map_err(|()| NoAnswer::Failed(ProblemClass::Internal))?;
            path.pop_if_empty();
            for segment in segments {
                // These would change which resource is asked for, and none of them is a name.
                if segment.is_empty()
                    || matches!(*segment, "." | "..")
                    || segment.chars().any(char::is_control)
                {
                    return Err(NoAnswer::Failed(ProblemClass::RepositoryNotFound));
                }
                path.push(segment);
            }
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// Where a redirect leads.
    pub(super) fn redirect(&self, from: &Url, headers: &HeaderMap) -> Result<Url, NoAnswer> {
        text(headers, &LOCATION)
            .and_then(|location| from.join(&location).ok())
            .filter(|to| to.origin() == self.0.origin())
            .ok_or_else(|| NoAnswer::invalid("a redirect elsewhere"))
    }

    /// The next page, if there is one.
    pub(super) fn next_page(&self, headers: &HeaderMap) -> Result<Option<Url>, NoAnswer> {
        let Some(link) = text(headers, &LINK).as_deref().and_then(next_link) else {
            return Ok(None);
        };
        self.0
            .join(&link)
            .ok()
            .filter(|next| next.origin() == self.0.origin())
            .map(Some)
            .ok_or_else(|| NoAnswer::invalid("a next page elsewhere"))
    }
}

/// The target of `rel="next"` in a `Link` header.
fn next_link(header: &str) -> Option<String> {
    header.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        parameters
            .split(';')
            .any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"))
            .then(|| target.to_owned())
    })
}

#[cfg(test)]
mod tests;
