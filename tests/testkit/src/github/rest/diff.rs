//! Diffs, which are asked for by their media type in place of JSON.

use axum::http::StatusCode;
use serde_json::json;

use super::not_found;
use crate::github::answer::{Answer, Incoming};
use crate::github::model::{Model, Repository};
use crate::github::pull_request::PullRequest;

/// The media types of a diff, the present and the former one.
const MEDIA_TYPES: [&str; 2] = [
    "application/vnd.github.diff",
    "application/vnd.github.v3.diff",
];
/// What GitHub makes a diff of at most.
const MAX_FILES: u64 = 300;
const MAX_LINES: u64 = 20_000;

/// Whether a diff is asked for.
pub(super) fn is_wanted(incoming: &Incoming) -> bool {
    let accept = incoming.recorded.header("accept").unwrap_or_default();
    MEDIA_TYPES
        .iter()
        .any(|media_type| accept.contains(media_type))
}

/// The diff of a pull request.
pub(super) fn of_pull_request(model: &Model, found: &PullRequest) -> Answer {
    let too_large = if found.changed_files > MAX_FILES {
        Some(format!("files ({MAX_FILES})"))
    } else if found.additions + found.deletions > MAX_LINES {
        Some(format!("lines ({MAX_LINES})"))
    } else {
        None
    };
    if let Some(bound) = too_large {
        let message = format!(
            "Sorry, the diff exceeded the maximum number of {bound}. Consider using 'List pull \
             requests files' API or locally cloning the repository instead."
        );
        let documentation = "https://docs.github.com/rest/pulls/pulls#list-pull-requests-files";
        let body = json!({
            "message": message,
            "errors": [{"resource": "PullRequest", "field": "diff", "code": "too_large"}],
            "documentation_url": documentation,
            "status": "406",
        });
        return Answer::json(StatusCode::NOT_ACCEPTABLE, &body);
    }
    let head = &found.head;
    let repository = model.repository(head.repository);
    let length = repository.and_then(|repository| repository.diff_lengths.get(&head.branch));
    answer(&head.branch, &found.base_sha, &head.sha, length.copied())
}

/// The diff of a comparison, as in `main...feature` or `main...ann:feature`.
pub(super) fn of_comparison(model: &Model, repository: &Repository, compared: &str) -> Answer {
    let Some((base, head)) = compared.split_once("...") else {
        return not_found();
    };
    let parts: Vec<&str> = head.split(':').collect();
    let (home, branch) = match parts.as_slice() {
        [branch] => (Some(repository), *branch),
        [owner, branch] => (model.of_network(repository, owner, None), *branch),
        [owner, name, branch] => (model.of_network(repository, owner, Some(name)), *branch),
        _ => (None, ""),
    };
    let base = repository.branches.get(base);
    let head = home.and_then(|home| home.branches.get(branch));
    let (Some(home), Some(base), Some(head)) = (home, base, head) else {
        return not_found();
    };
    let length = home.diff_lengths.get(branch).copied();
    answer(branch, base, head, length)
}

fn answer(branch: &str, base: &str, head: &str, length: Option<usize>) -> Answer {
    let text = if base == head {
        String::new()
    } else {
        text(branch, base, head, length)
    };
    Answer::text(
        StatusCode::OK,
        "application/vnd.github.diff; charset=utf-8",
        text,
    )
    .with("x-github-media-type", "github.v3; param=diff")
}

/// One file that holds the last commit, and as many lines as make it `length` bytes.
fn text(branch: &str, base: &str, head: &str, length: Option<usize>) -> String {
    let short = |sha: &str| sha.get(..7).unwrap_or(sha).to_owned();
    let mut text = format!(
        "diff --git a/{branch}.txt b/{branch}.txt\nindex {}..{} 100644\n--- a/{branch}.txt\n\
         +++ b/{branch}.txt\n@@ -1 +1 @@\n-{base}\n+{head}\n",
        short(base),
        short(head),
    );
    while let Some(left) = length.and_then(|length| length.checked_sub(text.len()))
        && left > 0
    {
        // The last two lines share what is left, so that none is shorter than its sign and its end.
        let line = if left <= 80 { left } else { left.min(160) / 2 };
        text.push('+');
        text.extend(std::iter::repeat_n('x', line.saturating_sub(2)));
        text.push('\n');
    }
    text.truncate(length.unwrap_or(usize::MAX));
    text
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn a_diff_is_as_long_as_a_test_says_and_each_of_its_lines_is_whole() {
        for length in [400, 401, 4_194_304, 4_194_305] {
            let text = text("feature", &"a".repeat(40), &"b".repeat(40), Some(length));
            assert_eq!(text.len(), length);
            assert!(text.ends_with('\n'));
        }
        let short = text("feature", &"a".repeat(40), &"b".repeat(40), None);
        assert!(short.contains(&format!("+{}\n", "b".repeat(40))), "{short}");
    }
}
