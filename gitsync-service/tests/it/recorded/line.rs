//! One recorded exchange.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::replay::{ANY, Canned};

/// One recorded exchange.
pub(super) struct Line {
    /// Names it in messages.
    pub(super) case: String,
    pub(super) status: u16,
    pub(super) body: Value,
    /// The body as it is sent.
    pub(super) text: String,
    method: String,
    path: String,
    /// Its list is of closed ones, which the client asks for together with open ones.
    is_closed: bool,
    headers: Vec<(String, String)>,
}

/// What the client asks to get such an answer.
pub(super) enum Asked {
    Pull {
        repository: String,
        number: u64,
    },
    Pulls {
        repository: String,
    },
    Reviews {
        repository: String,
        number: u64,
    },
    OfCommit {
        repository: String,
        commit: String,
    },
    CheckRuns {
        repository: String,
        commit: String,
    },
    /// What was said of a commit: the last of each context, or all there is.
    Statuses {
        repository: String,
        commit: String,
    },
    Repository {
        repository: String,
    },
    User,
    Graphql,
}

pub(super) fn lines(text: &str) -> Vec<Line> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .enumerate()
        .map(|(index, line)| Line::read(index + 1, line))
        .collect()
}

impl Line {
    fn read(number: usize, line: &str) -> Self {
        let recorded: Value = serde_json::from_str(&filled_in(line)).unwrap();
        let text = |name: &str| recorded[name].as_str().unwrap_or_default().to_owned();
        let (method, url) = (text("method"), text("url"));
        let headers = recorded["headers"].as_object().unwrap();
        let body = recorded["body"].clone();
        let text = match body.as_str() {
            Some(text) => text.to_owned(),
            None if body.is_null() => String::new(),
            None => body.to_string(),
        };
        Self {
            case: format!("line {number}: {method} {url}"),
            status: recorded["status"].as_u64().unwrap().try_into().unwrap(),
            body,
            text,
            method,
            path: url.split('?').next().unwrap_or_default().to_owned(),
            is_closed: url.contains("state=closed"),
            headers: headers
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect(),
        }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(have, _)| have.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// `None`: the client has no use for it.
    pub(super) fn asked(&self) -> Option<Asked> {
        let segments: Vec<&str> = self.path.split('/').skip(1).collect();
        if self.method == "POST" {
            return (segments == ["graphql"]).then_some(Asked::Graphql);
        }
        let named = |owner: &str, name: &str| format!("{owner}/{name}");
        Some(match segments.as_slice() {
            ["user"] => Asked::User,
            ["repos", owner, name] => Asked::Repository {
                repository: named(owner, name),
            },
            ["repos", owner, name, "pulls"] => Asked::Pulls {
                repository: named(owner, name),
            },
            ["repos", owner, name, "pulls", number] => Asked::Pull {
                repository: named(owner, name),
                number: number.parse().ok()?,
            },
            ["repos", owner, name, "pulls", number, "reviews"] => Asked::Reviews {
                repository: named(owner, name),
                number: number.parse().ok()?,
            },
            ["repos", owner, name, "commits", commit, "pulls"] => Asked::OfCommit {
                repository: named(owner, name),
                commit: (*commit).to_owned(),
            },
            ["repos", owner, name, "commits", commit, "check-runs"] => Asked::CheckRuns {
                repository: named(owner, name),
                commit: (*commit).to_owned(),
            },
            ["repos", owner, name, "commits", commit, "status"]
            | ["repos", owner, name, "statuses", commit] => Asked::Statuses {
                repository: named(owner, name),
                commit: (*commit).to_owned(),
            },
            _ => return None,
        })
    }

    /// The answer to its own question.
    pub(super) fn canned(&self) -> Canned {
        Canned {
            path: self.path.clone(),
            only: self.is_closed.then_some("state=all"),
            status: self.status,
            headers: self.headers.clone(),
            body: self.text.clone(),
        }
    }

    /// The answer to any question.
    pub(super) fn for_any(&self) -> Canned {
        Canned {
            path: ANY.to_owned(),
            ..self.canned()
        }
    }
}

/// Fills in what a recording leaves open: moments, as `{{now offset='3 seconds' format='unix'}}`,
/// and names, as `<GITHUB_TEST_REPOSITORY>`.
fn filled_in(line: &str) -> String {
    let with_moments = replaced(line, ("{{", "}}"), moment);
    replaced(&with_moments, ("<GITHUB_", ">"), |name| {
        format!("GITHUB_{name}")
    })
}

fn replaced(text: &str, (open, close): (&str, &str), fill: fn(&str) -> String) -> String {
    let mut parts = text.split(open);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (gap, after) = part.split_once(close).unwrap();
        out.push_str(&fill(gap));
        out.push_str(after);
    }
    out
}

fn moment(template: &str) -> String {
    let argument = |name: &str| {
        let (_, after) = template.split_once(&format!("{name}='"))?;
        Some(after.split('\'').next().unwrap_or_default())
    };
    let offset = argument("offset").unwrap_or("0 seconds");
    let (count, unit) = offset.split_once(' ').unwrap();
    let unit = match unit {
        "seconds" => 1,
        "minutes" => 60,
        "hours" => 3600,
        unit => panic!("{unit:?} is no unit of a template"),
    };
    let offset = SignedDuration::from_secs(count.parse::<i64>().unwrap() * unit);
    let at = Timestamp::now().checked_add(offset).unwrap();
    match argument("format") {
        Some("unix") => at.as_second().to_string(),
        _ => at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
    }
}
